use super::*;
use crate::{
    unlock::External,
    vault::tests::{Provider, paper, vault},
};

fn external(provider: &Provider) -> Unlock {
    External::new(provider.clone()).into()
}

/// Another thread rekeys the store while this one derives a key.
#[test]
fn change_that_was_prepared_for_another_store_key_is_refused() {
    let (vault, provider) = (vault(), Provider::default());
    let mut prepared = vault.prepare_add(&external(&provider)).unwrap();
    let (rekeyed, _) = vault.rekey([&paper(1)]).unwrap().written();
    assert!(matches!(rekeyed.apply(&mut prepared), Err(Error::Rekeyed { .. })));
    drop(prepared);
    assert!(provider.keys.lock().is_empty(), "its key is forgotten");
}

#[test]
fn prepared_change_is_applied_once() {
    let vault = vault();
    let mut prepared = vault.prepare_add(&paper(2)).unwrap();
    let change = vault.apply(&mut prepared).unwrap();
    assert!(matches!(vault.apply(&mut prepared), Err(Error::Internal(_))));
    drop(change);
}

/// A cloned machine gives both the same id.
#[test]
fn slot_id_that_repeats_is_refused() {
    let vault = vault();
    let mut prepared = vault.prepare_add(&paper(2)).unwrap();
    let Some(Edit::Add(new)) = &prepared.edit else { panic!("it adds") };
    let mut other = vault.clone();
    let slot = Slot { id: new.slot.id(), ..other.table.slots[0].clone() };
    other.table.slots.push(slot);
    assert!(matches!(other.apply(&mut prepared), Err(Error::Internal(_))));
}

#[test]
fn no_revision_follows_the_last() {
    let mut vault = vault();
    vault.table.revision = u64::MAX;
    let refused = vault.remove_slot(vault.slots()[0].id);
    assert!(matches!(refused, Err(Error::NoGenerationLeft { .. })), "{refused:?}");
}
