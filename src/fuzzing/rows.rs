//! Sealed rows that are changed by somebody who has everything but the keys, and records of all kinds.

use std::{num::NonZeroU8, sync::OnceLock};

use arbitrary::Arbitrary;

use super::{
    padded,
    tables::{new_slot, sealed},
    unlock,
};
use crate::{
    Error, FileFlaw, Part, RowFlaw, Token, codec,
    time::Millis,
    vault::{BlindIndex, BlindIndexes, RowTable, SealedRow, Vault},
};

#[derive(Debug, Arbitrary)]
pub(super) struct Change {
    of: Original,
    mutations: Vec<Mutation>,
}

/// The rows that there are.
#[derive(Debug, Clone, Copy, PartialEq, Arbitrary)]
enum Original {
    First,
    /// The same token in another place.
    Moved,
    /// The same token after a save.
    Saved,
    /// Another token, which has more values.
    Other,
    OfOtherTable,
    OfOtherNamespace,
    /// Of another store of the same store key.
    OfKin,
    /// Of another store.
    OfStranger,
}

#[derive(Debug, Clone, Arbitrary)]
enum Mutation {
    Byte {
        at: u16,
        xor: NonZeroU8,
    },
    Cut {
        len: u16,
    },
    Append {
        byte: u8,
        count: u8,
    },
    Place(u64),
    Revision(u64),
    Namespace(String),
    TableId {
        at: u8,
        xor: NonZeroU8,
    },
    Column {
        which: u8,
        at: u8,
        xor: NonZeroU8,
    },
    NoColumn {
        which: u8,
    },
    /// A column as another one is, of this or of another row.
    ColumnOf {
        which: u8,
        of: Original,
        from: u8,
    },
    /// A part as it is in another row.
    PartOf {
        part: PartOfRow,
        of: Original,
    },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum PartOfRow {
    KeyId,
    Salt,
    Commitment,
    Sealed,
    Bytes,
    Place,
    Revision,
    Columns,
    TableId,
    Namespace,
    /// The vault that opens it.
    Vault,
}

/// A row, what stands beside it, and whose it is.
#[derive(Debug, Clone)]
struct Sample {
    vault: Vault,
    table_id: [u8; 16],
    namespace: String,
    row: SealedRow,
    token: Token,
}

impl Original {
    const ALL: [Self; 8] = [
        Self::First,
        Self::Moved,
        Self::Saved,
        Self::Other,
        Self::OfOtherTable,
        Self::OfOtherNamespace,
        Self::OfKin,
        Self::OfStranger,
    ];

    fn all() -> &'static [Sample; 8] {
        static SAMPLES: OnceLock<[Sample; 8]> = OnceLock::new();
        SAMPLES.get_or_init(|| {
            let vaults = [(1, 5), (2, 5), (3, 6)].map(|(store, key)| {
                let slot = new_slot([store; 16], key, 1, &unlock(1));
                sealed([store; 16], key, 1, vec![slot])
            });
            Self::ALL.map(|original| original.make(&vaults))
        })
    }

    fn sample(self) -> &'static Sample {
        let place = Self::ALL.iter().position(|original| *original == self).expect("one of all");
        &Self::all()[place]
    }

    fn make(self, [first, kin, stranger]: &[Vault; 3]) -> Sample {
        let vault = match self {
            Self::OfKin => kin,
            Self::OfStranger => stranger,
            _ => first,
        };
        let place = if self == Self::Moved { 1 } else { 0 };
        let revision = if self == Self::Saved { 2 } else { 1 };
        let table_id = [if self == Self::OfOtherTable { 8 } else { 7 }; 16];
        let namespace = if self == Self::OfOtherNamespace { "other" } else { "" };
        let token = Token::builder().id("1").user_name("ada").refresh_token("secret");
        let token = match self {
            // One value is that of the first row.
            Self::Other => token.id("2").client_id("ada").access_token("access").grant_token("grant"),
            _ => token,
        };
        let table = RowTable { id: table_id, namespace };
        let time = Millis::new(1).expect("a time").time();
        let token = token.stored(vault.row_origin(table), time, time, revision).build();
        let row = vault.seal_row(table, place, &token).expect("a sealed row");
        Sample { vault: vault.clone(), table_id, namespace: namespace.to_owned(), row, token }
    }
}

impl Sample {
    fn open(&self) -> crate::Result<Token> {
        self.vault.open_row(RowTable { id: self.table_id, namespace: &self.namespace }, &self.row)
    }

    /// Whether it is the same row of the same store, with the same beside it.
    fn is(&self, other: &Self) -> bool {
        self.vault.bytes() == other.vault.bytes()
            && (self.table_id, &self.namespace, &self.row) == (other.table_id, &other.namespace, &other.row)
    }

    /// What opening it must say, if nothing was sealed so.
    fn expected_flaw(&self) -> Flaw {
        let bytes = &self.row.bytes;
        match bytes.get(2..10) {
            _ if bytes.len() < 90 || !bytes.starts_with(&[1, 0]) => Flaw::Malformed,
            Some(key_id) if key_id == self.vault.key_id() => Flaw::Tampered,
            _ => Flaw::OtherKey,
        }
    }
}

#[derive(Debug, PartialEq)]
enum Flaw {
    OtherKey,
    Tampered,
    Malformed,
}

