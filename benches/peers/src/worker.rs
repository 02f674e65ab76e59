//! A contender in a process of its own, which does what it is asked for, line by line: a work, a count, a seed. It
//! answers with the nanoseconds that one operation took, on average. `vendor.py` speaks the same.

use std::{
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use crate::{
    peer::{By, Peer},
    rows::Row,
};

/// How many save at once.
pub const THREADS: usize = 16;
/// Questions that are made ready before the clock runs.
const AT_ONCE: usize = 50;

/// What a contender is asked for.
pub trait Works {
    /// The time of one operation in nanoseconds, the average of so many, or the bytes if it is those that the work
    /// tells; `None` if the contender has no such work.
    fn work(&mut self, work: &str, count: usize, seed: u64) -> Option<f64>;
}

/// Answers until the input ends.
pub fn serve(mut works: impl Works) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (work, count, seed) = (words.next(), words.next(), words.next());
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).expect("a count and a seed");
        let answer = works.work(work.expect("a work"), number(count) as usize, number(seed));
        println!("{}", answer.map_or("-".to_owned(), |nanoseconds| nanoseconds.to_string()));
        io::stdout().flush()?;
    }
    Ok(())
}

/// A [`Peer`] at work.
pub struct Worker<P> {
    pub directory: PathBuf,
    pub size: usize,
    pub store: Option<P>,
}

impl<P: Peer> Worker<P> {
    pub fn new(directory: &Path, size: usize) -> Self {
        Self { directory: directory.to_owned(), size, store: None }
    }

    pub fn store(&self) -> &P {
        self.store.as_ref().expect("the work `start` comes first")
    }

    fn find(&self, by: By, rows: impl Iterator<Item = Row>, is_there: bool) -> f64 {
        let store = self.store();
        time_each(rows.map(|row| store.query(by, &row)), |query| assert_eq!(store.find(query), is_there))
    }
}

impl<P: Peer> Works for Worker<P> {
    fn work(&mut self, work: &str, count: usize, seed: u64) -> Option<f64> {
        let there = chosen(self.size, seed).take(count).map(Row::new);
        let absent = (1..=count).map(|number| Row::new(self.size + number));
        Some(match work {
            "fill" => {
                let table = Row::table(self.size);
                time(1, || P::fill(&self.directory, table))
            }
            "start" => time(1, || self.store = Some(P::open(&self.directory))),
            "find-id" => self.find(By::Id, there, true),
            "find-user" => self.find(By::User, there, true),
            "find-refresh" => self.find(By::RefreshToken, there, true),
            "absent-id" => self.find(By::Id, absent, false),
            "absent-user" => self.find(By::User, absent, false),
            "absent-refresh" => self.find(By::RefreshToken, absent, false),
            "save" => {
                let rows: Vec<_> = there.zip(rounds(seed)).map(|(row, round)| row.refreshed(round)).collect();
                time(count, || rows.iter().for_each(|row| self.store().save(row)))
            }
            "delete" => each(there.collect(), |row| {
                let nanoseconds = time(1, || self.store().delete(&row));
                self.store().restore(&row);
                nanoseconds
            }),
            "list" => time(count, || (0..count).for_each(|_| assert_eq!(self.store().list(), self.size))),
            "open" => each(vec![(); count], |()| {
                self.store = None;
                time(1, || self.store = Some(P::open(&self.directory)))
            }),
            "threads" => threads(self.store(), self.size, count, seed),
            _ => return None,
        })
    }
}

/// So many saves by all threads, with one open store.
fn threads<P: Peer>(store: &P, size: usize, count: usize, seed: u64) -> f64 {
    let each = count.div_ceil(THREADS);
    let saves: Vec<Vec<Row>> = (0..THREADS as u64)
        .map(|thread| seed * THREADS as u64 + thread)
        .map(|seed| chosen(size, seed).map(Row::new).zip(rounds(seed)).map(|(row, round)| row.refreshed(round)))
        .map(|rows| rows.take(each).collect())
        .collect();
    time(each * THREADS, || {
        thread::scope(|scope| {
            for rows in &saves {
                scope.spawn(move || rows.iter().for_each(|row| store.save(row)));
            }
        });
    })
}

/// The nanoseconds that one of so many operations takes.
pub fn time(count: usize, work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_nanos() as f64 / count as f64
}

/// The nanoseconds that the work takes for one of the questions. They are thought of some at a time: an application has
/// the one that it asks in the processor's cache.
pub fn time_each<T>(mut questions: impl Iterator<Item = T>, mut work: impl FnMut(&T)) -> f64 {
    let (mut nanoseconds, mut count) = (0.0, 0);
    loop {
        let some: Vec<T> = questions.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return nanoseconds / count as f64;
        }
        nanoseconds += time(1, || some.iter().for_each(&mut work));
        count += some.len();
    }
}

/// The middle one of some times.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The average of what each of the items takes.
fn each<T>(items: Vec<T>, work: impl FnMut(T) -> f64) -> f64 {
    let count = items.len() as f64;
    items.into_iter().map(work).sum::<f64>() / count
}

/// Numbers of rows, as if by chance, and the same ones for the same seed (SplitMix64).
pub fn chosen(size: usize, seed: u64) -> impl Iterator<Item = usize> {
    (1..).map(move |step: u64| {
        let mut bits = (seed << 32).wrapping_add(step).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        1 + ((bits ^ (bits >> 31)) % size as u64) as usize
    })
}

/// What makes each saved token another one.
fn rounds(seed: u64) -> impl Iterator<Item = u64> {
    seed * 1_000_000..
}
