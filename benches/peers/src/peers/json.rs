//! What many applications do: all rows in memory, and a JSON file that is replaced as a whole at each change. In plain
//! text, and what another process writes to the file is neither seen nor kept.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    hint::black_box,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::{
    peer::{By, Peer},
    rows::Row,
};

pub struct Json {
    directory: PathBuf,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<u64, Row>,
    users: HashMap<String, u64>,
    refresh_tokens: HashMap<String, u64>,
}

pub struct Query {
    by: By,
    value: String,
}

impl Table {
    fn put(&mut self, row: Row) {
        let id = row.id.parse().unwrap();
        self.users.insert(row.user_name.clone(), id);
        self.refresh_tokens.insert(row.refresh_token.clone(), id);
        self.rows.insert(id, row);
    }

    fn write(&self, directory: &Path) {
        let temporary = directory.join("tokens.json.tmp");
        let mut file = BufWriter::new(File::create(&temporary).unwrap());
        serde_json::to_writer(&mut file, &self.rows.values().collect::<Vec<_>>()).unwrap();
        file.flush().unwrap();
        file.get_ref().sync_all().unwrap();
        fs::rename(temporary, directory.join("tokens.json")).unwrap();
        File::open(directory).unwrap().sync_all().unwrap();
    }
}

impl Peer for Json {
    type Query = Query;

    fn fill(directory: &Path, rows: Vec<Row>) {
        let mut table = Table::default();
        rows.into_iter().for_each(|row| table.put(row));
        table.write(directory);
    }

    fn open(directory: &Path) -> Self {
        let rows: Vec<Row> = serde_json::from_slice(&fs::read(directory.join("tokens.json")).unwrap()).unwrap();
        let mut table = Table::default();
        rows.into_iter().for_each(|row| table.put(row));
        Self { directory: directory.to_owned(), table: Mutex::new(table) }
    }

    fn query(&self, by: By, row: &Row) -> Query {
        Query { by, value: by.value(row).to_owned() }
    }

    fn find(&self, query: &Query) -> bool {
        let table = self.table.lock().unwrap();
        let id = match query.by {
            By::Id => query.value.parse().ok(),
            By::User => table.users.get(&query.value).copied(),
            By::RefreshToken => table.refresh_tokens.get(&query.value).copied(),
        };
        black_box(id.and_then(|id| table.rows.get(&id)).cloned()).is_some()
    }

    fn save(&self, row: &Row) {
        let mut table = self.table.lock().unwrap();
        table.put(row.clone());
        table.write(&self.directory);
    }

    fn delete(&self, row: &Row) {
        let mut table = self.table.lock().unwrap();
        table.rows.remove(&row.id.parse().unwrap()).unwrap();
        table.users.remove(&row.user_name);
        table.refresh_tokens.remove(&row.refresh_token);
        table.write(&self.directory);
    }

    fn list(&self) -> usize {
        black_box(self.table.lock().unwrap().rows.values().cloned().collect::<Vec<_>>()).len()
    }
}
