//! Where things stand in a plot.

/// From a wanted middle and a height each, middles as near to those as they can be without two that overlap, and
/// between the two bounds if there is room.
pub fn spread(wanted: &[(f64, f64)], low: f64, high: f64) -> Vec<f64> {
    /// Those that touch, and the mean of the places where they would have it start.
    struct Block {
        members: Vec<usize>,
        start: f64,
        height: f64,
    }
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|one, other| wanted[*one].0.total_cmp(&wanted[*other].0));
    let kept = |start: f64, height: f64| start.min(high - height).max(low);

    let mut blocks: Vec<Block> = Vec::new();
    for index in order {
        let (middle, height) = wanted[index];
        let mut block = Block { members: vec![index], start: middle - height / 2.0, height };
        while let Some(above) =
            blocks.pop_if(|above| kept(above.start, above.height) + above.height > kept(block.start, block.height))
        {
            let (many, few) = (above.members.len() as f64, block.members.len() as f64);
            let start = (above.start * many + (block.start - above.height) * few) / (many + few);
            block =
                Block { members: [above.members, block.members].concat(), start, height: above.height + block.height };
        }
        blocks.push(block);
    }

    let mut middles = vec![0.0; wanted.len()];
    for block in blocks {
        let mut start = kept(block.start, block.height);
        for index in block.members {
            middles[index] = start + wanted[index].1 / 2.0;
            start += wanted[index].1;
        }
    }
    middles
}

/// Whole decades between two places.
pub struct Axis {
    first: i32,
    last: i32,
    from: f64,
    to: f64,
}

impl Axis {
    pub fn over(numbers: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, most) =
            numbers.fold((f64::INFINITY, 0.0), |(least, most), number| (number.min(least), number.max(most)));
        // Of no numbers at all: one decade, beside which nothing is drawn.
        if least > most {
            return Self { first: 0, last: 1, from, to };
        }
        let first = least.log10().floor() as i32;
        Self { first, last: (most.log10().ceil() as i32).max(first + 1), from, to }
    }

    pub fn place(&self, number: f64) -> f64 {
        let part = (number.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + part * (self.to - self.from)
    }

    pub fn decades(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|exponent| 10f64.powi(exponent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn overlap_nowhere(wanted: &[(f64, f64)]) {
        let middles = spread(wanted, 0.0, 400.0);
        let mut placed: Vec<(f64, f64)> = middles.into_iter().zip(wanted.iter().map(|(_, height)| *height)).collect();
        placed.sort_by(|one, other| one.0.total_cmp(&other.0));
        for pair in placed.windows(2) {
            assert!(pair[1].0 - pair[0].0 >= (pair[0].1 + pair[1].1) / 2.0 - 1e-9, "{placed:?}");
        }
        let inside =
            |(middle, height): &(f64, f64)| middle - height / 2.0 >= -1e-9 && middle + height / 2.0 <= 400.0 + 1e-9;
        assert!(placed.iter().all(inside), "{placed:?}");
    }

    #[test]
    fn no_two_names_are_closer_than_their_heights() {
        overlap_nowhere(&[(200.0, 15.0); 8]);
        overlap_nowhere(&[(100.0, 15.0), (114.0, 15.0), (300.0, 15.0), (322.0, 30.0)]);
        overlap_nowhere(&[(0.0, 15.0), (1.0, 30.0), (2.0, 15.0), (40.0, 30.0)]);
        overlap_nowhere(&[(400.0, 15.0), (399.0, 30.0), (370.0, 15.0), (395.0, 30.0), (3.0, 15.0)]);
        overlap_nowhere(&[(100.0, 15.0), (130.0, 15.0), (112.0, 15.0), (121.0, 30.0), (90.0, 30.0), (60.0, 15.0)]);
    }

    #[test]
    fn a_name_stays_where_it_is_wanted_if_it_can_and_two_share_the_way_if_not() {
        assert_eq!(spread(&[(50.0, 10.0), (20.0, 10.0)], 0.0, 100.0), [50.0, 20.0]);
        assert_eq!(spread(&[(50.0, 10.0), (50.0, 10.0)], 0.0, 100.0), [45.0, 55.0]);
    }

    #[test]
    fn an_axis_is_of_whole_decades() {
        let axis = Axis::over([30.0, 4000.0].into_iter(), 0.0, 300.0);
        assert_eq!(axis.decades().collect::<Vec<_>>(), [10.0, 100.0, 1000.0, 10_000.0]);
        assert_eq!([10.0, 1000.0, 10_000.0].map(|number| axis.place(number).round()), [0.0, 200.0, 300.0]);
    }
}
