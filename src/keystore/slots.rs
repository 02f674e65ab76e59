//! The key slots of an open store.

use super::Keystore;
use crate::{
    error::Result,
    id::SlotId,
    slot::KeySlot,
    unlock::{Keychain, Passphrase, Unlock},
};

/// # Key slots
impl Keystore {
    /// The key slots of the store. Costs what a find costs.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, SlotKind, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// let store = Keystore::create(directory.path().join("tokens.keep"), &unlock.label("Ada"))?;
    /// for slot in store.slots()? {
    ///     println!("{} {:?} ({}), since {:?}", slot.id, slot.label, slot.kind, slot.created_at);
    ///     if let SlotKind::Passphrase(cost) = slot.kind {
    ///         println!("a guess takes {} KiB of memory", cost.memory_kib());
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slots(&self) -> Result<Vec<KeySlot>> {
        self.0.slots()
    }

    /// The key slot that opened this handle, as it is now; `None` once another handle has removed or replaced it. Costs
    /// what a find costs.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    pub fn opened_by(&self) -> Result<Option<KeySlot>> {
        self.0.opened_by()
    }

    /// The key slot that the unlock method opens now: to check that a recovery key on paper is the right one, that a
    /// passphrase is known, that the keychain answers. Blocks as opening does, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`WrongPassphrase`](crate::Error::WrongPassphrase), [`WrongRecoveryKey`](crate::Error::WrongRecoveryKey),
    /// [`Keychain`](crate::Error::Keychain), [`External`](crate::Error::External),
    /// [`NoSlotFor`](crate::Error::NoSlotFor), and the
    /// [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{Error, KdfParams, Keystore, Passphrase, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock.clone().label("Ada"))?;
    /// assert_eq!(store.try_unlock(&unlock)?.label, "Ada");
    /// let wrong = Unlock::from(Passphrase::new("correct donkey"));
    /// assert!(matches!(store.try_unlock(&wrong), Err(Error::WrongPassphrase { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_unlock(&self, unlock: &Unlock) -> Result<KeySlot> {
        self.0.try_unlock(unlock)
    }

    /// Adds a key slot that the unlock method opens. Blocks for a key derivation, if that is a passphrase, and as a
    /// save does. The same secret can be added twice, and then has to be changed or removed twice.
    ///
    /// # Errors
    ///
    /// [`TooManySlots`](crate::Error::TooManySlots), [`TooLarge`](crate::Error::TooLarge) for the label,
    /// [`EmptyPassphrase`](crate::Error::EmptyPassphrase), [`KdfMemory`](crate::Error::KdfMemory),
    /// [`Keychain`](crate::Error::Keychain), [`External`](crate::Error::External), [`Random`](crate::Error::Random),
    /// and the [common errors](#errors). After [`DurabilityUnknown`](crate::Error::DurabilityUnknown) the slot is
    /// there, and [`slots`](Self::slots) has its id; trying again would add a second one.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, RecoveryKey, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(&path, &unlock)?;
    /// let key = RecoveryKey::generate()?;
    /// println!("Keep this on paper: {}", key.expose_secret());
    /// let paper = Unlock::from(key).label("paper");
    /// let added = store.add_slot(&paper)?;
    /// Keystore::open(&path, &paper)?;
    ///
    /// // The paper was lost:
    /// store.remove_slot(added)?;
    /// assert!(Keystore::open(&path, &paper).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_slot(&self, unlock: &Unlock) -> Result<SlotId> {
        self.0.add_slot(unlock)
    }

    /// Removes a key slot. Blocks as a save does. The slot opens no later state of the file, but
    /// [removal is not revocation](#key-slots).
    ///
    /// The key of a keychain slot is then deleted from the keychain, if this handle knows the service: it was opened
    /// with it, or a later call was given it. A key that stays is an [orphan](Self::keychain_orphans). In the same way
    /// the provider of an external slot is asked to [forget](crate::ExternalKey::forget) its key.
    ///
    /// # Errors
    ///
    /// [`NoSuchSlot`](crate::Error::NoSuchSlot), [`LastSlot`](crate::Error::LastSlot), and the [common
    /// errors](#errors).
    /// [`KeyLeft`](crate::Error::KeyLeft) if the slot was removed, but the keychain or the provider did not delete
    /// its key.
    pub fn remove_slot(&self, id: SlotId) -> Result<()> {
        self.0.remove_slot(id)
    }

    /// Replaces a key slot with one that the unlock method opens: a new recovery key for one that was lost. The new
    /// slot has a new id, and the old one's label unless the unlock method has its own. Blocks as
    /// [`add_slot`](Self::add_slot) does.
    ///
    /// # Errors
    ///
    /// [`NoSuchSlot`](crate::Error::NoSuchSlot), [`KeyLeft`](crate::Error::KeyLeft) as for
    /// [`remove_slot`](Self::remove_slot), and those of [`add_slot`](Self::add_slot).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, RecoveryKey, SlotKind, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(&path, &unlock)?;
    /// # store.add_slot(&Unlock::from(RecoveryKey::generate()?).label("paper"))?;
    /// let lost = store.slots()?.into_iter().find(|slot| slot.kind == SlotKind::RecoveryKey).unwrap();
    /// let key = RecoveryKey::generate()?;
    /// println!("Keep this on paper: {}", key.expose_secret());
    /// store.replace_slot(lost.id, &key.into())?;
    /// assert_eq!(store.slots()?[1].label, "paper");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace_slot(&self, id: SlotId, unlock: &Unlock) -> Result<SlotId> {
        self.0.replace_slot(id, unlock)
    }

    /// Changes the passphrase `current`, which has to be right, to `new`. No token is lost, and only the one key slot
    /// changes. Blocks for one key derivation for each passphrase slot up to that one, for another one of the new
    /// passphrase, and as a save does.
    ///
    /// The passphrase may stay the same: that raises its cost after the default has risen. The slot keeps a cost that
    /// is above the default, unless `new` sets one.
    ///
    /// # Errors
    ///
    /// [`WrongPassphrase`](crate::Error::WrongPassphrase) if `current` opens no slot,
    /// [`NoSlotFor`](crate::Error::NoSlotFor) if the store has no passphrase,
    /// [`NoSuchSlot`](crate::Error::NoSuchSlot) if another handle removed or changed the slot in the meantime, and
    /// those of
    /// [`add_slot`](Self::add_slot).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// # Keystore::create(&path, &Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN).into())?;
    /// let passphrase = Passphrase::new("correct horse battery staple");
    /// let store = Keystore::open(&path, &passphrase.clone().into())?;
    /// if store.opened_by()?.is_some_and(|slot| slot.needs_upgrade()) {
    ///     store.change_passphrase(&passphrase, &passphrase)?;
    /// }
    /// assert!(!store.opened_by()?.unwrap().needs_upgrade());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn change_passphrase(&self, current: &Passphrase, new: &Passphrase) -> Result<SlotId> {
        self.0.change_passphrase(current, new)
    }

    /// Gives the store a new key and encrypts everything again. Keeps only the key slots of the given unlock methods.
    /// Each method has to open the store now.
    ///
    /// Call this method if the store key may have leaked. Neither the old key nor an old copy of the file opens a file
    /// that is written from now on. If a secret may have leaked too, change the secret first, and do not pass the old
    /// one. The attacker may have read the tokens before the call: have the server revoke them as well.
    ///
    /// This handle and its clones go on. Every other handle ends in [`Rekeyed`](crate::Error::Rekeyed) and has to open
    /// the store again. A slot that is kept gets a new id, and the label and cost of its unlock method, or else its old
    /// ones. Blocks for the key derivations of opening with each passphrase and of setting it again, up to 14 for four
    /// passphrases, and as a save does.
    ///
    /// # Errors
    ///
    /// [`WrongPassphrase`](crate::Error::WrongPassphrase), [`WrongRecoveryKey`](crate::Error::WrongRecoveryKey),
    /// [`NoSlotFor`](crate::Error::NoSlotFor) if one of the unlock methods does not open the store,
    /// [`LastSlot`](crate::Error::LastSlot) if none is given, [`NoSuchSlot`](crate::Error::NoSuchSlot) if another
    /// handle removed or changed a slot in the meantime, and those of [`add_slot`](Self::add_slot) and
    /// [`remove_slot`](Self::remove_slot). After [`DurabilityUnknown`](crate::Error::DurabilityUnknown) and
    /// [`KeyLeft`](crate::Error::KeyLeft) the store has the new key; after any other error nothing was changed.
    ///
    /// ```
    /// # use tokenkeep::{Error, KdfParams, Keystore, Passphrase, RecoveryKey, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(&path, &unlock)?;
    /// # let stolen = Unlock::from(RecoveryKey::generate()?);
    /// # store.add_slot(&stolen)?;
    /// let other = Keystore::open(&path, &unlock)?;
    /// store.rekey([&unlock])?;
    /// assert!(matches!(other.slots(), Err(Error::Rekeyed { .. })));
    /// assert!(Keystore::open(&path, &stolen).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rekey<'a>(&self, kept: impl IntoIterator<Item = &'a Unlock>) -> Result<()> {
        self.0.rekey(&kept.into_iter().collect::<Vec<_>>())
    }

    /// The keys in the keychain that belong to this store and to none of its key slots. An addition that failed or was
    /// killed half-way leaves one, and so does a removal while the keychain did not answer. Blocks while the keychain
    /// is asked, and may unlock it.
    ///
    /// None is deleted by itself: any of them may be the key to a backup or to a copy of the store. A slot that another
    /// handle is about to add looks the same at that moment. So show them, and delete what the person chooses.
    ///
    /// # Errors
    ///
    /// [`Keychain`](crate::Error::Keychain), and the [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{Keychain, Keystore};
    /// # fn example() -> tokenkeep::Result<()> {
    /// let keychain = Keychain::new("com.example.app");
    /// let store = Keystore::open("tokens.keep", &keychain.clone().into())?;
    /// for orphan in store.keychain_orphans(&keychain)? {
    ///     println!("{orphan}");
    /// }
    /// # let chosen: Option<tokenkeep::SlotId> = None;
    /// // The person has chosen a key that no backup and no copy of the store needs:
    /// if let Some(orphan) = chosen {
    ///     store.remove_keychain_orphan(&keychain, orphan)?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn keychain_orphans(&self, keychain: &Keychain) -> Result<Vec<SlotId>> {
        self.0.keychain_orphans(keychain)
    }

    /// Deletes one of the [orphans](Self::keychain_orphans) from the keychain. It syncs the directory first, so that no
    /// power cut brings the key slot back without its key. A slot that another handle is about to add would lose its
    /// key.
    ///
    /// # Errors
    ///
    /// [`NotAnOrphan`](crate::Error::NotAnOrphan) if the keychain has no such key, or if a key slot needs it;
    /// [`Keychain`](crate::Error::Keychain), and the [common errors](#errors).
    pub fn remove_keychain_orphan(&self, keychain: &Keychain, id: SlotId) -> Result<()> {
        self.0.remove_keychain_orphan(keychain, id)
    }
}
