//! Saving the rows in a store that has no change of several tokens.

use crate::{
    batch::{Batch, Row, Saved, Target},
    error::{Error, Result},
    id::TokenId,
    store::TokenStore,
    token::Token,
};

/// Saves a batch in a store that cannot save several tokens as one change, and takes back what was saved if it fails.
pub(super) fn save(store: &dyn TokenStore, batch: &Batch) -> Result<Vec<Saved>> {
    let mut saving = OneByOne { store, saved: Vec::new() };
    let saved = batch.save_into(&mut saving);
    saved.map_err(|cause| {
        let lines = saving.take_back();
        if lines.is_empty() {
            return cause;
        }
        Error::ImportIncomplete { path: batch.path.to_path_buf(), lines, cause: Box::new(cause) }
    })
}

struct OneByOne<'a> {
    store: &'a dyn TokenStore,
    saved: Vec<Undo>,
}

/// How a row that was saved is taken back.
struct Undo {
    line: u64,
    id: TokenId,
    before: Option<Token>,
}

impl Target for OneByOne<'_> {
    fn find_stored(&mut self, query: &Token) -> Result<Option<Token>> {
        self.store.find_stored(query)
    }

    fn save(&mut self, row: &Row, before: Option<&Token>) -> Result<TokenId> {
        let saved = self.store.save_token(&row.token);
        if let Ok(id) | Err(Error::DurabilityUnknown { id: Some(id), .. }) = &saved {
            self.saved.push(Undo { line: row.line, id: id.clone(), before: before.cloned() });
        }
        saved
    }
}

impl OneByOne<'_> {
    /// Takes back what was saved, the latest first. Returns the lines of the rows that may still be there.
    fn take_back(self) -> Vec<u64> {
        let Self { store, saved } = self;
        let is_left = |undo: &Undo| match &undo.before {
            Some(before) => store.replace_token(&before.without_revision()).is_err(),
            // Only as it was saved: a token that somebody else has saved since then is theirs.
            None => match store.delete_token_if(&undo.id, 1) {
                Err(Error::Unsupported { .. }) => store.delete_token(&undo.id).is_err(),
                deleted => deleted.is_err(),
            },
        };
        let mut lines: Vec<_> = saved.iter().rev().filter(|undo| is_left(undo)).map(|undo| undo.line).collect();
        lines.sort_unstable();
        lines
    }
}
