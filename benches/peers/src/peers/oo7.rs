//! oo7's keyring in a file, the one that sandboxed applications have: each token is an item, sealed by itself. Opening
//! it derives a key from its secret by PBKDF2, which cannot be measured apart, and checks each item. What it writes it
//! syncs, then renames; the directory is not synced, so that a power cut may undo a save.

use std::{collections::HashMap, hint::black_box, path::Path};

use oo7::{Secret, file::UnlockedKeyring};
use tokio::runtime::Runtime;

use crate::{
    peer::{By, Peer},
    rows::Row,
};

pub struct Oo7 {
    runtime: Runtime,
    keyring: UnlockedKeyring,
}

type Attributes = HashMap<String, String>;

const LABEL: &str = "a token";

fn load(directory: &Path) -> Oo7 {
    let runtime = Runtime::new().unwrap();
    let secret = Secret::from(&[7; 64]);
    let keyring = runtime.block_on(UnlockedKeyring::load(directory.join("tokens.keyring"), secret)).unwrap();
    Oo7 { runtime, keyring }
}

fn one(by: By, row: &Row) -> Attributes {
    Attributes::from([(format!("{by:?}"), by.value(row).to_owned())])
}

/// All that an item can be found by.
fn attributes(row: &Row) -> Attributes {
    [By::Id, By::User, By::RefreshToken].into_iter().flat_map(|by| one(by, row)).collect()
}

fn secret(row: &Row) -> Secret {
    Secret::from(serde_json::to_vec(row).unwrap())
}

impl Peer for Oo7 {
    type Query = Attributes;

    fn fill(directory: &Path, rows: Vec<Row>) {
        let Oo7 { runtime, keyring } = load(directory);
        let items = rows.iter().map(|row| (LABEL.to_owned(), attributes(row), secret(row), false)).collect();
        runtime.block_on(keyring.create_items(items)).unwrap();
    }

    fn open(directory: &Path) -> Self {
        load(directory)
    }

    fn query(&self, by: By, row: &Row) -> Attributes {
        one(by, row)
    }

    fn find(&self, query: &Attributes) -> bool {
        let found = self.runtime.block_on(self.keyring.lookup_item(query)).unwrap();
        let row = found.map(|item| serde_json::from_slice::<Row>(&item.as_unlocked().secret()).unwrap());
        black_box(row).is_some()
    }

    fn save(&self, row: &Row) {
        self.runtime.block_on(self.keyring.create_item(LABEL, &attributes(row), secret(row), true)).unwrap();
    }

    fn delete(&self, row: &Row) {
        self.runtime.block_on(self.keyring.delete(&one(By::Id, row))).unwrap();
    }

    fn list(&self) -> usize {
        let items = self.runtime.block_on(self.keyring.items()).unwrap();
        let rows = items.into_iter().map(|item| serde_json::from_slice(&item.unwrap().as_unlocked().secret()).unwrap());
        black_box(rows.collect::<Vec<Row>>()).len()
    }
}
