//! Our stores keep the contract, and the check of it notices stores that do not.

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use common::{Fixture, token};
use tokenkeep::{Error, MemoryStore, Result, Token, TokenId, TokenStore, testing::conformance};

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

/// A store with one operation gone wrong.
struct Faulty {
    store: MemoryStore,
    save: fn(&MemoryStore, &Token) -> Result<TokenId>,
    find: fn(&MemoryStore, &Token) -> Result<Option<Token>>,
    find_by_id: fn(&MemoryStore, &TokenId) -> Result<Option<Token>>,
    get: fn(&MemoryStore) -> Result<Vec<Token>>,
    delete: fn(&MemoryStore, &TokenId) -> Result<bool>,
    delete_all: fn(&MemoryStore) -> Result<usize>,
    find_stored: fn(&MemoryStore, &Token) -> Result<Option<Token>>,
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
            find_stored: MemoryStore::find_stored,
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
        (self.find_stored)(&self.store, query)
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
        Ok(row.map(|row| row.to_builder().stored(row.created_at().unwrap(), row.updated_at().unwrap(), 1).build()))
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
}

#[test]
fn a_find_by_a_refresh_token_alone_is_noticed() {
    let find = |store: &MemoryStore, query: &Token| match (query.refresh_token(), query.user_name()) {
        (Some(refresh), None) => Ok(store.get_tokens()?.into_iter().find(|row| row.refresh_token() == Some(refresh))),
        _ => store.find_token(query),
    };
    complaint(Faulty { find, ..Faulty::sound() });
    let find = |store: &MemoryStore, query: &Token| match (query.client_secret(), query.refresh_token()) {
        (None, Some(_)) => store.find_token(&query.to_builder().client_id("any").client_secret("any").build()),
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
        Err(Error::Unstorable { why: tokenkeep::Unstorable::UserNameTaken, .. }) => {
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
        std::thread::sleep(Duration::from_millis(1));
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
    assert!(complaint(Faulty { find_stored, ..Faulty::sound() }).contains("find_stored lays nothing over"));
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
