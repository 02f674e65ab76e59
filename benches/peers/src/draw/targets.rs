//! What was promised, and whether it is held.

use super::numbers::{digits, grouped};
use crate::{
    limits::RECORD_LEN,
    results::{BESIDE, Results},
};

const SIZES: [usize; 5] = [10, 100, 1000, 10_000, 100_000];
const FINDS: [&str; 6] = ["find-id", "find-user", "find-refresh", "absent-id", "absent-user", "absent-refresh"];
/// Who saves durably.
const SAVERS: [&str; 5] =
    ["SQLCipher", "SQLCipher, WAL", "SQLite, plain text", "SQLite, WAL, plain text", "redb, plain text"];
const SNAPSHOTS: [&str; 2] = ["snapshot-id", "snapshot-user"];

/// A table of the targets, each with the worst that was measured for it, and whether all of them are held. What was not
/// measured is not held.
pub fn check(results: &Results) -> (String, bool) {
    let median = |contender: &str, work: &str, size| results.figure(contender, work, size).map(|figure| figure.median);
    let ours = |work: &str, size| median("tokenkeep", work, size);
    let either_sqlcipher =
        |work: &str, size| Some(median("SQLCipher", work, size)?.min(median("SQLCipher, WAL", work, size)?));

    let beside_limit = |work: &str, size| median(BESIDE, work, size);
    let of_own_bytes = |work: &str, size| Some(ours(work, size)? / median("limit", work, size)?);
    let faster_finds = |work: &str, size| Some(either_sqlcipher(work, size)? / ours(work, size)?);
    let fastest_peer = |work: &str, size| {
        let times: Option<Vec<f64>> = SAVERS.iter().map(|peer| median(peer, work, size)).collect();
        times?.into_iter().reduce(f64::min)
    };
    let faster_saves = |work: &str, size| Some(fastest_peer(work, size)? / ours(work, size)?);
    let of_ten_tokens = |work: &str, size| Some(ours(work, size)? / ours(work, 10)?);
    let of_a_record = |work: &str, size| Some(ours(work, size)? / RECORD_LEN as f64);
    let of_open = |work: &str, size| Some(ours(work, size)? / ours("open", size)?);
    let beyond_a_find = |work: &str, size| Some((ours(work, size)? - ours("find-id", size)?) / 1e3);
    let of_threads = |work: &str, size| Some(ours(work, size)? / ours("threads", size)?);
    let milliseconds = |work: &str, size| Some(ours(work, size)? / 1e6);

    use Bound::{Above, AtLeast, AtMost};
    let up_to_10_000 = &SIZES[..4];
    let from_10_000 = &SIZES[3..];
    let targets = [
        worst("a find: at most 2 times a bare `stat`", AtMost(2.0), &FINDS, &SIZES, beside_limit),
        worst("in a snapshot: at most 5 times a `HashMap` lookup", AtMost(5.0), &SNAPSHOTS, &SIZES, beside_limit),
        worst("a find: faster than SQLCipher with either journal", Above(1.0), &FINDS, &SIZES, faster_finds),
        worst("a find from 10,000 tokens: at least 10 times as fast", AtLeast(10.0), &FINDS, from_10_000, faster_finds),
        worst("a save: at most 1.5 times its bytes appended", AtMost(1.5), &["save"], &SIZES, beside_limit),
        worst(
            "a save: faster than SQLCipher and SQLite with either journal, and redb",
            Above(1.0),
            &["save"],
            &SIZES,
            faster_saves,
        ),
        worst("a save with 100,000: at most 1.3 times one with 10", AtMost(1.3), &["save"], &[100_000], of_ten_tokens),
        worst(
            "bytes written for a save of up to 10,000: at most 2 times a record",
            AtMost(2.0),
            &["written"],
            up_to_10_000,
            of_a_record,
        ),
        worst(
            "a find after another process has saved: at most 30 µs more",
            AtMost(30.0),
            &["find-after-save"],
            &SIZES,
            beyond_a_find,
        ),
        worst(
            "a delete of up to 10,000 tokens: at most 1.2 times its bytes replaced",
            AtMost(1.2),
            &["delete"],
            up_to_10_000,
            beside_limit,
        ),
        worst("opening with a full journal: at most 2 times", AtMost(2.0), &["open-full"], &SIZES, of_open),
        worst(
            "sixteen threads, 100 tokens: at least 6 times the saves of one",
            AtLeast(6.0),
            &["save"],
            &[100],
            of_threads,
        ),
        worst(
            "opening 100,000 tokens: at most 8 times read and decrypt",
            AtMost(8.0),
            &["open"],
            &[100_000],
            beside_limit,
        ),
        worst(
            "memory at rest with 100,000: at most 2 times the tokens",
            AtMost(2.0),
            &["rest"],
            &[100_000],
            of_own_bytes,
        ),
        worst(
            "memory at its peak with 100,000: at most 4 times the tokens",
            AtMost(4.0),
            &["peak"],
            &[100_000],
            of_own_bytes,
        ),
        worst(
            "a passphrase with 100 tokens: at most 5 ms more than Argon2id",
            AtMost(5.0),
            &["beyond-argon2"],
            &[100],
            milliseconds,
        ),
    ];
    let rows: String = targets.iter().map(|(row, _)| row.as_str()).collect();
    (format!("| target | measured, at worst | held |\n|---|---|---|\n{rows}"), targets.iter().all(|(_, held)| *held))
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Above(f64),
}