pub(super) fn check(change: &Change) {
    let mut changed = change.of.sample().clone();
    change.mutations.iter().for_each(|mutation| mutation.apply(&mut changed));
    let original = Original::all().iter().find(|original| original.is(&changed));
    match (changed.open(), original) {
        (Ok(token), Some(original)) => assert_eq!(token, original.token),
        (Ok(_), None) => panic!("opened though none was sealed so: {change:?}"),
        (Err(error), Some(_)) => panic!("refused: {change:?}: {error:?}"),
        (Err(Error::TooLarge { part: Part::Namespace, .. }), _) => assert!(changed.namespace.len() > 256),
        (Err(Error::BadRow { place, flaw, .. }), _) => {
            assert_eq!(place, changed.row.place);
            let flaw = match flaw {
                RowFlaw::OtherKey => Flaw::OtherKey,
                RowFlaw::Tampered => Flaw::Tampered,
                RowFlaw::Malformed(_) => Flaw::Malformed,
            };
            assert_eq!(flaw, changed.expected_flaw(), "{change:?}");
        }
        (Err(other), _) => panic!("{change:?}: {other:?}"),
    }
}

impl Mutation {
    /// Changes the row where it has what is to be changed.
    fn apply(&self, sample: &mut Sample) {
        let row = &mut sample.row;
        match self {
            Self::Byte { at, xor } => {
                if let Some(byte) = row.bytes.get_mut(usize::from(*at)) {
                    *byte ^= xor.get();
                }
            }
            Self::Cut { len } => row.bytes.truncate(usize::from(*len)),
            Self::Append { byte, count } => row.bytes.resize(row.bytes.len() + usize::from(*count), *byte),
            Self::Place(place) => row.place = *place,
            Self::Revision(revision) => row.revision = *revision,
            Self::Namespace(namespace) => sample.namespace.clone_from(namespace),
            Self::TableId { at, xor } => sample.table_id[usize::from(at % 16)] ^= xor.get(),
            Self::Column { which, at, xor } => {
                if let Some(mut index) = column(&row.columns, *which) {
                    index[usize::from(at % 32)] ^= xor.get();
                    set_column(&mut row.columns, *which, Some(index));
                }
            }
            Self::NoColumn { which } => set_column(&mut row.columns, *which, None),
            Self::ColumnOf { which, of, from } => {
                set_column(&mut row.columns, *which, column(&of.sample().row.columns, *from));
            }
            Self::PartOf { part, of } => part.apply(of.sample(), sample),
        }
    }
}

impl PartOfRow {
    fn apply(self, from: &Sample, to: &mut Sample) {
        let range = match self {
            Self::KeyId => 2..10,
            Self::Salt => 10..42,
            Self::Commitment => 42..74,
            Self::Sealed => 74..from.row.bytes.len(),
            Self::Bytes => 0..from.row.bytes.len(),
            Self::Place => return to.row.place = from.row.place,
            Self::Revision => return to.row.revision = from.row.revision,
            Self::Columns => return to.row.columns = from.row.columns,
            Self::TableId => return to.table_id = from.table_id,
            Self::Namespace => return to.namespace.clone_from(&from.namespace),
            Self::Vault => return to.vault = from.vault.clone(),
        };
        if range.end == from.row.bytes.len() {
            to.row.bytes.truncate(range.start);
        }
        if to.row.bytes.len() >= range.start {
            let end = range.end.min(to.row.bytes.len());
            to.row.bytes.splice(range.start..end, from.row.bytes[range].iter().copied());
        }
    }
}

fn column(columns: &BlindIndexes, which: u8) -> Option<BlindIndex> {
    let BlindIndexes { namespace, id, user_name, user_and_client, access_token, grant_token, refresh_token } = *columns;
    let all = [Some(id), user_name, user_and_client, access_token, grant_token, refresh_token, Some(namespace)];
    all[usize::from(which % 7)]
}

/// Sets a column. Those of the id and of the namespace have to have a value.
fn set_column(columns: &mut BlindIndexes, which: u8, index: Option<BlindIndex>) {
    let BlindIndexes { namespace, id, user_name, user_and_client, access_token, grant_token, refresh_token } = columns;
    match which % 7 {
        0 => *id = index.unwrap_or_default(),
        1 => *user_name = index,
        2 => *user_and_client = index,
        3 => *access_token = index,
        4 => *grant_token = index,
        5 => *refresh_token = index,
        _ => *namespace = index.unwrap_or_default(),
    }
}

pub(super) fn check_record(bytes: &[u8]) {
    assert_encodes_back(bytes);
    let padded_len = codec::padded_row_len(u64::try_from(bytes.len()).expect("a length")).expect("a padded length");
    assert_encodes_back(&padded(bytes, padded_len));
}

fn assert_encodes_back(plaintext: &[u8]) {
    let vault = &Original::First.sample().vault;
    let origin = |namespace: &str| vault.row_origin(RowTable { id: [7; 16], namespace });
    let (namespace, token) = match codec::decode_row(plaintext, origin) {
        Ok(decoded) => decoded,
        Err(FileFlaw::Malformed(_)) => return,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(codec::encode_row(&namespace, &token).expect("what was decoded can be encoded")[..], *plaintext);
    let table = RowTable { id: [7; 16], namespace: &namespace };
    match vault.seal_row(table, 7, &token) {
        Ok(row) => {
            assert_eq!(vault.open_row(table, &row).expect("the row that was sealed"), token);
            let of_any = vault.open_row_of_any_namespace(table.id, &row).expect("the row that was sealed");
            assert_eq!(of_any, (namespace, token));
        }
        Err(Error::TooLarge { part: Part::Namespace, .. }) => assert!(namespace.len() > 256),
        Err(other) => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
