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
    contenders::{CONTENDERS, WORKS, command},
    results::{Figure, Results},
};

/// A batch of one work takes about this long, in nanoseconds: a clock and a line of text are little beside it.
const BATCH: f64 = 10e6;
/// No work of one contender takes longer than this in all, in nanoseconds, and no more than twice as long if it is done at all.
const BUDGET: f64 = 6e9;
const MOST_IN_A_BATCH: f64 = 2000.0;
const THREADS: usize = 16;
/// Saves that are counted, and looked at for their peak of memory.
const COUNTED_SAVES: usize = 4;

/// Measures all contenders with stores of each of these sizes, in the folder's file system.
pub fn measure(folder: &Path, rounds: usize, sizes: &[usize]) -> io::Result<Results> {
    let mut figures = Vec::new();
    for size in sizes {
        eprintln!("{size} tokens");
        figures.extend(measure_size(folder, rounds, *size)?);
    }
    let contenders = CONTENDERS.iter().map(|contender| contender.to_string()).collect();
    Ok(Results { machine: machine(folder)?, contenders, figures })
}

fn measure_size(folder: &Path, rounds: usize, size: usize) -> io::Result<Vec<Figure>> {
    let folders: Vec<TempDir> = CONTENDERS.iter().map(|_| TempDir::new_in(folder)).collect::<Result<_, _>>()?;
    let start = |index: usize| Process::start(CONTENDERS[index], folders[index].path(), size);
    let mut processes: Vec<Process> = (0..CONTENDERS.len()).map(start).collect::<Result<_, _>>()?;
    for process in &mut processes {
        process.ask("fill", 1, 0)?;
        process.ask("start", 1, 0)?;
    }

    let mut samples: BTreeMap<(usize, &str), Vec<f64>> = BTreeMap::new();
    let mut counts: BTreeMap<(usize, &str), usize> = BTreeMap::new();
    // The first round tells how many operations a batch takes; nothing is kept of it.
    for round in 0..=rounds {
        for work in WORKS {
            for turn in 0..processes.len() {
                let index = (turn + round) % processes.len();
                let key = (index, work);
                if round == 0 {
                    let one = if work == "threads" { THREADS } else { 1 };
                    let slow = work == "threads" && counts.get(&(index, "save")).is_none_or(|count| *count == 0);
                    let asked = if slow { None } else { processes[index].ask(work, one, 0)? };
                    counts.insert(key, asked.map_or(0, |nanoseconds| batch(work, nanoseconds)));
                    continue;
                }
                let count = counts[&key];
                let taken: f64 = samples.get(&key).map_or(0.0, |taken| taken.iter().sum::<f64>() * count as f64);
                if count > 0 && taken < BUDGET {
                    let answer = processes[index].ask(work, count, (round * CONTENDERS.len()) as u64)?;
                    samples.entry(key).or_default().extend(answer);
                }
            }
        }
    }
    let mut figures: Vec<_> =
        samples.into_iter().map(|((index, work), samples)| figure(CONTENDERS[index], work, size, samples)).collect();

    drop(processes);
    for (index, contender) in CONTENDERS.iter().enumerate().filter(|(_, contender)| **contender != "limit") {
        let mut process = start(index)?;
        for (work, bytes) in process.memory_and_written()? {
            figures.push(figure(contender, work, size, vec![bytes]));
        }
    }
    let own = fs::metadata(folders[1].path().join(crate::peers::tokenkeep::NAME))?.len();
    figures.push(figure("tokenkeep", "own-bytes", size, vec![own as f64]));
    Ok(figures)
}

/// How many operations make a batch; none if one alone is over the budget.
fn batch(work: &str, nanoseconds: f64) -> usize {
    let count = (BATCH / nanoseconds).clamp(1.0, MOST_IN_A_BATCH) as usize;
    match work {
        _ if nanoseconds > BUDGET => 0,
        "threads" if nanoseconds * THREADS as f64 > BUDGET => 0,
        "threads" => count.max(THREADS),
        _ => count,
    }
}

fn figure(contender: &str, work: &str, size: usize, mut samples: Vec<f64>) -> Figure {
    samples.sort_by(f64::total_cmp);
    let at = |part: f64| samples[((samples.len() - 1) as f64 * part).round() as usize];
    Figure {
        contender: contender.to_owned(),
        work: work.to_owned(),
        size,
        median: at(0.5),
        p10: at(0.1),
        p90: at(0.9),
        samples: samples.len(),
    }
}

/// A contender that waits to be asked, until it is dropped.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(contender: &str, folder: &Path, size: usize) -> io::Result<Self> {
        let mut child = command(contender, folder, size)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
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

    /// What a store takes of the memory of a process that has only opened it, then at the peak of some saves, and how many
    /// bytes one of those writes.
    fn memory_and_written(&mut self) -> io::Result<[(&'static str, f64); 3]> {
        let before = self.kib("VmRSS:")?;
        self.ask("start", 1, 0)?;
        let rest = self.kib("VmRSS:")? - before;
        // What `VmHWM` tells starts anew here.
        fs::write(self.proc("clear_refs"), "5")?;
        let written_before = self.written()?;
        self.ask("save", COUNTED_SAVES, 1)?;
        let written = (self.written()? - written_before) / COUNTED_SAVES as f64;
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
fn machine(folder: &Path) -> io::Result<BTreeMap<String, String>> {
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
    let folder = folder.to_string_lossy();
    Ok(BTreeMap::from([
        ("date".to_owned(), said("date", &["-I"])?),
        ("processor".to_owned(), format!("{}, {cores} cores", first("/proc/cpuinfo", "model name")?)),
        ("memory".to_owned(), format!("{gib:.0} GiB")),
        ("system".to_owned(), format!("{}, {}", first("/etc/os-release", "PRETTY_NAME")?, said("uname", &["-sr"])?)),
        ("file system".to_owned(), said("findmnt", &["-nro", "FSTYPE,OPTIONS", "-T", &folder])?),
        ("compiler".to_owned(), said("rustc", &["--version"])?),
    ]))
}