impl Bound {
    fn holds(&self, number: f64) -> bool {
        match *self {
            Self::AtMost(bound) => number <= bound,
            Self::AtLeast(bound) => number >= bound,
            Self::Above(bound) => number > bound,
        }
    }

    /// Larger for a number that is further on the wrong side.
    fn badness(&self, number: f64) -> f64 {
        if let Self::AtMost(_) = self { number } else { -number }
    }
}

/// The row of a target, which is held if its bound holds for each work at each size.
fn worst(
    target: &str,
    bound: Bound,
    works: &[&str],
    sizes: &[usize],
    measured: impl Fn(&str, usize) -> Option<f64>,
) -> (String, bool) {
    let places = works.iter().flat_map(|work| sizes.iter().map(move |size| (*work, *size)));
    let badness = |number: Option<f64>| number.map_or(f64::INFINITY, |number| bound.badness(number));
    let (number, work, size) = places
        .map(|(work, size)| (measured(work, size), work, size))
        .max_by(|one, other| badness(one.0).total_cmp(&badness(other.0)))
        .expect("a target has a work and a size");
    let held = number.is_some_and(|number| bound.holds(number));
    let shown = number.map_or("not measured".to_owned(), |number| digits(number, 3));
    let place = if works.len() > 1 { format!("{work}, {}", grouped(size)) } else { grouped(size) };
    (format!("| {target} | {shown} ({place}) | {} |\n", if held { "yes" } else { "**no**" }), held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Figure;

    const OTHERS: [&str; 9] =
        ["save", "delete", "open", "open-full", "find-after-save", "written", "rest", "peak", "beyond-argon2"];

    /// Everything takes as long as everything else, apart from what a target asks to be faster.
    fn results() -> Results {
        let figure = |contender: &str, work: &str, size, median| Figure {
            contender: contender.to_owned(),
            work: work.to_owned(),
            size,
            median,
            p10: median,
            p90: median,
            samples: 1,
        };
        let mut figures = Vec::new();
        for size in SIZES {
            for work in FINDS.iter().chain(&SNAPSHOTS).chain(&OTHERS) {
                figures.push(figure("limit", work, size, 100.0));
                figures.push(figure(BESIDE, work, size, 1.0));
                figures.push(figure("tokenkeep", work, size, 100.0));
                figures.extend(SAVERS.map(|peer| figure(peer, work, size, 1000.0)));
            }
            figures.push(figure("tokenkeep", "threads", size, 10.0));
        }
        Results { machine: [].into(), contenders: Vec::new(), figures }
    }

    /// Only the row that starts so is not held, and shows this, once a figure is another.
    #[track_caller]
    fn is_missed((contender, work, size): (&str, &str, usize), median: Option<f64>, start: &str, shown: &str) {
        let mut results = results();
        let is_it = |figure: &Figure| figure.contender == contender && figure.work == work && figure.size == size;
        match median {
            Some(median) => results.figures.iter_mut().find(|figure| is_it(figure)).unwrap().median = median,
            None => results.figures.retain(|figure| !is_it(figure)),
        }
        let (table, all_held) = check(&results);
        assert!(!all_held, "{table}");
        let missed: Vec<&str> = table.lines().filter(|row| row.ends_with("| **no** |")).collect();
        assert!(missed.len() == 1 && missed[0].starts_with(start) && missed[0].contains(shown), "{table}");
    }

    #[test]
    fn all_is_held_at_the_bounds() {
        let (table, all_held) = check(&results());
        assert!(all_held, "{table}");
    }

    #[test]
    fn one_figure_beyond_its_bound_misses_its_target_alone() {
        let ours = |work, size| ("tokenkeep", work, size);
        let beside = |work, size| (BESIDE, work, size);
        is_missed(beside("absent-id", 100), Some(2.04), "| a find: at most 2 ", "| 2.04 (absent-id, 100) |");
        is_missed(beside("snapshot-id", 10), Some(5.1), "| in a snapshot", "| 5.10 (snapshot-id, 10) |");
        is_missed(
            ("SQLCipher, WAL", "absent-user", 100_000),
            Some(990.0),
            "| a find from 10,000",
            "| 9.90 (absent-user, 100,000) |",
        );
        is_missed(("SQLCipher", "find-user", 10), Some(100.0), "| a find: faster", "| 1.00 (find-user, 10) |");
        is_missed(beside("save", 100_000), Some(1.51), "| a save: at most", "| 1.51 (100,000) |");
        is_missed(("redb, plain text", "save", 1000), Some(90.0), "| a save: faster", "| 0.900 (1,000) |");
        is_missed(("SQLite, WAL, plain text", "save", 10), Some(90.0), "| a save: faster", "| 0.900 (10) |");
        is_missed(ours("save", 100_000), Some(131.0), "| a save with 100,000", "| 1.31 (100,000) |");
        is_missed(ours("written", 10_000), Some(8200.0), "| bytes written", "| 2.00 (10,000) |");
        is_missed(ours("find-after-save", 10), Some(30_101.0), "| a find after", "| 30.0 (10) |");
        is_missed(beside("delete", 10_000), Some(1.21), "| a delete", "| 1.21 (10,000) |");
        is_missed(ours("open-full", 10), Some(201.0), "| opening with a full", "| 2.01 (10) |");
        is_missed(ours("threads", 100), Some(20.0), "| sixteen threads", "| 5.00 (100) |");
        is_missed(beside("open", 100_000), Some(8.01), "| opening", "| 8.01 (100,000) |");
        is_missed(ours("rest", 100_000), Some(201.0), "| memory at rest", "| 2.01 (100,000) |");
        is_missed(ours("peak", 100_000), Some(401.0), "| memory at its peak", "| 4.01 (100,000) |");
        is_missed(ours("beyond-argon2", 100), Some(6e6), "| a passphrase", "| 6.00 (100) |");
    }

    #[test]
    fn what_was_not_measured_is_not_held() {
        is_missed(("tokenkeep", "beyond-argon2", 100), None, "| a passphrase", "| not measured (100) |");
        is_missed((BESIDE, "snapshot-user", 1000), None, "| in a snapshot", "| not measured (snapshot-user, 1,000) |");
    }
}
