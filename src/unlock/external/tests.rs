use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use parking_lot::Mutex;

use super::*;

/// Keeps the key of each slot in memory. The public data is the number of the key.
#[derive(Default)]
struct Device {
    name: &'static str,
    keys: Mutex<HashMap<Vec<u8>, [u8; 32]>>,
    fault: Fault,
    made: AtomicUsize,
    is_asked: AtomicBool,
    /// How often it has forgotten a key.
    forgotten: AtomicUsize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    Refuses,
    RefusesToOpen,
    Panics,
    Forgets,
    Hangs(Duration),
    HangsToOpen(Duration),
    /// Answers with so much data.
    Data(usize),
    WritesNothing,
}

impl ExternalKey for Arc<Device> {
    fn provider(&self) -> &str {
        self.name
    }

    fn create(&self, slot: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        assert!(slot.remaining() <= Duration::from_secs(30));
        let data = match self.fault {
            Fault::Refuses => return Err(ExternalError::new("a person refused").code(7)),
            Fault::Panics => panic!("with the key {key:?}"),
            Fault::Data(len) => vec![0; len],
            _ => self.made.fetch_add(1, Ordering::SeqCst).to_le_bytes().to_vec(),
        };
        if self.fault == Fault::WritesNothing {
            *key = [0; 32];
        }
        if let Fault::Hangs(time) = self.fault {
            thread::sleep(time);
        }
        self.keys.lock().insert(data.clone(), *key);
        Ok(data)
    }

    fn open(&self, _: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        self.is_asked.store(true, Ordering::SeqCst);
        let before = *key;
        *key = *self.keys.lock().get(data).ok_or(ExternalError::new("no such key"))?;
        match self.fault {
            Fault::RefusesToOpen => return Err(ExternalError::new("a person refused")),
            Fault::HangsToOpen(time) => thread::sleep(time),
            Fault::Forgets => key[0] ^= 1,
            Fault::WritesNothing => *key = before,
            _ => {}
        }
        Ok(())
    }

