//! Key tables without a file: those that open, and those that are refused.

use serde_json::{Value, json};

use super::super::{store_id, store_key};
use crate::{
    catalogue::{RECOVERY_KEY, key_from},
    reader::{self, Secret, hex},
    writer::{Note, Slot, Table, external_data},
};

pub(super) fn key_tables() -> Vec<Value> {
    let altered = |alter: fn(&mut Table)| {
        let mut table = sound();
        alter(&mut table);
        table.seal().0
    };
    let damaged = |alter: fn(&mut Vec<u8>)| {
        let mut bytes = sound().seal().0;
        alter(&mut bytes);
        bytes
    };
    vec![
        opened(&sound().seal().0),
        opened(&largest()),
        refused("empty", &[]),
        refused("no keystore", &altered(|table| table.magic = *b"\x89TKP\r\n\x1a\n")),
        refused("no keystore", b"\x89TKX"),
        refused("truncated", &damaged(|bytes| bytes.truncate(8))),
        refused("truncated", &damaged(|bytes| bytes.truncate(9))),
        refused("unsupported version", &altered(|table| table.version = 2)),
        refused("unsupported version", &damaged(|bytes| bytes[8] = 2)),
        refused("damaged", &damaged(|bytes| bytes.truncate(10))),
        refused("damaged", &damaged(|bytes| bytes.truncate(300))),
        refused("damaged", &damaged(|bytes| bytes.truncate(bytes.len() - 1))),
        refused("damaged", &damaged(|bytes| bytes.push(0))),
        refused("damaged", &damaged(|bytes| *bytes.last_mut().unwrap() ^= 1)),
        refused("malformed", &altered(|table| table.reserved[0] = 1)),
        refused("malformed", &altered(|table| table.alter = Box::new(|bytes| bytes.push(0)))),
        // In all one byte more than a key table can have.
        refused("malformed", &altered(|table| table.alter = Box::new(|bytes| bytes.resize(12_177 - 64, 0)))),
        refused("cost out of bounds", &altered(|table| table.slots[1].t = 17)),
        refused("wrong secret", &altered(|table| table.slots[0] = Slot::recovery_key(0x41, key_from(1)))),
        refused("tampered", &altered(|table| table.alter_mac = Box::new(|mac| mac[31] ^= 1))),
        refused("malformed", &altered(|table| table.alter_sealed_notes = Box::new(|notes| notes[3] ^= 1))),
        refused("malformed", &altered(|table| table.notes[2].label_len = 257)),
        refused("malformed", &altered(|table| table.key_id = Some(*b"another "))),
    ]
}

/// With a slot of each kind.
fn sound() -> Table {
    let slots = vec![
        Slot::recovery_key(0x41, key_from(0)),
        Slot::passphrase(0x42, "of a key table"),
        Slot::keychain(0x43, key_from(0x20)),
        Slot::external(0x44, key_from(0x60), external_data("a provider", b"public data")),
    ];
    let mut table = Table::new(store_id("key tables"), store_key("key tables"), slots);
    table.revision = 3;
    table.notes[2] = Note::new("another label", 0);
    table
}

/// Larger than many a limit.
fn largest() -> Vec<u8> {
    let external = |n| Slot::external(n, key_from(0x60), external_data("p".repeat(64), &[n; 1024]));
    let mut slots: Vec<_> = (0x51..0x58).map(external).collect();
    slots.push(Slot::recovery_key(0x58, key_from(0)));
    Table::new(store_id("largest key table"), store_key("largest key table"), slots).seal().0
}

fn opened(table: &[u8]) -> Value {
    let mut in_json = reader::try_read_table(table, &Secret::RecoveryKey(RECOVERY_KEY)).unwrap();
    in_json["table"] = hex(table).into();
    in_json["recovery_key"] = RECOVERY_KEY.into();
    in_json
}

fn refused(class: reader::Class, table: &[u8]) -> Value {
    assert_eq!(reader::try_read_table(table, &Secret::RecoveryKey(RECOVERY_KEY)), Err(class), "{}", hex(table));
    json!({"table": hex(table), "recovery_key": RECOVERY_KEY, "refused": class})
}
