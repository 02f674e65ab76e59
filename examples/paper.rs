//! A recovery key on paper, for the day when a store's other key is lost: what the examples `desktop`, `tpm` and
//! `external_program` share.

use tokenkeep::{Keystore, RecoveryKey, Result, SlotKind, Unlock};

/// Adds a recovery key if the store has none. Called at each start, because the first one may have been ended before it
/// got so far.
pub(crate) fn ensure(store: &Keystore, show: impl FnOnce(&RecoveryKey)) -> Result<()> {
    if store.slots()?.iter().any(|slot| slot.kind == SlotKind::RecoveryKey) {
        return Ok(());
    }
    let key = RecoveryKey::generate()?;
    // First: if the program is ended in between, there is a key that opens nothing, and the next start shows another.
    // The other way round there would be a slot whose key nobody has seen.
    show(&key);
    store.add_slot(&Unlock::from(key).label("on paper")).map(drop)
}

#[cfg(test)]
mod tests {
    use tokenkeep::{KdfParams, Passphrase};

    use super::*;

    #[test]
    fn store_without_a_recovery_key_gets_one_and_no_second_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.keep");
        let unlock = Passphrase::new("correct horse").kdf(KdfParams::MIN).into();
        // The start that made the store was ended before it added a key.
        drop(Keystore::create(&path, &unlock).unwrap());
        let store = Keystore::open(&path, &unlock).unwrap();
        let mut shown = None;
        let show = |key: &RecoveryKey| {
            assert_eq!(store.slots().unwrap().len(), 1, "the key is shown after its slot was added");
            shown = Some(key.clone());
        };
        ensure(&store, show).unwrap();
        Keystore::open(&path, &shown.unwrap().into()).unwrap();
        ensure(&store, |_| panic!("a second key is shown")).unwrap();
        assert_eq!(store.slots().unwrap().len(), 2);
    }
}
