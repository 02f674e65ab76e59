//! Our stores keep the contract, and the check of it notices stores that do not.

use std::{
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::common::{Fixture, token};
use tokenkeep::{Error, MemoryStore, Origin, Result, Token, TokenId, TokenStore, Unstorable, testing::conformance};

#[test]
fn our_stores_keep_the_contract() {
    conformance(&MemoryStore::new());
    conformance(&Fixture::new().store);
}

#[test]
fn a_store_that_is_not_empty_is_not_touched() {
    let store = MemoryStore::new();
    store.save_token(&token().access_token("a").build()).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| conformance(&store))).is_err());
    assert_eq!(store.get_tokens().unwrap().len(), 1);
}

type Find = fn(&MemoryStore, &Token) -> Result<Option<Token>>;

/// A store with one operation gone wrong.
struct Faulty {
    store: MemoryStore,
    save: fn(&MemoryStore, &Token) -> Result<TokenId>,
    find: Find,
    find_by_id: fn(&MemoryStore, &TokenId) -> Result<Option<Token>>,
    get: fn(&MemoryStore) -> Result<Vec<Token>>,
    delete: fn(&MemoryStore, &TokenId) -> Result<bool>,
    delete_all: fn(&MemoryStore) -> Result<usize>,
    /// `None`: the trait's default, which builds on `find`.
    find_stored: Option<Find>,
    replace: fn(&MemoryStore, &Token) -> Result<Token>,
    delete_if: fn(&MemoryStore, &TokenId, u64) -> Result<bool>,
}

impl Faulty {
    fn sound() -> Self {
        Self {
            store: MemoryStore::new(),
            save: MemoryStore::save_token,
            find: MemoryStore::find_token,
            find_by_id: MemoryStore::find_token_by_id,
            get: MemoryStore::get_tokens,
            delete: MemoryStore::delete_token,
            delete_all: MemoryStore::delete_tokens,
            find_stored: None,
            replace: MemoryStore::replace_token,
            delete_if: MemoryStore::delete_token_if,
        }
    }
}

impl TokenStore for Faulty {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        (self.save)(&self.store, token)
    }
    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        (self.find)(&self.store, query)
    }
    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        (self.find_by_id)(&self.store, id)
    }
    fn get_tokens(&self) -> Result<Vec<Token>> {
        (self.get)(&self.store)
    }
    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        (self.delete)(&self.store, id)
    }
    fn delete_tokens(&self) -> Result<usize> {
        (self.delete_all)(&self.store)
    }
    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        match self.find_stored {
            Some(find_stored) => find_stored(&self.store, query),
            None => Plain(self).find_stored(query),
        }
    }
    fn replace_token(&self, token: &Token) -> Result<Token> {
        (self.replace)(&self.store, token)
    }
    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        (self.delete_if)(&self.store, id, revision)
    }
}

/// A store with the trait's six operations only, as most stores of applications are.
pub(crate) struct Plain<S>(pub(crate) S);

impl<S: Deref<Target: TokenStore> + Send + Sync> TokenStore for Plain<S> {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.0.save_token(token)
    }
    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.0.find_token(query)
    }
    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.0.find_token_by_id(id)
    }
    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.0.get_tokens()
    }
    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.0.delete_token(id)
    }
    fn delete_tokens(&self) -> Result<usize> {
        self.0.delete_tokens()
    }
}

/// The message that the check of a faulty store ends with.
#[track_caller]
fn complaint(store: Faulty) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| conformance(&store))).expect_err("the fault went unnoticed");
    *panic
        .downcast::<String>()
        .or_else(|panic| panic.downcast::<&str>().map(|text| Box::new(text.to_string())))
        .unwrap()
}

/// Saves what is left of the token after a change.
fn save_changed(store: &MemoryStore, token: &Token, change: impl FnOnce(&Token) -> Token) -> Result<TokenId> {
    store.save_token(&change(token))
}

#[test]
fn a_sound_store_behind_the_same_wrapper_passes() {
    conformance(&Faulty::sound());
}

#[test]
fn a_store_without_the_optional_operations_passes() {
    let store = MemoryStore::new();
    let plain = Plain(&store);
    assert!(matches!(plain.replace_token(&token().build()), Err(Error::Unsupported { .. })));
    assert!(matches!(plain.delete_token_if(&TokenId::from("1"), 1), Err(Error::Unsupported { .. })));
    conformance(&plain);
}

