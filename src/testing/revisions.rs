//! The revision that a token carries, and the two operations that depend on one.

use std::{
    sync::{Barrier, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use super::{Check, by_id, found, in_threads, refused, row, save, stored, supported, token};
use crate::{Error, MemoryStore, Secret, Token, TokenId, TokenStore, Unstorable};

pub(super) const CHECKS: [Check; 10] = [
    a_read_token_saves_over_its_revision_only,
    a_deleted_token_is_not_brought_back,
    a_revision_decides_before_the_user_name,
    a_token_without_revision_is_merged,
    a_revision_of_another_store_does_not_count,
    a_find_hands_out_no_stale_token_as_current,
    threads_lose_no_save_over_a_revision,
    a_replacement_clears_and_keeps_to_its_revision,
    a_delete_keeps_to_its_revision,
    other_tokens_inherit_no_times,
];

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(answer: Result<T, Error>, revision: u64, rule: &str) {
    let conflict = matches!(answer, Err(Error::Conflict { current, .. }) if current == revision);
    assert!(conflict, "{rule}: a conflict that names the current revision {revision}, not {answer:?}");
}

#[track_caller]
fn assert_gone<T: std::fmt::Debug>(answer: Result<T, Error>, rule: &str) {
    assert!(matches!(answer, Err(Error::NoSuchToken)), "{rule}: no such token, not {answer:?}");
}

fn a_read_token_saves_over_its_revision_only(store: &dyn TokenStore) {
    let query = || token().user_name("ada").client_id("c");
    let id = save(store, query().access_token("a").refresh_token("old"));
    /// Reads the token in one of the ways that a store has.
    type Reading = fn(&dyn TokenStore, &TokenId, &Token) -> Option<Token>;
    let readings: [Reading; 4] = [
        |store, id, _| by_id(store, id),
        |store, _, _| stored(store).pop(),
        |store, _, query| store.find_token(query).expect("find_token"),
        |store, _, query| store.find_stored(query).expect("find_stored"),
    ];
    for (round, reading) in readings.into_iter().enumerate() {
        let read = reading(store, &id, &query().build()).expect("saved");
        let next = read.revision().unwrap_or_default() + 1;
        let changed = read.to_builder().refresh_token(format!("new {round}"));
        assert_eq!(save(store, changed.clone()), id, "a token that was read is saved over its revision");
        let after = row(store, &id);
        assert_eq!(after.revision(), Some(next), "a save over a revision is the next revision");
        assert_conflict(store.save_token(&read), next, "a token that was read before the last save is stale");
        assert_conflict(store.save_token(&changed.build()), next, "a changed copy is as stale as what was read");
        assert_eq!(row(store, &id), after, "a conflict changes nothing");
    }
    let read = row(store, &id);
    save(store, read.to_builder().access_token("").refresh_token("last"));
    let access = row(store, &id).access_token().cloned();
    assert_eq!(access.as_ref(), read.access_token(), "a save over a revision is a merge, too");
}

fn a_deleted_token_is_not_brought_back(store: &dyn TokenStore) {
    let sign_in = || token().user_name("ada").client_id("c").refresh_token("r");
    let id = save(store, sign_in());
    let read = row(store, &id);
    assert!(store.delete_token(&id).expect("delete_token"), "it was there");
    assert_gone(store.save_token(&read), "a token that was deleted since it was read is not brought back");
    assert_eq!(stored(store), [], "a token that was deleted since it was read is not brought back");
    let again = save(store, sign_in());
    assert_gone(store.save_token(&read), "a token that was read is not merged into another row of its user");
    assert_eq!(row(store, &again).revision(), Some(1), "a token that was read is not merged into another row");
    assert_eq!(
        save(store, read.without_revision().to_builder()),
        again,
        "without a revision it is merged by the rules"
    );
}

fn a_revision_decides_before_the_user_name(store: &dyn TokenStore) {
    let ada = save(store, token().user_name("ada").client_id("c").access_token("a"));
    save(store, token().user_name("grace").client_id("c").access_token("b"));
    let read = row(store, &ada);
    let error = refused(store, read.to_builder().user_name("grace"));
    let taken = matches!(error, Error::Unstorable { why: Unstorable::UserAndClientTaken });
    assert!(taken, "a save over a revision means that row, and may not take another's user name: {error:?}");
    let error = refused(store, read.to_builder().client_id("d"));
    let other = matches!(error, Error::OtherClient { .. });
    assert!(other, "a save over a revision cannot change the client: {error:?}");
    assert_eq!(save(store, read.to_builder().user_name("countess")), ada, "a save over a revision means that row");
    let copy = save(store, row(store, &ada).to_builder().id("copy").user_name("copy"));
    assert_eq!(copy.as_str(), "copy", "a copy with another id carries no revision, and is a row of its own");
}

fn a_token_without_revision_is_merged(store: &dyn TokenStore) {
    let id = save(store, token().user_name("ada").access_token("a"));
    let read = row(store, &id);
    save(store, token().id(id.clone()).access_token("b").refresh_token("r"));
    assert_eq!(save(store, read.without_revision().to_builder()), id, "without a revision, a token is merged");
    let merged = row(store, &id);
    let texts = [merged.access_token(), merged.refresh_token()].map(|secret| secret.map(Secret::expose_secret));
    assert_eq!(texts, [Some("a"), Some("r")], "without a revision, a token is merged over what is stored");
    assert_eq!(merged.revision(), Some(3), "each save is the next revision");
    store.delete_token(&id).expect("delete_token");
    assert_eq!(save(store, read.without_revision().to_builder()), id, "without a revision, a deleted token is added");
}

fn a_revision_of_another_store_does_not_count(store: &dyn TokenStore) {
    let other = MemoryStore::new();
    for user in ["ada", "grace"] {
        save(&other, token().id(user).user_name(user).access_token("a"));
        save(&other, token().id(user).refresh_token("r"));
    }
    for round in 1..=2 {
        for token in stored(&other) {
            let copied = store.save_token(&token);
            let id = copied.expect("a token that was read from another store is merged with any revision");
            assert_eq!(Some(&id), token.id(), "a copy keeps its id");
            assert_eq!(row(store, &id).revision(), Some(round), "the revision of another store does not count");
        }
    }
    assert_eq!(stored(store).len(), 2, "copying a store twice adds each token once");
}

fn a_find_hands_out_no_stale_token_as_current(store: &dyn TokenStore) {
    let id = save(store, token().user_name("ada").client_id("c").refresh_token("old"));
    let read = row(store, &id);
    save(store, token().id(id.clone()).refresh_token("new"));
    let laid_over = store.find_token(&read).expect("find_token").expect("it is stored");
    assert_eq!(laid_over.refresh_token().map(Secret::expose_secret), Some("old"), "a find lays the query over");
    assert_eq!(laid_over.revision(), None, "a find whose query changed something returns no revision");
    let current = store.find_token(&token().id(id.clone()).build()).expect("find_token").expect("it is stored");
    assert_eq!(current, row(store, &id), "a find whose query changed nothing returns the row with its revision");
    assert_eq!(found(store, read.to_builder()), Some(id), "a find by a stale token finds its row");
}

/// Counts in the access token in four threads, which try again after each conflict; no count may be lost.
fn race(store: &dyn TokenStore, change: impl Fn(&Token) -> Result<(), Error> + Sync, rule: &str) {
    let id = save(store, token().access_token("0"));
    let count = |row: &Token| row.access_token().map_or(0, |text| text.expose_secret().parse::<u64>().unwrap_or(0));
    in_threads(|_| {
        for _ in 0..3 {
            // Each conflict means that another thread has counted.
            let done = (0..100).any(|_| {
                let read = row(store, &id);
                let next = (count(&read) + 1).to_string();
                let changed = change(&read.to_builder().access_token(next).build());
                let is_conflict = matches!(changed, Err(Error::Conflict { .. }));
                assert!(changed.is_ok() || is_conflict, "{rule}: a conflict is the only error here, not {changed:?}");
                changed.is_ok()
            });
            assert!(done, "{rule}: a conflict means that another change was made");
        }
    });
    let row = row(store, &id);
    assert_eq!(count(&row), 12, "{rule}: threads lose no change");
    assert_eq!(row.revision(), Some(13), "{rule}: each change is the next revision");
}

fn threads_lose_no_save_over_a_revision(store: &dyn TokenStore) {
    race(store, |changed| store.save_token(changed).map(drop), "a save over a revision is atomic");
}

fn a_replacement_clears_and_keeps_to_its_revision(store: &dyn TokenStore) {
    let Some(answer) = supported(store.replace_token(&token().access_token("a").build())) else { return };
    assert_gone(answer, "a replacement needs an id");
    let replace = |token: Token| store.replace_token(&token);
    let full = token().user_name("ada").client_id("c").client_secret("s").refresh_token("r").attribute("k", "v");
    let id = save(
        store,
        full.access_token("z").received_at(SystemTime::UNIX_EPOCH).scopes(["x"]).expires_in(Duration::from_secs(60)),
    );
    let grace = save(store, token().user_name("grace").client_id("c").access_token("a"));
    let read = row(store, &id);

    assert_gone(
        replace(token().id("unknown").user_name("ada").access_token("a").build()),
        "a replacement means its id",
    );
    let replaced = replace(read.to_builder().attribute("k", "").refresh_token("").access_token("a").build());
    let replaced = replaced.expect("a token that was read replaces its revision");
    assert_eq!(Some(&replaced), by_id(store, &id).as_ref(), "a replacement returns the row as stored");
    assert_eq!(replaced.revision(), Some(2), "a replacement is the next revision");
    assert_eq!(replaced.created_at(), read.created_at(), "a replaced row keeps the time of its creation");
    let cleared = replaced.refresh_token().is_none() && replaced.attribute("k").is_none();
    assert!(cleared, "a replacement clears what it leaves unset");
    assert_conflict(replace(read.clone()), 2, "a replacement of an earlier revision is refused");
    assert_eq!(by_id(store, &id), Some(replaced), "a refused replacement changes nothing");

    let bare = replace(token().id(id.clone()).client_id("d").access_token("b").build());
    let bare = bare.expect("a token without a revision replaces any revision, and may change the client");
    let unmarked = bare.received_at().is_none() && bare.retry_at().is_none() && bare.failed_refreshes() == 0;
    assert!(unmarked, "a replacement clears what it leaves unset");
    let cleared = bare.user_name().is_none() && bare.client_secret().is_none() && bare.expires_at().is_none();
    assert!(cleared && bare.scopes().is_empty(), "a replacement clears what it leaves unset");
    assert_eq!(stored(store).first(), Some(&bare), "a replaced row keeps its place");

    let taken = replace(token().id(id.clone()).user_name("grace").client_id("c").access_token("a").build());
    let is_taken = matches!(taken, Err(Error::Unstorable { why: Unstorable::UserAndClientTaken }));
    assert!(is_taken, "a replacement may not take the user name and client of another row: {taken:?}");
    let nothing = replace(token().id(id.clone()).user_name("ada").build());
    let is_nothing = matches!(nothing, Err(Error::Unstorable { why: Unstorable::NothingToStore }));
    assert!(is_nothing, "a replacement needs a grant, refresh or access token: {nothing:?}");
    assert_eq!(by_id(store, &id), Some(bare), "a refused replacement changes nothing");

    let other = MemoryStore::new();
    let elsewhere = save(&other, token().id(id.clone()).access_token("elsewhere"));
    let replaced = replace(row(&other, &elsewhere)).map(|row| row.revision());
    let is_replaced = matches!(replaced, Ok(Some(4)));
    assert!(is_replaced, "the revision of another store does not count in a replacement: {replaced:?}");

    let read = row(store, &grace);
    store.delete_token(&grace).expect("delete_token");
    assert_gone(replace(read), "a replacement does not bring a deleted token back");

    race(store, |changed| store.replace_token(changed).map(drop), "a replacement of a revision is atomic");

    let times = token().access_token("b").received_at(SystemTime::UNIX_EPOCH).refresh_token("r");
    let id = save(store, times.refresh_expires_at(SystemTime::UNIX_EPOCH));
    let replaced = replace(row(store, &id).to_builder().access_token("c").refresh_token("s").build());
    let replaced = replaced.expect("a token that was read replaces its revision");
    let times = (replaced.received_at(), replaced.refresh_expires_at());
    assert_eq!(times, (None, None), "a replacement by other tokens inherits no times of the tokens before");
}

fn a_delete_keeps_to_its_revision(store: &dyn TokenStore) {
    let Some(answer) = supported(store.delete_token_if(&TokenId::from("unknown"), 1)) else { return };
    let absent = |answer: Result<bool, Error>| assert!(matches!(answer, Ok(false)), "there was none: {answer:?}");
    absent(answer);
    let id = save(store, token().access_token("a"));
    save(store, token().id(id.clone()).access_token("b"));
    for revision in [0, 1, 3] {
        let deleted = store.delete_token_if(&id, revision);
        assert_conflict(deleted, 2, "a delete of another revision is refused");
        assert_eq!(row(store, &id).revision(), Some(2), "a delete that is refused changes nothing");
    }
    let deleted = store.delete_token_if(&id, 2);
    assert!(matches!(deleted, Ok(true)), "a delete of the current revision deletes: {deleted:?}");
    assert_eq!(by_id(store, &id), None, "a deleted row is not found by its id");
    absent(store.delete_token_if(&id, 2));

    // Two threads delete the revision, and two save over it, each round a little later: one of the four succeeds.
    for round in 0..8 {
        let id = save(store, token().access_token("a"));
        let (read, start, winners) = (row(store, &id), Barrier::new(4), Mutex::new(Vec::new()));
        in_threads(|worker| {
            start.wait();
            let (won, lost) = if worker % 2 == 0 {
                let answer = store.delete_token_if(&id, 1);
                (matches!(answer, Ok(true)), matches!(answer, Ok(false) | Err(Error::Conflict { .. })))
            } else {
                thread::sleep(Duration::from_micros(250) * round);
                let answer = store.save_token(&read);
                (answer.is_ok(), matches!(answer, Err(Error::NoSuchToken | Error::Conflict { .. })))
            };
            assert!(won || lost, "a delete of a revision is atomic: it deletes, conflicts or finds nothing");
            if won {
                winners.lock().expect("no thread panicked").push(worker);
            }
        });
        let winners = winners.into_inner().expect("no thread panicked");
        assert_eq!(winners.len(), 1, "a delete of a revision is atomic: one thread changes a revision");
        let is_stored = by_id(store, &id).is_some();
        assert_eq!(
            is_stored,
            winners.iter().all(|worker| worker % 2 == 1),
            "a delete of a revision is atomic: the answer is what happened"
        );
        store.delete_token(&id).expect("delete_token");
    }
}

fn other_tokens_inherit_no_times(store: &dyn TokenStore) {
    let new = || token().access_token("a").refresh_token("r").received_at(SystemTime::UNIX_EPOCH);
    let id = save(store, new().refresh_expires_at(SystemTime::UNIX_EPOCH));
    save(store, row(store, &id).to_builder().attribute("k", "v"));
    let same = row(store, &id);
    assert!(same.received_at().is_some(), "a save over a revision that changes no token keeps the time of receipt");
    assert!(same.refresh_expires_at().is_some(), "a save over a revision that changes no token keeps the expiry");
    save(store, same.to_builder().access_token("b").refresh_token("s"));
    let other = row(store, &id);
    let times = (other.received_at(), other.refresh_expires_at());
    assert_eq!(times, (None, None), "a save over a revision inherits no times of the tokens before");
}
