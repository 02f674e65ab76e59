//! Numbers for readers.

use crate::results::Figure;

/// What a number counts: nanoseconds, bytes, or how many times as much as something else.
#[derive(Clone, Copy)]
pub enum Quantity {
    Time,
    Bytes,
    Multiple,
}

impl Quantity {
    fn units(self) -> &'static [(f64, &'static str)] {
        match self {
            Self::Time => &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")],
            Self::Bytes => &[(1e9, " GB"), (1e6, " MB"), (1e3, " KB"), (1.0, " B")],
            Self::Multiple => &[(1.0, "")],
        }
    }

    /// How many digits of a number count.
    fn count(self) -> i32 {
        if let Self::Multiple = self { 3 } else { 2 }
    }

    /// The largest unit that the number, as it is shown, has at least this part of.
    fn unit(self, number: f64, part: f64) -> (f64, &'static str) {
        let is_right = |(unit, _): &&(f64, &str)| round(number.abs() / unit, self.count()) >= part;
        *self.units().iter().find(is_right).or(self.units().last()).expect("there is a unit")
    }

    /// With the digits that count, and a unit: `0.94 ms`.
    pub fn short(self, number: f64) -> String {
        let (unit, name) = self.unit(number, 0.1);
        format!("{}{name}", digits(number / unit, self.count()))
    }

    /// The median, and in the same unit what lies between the 10th and the 90th percentile, if that tells more.
    pub fn spread(self, figure: &Figure) -> String {
        let (unit, _) = self.unit(figure.median, 0.1);
        let [low, middle, high] =
            [figure.p10, figure.median, figure.p90].map(|number| digits(number / unit, self.count()));
        let median = self.short(figure.median);
        if low == middle && middle == high { median } else { format!("{median} ({low}–{high})") }
    }

    /// A power of ten, as an axis names it: `100 µs`.
    pub fn decade(self, number: f64) -> String {
        let (unit, name) = self.unit(number, 1.0);
        format!("{}{name}", number / unit)
    }
}

/// With so many digits that count, and never fewer before the point than there are: `0.094`, `2.0`, `147`.
pub fn digits(number: f64, count: i32) -> String {
    let number = round(number, count);
    let decimals = (count - 1 - magnitude(number)).max(0) as usize;
    if number == 0.0 { "0".to_owned() } else { format!("{number:.decimals$}") }
}

/// `100,000`
pub fn grouped(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1000), number % 1000) }
}

/// To so many digits that count, or to a whole number if that has more.
fn round(number: f64, count: i32) -> f64 {
    let decimals = count - 1 - magnitude(number);
    let scale = 10f64.powi(decimals.abs());
    if decimals >= 0 { (number * scale).round() / scale } else { number.round() }
}

fn magnitude(number: f64) -> i32 {
    if number == 0.0 { 0 } else { number.abs().log10().floor() as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_short(quantity: Quantity, number: f64, expected: &str) {
        assert_eq!(quantity.short(number), expected);
    }

    #[test]
    fn a_number_has_two_digits_and_the_largest_unit_of_which_there_is_a_tenth() {
        is_short(Quantity::Time, 0.0, "0 ns");
        is_short(Quantity::Time, 34.4, "34 ns");
        is_short(Quantity::Time, 99.4, "99 ns");
        is_short(Quantity::Time, 1_996.0, "2.0 µs");
        is_short(Quantity::Time, 9_960.0, "10 µs");
        is_short(Quantity::Time, 87_000.0, "87 µs");
        is_short(Quantity::Time, 99_600.0, "0.10 ms");
        is_short(Quantity::Time, 937_000.0, "0.94 ms");
        is_short(Quantity::Time, -2.14e6, "-2.1 ms");
        is_short(Quantity::Time, 18.2e9, "18 s");
        is_short(Quantity::Time, 1234.4e9, "1234 s");
        is_short(Quantity::Bytes, 4300.0, "4.3 KB");
        is_short(Quantity::Bytes, 430_000.0, "0.43 MB");
        is_short(Quantity::Multiple, 1.166, "1.17");
    }

    #[test]
    fn the_spread_is_in_the_unit_of_the_median_and_left_out_if_it_tells_nothing() {
        let spread = |p10, median, p90| {
            let (contender, work) = (String::new(), String::new());
            Quantity::Time.spread(&Figure { contender, work, size: 10, median, p10, p90, samples: 3 })
        };
        assert_eq!(spread(0.88e6, 0.94e6, 1.1e6), "0.94 ms (0.88–1.1)");
        assert_eq!(spread(94e3, 0.94e6, 147e6), "0.94 ms (0.094–147)");
        assert_eq!(spread(0.941e6, 0.942e6, 0.943e6), "0.94 ms");
    }

    #[test]
    fn an_axis_has_whole_units() {
        let named = [1e2, 1e3, 1e5, 1e6].map(|number| Quantity::Time.decade(number));
        assert_eq!(named, ["100 ns", "1 µs", "100 µs", "1 ms"]);
        assert_eq!(Quantity::Bytes.decade(1e7), "10 MB");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([999, 1_000, 100_000, 1_000_001].map(grouped), ["999", "1,000", "100,000", "1,000,001"]);
    }
}