#[test]
fn a_store_that_loses_a_field_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| {
        save_changed(store, token, |token| token.to_builder().token_type("").build())
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("reads back as saved"));
}

#[test]
fn a_store_that_replaces_instead_of_merging_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| match store.find_stored(token)? {
        Some(row) => {
            let id = row.id().cloned().unwrap();
            // As tokens that were not read from a store, so that nothing conflicts.
            let fresh = token.to_builder().id(id.clone());
            let fresh = match token.access_token() {
                Some(_) => fresh.build(),
                None => fresh.access_token("a").build(),
            };
            store.replace_token(&fresh).map(|_| id)
        }
        None => store.save_token(token),
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("what it leaves unset stays"));
}

#[test]
fn a_store_that_counts_no_revisions_is_noticed() {
    let find_by_id = |store: &MemoryStore, id: &TokenId| {
        let row = store.find_token_by_id(id)?;
        let first = |row: Token| {
            let (created, updated) = (row.created_at().unwrap(), row.updated_at().unwrap());
            row.to_builder().stored(Origin::of("faulty"), created, updated, 1).build()
        };
        Ok(row.map(first))
    };
    assert!(complaint(Faulty { find_by_id, ..Faulty::sound() }).contains("each save is the next revision"));
}

#[test]
fn a_user_name_that_decides_before_the_id_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match query.user_name() {
        Some(name) => store.find_token(&query.to_builder().id("").user_name(name).build()),
        None => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("an id decides first"));
}

#[test]
fn a_find_that_looks_for_a_refresh_token_first_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| {
        let without_grant = query.to_builder().grant_token("").build();
        match query.refresh_token().map(|_| store.find_token(&without_grant)).transpose()?.flatten() {
            Some(found) => Ok(Some(found)),
            None => store.find_token(query),
        }
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("of the rows with either, the earliest"));
    // Nor the other way round.
    let find = |store: &MemoryStore, query: &Token| {
        let without_refresh = query.to_builder().refresh_token("").build();
        match query.grant_token().map(|_| store.find_token(&without_refresh)).transpose()?.flatten() {
            Some(found) => Ok(Some(found)),
            None => store.find_token(query),
        }
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("of the rows with either, the earliest"));
}

#[test]
fn a_find_by_a_refresh_token_alone_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match (query.refresh_token(), query.user_name()) {
        (Some(refresh), None) => Ok(store.get_tokens()?.into_iter().find(|row| row.refresh_token() == Some(refresh))),
        _ => store.find_token(query),
    };
    complaint(Faulty { find, ..Faulty::sound() });
    let find = |store: &MemoryStore, query: &Token| match (query.client_id(), query.refresh_token()) {
        // With the client secret in place of the client id.
        (None, Some(refresh)) if query.client_secret().is_some() => {
            Ok(store.get_tokens()?.into_iter().find(|row| row.refresh_token() == Some(refresh)))
        }
        _ => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("a query that no rule is for"));
}

#[test]
fn a_store_that_adds_anything_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| match store.save_token(token) {
        Err(Error::Unstorable { .. }) => store.save_token(&token.to_builder().access_token("none").build()),
        saved => saved,
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("cannot be stored is refused"));
}

#[test]
fn a_user_name_that_two_rows_have_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| match store.save_token(token) {
        Err(Error::Unstorable { why: Unstorable::UserAndClientTaken, .. }) => {
            store.save_token(&token.to_builder().user_name("").build())
        }
        saved => saved,
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("cannot be stored is refused"));
}

#[test]
fn an_update_that_another_thread_loses_is_noticed() {
    static SAVING: AtomicUsize = AtomicUsize::new(0);
    let save = |store: &MemoryStore, token: &Token| {
        let others = SAVING.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(1));
        let saved = if others == 0 { store.save_token(token) } else { Ok(TokenId::from("1")) };
        SAVING.fetch_sub(1, Ordering::SeqCst);
        saved
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("thread"));
}

