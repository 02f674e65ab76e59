//! A model of the store's operations, written down as plainly as their rules are stated. It shares nothing with the
//! library but the tokens that it is compared by.

mod row;
mod rules;
mod stores;

use std::{collections::BTreeMap, fmt, time::SystemTime};

pub use row::{Expiry, Row};
pub use stores::{MakeChanges, OpenTransaction, Store};

use crate::{Error, Origin, Result, Token, TokenId, TokenStore, Unstorable};
use rules::{Refusal, Rows};

/// The namespaces that operations are made in. The first is the default one.
pub const NAMESPACES: [&str; 3] = ["", "a", "b"];

/// Where the token that an operation is given comes from.
#[derive(Debug, Clone, Copy, PartialEq, arbitrary::Arbitrary)]
pub enum Source {
    /// It was built from nothing.
    New,
    /// It was read some time ago, and carries the revision of then. Built from nothing, if none was read.
    Read,
    /// The same, without its revision.
    WithoutRevision,
    /// It was read from another store, and carries a revision of that one.
    OtherStore,
}

/// One of the operations. The row of a token that was read is what is changed in it.
#[derive(Debug, Clone)]
pub enum Operation {
    Save(Source, Row),
    Find(Source, Row),
    Replace(Source, Row),
    Delete(String),
    DeleteIf(String, u64),
    DeleteAll,
    /// Reads the token of that id for later.
    Read(String),
}

