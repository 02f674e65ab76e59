//! Asks all contenders in turn, and keeps medians and spreads.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    contenders::{CONTENDERS, LIMIT, STORES, TOKENKEEP, WORKS, command},
    results::{BESIDE, Figure, Results},
    worker::THREADS,
};

/// A batch of one work takes about this long, in nanoseconds: a clock and a line of text are little beside it.
const BATCH: f64 = 40e6;
const MOST_IN_A_BATCH: f64 = 2000.0;
/// A work that took a contender longer than this, in nanoseconds, is not asked of it again.
const BUDGET: f64 = 6e9;
/// How tokenkeep and the limit for its work are asked each round: in pairs, so that what else the machine does at a
/// time is in both.
const IN_PAIRS: [usize; 8] = [LIMIT, TOKENKEEP, TOKENKEEP, LIMIT, LIMIT, TOKENKEEP, TOKENKEEP, LIMIT];
/// Saves that are counted, and looked at for their peak of memory: at least the first number, and at most the second,
/// which replaces a file of 10,000 tokens twice.
const COUNTED_SAVES: (usize, usize) = (4, 2200);

/// Measures all contenders with stores of each of these sizes, in the directory's file system.
pub fn measure(directory: &Path, rounds: usize, sizes: &[usize]) -> io::Result<Results> {
    let mut figures = Vec::new();
    for size in sizes {
        eprintln!("{size} tokens");
        figures.extend(measure_size(directory, rounds, *size)?);
    }
    let contenders = CONTENDERS.iter().map(|contender| contender.to_string()).collect();
    Ok(Results { machine: machine(directory)?, contenders, figures })
}

fn measure_size(directory: &Path, rounds: usize, size: usize) -> io::Result<Vec<Figure>> {
    let directories: Vec<TempDir> = CONTENDERS.iter().map(|_| TempDir::new_in(directory)).collect::<Result<_, _>>()?;
    let start = |index: usize| Process::start(CONTENDERS[index], directories[index].path(), size);
    let mut processes: Vec<Process> = (0..CONTENDERS.len()).map(start).collect::<Result<_, _>>()?;
    for process in &mut processes {
        process.ask("fill", 1, 0)?;
        process.ask("start", 1, 0)?;
    }

    let mut batches: BTreeMap<(usize, &str), Batches> = BTreeMap::new();
    for work in WORKS {
        for (index, process) in processes.iter_mut().enumerate() {
            let save = batches.get(&(index, "save")).map(|batches| batches.operation);
            batches.extend(Batches::of(process, work, save)?.map(|of| ((index, work), of)));
        }
    }
    for round in 0..rounds {
        for work in WORKS {
            for turn in 0..STORES.len() {
                let index = STORES.start + (turn + round) % STORES.len();
                let in_pairs = index == TOKENKEEP && batches.contains_key(&(LIMIT, work));
                let asked = if in_pairs { IN_PAIRS.to_vec() } else { vec![index] };
                for index in asked {
                    if let Some(batches) = batches.get_mut(&(index, work)) {
                        batches.add(&mut processes[index], work)?;
                    }
                }
            }
        }
    }
    let mut figures: Vec<Figure> = Vec::new();
    for ((index, work), Batches { samples, .. }) in &batches {
        figures.extend(figure(CONTENDERS[*index], work, size, samples.clone()));
        if let (TOKENKEEP, Some(limit)) = (*index, batches.get(&(LIMIT, *work))) {
            let multiples = samples.iter().zip(&limit.samples).map(|(ours, limit)| ours / limit);
            figures.extend(figure(BESIDE, work, size, multiples.collect()));
        }
    }

    let own = processes[LIMIT].ask("own-bytes", 1, 0)?;
    for work in ["rest", "peak"] {
        figures.extend(figure(CONTENDERS[LIMIT], work, size, own.into_iter().collect()));
    }
    drop(processes);
    for index in STORES {
        for (work, bytes) in start(index)?.bytes()? {
            figures.extend(figure(CONTENDERS[index], work, size, vec![bytes]));
        }
    }
    Ok(figures)
}

/// Batches of one work of one contender.
struct Batches {
    /// How many operations each has.
    count: usize,
    /// The nanoseconds of the first operation, which is no sample: it tells how many make a batch.
    operation: f64,
    samples: Vec<f64>,
}

