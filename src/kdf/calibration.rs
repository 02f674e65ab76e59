//! What a key derivation may cost on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{KdfParams, MAX_M_T, MAX_T};
use crate::error::{Error, Result};

/// Enough for any machine that guesses to be short of memory before it is short of processors.
const MOST_M_KIB: u64 = 256 * 1024;
const MIB: u32 = 1024;

/// The cost that takes the target's time, as `measure` finds it: memory first, then passes.
pub(super) fn calibrate(
    target: Duration,
    machine_kib: Option<u64>,
    mut measure: impl FnMut(KdfParams) -> Result<Duration>,
) -> Result<KdfParams> {
    let least = KdfParams::default();
    // Where nobody tells how much memory there is, no more is taken than without asking.
    let half_kib = machine_kib.map_or(least.m_kib.into(), |kib| kib / 2);
    let most_m_kib = u32::try_from(half_kib.min(MOST_M_KIB)).unwrap_or(u32::MAX);
    if most_m_kib < least.m_kib {
        return Err(Error::KdfMemory { kib: least.m_kib });
    }

    let took = measure(least)?;
    let m_kib = scaled(least.m_kib, target, took).min(most_m_kib);
    let more = KdfParams { m_kib: (m_kib / MIB).saturating_mul(MIB).max(least.m_kib), ..least };
    let took = match if more == least { Ok(took) } else { measure(more) } {
        // Promised, but not there.
        Err(Error::KdfMemory { .. }) => return Ok(least),
        took => took?,
    };
    let most_t = MAX_M_T.checked_div(more.m_kib.into()).and_then(|t| u32::try_from(t).ok()).unwrap_or(MAX_T).min(MAX_T);
    let t = scaled(more.t, target, took).clamp(least.t, most_t);
    KdfParams::new(more.m_kib, t, more.p)
}

/// What the value should be to take the target's time, if it takes the given one as it is.
fn scaled(value: u32, target: Duration, took: Duration) -> u32 {
    let scaled = u128::from(value).saturating_mul(target.as_nanos()).checked_div(took.as_nanos());
    scaled.and_then(|scaled| u32::try_from(scaled).ok()).unwrap_or(u32::MAX)
}

/// How long the cost takes here. The better of two times: what else the machine does, and a processor that wakes up,
/// are no part of it.
pub(super) fn measure(cost: KdfParams) -> Result<Duration> {
    let once = || {
        let started = Instant::now();
        cost.derive(b"to see how long it takes", &[0; 32])?;
        Ok(started.elapsed())
    };
    Ok(once()?.min(once()?))
}

/// How much memory this machine has, or this container may take; `None` where that is not known.
pub(super) fn machine_kib() -> Option<u64> {
    if cfg!(any(windows, target_os = "macos")) {
        // Without unsafe code they cannot be asked. Neither runs on less than this (Windows 10 wants 1 GiB).
        return Some(MOST_M_KIB.saturating_mul(2));
    }
    let total = total_kib(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&String::from_utf8_lossy(&groups));
    let limits = limits.iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    Some(limits.map(|bytes| bytes / 1024).fold(total, u64::min))
}

fn total_kib(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse().ok()
}

/// The files that may hold a limit for this process: those of its control groups (of either version) and of all above
/// them, as many as there are to be seen from here. What holds no number sets no limit.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let (root, file, group) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            [_, "", group] => ("/sys/fs/cgroup", "memory.max", group),
            [_, controllers, group] if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", group)
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|above| Path::new(root).join(above).join(file)));
    }
    files
}

#[cfg(test)]
mod tests;