#[test]
fn a_store_that_ignores_ids_is_noticed() {
    let save =
        |store: &MemoryStore, token: &Token| save_changed(store, token, |token| token.to_builder().id("").build());
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("id"));
}

#[test]
fn a_find_without_the_query_laid_over_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| store.find_stored(query);
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("lays the query's own fields"));
}

#[test]
fn a_find_stored_with_the_query_laid_over_is_noticed() {
    let find_stored = |store: &MemoryStore, query: &Token| store.find_token(query);
    assert!(
        complaint(Faulty { find_stored: Some(find_stored), ..Faulty::sound() })
            .contains("find_stored lays nothing over")
    );
}

#[test]
fn a_find_that_falls_through_to_another_rule_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match store.find_token(query)? {
        Some(found) => Ok(Some(found)),
        None => store.find_token(&query.to_builder().user_name("").build()),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("no other rule is tried"));
}

#[test]
fn a_find_of_the_latest_row_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match (query.access_token(), query.id(), query.user_name()) {
        (Some(access), None, None) if query.client_id().is_none() && query.client_secret().is_none() => {
            Ok(store.get_tokens()?.into_iter().rev().find(|row| row.access_token() == Some(access)))
        }
        _ => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("earliest"));
}

#[test]
fn rows_out_of_order_are_noticed() {
    let get = |store: &MemoryStore| {
        let mut tokens = store.get_tokens()?;
        tokens.sort_by_key(|token| token.user_name().map(str::to_owned));
        Ok(tokens)
    };
    assert!(complaint(Faulty { get, ..Faulty::sound() }).contains("order first saved"));
}

#[test]
fn a_store_without_limits_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| match store.save_token(token) {
        Err(Error::TooLarge { .. }) => Ok(TokenId::from("1")),
        saved => saved,
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("refused"));
}

#[test]
fn an_id_chosen_twice_is_noticed() {
    // One more than the highest that is there, as the vendor's file store chooses.
    let save = |store: &MemoryStore, token: &Token| {
        if token.id().is_some() || store.find_stored(token)?.is_some() {
            return store.save_token(token);
        }
        let numbers = store.get_tokens()?.into_iter().filter_map(|row| row.id()?.as_str().parse::<u64>().ok());
        let next = numbers.max().unwrap_or(0) + 1;
        store.save_token(&token.to_builder().id(next.to_string()).build())
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("chosen once more"));
}

#[test]
fn a_delete_that_says_the_wrong_thing_is_noticed() {
    let delete = |store: &MemoryStore, id: &TokenId| store.delete_token(id).map(|_| true);
    assert!(complaint(Faulty { delete, ..Faulty::sound() }).contains("delete_token is false"));
    let delete_all = |store: &MemoryStore| store.delete_tokens().map(|_| 0);
    assert!(complaint(Faulty { delete_all, ..Faulty::sound() }).contains("how many there were"));
}

#[test]
fn a_delete_that_deletes_nothing_is_noticed() {
    let delete = |store: &MemoryStore, id: &TokenId| Ok(store.find_token_by_id(id)?.is_some());
    assert!(catch_unwind(AssertUnwindSafe(|| conformance(&Faulty { delete, ..Faulty::sound() }))).is_err());
    let delete_all = |store: &MemoryStore| store.get_tokens().map(|tokens| tokens.len());
    assert!(complaint(Faulty { delete_all, ..Faulty::sound() }).contains("delete_tokens leaves nothing"));
}

#[test]
fn two_clients_of_one_user_in_one_row_are_noticed() {
    // As the vendor's code does: the user name decides, and the client is one more field to merge.
    let save = |store: &MemoryStore, token: &Token| {
        let of_user = |row: &Token| token.user_name().is_some() && row.user_name() == token.user_name();
        match store.get_tokens()?.into_iter().find(of_user) {
            Some(row) if token.id().is_none() && row.client_id().is_some() && token.client_id().is_some() => {
                let mixed = row.to_builder().maybe_client_id(token.client_id());
                let mixed = mixed.maybe_access_token(token.access_token().cloned());
                let mixed = mixed.maybe_refresh_token(token.refresh_token().cloned());
                store.replace_token(&mixed.build()).map(|row| row.id().cloned().unwrap())
            }
            _ => store.save_token(token),
        }
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("another client of the same user is another row"));
}

