//! *Sealed rows* and blind indexes.

use super::{
    Alter, Payload, ROW_SALT, Record, SHA256, digest, hkdf, in_place_of_random_bytes, length, mac, padme, salt, seal,
    unaltered, with_length,
};

/// A row that is yet to be sealed. Its context is that of its record, until it is changed.
pub(crate) struct RowDraft {
    pub(crate) version: u16,
    pub(crate) store_key: [u8; 32],
    pub(crate) store_id: [u8; 16],
    pub(crate) table_id: [u8; 16],
    pub(crate) place: u64,
    pub(crate) revision: u64,
    pub(crate) namespace: String,
    pub(crate) columns: [Option<[u8; 32]>; 6],
    pub(crate) record: Payload,
    /// Has the padded plaintext before it is sealed.
    pub(crate) alter_plaintext: Alter,
}

impl RowDraft {
    pub(crate) fn new(store_key: [u8; 32], place: u64, record: &Record<'_>) -> Self {
        let text = |field: &str| record.texts.iter().find(|(name, _)| *name == field).map(|(_, text)| *text);
        let client_id = text("client_id");
        let index = |kind, value| blind_index(&store_key, kind, record.namespace, value, client_id);
        Self {
            version: 1,
            store_key,
            store_id: *b"the store of row",
            table_id: *b"the table of row",
            place,
            revision: record.revision,
            namespace: record.namespace.to_owned(),
            columns: [
                Some(index(1, record.id)),
                text("user_name").map(|name| index(2, name)),
                text("user_name").map(|name| index(3, name)),
                text("access_token").map(|token| index(4, token)),
                text("grant_token").map(|token| index(5, token)),
                text("refresh_token").map(|token| index(6, token)),
            ],
            record: Payload::of_row(record),
            alter_plaintext: unaltered(),
        }
    }

    pub(crate) fn seal(&self) -> Vec<u8> {
        let mut plaintext = with_length(&self.record.bytes());
        plaintext.resize(padme(plaintext.len()).next_multiple_of(256), 0);
        (self.alter_plaintext)(&mut plaintext);
        let random = in_place_of_random_bytes(b"row");
        let salt = salt(&self.store_key, ROW_SALT, &random, self.revision, digest(&SHA256, &plaintext).as_ref());

        let mut context = [self.store_id, self.table_id].concat();
        context.extend(self.place.to_le_bytes());
        context.extend(self.revision.to_le_bytes());
        context.extend(blind_index(&self.store_key, 7, &self.namespace, "", None));
        for column in &self.columns {
            context.push(column.is_some().into());
            context.extend(column.iter().flatten());
        }
        let info = [b"tokenkeep v1 row\0", digest(&SHA256, &context).as_ref()].concat();
        let derived = hkdf(&salt, &self.store_key, &info, 64);
        let mut row = self.version.to_le_bytes().to_vec();
        row.extend(hkdf(b"", &self.store_key, b"tokenkeep v1 key id\0", 8));
        row.extend(salt);
        row.extend(&derived[32..]);
        row.extend(seal(&derived[..32], &context, &plaintext));
        row
    }
}

pub(crate) fn blind_index(
    store_key: &[u8; 32],
    kind: u8,
    namespace: &str,
    value: &str,
    client_id: Option<&str>,
) -> [u8; 32] {
    let mut message = vec![kind];
    message.extend(text(namespace));
    message.extend(text(value));
    if kind == 3 {
        message.push(client_id.is_some().into());
        message.extend(client_id.into_iter().flat_map(text));
    }
    mac(&hkdf(b"", store_key, b"tokenkeep v1 blind index\0", 32), &message)
}

fn text(text: &str) -> Vec<u8> {
    [&length(text.len()).to_le_bytes(), text.as_bytes()].concat()
}
