//! A transaction that the server has undone without saying so.

use tokenkeep::{ErrorKind, TokenStore};
use tokenkeep_sql::SqlStore;

use crate::{
    common::{Fixture, paper, token},
    servers::proxy::Proxy,
};

/// The command for a new statement (`COM_STMT_PREPARE`), after the four bytes of a packet's header.
const PREPARE: u8 = 0x16;
const ROLLBACK: &[u8] = b"\x09\0\0\0\x03ROLLBACK";

/// What a node of a Galera cluster does when another node was first.
fn undo(sent: &[u8]) -> Option<&'static [u8]> {
    let (command, text) = sent.get(4..)?.split_first()?;
    (*command == PREPARE && text.starts_with(b"UPDATE tokenkeep_tokens")).then_some(ROLLBACK)
}

#[test]
fn transaction_that_ends_at_a_new_statement_changes_nothing() {
    let fixture = Fixture::new();
    let ada = token().user_name("ada").client_id("c").build();
    fixture.store.save_token(&ada.to_builder().refresh_token("r0").build()).unwrap();
    let proxy = Proxy::to(fixture.place.server);
    *proxy.inject.lock() = undo;
    let open = || SqlStore::open(&proxy.url(&fixture.url), &paper()).unwrap();
    let refused = open().transaction(|transaction| {
        transaction.save_token(&ada.to_builder().refresh_token("r1").build())?;
        Err::<(), _>(tokenkeep::Error::other("the application has changed its mind"))
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
    let stored = || fixture.store.find_stored(&ada).unwrap().unwrap();
    assert_eq!(stored().refresh_token().unwrap().expose_secret(), "r0");
    // An operation of the store's own begins again, with the statement that it has prepared.
    open().save_token(&ada.to_builder().refresh_token("r2").build()).unwrap();
    assert_eq!(stored().refresh_token().unwrap().expose_secret(), "r2");
    open().rekey([&paper()]).unwrap();
    assert_eq!(fixture.open().get_tokens().unwrap().len(), 1);
}