#[test]
fn a_secret_that_goes_to_another_client_is_noticed() {
    // Only where each of the two clients has its row already.
    let save = |store: &MemoryStore, token: &Token| {
        let id = store.save_token(token)?;
        let row = store.find_token_by_id(&id)?.unwrap();
        let rows = store.get_tokens()?.into_iter();
        let mut others = rows.filter(|other| other.user_name() == row.user_name() && other.id() != Some(&id));
        let other = others.find_map(|other| other.client_secret().cloned());
        match (row.client_secret(), row.user_name(), other) {
            (None, Some(_), Some(secret)) => {
                store.save_token(&crate::common::token().id(id).client_secret(secret).build())
            }
            _ => Ok(id),
        }
    };
    complaint(Faulty { save, ..Faulty::sound() });
}

#[test]
fn an_id_of_another_client_that_is_accepted_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match store.find_token(query) {
        Err(Error::OtherClient { id, .. }) => store.find_token_by_id(&id),
        found => found,
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("what a save refuses, a find refuses"));
    let save = |store: &MemoryStore, token: &Token| match store.save_token(token) {
        Err(Error::OtherClient { id, .. }) => Ok(id),
        saved => saved,
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("cannot be stored is refused"));
    // A row with a client secret and no client id is taken for one of no client.
    let save = |store: &MemoryStore, token: &Token| match store.save_token(token) {
        Err(Error::OtherClient { id, .. }) if store.find_token_by_id(&id)?.unwrap().client_id().is_none() => {
            let row = store.find_token_by_id(&id)?.unwrap();
            store.replace_token(&row.to_builder().maybe_client_id(token.client_id()).build()).map(|_| id)
        }
        saved => saved,
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("cannot be stored is refused"));
}

#[test]
fn a_store_that_adopts_too_little_or_too_much_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match store.find_stored(query)? {
        Some(row) if query.id().is_none() && row.client_id().is_none() && query.client_id().is_some() => Ok(None),
        _ => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("a row of no client is found for any client"));

    let find = |store: &MemoryStore, query: &Token| match (store.find_token(query)?, query.user_name()) {
        (None, Some(name)) if query.client_id().is_some() => {
            Ok(store.get_tokens()?.into_iter().find(|row| row.user_name() == Some(name) && row.client_id().is_none()))
        }
        (found, _) => Ok(found),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("a row with a client secret adopts no client"));

    let find = |store: &MemoryStore, query: &Token| match (query.user_name(), query.client_id(), query.id()) {
        (Some(name), Some(_), None) => {
            let rows = store.get_tokens()?.into_iter();
            let mut of_user = rows.filter(|row| row.user_name() == Some(name) && row.client_secret().is_none());
            match of_user.find(|row| row.client_id().is_none()) {
                Some(bare) => Ok(Some(bare)),
                None => store.find_token(query),
            }
        }
        _ => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("comes before a row that could adopt it"));
}

#[test]
fn a_client_secret_used_as_a_criterion_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match store.find_stored(query)? {
        Some(row) if query.id().is_none() && query.user_name().is_none() && query.client_id().is_some() => {
            if row.client_secret() == query.client_secret() { store.find_token(query) } else { Ok(None) }
        }
        _ => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("a client secret is no criterion"));
}

#[test]
fn a_refresh_token_of_another_client_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match (query.client_id(), query.user_name(), query.id()) {
        (Some(_), None, None) => {
            let has_it = |row: &Token| {
                (row.refresh_token().is_some() && row.refresh_token() == query.refresh_token())
                    || (row.grant_token().is_some() && row.grant_token() == query.grant_token())
            };
            Ok(store.get_tokens()?.into_iter().find(has_it))
        }
        _ => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("the earliest row of that client"));
}

#[test]
fn a_first_row_for_an_ambiguous_user_name_is_noticed() {
    fn first(store: &MemoryStore, query: &Token) -> Result<Option<Token>> {
        Ok(store.get_tokens()?.into_iter().find(|row| row.user_name() == query.user_name()))
    }
    let find = |store: &MemoryStore, query: &Token| match store.find_token(query) {
        Err(Error::Ambiguous { .. }) => first(store, query),
        found => found,
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("what a save refuses, a find refuses"));
    let save = |store: &MemoryStore, token: &Token| match store.save_token(token) {
        Err(Error::Ambiguous { .. }) => {
            let id = first(store, token)?.unwrap().id().cloned().unwrap();
            store.save_token(&token.to_builder().id("").id(id).build())
        }
        saved => saved,
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("cannot be stored is refused"));
}

