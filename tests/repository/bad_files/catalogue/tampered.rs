//! What can be done without the store key: the checks are right, and what takes the key is not.

use super::{
    BODY, DATA_LEN, EXTERNAL_DATA, LEN, MAC, NOTE, NOTES, NOTES_SALT, PROVIDER, PUBLIC_DATA,
    Refusal::{self, Malformed, NoEntry, NoSuchSlot, Rekeyed, Replaced, Tampered, Wrong},
    Row, SLOT, SLOTS, TABLE, changed, damaged, earlier, flipped, forged, key_from, put, sealed, sound_slots,
    sound_with, unread,
};
use crate::writer::{Draft, Note, Slot, external_data};

pub(super) fn rows() -> Vec<Row> {
    [changed_slots(), changed_bodies(), vec![slot_of_the_empty_passphrase()]].into_iter().flatten().collect()
}

/// What can be done to the slots without the store key.
fn changed_slots() -> Vec<Row> {
    let mut rows = Vec::new();
    for ((name, at), way) in SLOTS.iter().zip(0..) {
        let mut open = [Tampered; 4];
        open[way] = Wrong;
        let data_len = if way == 3 { DATA_LEN } else { 0 };
        let slot = *at..*at + SLOT + data_len;
        for (field, offset) in [
            ("salt", 32),
            ("commitment", 64 + data_len),
            ("last-byte-of-commitment", 95 + data_len),
            ("wrapped-key", 96 + data_len),
            ("wrapped-key-tag", 143 + data_len),
        ] {
            rows.push(changed(format!("{name}-slot-{field}-changed"), open, forged(flipped(at + offset))));
        }
        // What the keychain has is found by the slot's id.
        open[way] = if way == 1 { NoEntry } else { Wrong };
        rows.push(changed(format!("{name}-slot-id-changed"), open, forged(flipped(at + 16))));
        open[way] = Wrong;
        let of_another_store = |draft: &mut Draft| draft.table.slots[way].store_id = Some(*b"of another store");
        let other = sealed(of_another_store)[slot.clone()].to_vec();
        let file = forged(|file| file[slot.clone()].copy_from_slice(&other));
        rows.push(changed(format!("{name}-slot-of-another-store"), open, file));
        let of_another_key = |draft: &mut Draft| draft.table.slots[way].key_id = Some(*b"another ");
        let other = sealed(of_another_key)[slot.clone()].to_vec();
        let file = forged(|file| file[slot.clone()].copy_from_slice(&other));
        rows.push(changed(format!("{name}-slot-of-another-key-id"), open, file));
    }
    let [(_, passphrase), (_, keychain), (_, recovery_key), (_, external)] = SLOTS;
    rows.push(changed("slot-with-more-passes", only(0, Wrong), forged(put(passphrase + 8, [6, 0]))));
    rows.push(changed("slot-with-more-lanes", only(0, Wrong), forged(put(passphrase + 12, [2, 0]))));
    let became_recovery_key = forged(put(keychain, [3]));
    rows.push(changed("slot-of-the-keychain-as-recovery-key", only(1, NoSuchSlot), became_recovery_key));
    let swapped = forged(|file| {
        let (one, other) = file.split_at_mut(recovery_key);
        one[keychain..].swap_with_slice(&mut other[..SLOT]);
    });
    rows.push(changed("slots-exchanged", [Tampered; 4], swapped));
    let provider = only(3, NoSuchSlot);
    rows.push(changed("external-slot-provider-changed", provider, forged(flipped(EXTERNAL_DATA + 2))));
    let public_data = EXTERNAL_DATA + 4 + PROVIDER.len();
    rows.push(changed("external-slot-public-data-changed", only(3, Wrong), forged(flipped(public_data))));
    rows.push(changed("external-slot-end-of-public-data-changed", only(3, Wrong), forged(flipped(NOTES_SALT - 81))));
    // The same bytes, another end of the provider's name.
    let moved = forged(|file| {
        let data = external_data(&PROVIDER[..9], &[b"r", PUBLIC_DATA].concat());
        file[EXTERNAL_DATA..EXTERNAL_DATA + DATA_LEN].copy_from_slice(&data);
    });
    rows.push(changed("external-slot-provider-shorter", provider, moved));
    let without_recovery_key = |file: &mut Vec<u8>| {
        drop(file.drain(NOTES..NOTES + NOTE));
        drop(file.drain(recovery_key..external));
        put(TABLE + 10, [3, 0])(file);
        put_table_len(file, BODY - SLOT - NOTE);
    };
    let no_padding = Malformed("no padding gives");
    rows.push(unread("slot-removed-and-the-file-shortened", no_padding, forged(without_recovery_key)));
    let removed = forged(|file| {
        without_recovery_key(file);
        fit_body(file, BODY - SLOT - NOTE);
    });
    rows.push(changed("slot-removed", only(2, NoSuchSlot), removed));
    let mut slots = sound_slots();
    slots.push(Slot::recovery_key(0x55, key_from(0x40)));
    let added = sound_with(slots).seal()[NOTES_SALT..NOTES_SALT + SLOT].to_vec();
    let with_another = |file: &mut Vec<u8>| {
        drop(file.splice(MAC..MAC, [0; NOTE]));
        drop(file.splice(NOTES_SALT..NOTES_SALT, added));
        put(TABLE + 10, [5, 0])(file);
        put_table_len(file, BODY + SLOT + NOTE);
    };
    rows.push(unread("slot-added-and-the-file-lengthened", no_padding, forged(with_another.clone())));
    let added = forged(|file| {
        with_another(file);
        fit_body(file, BODY + SLOT + NOTE);
    });
    rows.push(changed("slot-added", [Tampered; 4], added));
    rows
}

