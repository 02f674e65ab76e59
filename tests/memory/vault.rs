//! A vault with its rows, and keys that an external provider keeps.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokenkeep::{
    Error, External, ExternalError, ExternalKey, ExternalSlot, Keystore, TokenId, TokenStore, Unlock,
    vault::{IndexedValue, RowTable, SealedRow, Vault},
};

use crate::{
    canaries::text,
    reader,
    stage::{Stage, canary, leaves_nothing, passphrase},
};

const TABLE: RowTable<'static> = RowTable { id: [7; 16], namespace: "n" };

/// The key table, after a body header that says how long it is: as a file, for the keys of its slots.
fn keep(stage: &Stage, vault: &Vault) {
    let mut file = vec![0; 136];
    file[12..16].copy_from_slice(&u32::try_from(vault.bytes().len()).unwrap().to_le_bytes());
    file.extend_from_slice(vault.bytes());
    stage.keep_bytes(file);
}

pub(crate) fn sealing_and_opening() {
    leaves_nothing(|stage| {
        let (vault, _) = Vault::create("accounts", &passphrase("passphrase")).unwrap().written();
        keep(stage, &vault);
        let now = SystemTime::now();
        let token = canary(0).id("1").stored(vault.row_origin(TABLE), now, now, 1).build();
        let row = vault.seal_row(TABLE, 1, &token).unwrap();
        assert_eq!(vault.open_row(TABLE, &row).unwrap(), token);
        let moved = SealedRow { place: 2, ..row.clone() };
        assert!(matches!(vault.open_row(TABLE, &moved), Err(Error::BadRow { .. })));
        let id = TokenId::from("1");
        let secret = text("refresh token", 0).into();
        for value in [IndexedValue::Id(&id), IndexedValue::RefreshToken(&secret)] {
            vault.blind_index("n", value).unwrap();
        }
        let opened = Vault::open("accounts", vault.bytes(), &passphrase("passphrase")).unwrap();
        assert!(Vault::open("accounts", vault.bytes(), &passphrase("wrong passphrase")).is_err());
        let (changed, _) = opened.add_slot(&passphrase("new passphrase").label("another")).unwrap().written();
        keep(stage, &changed);
        assert_eq!(vault.reload(changed.bytes()).unwrap().slots().len(), 2);
        let (rekeyed, _) = changed.rekey([&passphrase("new passphrase")]).unwrap().written();
        keep(stage, &rekeyed);
        assert!(matches!(vault.reload(rekeyed.bytes()), Err(Error::Rekeyed { .. })));
        assert!(!format!("{rekeyed:?}").is_empty());
    });
}

/// Keeps each key in memory that is never given back, and may fail after it has read one.
#[derive(Clone, Default)]
struct Device(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    keys: Vec<&'static [u8; 32]>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy)]
enum Fault {
    Fails,
    Panics,
    Hangs,
}

impl ExternalKey for Device {
    fn provider(&self) -> &str {
        "device"
    }

    fn create(&self, _: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        let mut kept = self.0.lock().unwrap();
        kept.keys.push(Box::leak(Box::new(*key)));
        Ok(vec![u8::try_from(kept.keys.len() - 1).unwrap()])
    }

    fn open(&self, _: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        let (known, fault) = {
            let kept = self.0.lock().unwrap();
            (kept.keys[usize::from(data[0])], kept.fault)
        };
        key.copy_from_slice(known);
        match fault {
            None => Ok(()),
            Some(Fault::Fails) => Err(ExternalError::new("it fails here")),
            Some(Fault::Panics) => panic!("it panics here"),
            Some(Fault::Hangs) => {
                std::thread::sleep(Duration::from_millis(600));
                Ok(())
            }
        }
    }

    fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
        Ok(())
    }
}

pub(crate) fn external_keys() {
    leaves_nothing(|stage| {
        let device = Device::default();
        let unlock = Unlock::from(External::new(device.clone()).deadline(Duration::from_millis(200)));
        let store = Keystore::create(&stage.path, &unlock).unwrap();
        stage.keep_file();
        store.save_token(&canary(0).build()).unwrap();
        stage.keep_file();
        let slot = store.slots().unwrap()[0].id;
        store.replace_slot(slot, &unlock).unwrap();
        stage.keep_file();
        drop(store);
        for fault in [Fault::Fails, Fault::Panics, Fault::Hangs] {
            device.0.lock().unwrap().fault = Some(fault);
            assert!(matches!(Keystore::open(&stage.path, &unlock), Err(Error::External { .. })));
        }
        // The answer that came too late is dropped on a thread of its own.
        std::thread::sleep(Duration::from_secs(1));
        device.0.lock().unwrap().fault = None;
        assert_eq!(Keystore::open(&stage.path, &unlock).unwrap().get_tokens().unwrap().len(), 1);
        for key in &device.0.lock().unwrap().keys {
            stage.keep_external_key(reader::hex(&key[..]).leak());
        }
    });
}