#[test]
fn a_store_that_ignores_an_unknown_expiry_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| {
        let before = store.find_stored(token)?.and_then(|row| row.expires_at());
        let id = store.save_token(token)?;
        let after = store.find_token_by_id(&id)?.unwrap().expires_at();
        match (before, after) {
            (Some(before), None) => store.save_token(&crate::common::token().id(id).expires_at(before).build()),
            _ => Ok(id),
        }
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("an unknown expiry clears it"));
}

/// A store whose saves put a field of the row before back in, if they cleared it.
#[track_caller]
fn assert_keeping_is_noticed(save: fn(&MemoryStore, &Token) -> Result<TokenId>, rule: &str) {
    let said = complaint(Faulty { save, ..Faulty::sound() });
    assert!(said.contains(rule), "{said}");
}

macro_rules! keeping {
    ($reader:ident) => {
        |store, token| {
            let unset = Token::builder().build().$reader();
            let before = store.find_stored(token)?.map_or(unset, |row| row.$reader());
            let id = store.save_token(token)?;
            let after = store.find_token_by_id(&id)?.unwrap().$reader();
            if before != unset && after == unset {
                let kept = crate::common::token().id(id.clone());
                store.save_token(&keeping!(@ kept $reader before).build())?;
            }
            Ok(id)
        }
    };
    (@ $kept:ident failed_refreshes $before:ident) => { $kept.failed_refreshes($before) };
    (@ $kept:ident received_at $before:ident) => { $kept.maybe_received_at($before) };
    (@ $kept:ident refresh_expires_at $before:ident) => { $kept.maybe_refresh_expires_at($before) };
    (@ $kept:ident rejected_at $before:ident) => { $kept.maybe_rejected_at($before) };
    (@ $kept:ident retry_at $before:ident) => { $kept.maybe_retry_at($before) };
}

#[test]
fn a_store_that_keeps_what_belongs_to_another_token_is_noticed() {
    assert_keeping_is_noticed(keeping!(received_at), "does not inherit the time of receipt");
    assert_keeping_is_noticed(keeping!(refresh_expires_at), "does not inherit the expiry");
    assert_keeping_is_noticed(keeping!(rejected_at), "clears what was known of refreshing");
    assert_keeping_is_noticed(keeping!(retry_at), "clears what was known of refreshing");
    assert_keeping_is_noticed(keeping!(failed_refreshes), "clears what was known of refreshing");
}

#[test]
fn a_store_that_loses_failures_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| store.save_token(&token.to_builder().failed_refreshes(0).build());
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("reads back as saved"));
}

#[test]
fn a_store_that_clears_an_unset_expiry_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| match token.expires_at() {
        None => store.save_token(&token.to_builder().expiry_unknown().build()),
        Some(_) => store.save_token(token),
    };
    complaint(Faulty { save, ..Faulty::sound() });
}

#[test]
fn a_store_that_ignores_revisions_on_save_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| store.save_token(&token.without_revision());
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("was read before the last save is stale"));
    // Only a deleted row comes back.
    let save = |store: &MemoryStore, token: &Token| match store.save_token(token) {
        Err(Error::NoSuchToken) => store.save_token(&token.without_revision()),
        saved => saved,
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("is not brought back"));
}

#[test]
fn a_revision_that_counts_in_another_store_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| {
        // As if each revision came from this store.
        match token.id().zip(token.revision()) {
            Some((id, revision)) => match store.find_token_by_id(id)?.and_then(|row| row.revision()) {
                None => Err(Error::NoSuchToken),
                Some(current) if current == revision => store.save_token(token),
                Some(_) => Err(store.delete_token_if(id, revision).unwrap_err()), // a conflict
            },
            None => store.save_token(token),
        }
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("another store"));
}

