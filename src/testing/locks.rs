//! Locks on single tokens, of stores that have them.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Check, in_threads, save, supported, token};
use crate::{TokenId, TokenLock, TokenStore};

pub(super) const CHECKS: [Check; 3] = [
    a_lock_keeps_others_out_until_it_ends,
    a_request_without_an_end_is_known_to_the_next_holder,
    threads_hold_the_lock_one_at_a_time,
];

/// The lock, if it is free. `None`: the store has no locks.
fn lock(store: &dyn TokenStore, id: &TokenId) -> Option<Option<Box<dyn TokenLock>>> {
    Some(supported(store.lock_token(id))?.expect("lock_token").lock())
}

fn a_lock_keeps_others_out_until_it_ends(store: &dyn TokenStore) {
    let id = save(store, token().user_name("a").refresh_token("r"));
    let other = save(store, token().user_name("b").refresh_token("r"));
    let Some(held) = lock(store, &id) else { return };
    let held = held.expect("nobody else holds the lock");
    assert!(held.is_held(), "a lock is held when it is given");
    assert!(lock(store, &id).flatten().is_none(), "a lock is given once");
    assert!(lock(store, &other).flatten().is_some(), "the lock of another token is free");
    let saved = save(store, token().user_name("a").refresh_token("new"));
    assert_eq!(saved, id, "a lock stops no save");
    assert!(store.find_token_by_id(&id).expect("find_token_by_id").is_some(), "a lock stops no find");
    drop(held);
    let held = lock(store, &id).flatten().expect("a dropped lock is free");
    held.renew().expect("a held lock can be renewed");
    held.finish();
    assert!(lock(store, &id).flatten().is_some(), "a finished lock is free");
    assert!(store.delete_token(&id).expect("delete_token"), "a token that was locked can be deleted");
    assert!(lock(store, &id).flatten().is_some(), "a token that is not stored can be locked");
}

fn a_request_without_an_end_is_known_to_the_next_holder(store: &dyn TokenStore) {
    let id = save(store, token().user_name("a").refresh_token("r"));
    let Some(held) = lock(store, &id) else { return };
    let held = held.expect("nobody else holds the lock");
    assert!(!held.was_left_unfinished(), "nobody has sent a request");
    drop(held);
    let again = || lock(store, &id).flatten().expect("the lock is free");
    let held = again();
    assert!(!held.was_left_unfinished(), "the holder before has sent no request");
    held.start().expect("start");
    held.start().expect("start has no effect the second time");
    drop(held);
    assert!(again().was_left_unfinished(), "the holder before may have sent a request");
    let held = again();
    assert!(held.was_left_unfinished(), "a holder that did nothing has not finished it");
    held.start().expect("start");
    held.finish();
    assert!(!again().was_left_unfinished(), "the holder before has finished");
}

fn threads_hold_the_lock_one_at_a_time(store: &dyn TokenStore) {
    let id = save(store, token().user_name("a").refresh_token("r"));
    if lock(store, &id).is_none() {
        return;
    }
    let is_held = AtomicBool::new(false);
    in_threads(|_| {
        for _ in 0..20 {
            let Some(held) = lock(store, &id).flatten() else { continue };
            assert!(!is_held.swap(true, Ordering::SeqCst), "two threads hold one lock");
            std::thread::yield_now();
            is_held.store(false, Ordering::SeqCst);
            held.finish();
        }
    });
}