    fn forget(&self, slot: &ExternalSlot, data: &[u8]) -> Result<(), ExternalError> {
        if slot.remaining().is_zero() {
            return Err(ExternalError::new("no time"));
        }
        self.keys.lock().remove(data).ok_or(ExternalError::new("no such key"))?;
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn device(fault: Fault) -> Arc<Device> {
    Arc::new(Device { name: "device", fault, ..Device::default() })
}

const STORE: StoreId = [1; 16];
const SLOT: SlotId = SlotId([2; 16]);

#[track_caller]
fn assert_fails(device: &Arc<Device>, expected: ExternalFailure) {
    let external = External::new(device.clone()).deadline(Duration::from_millis(300));
    match external.make_key(&STORE, SLOT) {
        Err(Error::External { provider, why }) => assert_eq!((provider.as_str(), why), (device.name, expected)),
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

#[test]
fn key_of_a_new_slot_is_found_by_its_data() {
    let device = device(Fault::None);
    let external = External::new(device.clone());
    let (data, key) = external.make_key(&STORE, SLOT).unwrap();
    assert_eq!((&*data.provider, data.public.len()), ("device", 8));
    assert!(external.is_for(&data));
    assert_eq!(external.find_key(&STORE, SLOT, &data, external.start()).unwrap(), key);
    external.forget(&STORE, SLOT, &data).unwrap();
    assert!(device.keys.lock().is_empty());
    let gone = external.find_key(&STORE, SLOT, &data, external.start());
    assert_eq!(gone.unwrap_err().to_string(), "the external key provider device failed: no such key");
}

#[test]
fn keys_that_a_provider_does_not_overwrite_are_random() {
    let external = External::new(device(Fault::None));
    let ((_, one), (_, other)) = (external.make_key(&STORE, SLOT).unwrap(), external.make_key(&STORE, SLOT).unwrap());
    assert!(one != other && *one.bytes() != [0; 32]);
}

#[test]
fn failed_provider_leaves_no_key_behind() {
    let refused = ExternalFailure::Failed(ExternalError::new("a person refused"));
    for (fault, expected) in [
        (Fault::RefusesToOpen, refused),
        (Fault::Forgets, ExternalFailure::Forgetful),
        // Its key would be zeros, which everybody knows.
        (Fault::WritesNothing, ExternalFailure::Forgetful),
        (Fault::Data(1025), ExternalFailure::TooMuchData { len: 1025, limit: 1024 }),
    ] {
        let device = device(fault);
        assert_fails(&device, expected);
        assert!(device.keys.lock().is_empty(), "{expected:?}");
    }
    assert_fails(&device(Fault::Refuses), ExternalFailure::Failed(ExternalError::new("a person refused").code(7)));
}

/// The panic's own words may hold the key.
#[test]
fn panic_of_a_provider_is_reported_without_its_words() {
    assert_fails(&device(Fault::Panics), ExternalFailure::Panicked);
}

#[test]
fn provider_that_answers_too_late_is_asked_to_forget() {
    let device = device(Fault::Hangs(Duration::from_millis(600)));
    let started = Instant::now();
    assert_fails(&device, ExternalFailure::TimedOut { after: Duration::from_millis(300) });
    while device.made.load(Ordering::SeqCst) == 0
        || !device.keys.lock().is_empty()
        || device.is_asked.load(Ordering::SeqCst)
    {
        assert!(started.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(20));
    }
    // It had made the key, and has forgotten it.
    thread::sleep(Duration::from_millis(600));
    assert!(device.keys.lock().is_empty());
    assert_eq!(device.forgotten.load(Ordering::SeqCst), 1);
}

/// Forgetting has a deadline of its own.
#[test]
fn provider_that_does_not_open_in_time_is_asked_to_forget() {
    let device = device(Fault::HangsToOpen(Duration::from_millis(600)));
    assert_fails(&device, ExternalFailure::TimedOut { after: Duration::from_millis(300) });
    assert!(device.keys.lock().is_empty());
    assert_eq!(device.forgotten.load(Ordering::SeqCst), 1);
}

#[test]
fn data_of_a_slot_has_1024_bytes_at_most() {
    let (data, _) = External::new(device(Fault::Data(1024))).make_key(&STORE, SLOT).unwrap();
    assert_eq!(data.public.len(), 1024);
}

#[test]
fn provider_sees_the_ids_of_store_and_slot() {
    let slot = ExternalSlot { store_id: [7; 16], slot_id: SLOT, deadline: Deadline::after(Duration::from_secs(5)) };
    assert_eq!((slot.store_id(), slot.slot_id()), ([7; 16], SLOT));
    assert!(slot.remaining() > Duration::from_secs(1) && slot.remaining() <= Duration::from_secs(5));
    let shown = format!("{slot:?}");
    assert!(shown.starts_with(&format!("ExternalSlot {{ slot_id: {SLOT:?}, remaining: ")), "{shown}");
}

#[test]
fn name_of_a_provider_keeps_its_limits() {
    let longest: &str = Box::leak("x".repeat(64).into_boxed_str());
    let longer: &str = Box::leak("x".repeat(65).into_boxed_str());
    for name in ["", longer] {
        assert_fails(&Arc::new(Device { name, ..Device::default() }), ExternalFailure::BadName { limit: 64 });
    }
    let external = External::new(Arc::new(Device { name: longest, ..Device::default() }));
    assert!(external.make_key(&STORE, SLOT).is_ok());
}

#[test]
fn error_of_the_system_loses_its_words() {
    let error = ExternalError::from(std::io::Error::other("canary"));
    assert_eq!(error.to_string(), "other error");
    assert!(!format!("{error:?}").contains("canary"));
    let error = ExternalError::from(std::io::Error::from_raw_os_error(13));
    assert_eq!(error.to_string(), "permission denied (code 13, 0xd)");
}

#[test]
fn debug_names_the_provider_and_no_key() {
    assert_eq!(
        format!("{:?}", External::new(device(Fault::None))),
        r#"External { provider: "device", deadline: 30s, .. }"#
    );
}

#[test]
fn slot_of_another_provider_is_not_asked_for() {
    let external = External::new(device(Fault::None));
    let data = |provider: &str| ExternalData { provider: provider.into(), public: [].into() };
    assert!(external.is_for(&data("device")));
    for other in ["", "Device", "device ", "device2"] {
        assert!(!external.is_for(&data(other)), "{other}");
    }
}