/// One operation in a namespace, or several that are committed as one.
#[derive(Debug, Clone)]
pub enum Step {
    Single(&'static str, Operation),
    Transaction {
        operations: Vec<(&'static str, Operation)>,
        /// Whether it ends in an error after its operations, and changes nothing.
        is_given_up: bool,
    },
}

fn refusal(error: &Error) -> Option<Refusal> {
    Some(match error {
        Error::Unstorable { why: Unstorable::NothingToStore } => Refusal::NothingToStore,
        Error::Unstorable { why: Unstorable::UserAndClientTaken } => Refusal::UserAndClientTaken,
        Error::OtherClient { id } => Refusal::OtherClient(id.to_string()),
        Error::Ambiguous { count } => Refusal::Ambiguous(*count),
        Error::Conflict { current } => Refusal::Conflict(*current),
        Error::NoSuchToken => Refusal::NoSuchToken,
        _ => return None,
    })
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    namespaces: BTreeMap<&'static str, Rows>,
    /// The largest number that ever was an id, in any namespace.
    last_id: u64,
    read: Option<Read>,
}

/// The token that was read last, as the store gave it and as it was then.
#[derive(Debug, Clone)]
struct Read {
    namespace: &'static str,
    token: Token,
    row: Row,
}

impl Model {
    /// Does the same on the store and on the model, and compares what they answer. An error that the rules do not ask
    /// for is returned; the model follows a change whose durability alone is not known, and no other. A transaction
    /// that is given up leaves the model as it was, and is no error.
    pub fn check(&mut self, step: &Step, store: &dyn Store) -> Result<()> {
        match step {
            Step::Single(namespace, operation) => {
                self.check_operation(namespace, operation, &*store.tokens(namespace)?)
            }
            Step::Transaction { operations, is_given_up } => {
                let mut next = self.clone();
                let made = store.transaction(&mut |transaction| {
                    next.check_operations(operations, transaction)?;
                    if *is_given_up { Err(Error::other("given up")) } else { Ok(()) }
                });
                match made {
                    Err(Error::Other(_)) if *is_given_up => Ok(()),
                    Ok(()) | Err(Error::DurabilityUnknown { .. }) => {
                        assert!(!is_given_up, "{step:?}");
                        *self = next;
                        made
                    }
                    Err(_) => made,
                }
            }
        }
    }

    /// Makes the operations of a transaction, each of which sees what those before it have changed.
    fn check_operations(
        &mut self,
        operations: &[(&'static str, Operation)],
        transaction: &mut dyn OpenTransaction,
    ) -> Result<()> {
        for (namespace, operation) in operations {
            transaction.within(namespace, &mut |store| self.check_operation(namespace, operation, store))?;
            for other in NAMESPACES {
                transaction.within(other, &mut |store| self.assert_rows_are_in(other, store))?;
            }
            assert_eq!(transaction.namespaces()?, self.listed());
        }
        Ok(())
    }

    fn check_operation(
        &mut self,
        namespace: &'static str,
        operation: &Operation,
        store: &dyn TokenStore,
    ) -> Result<()> {
        let mut next = self.clone();
        let rows = next.namespaces.entry(namespace).or_default();
        match operation {
            Operation::Save(source, row) => {
                let (token, row) = self.given(namespace, *source, row);
                let expected = rows.save(&row, &mut next.last_id);
                let answer = store.save_token(&token).map(|id| id.to_string());
                if let (Err(Error::DurabilityUnknown { id, .. }), Ok(expected)) = (&answer, &expected) {
                    assert_eq!(id.as_ref().map(TokenId::as_str), Some(expected.as_str()), "{operation:?}");
                }
                self.follow(next, answer, expected, operation)
            }
            Operation::Find(source, query) => {
                let (token, query) = self.given(namespace, *source, query);
                let expected = rows.find(&query);
                let found = store.find_token(&token).map(|found| {
                    if let (Ok(Some(row)), Some(found)) = (&expected, &found) {
                        assert_is_laid_over(row, &query, found);
                    }
                    found.is_some()
                });
                let is_found = |expected: &Result<Option<Row>, Refusal>| match expected {
                    Ok(row) => Ok(row.is_some()),
                    Err(Refusal::OtherClient(id)) => Err(Refusal::OtherClient(id.clone())),
                    Err(Refusal::Ambiguous(count)) => Err(Refusal::Ambiguous(*count)),
                    Err(other) => panic!("a find is not refused so: {other:?}"),
                };
                self.follow(next.clone(), found, is_found(&expected), operation)?;
                let stored = store.find_stored(&token).map(|stored| {
                    if let (Ok(Some(row)), Some(stored)) = (&expected, &stored) {
                        row.assert_is(stored);
                    }
                    stored.is_some()
                });
                self.follow(next, stored, is_found(&expected), operation)
            }
            Operation::Replace(source, row) => {
                let (token, row) = self.given(namespace, *source, row);
                let expected = rows.replace(&row);
                let answer = store.replace_token(&token).map(|replaced| {
                    if let Ok(row) = &expected {
                        row.assert_is(&replaced);
                    }
                });
                self.follow(next, answer, expected.map(drop), operation)
            }
            Operation::Delete(id) => {
                let expected = rows.delete(id);
                self.follow(next, store.delete_token(&TokenId::from(id.as_str())), Ok(expected), operation)
            }
            Operation::DeleteIf(id, revision) => {
                let expected = rows.delete_if(id, *revision);
                let answer = store.delete_token_if(&TokenId::from(id.as_str()), *revision);
                self.follow(next, answer, expected, operation)
            }
            Operation::DeleteAll => {
                let expected = rows.delete_all();
                self.follow(next, store.delete_tokens(), Ok(expected), operation)
            }
            Operation::Read(id) => {
                let token = store.find_token_by_id(&TokenId::from(id.as_str()))?;
                let row = rows.iter().find(|row| row.get("id") == Some(id)).cloned();
                assert_eq!(token.is_some(), row.is_some(), "{operation:?}");
                if let Some((token, row)) = token.zip(row) {
                    row.assert_is(&token);
                    self.read = Some(Read { namespace, token, row });
                }
                Ok(())
            }
        }
    }

    /// Compares the answers, and takes the next state if the change was made.
    fn follow<T: PartialEq + fmt::Debug>(
        &mut self,
        next: Self,
        answer: Result<T>,
        expected: Result<T, Refusal>,
        operation: &Operation,
    ) -> Result<()> {
        let error = match answer {
            Ok(answer) => {
                assert_eq!(Ok(answer), expected, "{operation:?}");
                *self = next;
                return Ok(());
            }
            Err(error) => error,
        };
        match refusal(&error) {
            Some(refusal) => {
                assert_eq!(Err(refusal), expected, "{operation:?}");
                Ok(())
            }
            None => {
                if let Error::DurabilityUnknown { .. } = error {
                    assert!(expected.is_ok(), "{operation:?}: made, though {expected:?}");
                    *self = next;
                }
                Err(error)
            }
        }
    }

    /// Sees that the store holds what the model holds, and nothing else.
    pub fn assert_is_in(&self, store: &dyn Store) -> Result<()> {
        for namespace in NAMESPACES {
            self.assert_rows_are_in(namespace, &*store.tokens(namespace)?)?;
        }
        assert_eq!(store.namespaces()?, self.listed());
        Ok(())
    }

    fn assert_rows_are_in(&self, namespace: &str, store: &dyn TokenStore) -> Result<()> {
        let rows: Vec<_> = self.namespaces.get(namespace).into_iter().flat_map(Rows::iter).collect();
        let stored = store.get_tokens()?;
        assert_eq!(stored.len(), rows.len(), "in {namespace:?}");
        for (token, row) in stored.iter().zip(rows) {
            row.assert_is(token);
            let id = token.id().expect("a stored token has an id");
            row.assert_is(&store.find_token_by_id(id)?.expect("a token is found by its id"));
        }
        Ok(())
    }

    /// The namespaces that have rows, without the default one.
    fn listed(&self) -> Vec<&'static str> {
        let has_rows = |name: &&'static str| self.namespaces.get(name).is_some_and(|rows| rows.iter().len() > 0);
        NAMESPACES[1..].iter().copied().filter(has_rows).collect()
    }

    /// The token that an operation in a namespace is given, and the same as a row.
    fn given(&self, namespace: &str, source: Source, row: &Row) -> (Token, Row) {
        let built = || (row.set_on(Token::builder()).build(), Row { revision: 0, ..row.clone() });
        match (source, &self.read) {
            (Source::New, _) | (Source::Read | Source::WithoutRevision, None) => built(),
            (Source::OtherStore, _) => {
                let (_, mut row) = built();
                let then = SystemTime::UNIX_EPOCH;
                let token = row.set_on(Token::builder()).stored(Origin::of("another store"), then, then, 1).build();
                row.settle_expiry();
                row.is_of_other_store = true;
                (token, row)
            }
            (Source::Read | Source::WithoutRevision, Some(read)) => {
                let (mut token, mut given) = (read.token.clone(), read.row.clone());
                if read.namespace != namespace {
                    // Each namespace is a store of its own.
                    given.revision = 0;
                    given.is_of_other_store = true;
                }
                if source == Source::WithoutRevision {
                    token = token.without_revision();
                    given.revision = 0;
                    given.is_of_other_store = false;
                }
                given.lay_over(row);
                if let Some(id) = row.get("id").filter(|id| Some(*id) != given.get("id")) {
                    // A revision counts for one row only.
                    given.texts.insert("id", id.clone());
                    given.revision = 0;
                    given.is_of_other_store = false;
                }
                (row.set_on(token.to_builder()).build(), given)
            }
        }
    }
}

/// Sees that what a find returns is the row with the query laid over it, and the row itself if that changes nothing.
#[track_caller]
fn assert_is_laid_over(row: &Row, query: &Row, found: &Token) {
    let mut laid_over = row.clone();
    laid_over.lay_over(query);
    laid_over.follow_tokens(row, query);
    if laid_over == *row {
        row.assert_is(found);
    } else {
        assert_eq!(*found, laid_over.set_on(Token::builder()).build());
    }
}
