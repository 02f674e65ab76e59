//! Changes of key slots, and rekeying.

use std::time::Instant;

use tokenkeep::{
    Error, KeySlot, Passphrase, Result, SlotId, TokenId, Unlock,
    vault::{Vault, VaultChange},
};

use crate::{
    SqlStore,
    engine::{Connection, Parameter},
    error::{Problem, is_contention},
    shared::Shared,
    writer::{Subject, Writer},
};

/// # Key slots
///
/// As on a [`Keystore`](tokenkeep::Keystore). Each change derives keys, or asks the keychain or the provider, before it
/// begins its transaction. Other handles go on as before, except after [`rekey`](Self::rekey), which they report as
/// [`Rekeyed`](Error::Rekeyed).
impl SqlStore {
    /// The key slots. Costs what a find costs.
    ///
    /// # Errors
    ///
    /// The [common errors](Self#errors).
    pub fn slots(&self) -> Result<Vec<KeySlot>> {
        self.current_vault().map(|vault| vault.slots())
    }

    /// The key slot that opened this handle; `None` once it was removed.
    ///
    /// # Errors
    ///
    /// The [common errors](Self#errors).
    pub fn opened_by(&self) -> Result<Option<KeySlot>> {
        self.current_vault().map(|vault| vault.opened_by())
    }

    /// The key slot that the unlock method opens. Changes nothing.
    ///
    /// # Errors
    ///
    /// The errors of [`Vault::try_unlock`], and the [common errors](Self#errors).
    pub fn try_unlock(&self, unlock: &Unlock) -> Result<KeySlot> {
        self.current_vault()?.try_unlock(unlock)
    }

    /// Adds a key slot that the unlock method opens.
    ///
    /// # Errors
    ///
    /// The errors of [`Vault::add_slot`], and the [common errors](Self#errors).
    pub fn add_slot(&self, unlock: &Unlock) -> Result<SlotId> {
        self.new_slot(|vault| vault.add_slot(unlock))
    }

    /// Removes a key slot. The store key stays the same: see *Removal is not revocation* of
    /// [`Keystore`](tokenkeep::Keystore).
    ///
    /// # Errors
    ///
    /// The errors of [`Vault::remove_slot`], and the [common errors](Self#errors).
    pub fn remove_slot(&self, id: SlotId) -> Result<()> {
        self.change_slots(|vault| vault.remove_slot(id)).map(drop)
    }

    /// Replaces a key slot with one that the unlock method opens.
    ///
    /// # Errors
    ///
    /// The errors of [`Vault::replace_slot`], and the [common errors](Self#errors).
    pub fn replace_slot(&self, id: SlotId, unlock: &Unlock) -> Result<SlotId> {
        self.new_slot(|vault| vault.replace_slot(id, unlock))
    }

    /// Replaces the key slot that the current passphrase opens.
    ///
    /// # Errors
    ///
    /// The errors of [`Vault::change_passphrase`], and the [common errors](Self#errors).
    pub fn change_passphrase(&self, current: &Passphrase, new: &Passphrase) -> Result<SlotId> {
        self.new_slot(|vault| vault.change_passphrase(current, new))
    }

    /// Gives the store a new key, and seals every row again under it, in one transaction. Saves wait for it. The slots
    /// that the unlock methods open are made again, and all others go.
    ///
    /// # Errors
    ///
    /// The errors of [`Vault::rekey`], [`BadRow`](Error::BadRow) for a row that cannot be opened, and the
    /// [common errors](Self#errors). Except after [`KeyLeft`](Error::KeyLeft) nothing was changed.
    pub fn rekey<'a>(&self, kept: impl IntoIterator<Item = &'a Unlock>) -> Result<()> {
        let kept: Vec<_> = kept.into_iter().collect();
        self.change_slots(|vault| vault.rekey(kept.iter().copied())).map(drop)
    }

    fn current_vault(&self) -> Result<std::sync::Arc<Vault>> {
        // No token has an empty id. The answer comes with the key table's id and revision all the same.
        self.0.read("", |rows| rows.by_id(&TokenId::from("")).map(drop))?;
        Ok(self.0.vault())
    }

    /// Makes a change that makes a slot, and returns the id of that slot.
    fn new_slot(&self, prepare: impl Fn(&Vault) -> Result<VaultChange>) -> Result<SlotId> {
        self.change_slots(prepare)?.ok_or_else(|| self.0.malformed("a slot without an id"))
    }

    /// Prepares a change without a lock, and stores it if the stored key table is still the one that it replaces. Else
    /// it is prepared again.
    fn change_slots(&self, prepare: impl Fn(&Vault) -> Result<VaultChange>) -> Result<Option<SlotId>> {
        for _ in 0..MOST_ATTEMPTS {
            let vault = self.current_vault()?;
            let change = prepare(&vault)?;
            let deadline = self.0.deadline();
            let stored = loop {
                match self.0.store_change(&change) {
                    // It was undone, so the same change may be made again.
                    Ok(Stored::Unknown(error)) | Err(error) if is_contention(&error) && Instant::now() < deadline => {}
                    stored => break stored,
                }
            };
            match stored {
                Ok(Stored::Yes) => {
                    let new_slot = change.new_slot();
                    let (_, forgotten) = change.written();
                    return forgotten.map(|()| new_slot);
                }
                Ok(Stored::ReplacedByOther) => change.discard(),
                // The new slots may be stored, so their keys stay where they are.
                Ok(Stored::Unknown(error)) => return Err(error),
                Err(error) => {
                    change.discard();
                    return Err(error);
                }
            }
        }
        Err(self.0.problem(Problem::Busy))
    }
}

/// How often a change of key slots is prepared, because others change them too.
const MOST_ATTEMPTS: usize = 8;

enum Stored {
    Yes,
    ReplacedByOther,
    /// The commit failed.
    Unknown(Error),
}

impl Shared {
    fn store_change(&self, change: &VaultChange) -> Result<Stored> {
        let (_turn, mut writer) = self.begin(Subject::Tokens, self.deadline())?;
        if writer.vault.bytes() != change.replaced() {
            return Ok(Stored::ReplacedByOther);
        }
        let next = change.vault();
        let is_rekeyed = next.key_id() != writer.vault.key_id();
        if is_rekeyed {
            writer.seal_all_again(next)?;
        }
        writer.set_key_table(next)?;
        // From here on a thread that finds the new key table waits until this handle has it.
        let exchange = self.exchange.lock();
        if let Err(error) = writer.commit() {
            return Ok(Stored::Unknown(error));
        }
        self.set_vault(next.clone());
        drop(exchange);
        if is_rekeyed {
            writer.connection.forget_old_rows();
        }
        Ok(Stored::Yes)
    }
}

impl Writer<'_> {
    fn set_key_table(&mut self, vault: &Vault) -> Result<()> {
        let store = self.store;
        let revision = i64::try_from(vault.revision()).map_err(|_| store.problem(Problem::NoNumberLeft))?;
        let key_id = vault.key_id();
        let parameters = [Parameter::Bytes(vault.bytes()), Parameter::Bytes(&key_id), Parameter::Integer(revision)];
        self.execute(&store.statements.set_key_table, &parameters).map(drop)
    }

    /// Seals every row again, some at a time.
    fn seal_all_again(&mut self, next: &Vault) -> Result<()> {
        let mut last = None;
        loop {
            let rows = self.rows("").after(last)?;
            let Some(end) = rows.last().map(|row| row.place.number) else { return Ok(()) };
            for row in rows {
                self.seal_again(next, &row.namespace, row.place.number, &row.token)?;
            }
            last = Some(end);
        }
    }
}