/// Its only slot has the commitment and the tag that the empty passphrase gives.
fn slot_of_the_empty_passphrase() -> Row {
    let mut draft = sound_with(vec![Slot::passphrase(0x11, "")]);
    draft.table.store_key = [0x5A; 32];
    let open = [Wrong, NoSuchSlot, NoSuchSlot, NoSuchSlot];
    let row = changed("slot-of-the-empty-passphrase", open, draft.seal()).in_place(Rekeyed);
    Row { other_passphrase: Some(""), ..row }
}

/// Tampered in all ways but one.
fn only(way: usize, refusal: Refusal) -> [Refusal; 4] {
    let mut open = [Tampered; 4];
    open[way] = refusal;
    open
}

fn put_table_len(file: &mut [u8], header_len: usize) {
    file[12..16].copy_from_slice(&u32::try_from(header_len - TABLE).unwrap().to_le_bytes());
}

/// Makes the body as long as a file of one block has it after another header.
fn fit_body(file: &mut Vec<u8>, header_len: usize) {
    file.resize(LEN, 0);
    put(16, u64::try_from(LEN - header_len).unwrap().to_le_bytes())(file);
}

/// What can be done to the header and the body without the store key, and what with one that is not the slots'.
fn changed_bodies() -> Vec<Row> {
    let earlier = earlier().seal();
    vec![
        changed("store-id-changed", [Wrong, NoEntry, Wrong, Wrong], forged(flipped(TABLE + 16))).in_place(Replaced),
        changed("generation-raised", [Tampered; 4], forged(put(32, [8]))),
        changed("generation-largest", [Tampered; 4], forged(put(32, [0xFF; 8]))),
        changed("generation-lowered", [Tampered; 4], forged(put(32, [6]))),
        changed("body-salt-changed", [Tampered; 4], forged(flipped(40))),
        changed("body-commitment-changed", [Tampered; 4], forged(flipped(72))),
        changed("key-id-changed", [Wrong; 4], forged(flipped(TABLE + 32))).in_place(Rekeyed),
        changed("table-revision-raised", [Tampered; 4], forged(put(TABLE + 40, [4]))),
        changed("table-revision-lowered", [Tampered; 4], forged(put(TABLE + 40, [2]))),
        changed("notes-salt-changed", [Tampered; 4], forged(flipped(NOTES_SALT))),
        changed("notes-changed", [Tampered; 4], forged(flipped(NOTES))),
        changed("notes-tag-changed", [Tampered; 4], forged(flipped(MAC - 1))),
        changed("notes-of-two-slots-exchanged", [Tampered; 4], {
            forged(|file| file[NOTES..NOTES + 2 * NOTE].rotate_left(NOTE))
        }),
        changed("mac-changed", [Tampered; 4], forged(flipped(MAC))),
        // Each of the two is right by itself.
        changed("table-of-another-revision", [Tampered; 4], {
            let other = sealed(|draft| draft.table.revision = 2);
            damaged(|file| file[TABLE..BODY].copy_from_slice(&other[TABLE..BODY]))
        }),
        changed("table-of-another-label", [Tampered; 4], {
            let other = sealed(|draft| draft.table.notes[0] = Note::new("another label", 1_800_000_000_000));
            damaged(|file| file[TABLE..BODY].copy_from_slice(&other[TABLE..BODY]))
        }),
        changed("table-before-the-body-again", [Tampered; 4], {
            forged(|file| {
                file.copy_within(TABLE..BODY, BODY);
            })
        }),
        changed("body-first-bit-flipped", [Tampered; 4], damaged(flipped(BODY))),
        changed("body-last-bit-flipped", [Tampered; 4], damaged(flipped(LEN - 17))),
        changed("body-tag-changed", [Tampered; 4], damaged(flipped(LEN - 1))),
        changed("body-zero", [Tampered; 4], damaged(|file| file[BODY..].fill(0))),
        changed(
            "body-of-an-earlier-generation",
            [Tampered; 4],
            damaged(|file| file[BODY..].copy_from_slice(&earlier[BODY..])),
        ),
        changed(
            "body-with-salt-and-commitment-of-an-earlier-generation",
            [Tampered; 4],
            forged(|file| {
                file[40..104].copy_from_slice(&earlier[40..104]);
                file[BODY..].copy_from_slice(&earlier[BODY..]);
            }),
        ),
        changed("body-of-another-key", [Tampered; 4], sealed(|draft| draft.body_store_key = Some([0x5A; 32]))),
        // With the key: the tag is right.
        changed(
            "body-commitment-wrong-in-its-first-byte",
            [Tampered; 4],
            sealed(|draft| draft.wrong_byte_of_commitment = Some(0)),
        ),
        changed(
            "body-commitment-wrong-in-its-last-byte",
            [Tampered; 4],
            sealed(|draft| draft.wrong_byte_of_commitment = Some(31)),
        ),
        changed(
            "body-does-not-match-its-commitment",
            [Tampered; 4],
            sealed(|draft| draft.body_commitment = Some([0; 32])),
        ),
    ]
}