impl Batches {
    /// `None` if the contender has no such work, or takes too long for it; `save` is what a save takes it.
    fn of(process: &mut Process, work: &str, save: Option<f64>) -> io::Result<Option<Self>> {
        // All threads save at least once.
        let least = if work == "threads" { THREADS } else { 1 };
        if work == "threads" && save.is_none_or(|save| save * THREADS as f64 > BUDGET) {
            return Ok(None);
        }
        let Some(operation) = process.ask(work, least, 0)? else { return Ok(None) };
        let count = ((BATCH / operation).min(MOST_IN_A_BATCH) as usize).max(least);
        Ok((operation * least as f64 <= BUDGET).then_some(Self { count, operation, samples: Vec::new() }))
    }

    fn add(&mut self, process: &mut Process, work: &str) -> io::Result<()> {
        if self.samples.iter().sum::<f64>() * self.count as f64 <= BUDGET {
            // 0 was the seed of the first one.
            let seed = 1 + self.samples.len() as u64;
            self.samples.extend(process.ask(work, self.count, seed)?);
        }
        Ok(())
    }
}

fn figure(contender: &str, work: &str, size: usize, mut samples: Vec<f64>) -> Option<Figure> {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().checked_sub(1)?;
    let at = |part: f64| samples[(last as f64 * part).round() as usize];
    Some(Figure {
        contender: contender.to_owned(),
        work: work.to_owned(),
        size,
        median: at(0.5),
        p10: at(0.1),
        p90: at(0.9),
        samples: samples.len(),
    })
}

/// A contender that waits to be asked, until it is dropped.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(contender: &str, directory: &Path, size: usize) -> io::Result<Self> {
        let mut child = command(contender, directory, size)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Self { input: child.stdin.take(), output, child })
    }

    fn ask(&mut self, work: &str, count: usize, seed: u64) -> io::Result<Option<f64>> {
        writeln!(self.input.as_mut().expect("it is piped"), "{work} {count} {seed}")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        match answer.trim() {
            "-" => Ok(None),
            number => number.parse().map(Some).map_err(|_| io::Error::other(format!("{work}: the answer {number:?}"))),
        }
    }

    /// What a store takes of the memory of a process that has only opened it, then at the peak of some saves; and how
    /// many bytes one of those writes.
    fn bytes(&mut self) -> io::Result<[(&'static str, f64); 3]> {
        let before = self.kib("VmRSS:")?;
        self.ask("start", 1, 0)?;
        let rest = self.kib("VmRSS:")? - before;
        // `VmHWM` starts again here.
        fs::write(self.proc("clear_refs"), "5")?;
        let written_before = self.written()?;
        let mut saves = COUNTED_SAVES.0;
        let each = self.ask("save", saves, 0)?.expect("every store saves");
        let more = ((BUDGET / each) as usize).min(COUNTED_SAVES.1 - saves);
        self.ask("save", more, 1)?;
        saves += more;
        let written = (self.written()? - written_before) / saves as f64;
        let peak = self.kib("VmHWM:")? - before;
        Ok([("rest", rest * 1024.0), ("peak", peak * 1024.0), ("written", written)])
    }

    fn kib(&self, name: &str) -> io::Result<f64> {
        number_after(&self.proc("status"), name)
    }

    fn written(&self) -> io::Result<f64> {
        number_after(&self.proc("io"), "write_bytes:")
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends with its input.
        self.input = None;
        let _ = self.child.wait();
    }
}

fn number_after(path: &str, name: &str) -> io::Result<f64> {
    let text = fs::read_to_string(path)?;
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name} in {path}")))
}

/// What a reader has to know of where it was measured.
fn machine(directory: &Path) -> io::Result<BTreeMap<String, String>> {
    let first = |path: &str, start: &str| -> io::Result<String> {
        let text = fs::read_to_string(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or("unknown");
        Ok(line.trim_matches(|sign: char| sign.is_whitespace() || ":=\"".contains(sign)).to_owned())
    };
    let said = |program: &str, arguments: &[&str]| -> io::Result<String> {
        let output = Command::new(program).args(arguments).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let gib = number_after("/proc/meminfo", "MemTotal:")? / (1024.0 * 1024.0);
    let directory = directory.to_string_lossy();
    Ok(BTreeMap::from([
        ("date".to_owned(), said("date", &["-I"])?),
        ("processor".to_owned(), format!("{}, {cores} cores", first("/proc/cpuinfo", "model name")?)),
        ("memory".to_owned(), format!("{gib:.0} GiB")),
        ("system".to_owned(), format!("{}, {}", first("/etc/os-release", "PRETTY_NAME")?, said("uname", &["-sr"])?)),
        ("file system".to_owned(), said("findmnt", &["-nro", "FSTYPE,OPTIONS", "-T", &directory])?),
        ("compiler".to_owned(), said("rustc", &["--version"])?),
    ]))
}
