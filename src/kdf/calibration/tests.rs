use super::*;

const GIB: u64 = 1024 * 1024;
const TARGET: Duration = KdfParams::DEFAULT_TARGET;

/// A machine on which a MiB takes the given time for each pass.
fn machine(nanos_per_mib: u64) -> impl FnMut(KdfParams) -> Result<Duration> {
    move |cost| Ok(Duration::from_nanos(nanos_per_mib * u64::from(cost.m_kib / MIB) * u64::from(cost.t)))
}

#[track_caller]
fn calibrated(nanos_per_mib: u64, machine_kib: Option<u64>) -> (u32, u32, u32) {
    let cost = calibrate(TARGET, machine_kib, machine(nanos_per_mib)).unwrap();
    (cost.m_kib / MIB, cost.t, cost.p)
}

#[test]
fn memory_comes_first_and_then_passes() {
    assert_eq!(calibrated(5_000_000, Some(8 * GIB)), (64, 3, 4), "too slow for more");
    assert_eq!(calibrated(2_000_000, Some(8 * GIB)), (125, 3, 4));
    assert_eq!(calibrated(900_000, Some(8 * GIB)), (256, 3, 4));
    assert_eq!(calibrated(600_000, Some(8 * GIB)), (256, 4, 4));
    assert_eq!(calibrated(300_000, Some(8 * GIB)), (256, 8, 4), "as much as a file may ask for");
    assert_eq!(calibrated(1, Some(8 * GIB)), (256, 8, 4));
}

#[test]
fn calibration_takes_at_most_half_of_the_memory() {
    assert_eq!(calibrated(600_000, Some(GIB / 4)), (128, 9, 4));
    assert_eq!(calibrated(1, Some(GIB / 4)), (128, 16, 4));
    assert_eq!(calibrated(600_000, Some(GIB / 8)), (64, 16, 4));
    assert_eq!(calibrated(2_000_000, None), (64, 5, 4));
    let refused = calibrate(TARGET, Some(GIB / 8 - 2), |_| panic!("it was measured"));
    assert!(matches!(refused, Err(Error::KdfMemory { kib: 65_536 })), "{refused:?}");
}

/// For machines of any speed and size, and any target.
#[test]
fn calibrated_cost_is_accepted_and_near_its_target_time() {
    let mut within = 0;
    for exponent in 0..70 {
        let nanos = 1_u64 << (exponent / 2) | 1 << (exponent / 3);
        for memory in [Some(GIB / 8), Some(GIB / 3), Some(GIB), Some(u64::MAX), None] {
            for target in [Duration::ZERO, Duration::from_millis(100), TARGET, Duration::MAX] {
                let mut measure = machine(nanos);
                let cost = calibrate(target, memory, &mut measure).unwrap();
                assert_eq!(KdfParams::new(cost.m_kib, cost.t, cost.p).unwrap(), cost);
                let (least, took) = (KdfParams::default(), measure(cost).unwrap());
                assert!(!cost.is_less_than(least) && u64::from(cost.m_kib) <= MOST_M_KIB);
                assert!(memory.is_none_or(|kib| u64::from(cost.m_kib) <= kib / 2));
                let at_most = cost.t == MAX_T || u64::from(cost.m_kib) * u64::from(cost.t + 1) > MAX_M_T;
                if cost != least && !at_most {
                    assert!(took <= target && took >= target.mul_f64(0.66), "{cost:?}: {took:?} of {target:?}");
                    within += 1;
                }
            }
        }
    }
    assert!(within > 50, "{within}");
}

#[test]
fn unmeasurable_cost_is_reported() {
    let refused = calibrate(TARGET, Some(GIB), |cost| Err(Error::KdfMemory { kib: cost.m_kib }));
    assert!(matches!(refused, Err(Error::KdfMemory { kib: 65_536 })));
    // More is promised than there is.
    let calibrated = calibrate(TARGET, Some(GIB), |cost| match cost.m_kib {
        65_536 => Ok(Duration::from_millis(100)),
        kib => Err(Error::KdfMemory { kib }),
    });
    assert_eq!(calibrated.unwrap(), KdfParams::default());
}

#[test]
fn the_machines_memory_is_read() {
    assert_eq!(total_kib("MemTotal:       24684084 kB\nMemFree:        23175316 kB\n"), Some(24_684_084));
    for other in ["", "MemFree: 1 kB", "MemTotal: x kB", "MemTotal: 1 MB"] {
        assert_eq!(total_kib(other), None, "{other:?}");
    }
    if cfg!(target_os = "linux") {
        assert!(machine_kib().is_some_and(|kib| (GIB / 16..1 << 40).contains(&kib)), "{:?}", machine_kib());
    }
}

#[test]
fn memory_limits_are_read_from_both_cgroup_versions() {
    let files = limit_files("4:cpu,memory:/a/b\n3:cpu,cpuacct:/c\n1:name=systemd:/\n0::/user.slice/x:y\n");
    let expected = [
        "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/user.slice/x:y/memory.max",
        "/sys/fs/cgroup/user.slice/memory.max",
        "/sys/fs/cgroup/memory.max",
    ];
    assert_eq!(files, expected.map(PathBuf::from));
    assert_eq!(limit_files("0::/"), [PathBuf::from("/sys/fs/cgroup/memory.max")]);
    assert_eq!(limit_files("rubbish\n\n"), Vec::<PathBuf>::new());
}

#[test]
fn a_machine_that_is_too_slow_for_the_target_gives_the_default() {
    assert_eq!(KdfParams::calibrate(Duration::ZERO).unwrap(), KdfParams::default());
}