#[test]
fn a_check_of_the_revision_before_the_save_is_noticed() {
    let save = |store: &MemoryStore, token: &Token| {
        let row = token.id().map(|id| store.find_token_by_id(id)).transpose()?.flatten();
        match row {
            Some(row) if token.revision().is_some() && row.revision() == token.revision() => {
                thread::sleep(Duration::from_millis(1));
                store.save_token(&token.without_revision())
            }
            _ => store.save_token(token),
        }
    };
    assert!(complaint(Faulty { save, ..Faulty::sound() }).contains("a save over a revision is atomic"));
}

#[test]
fn a_stale_token_with_the_current_revision_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match (store.find_stored(query)?, query.refresh_token()) {
        (Some(row), Some(stale)) if query.revision().is_some() => {
            Ok(Some(row.to_builder().refresh_token(stale.clone()).build()))
        }
        _ => store.find_token(query),
    };
    assert!(complaint(Faulty { find, ..Faulty::sound() }).contains("changed something returns no revision"));
}

#[test]
fn a_replacement_without_a_revision_check_is_noticed() {
    let replace = |store: &MemoryStore, token: &Token| store.replace_token(&token.without_revision());
    assert!(complaint(Faulty { replace, ..Faulty::sound() }).contains("of an earlier revision is refused"));
    let replace = |store: &MemoryStore, token: &Token| {
        let row = token.id().map(|id| store.find_token_by_id(id)).transpose()?.flatten();
        match row {
            Some(row) if token.revision().is_some() && row.revision() == token.revision() => {
                thread::sleep(Duration::from_millis(1));
                store.replace_token(&token.without_revision())
            }
            _ => store.replace_token(token),
        }
    };
    assert!(complaint(Faulty { replace, ..Faulty::sound() }).contains("a replacement of a revision is atomic"));
    // As if each revision came from this store.
    let replace = |store: &MemoryStore, token: &Token| {
        if let Some((id, revision)) = token.id().zip(token.revision())
            && store.find_token_by_id(id)?.is_some_and(|row| row.revision() != Some(revision))
        {
            return Err(store.delete_token_if(id, revision).unwrap_err()); // a conflict
        }
        store.replace_token(token)
    };
    assert!(complaint(Faulty { replace, ..Faulty::sound() }).contains("of another store does not count"));
}

#[test]
fn a_replacement_that_merges_or_adds_is_noticed() {
    let replace = |store: &MemoryStore, token: &Token| {
        store.replace_token(&token.without_revision())?;
        let id = store.save_token(&token.without_revision())?;
        Ok(store.find_token_by_id(&id)?.unwrap())
    };
    complaint(Faulty { replace, ..Faulty::sound() });
    let replace = |store: &MemoryStore, token: &Token| match store.replace_token(token) {
        Err(Error::NoSuchToken) => {
            let id = store.save_token(&token.without_revision())?;
            Ok(store.find_token_by_id(&id)?.unwrap())
        }
        replaced => replaced,
    };
    assert!(complaint(Faulty { replace, ..Faulty::sound() }).contains("a replacement needs an id"));
    let replace = |_: &MemoryStore, _: &Token| Err(Error::other("no such operation"));
    assert!(complaint(Faulty { replace, ..Faulty::sound() }).contains("no such token, not"));
}

#[test]
fn a_delete_without_a_revision_check_is_noticed() {
    let delete_if = |store: &MemoryStore, id: &TokenId, _: u64| store.delete_token(id);
    assert!(complaint(Faulty { delete_if, ..Faulty::sound() }).contains("a delete of another revision is refused"));
    let delete_if = |store: &MemoryStore, id: &TokenId, revision: u64| match store.find_token_by_id(id)? {
        Some(row) if row.revision() == Some(revision) => {
            thread::sleep(Duration::from_millis(5));
            store.delete_token(id)
        }
        _ => store.delete_token_if(id, revision),
    };
    assert!(complaint(Faulty { delete_if, ..Faulty::sound() }).contains("a delete of a revision is atomic"));
    let delete_if = |store: &MemoryStore, id: &TokenId, revision: u64| match store.delete_token_if(id, revision) {
        Err(Error::Conflict { .. }) => Ok(false),
        deleted => deleted,
    };
    assert!(complaint(Faulty { delete_if, ..Faulty::sound() }).contains("a delete of another revision is refused"));
}
