//! A key slot: one of the ways to a store's key, as it is listed.

use std::{fmt, time::SystemTime};

use crate::{id::SlotId, kdf::KdfParams, time::Millis, unlock_method::UnlockMethod};

/// What opens a key slot, and at what cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotKind {
    /// A passphrase, from which a key is derived at this cost.
    Passphrase(KdfParams),
    /// A key in the operating system's keychain.
    Keychain,
    /// A [`RecoveryKey`](crate::RecoveryKey).
    RecoveryKey,
    /// A key that an [external provider](crate::External) keeps.
    External,
}

impl SlotKind {
    /// The unlock method that opens the slot.
    #[must_use]
    pub fn method(self) -> UnlockMethod {
        match self {
            Self::Passphrase(_) => UnlockMethod::Passphrase,
            Self::Keychain => UnlockMethod::Keychain,
            Self::RecoveryKey => UnlockMethod::RecoveryKey,
            Self::External => UnlockMethod::External,
        }
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.method().fmt(f)
    }
}

/// A key slot as [`Keystore::slots`](crate::Keystore::slots) lists it: everything about it but its secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySlot {
    /// The id, by which the slot can be removed or replaced.
    pub id: SlotId,
    /// What opens the slot, and at what cost.
    pub kind: SlotKind,
    /// The label that it was given, see [`Unlock::label`](crate::Unlock::label).
    pub label: String,
    /// When the slot was made, or last replaced.
    pub created_at: SystemTime,
    /// The name of the [external provider](crate::ExternalKey::provider), if the slot is for one.
    pub provider: Option<String>,
}

impl KeySlot {
    /// Whether the slot is for a passphrase that costs an attacker less to guess than the
    /// [default](KdfParams::default), in memory or in memory times passes: because the default has risen, or because a
    /// lower cost was chosen. Just after opening the store, the application has the passphrase and can
    /// [change](crate::Keystore::change_passphrase) it into itself at the new cost.
    #[must_use]
    pub fn needs_upgrade(&self) -> bool {
        matches!(self.kind, SlotKind::Passphrase(kdf) if kdf.is_less_than(KdfParams::default()))
    }
}

impl fmt::Debug for KeySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, label, created_at, provider } = self;
        let mut shown = f.debug_struct("KeySlot");
        shown.field("id", id).field("kind", kind).field("label", label).field("created_at", &Millis::from(*created_at));
        if let Some(provider) = provider {
            shown.field("provider", provider);
        }
        shown.finish()
    }
}
