//! The statements on the two tables. `docs/database.md` describes the tables.

use tokenkeep::matching::Criterion;

use crate::{
    engine::{
        ColumnType::{self, Fixed, KeyTable, Number, Sealed, Text},
        Dialect, Indexes,
    },
    tables::Tables,
};

/// The version of the schema that this crate writes and reads.
pub(crate) const VERSION: i64 = 1;

/// A column's name, its type, and what else is said of it.
type Column = (&'static str, ColumnType, &'static str);

const STORE: [Column; 10] = [
    ("singleton", Number, "NOT NULL PRIMARY KEY CHECK (singleton = 1)"),
    ("schema_version", Number, "NOT NULL"),
    ("table_id", Fixed(16), "NOT NULL"),
    ("key_id", Fixed(8), "NOT NULL"),
    ("key_table_revision", Number, "NOT NULL"),
    ("key_table", KeyTable, "NOT NULL"),
    ("next_id", Number, "NOT NULL"),
    ("next_place", Number, "NOT NULL"),
    ("counter", Number, "NOT NULL"),
    ("lease_counter", Number, "NOT NULL"),
];

const TOKENS: [Column; 14] = [
    ("place", Number, "NOT NULL PRIMARY KEY"),
    ("revision", Number, "NOT NULL"),
    ("key_id", Fixed(8), "NOT NULL"),
    ("namespace_index", Fixed(32), "NOT NULL"),
    ("id_index", Fixed(32), "NOT NULL"),
    ("user_name_index", Fixed(32), ""),
    ("user_and_client_index", Fixed(32), ""),
    ("access_token_index", Fixed(32), ""),
    ("grant_token_index", Fixed(32), ""),
    ("refresh_token_index", Fixed(32), ""),
    ("lease_holder", Text, ""),
    ("lease_until", Number, ""),
    ("lease_started", Number, "NOT NULL DEFAULT 0"),
    ("sealed", Sealed, "NOT NULL"),
];

/// The indexed columns of tokens, without the `_index` of their names.
const UNIQUE: [&str; 2] = ["id", "user_and_client"];
const NOT_UNIQUE: [&str; 5] = ["namespace", "user_name", "access_token", "grant_token", "refresh_token"];

/// The statements that create the tables, if they do not exist.
pub(crate) fn create_tables(Tables { store, tokens }: &Tables, dialect: &Dialect) -> Vec<String> {
    let indexes = UNIQUE.map(|name| ("UNIQUE ", name)).into_iter().chain(NOT_UNIQUE.map(|name| ("", name)));
    let create = |table: &str, columns: &[Column], indexes: Vec<String>| {
        let column = |(name, of_type, more): &Column| {
            format!("{name} {} {more}", (dialect.column_type)(*of_type)).trim_end().to_owned()
        };
        let parts = columns.iter().map(column).chain(indexes).collect::<Vec<_>>().join(", ");
        format!("CREATE TABLE IF NOT EXISTS {table} ({parts}){}", dialect.table_options)
    };
    let (inside, apart) = match dialect.indexes {
        Indexes::InTheTable => {
            (indexes.map(|(unique, name)| format!("{unique}KEY {name} ({name}_index)")).collect(), Vec::new())
        }
        Indexes::Apart => {
            let apart = |(unique, name)| {
                format!("CREATE {unique}INDEX IF NOT EXISTS {tokens}_{name} ON {tokens} ({name}_index)")
            };
            (Vec::new(), indexes.map(apart).collect())
        }
    };
    let after = dialect.after_creation.map(|statement| statement(tokens));
    let tables = [create(store, &STORE, Vec::new()), create(tokens, &TOKENS, inside)];
    tables.into_iter().chain(after).chain(apart).collect()
}

/// The columns of a row of tokens that are sealed or bound to what is sealed, in the order of every query.
const TOKEN_COLUMNS: [&str; 11] = [
    "place",
    "revision",
    "key_id",
    "namespace_index",
    "id_index",
    "user_name_index",
    "user_and_client_index",
    "access_token_index",
    "grant_token_index",
    "refresh_token_index",
    "sealed",
];

/// Every statement on a store. `?` stands for a parameter; each parameter is used once, in the order of the text.
pub(crate) struct Statements {
    pub(crate) schema_version: String,
    pub(crate) insert_store: String,
    pub(crate) store: String,
    pub(crate) counter: String,
    pub(crate) count: String,
    pub(crate) count_lease: String,
    pub(crate) set_next: String,
    pub(crate) set_key_table: String,
    by_id: String,
    by_user_name: String,
    pub(crate) by_user_and_client: String,
    by_access_token: String,
    by_grant_token: String,
    by_refresh_token: String,
    pub(crate) of_namespace: String,
    pub(crate) first_of_namespaces: String,
    pub(crate) after: String,
    pub(crate) first_row: String,
    pub(crate) insert: String,
    updates: Vec<String>,
    pub(crate) seal_again: String,
    pub(crate) delete: String,
    pub(crate) delete_namespace: String,
    pub(crate) lease: String,
    pub(crate) take_lease: String,
    pub(crate) start_lease: String,
    pub(crate) renew_lease: String,
    pub(crate) finish_lease: String,
    pub(crate) drop_lease: String,
}

impl Statements {
    pub(crate) fn new(Tables { store, tokens }: &Tables, dialect: &Dialect) -> Self {
        let columns = |prefix: &str| TOKEN_COLUMNS.map(|column| format!("{prefix}{column}")).join(", ");
        let of_token = columns("t.");
        let now = dialect.now;
        // The store's row comes with each answer, also if no token is found: it says whose rows these are. They are
        // sorted by the reader: MariaDB would write them to a temporary table to sort them, which takes longer than the
        // rest.
        let select = |rows: &str| {
            format!(
                "SELECT s.key_id, s.key_table_revision, {of_token} FROM {store} s LEFT JOIN {rows} WHERE s.singleton = 1"
            )
        };
        let by = |column: &str| select(&format!("{tokens} t ON t.{column} = ?"));
        let is_held = format!("id_index = ? AND lease_holder = ? AND lease_until > {now}");
        let values = vec!["?"; TOKEN_COLUMNS.len()].join(", ");
        let set =
            |columns: &[&str]| columns.iter().map(|column| format!("{column} = ?")).collect::<Vec<_>>().join(", ");
        // A database writes the index of each column that a statement sets, also where the value stays the same.
        let update = |changed: Changed| {
            let columns: Vec<_> = ["revision", "sealed"].into_iter().chain(changed.columns()).collect();
            format!("UPDATE {tokens} SET {} WHERE place = ?", set(&columns))
        };
        let text = |statement: String| number_parameters(&statement, dialect.placeholder);
        Self {
            schema_version: text(format!("SELECT schema_version FROM {store} WHERE singleton = 1")),
            insert_store: text(format!(
                "INSERT INTO {store} (singleton, schema_version, table_id, key_id, key_table_revision, key_table, \
                 next_id, next_place, counter, lease_counter) VALUES (1, {VERSION}, ?, ?, ?, ?, 1, 0, 0, 0)"
            )),
            store: text(format!(
                "SELECT table_id, key_id, key_table_revision, key_table, next_id, next_place, counter FROM {store} \
                 WHERE singleton = 1"
            )),
            counter: text(format!("SELECT counter FROM {store} WHERE singleton = 1")),
            count: text(format!("UPDATE {store} SET counter = counter + 1 WHERE singleton = 1")),
            count_lease: text(format!("UPDATE {store} SET lease_counter = lease_counter + 1 WHERE singleton = 1")),
            set_next: text(format!("UPDATE {store} SET next_id = ?, next_place = ? WHERE singleton = 1")),
            set_key_table: text(format!(
                "UPDATE {store} SET key_table = ?, key_id = ?, key_table_revision = ? WHERE singleton = 1"
            )),
            by_id: text(by("id_index")),
            by_user_name: text(by("user_name_index")),
            by_user_and_client: text(by("user_and_client_index")),
            by_access_token: text(by("access_token_index")),
            by_grant_token: text(by("grant_token_index")),
            by_refresh_token: text(by("refresh_token_index")),
            of_namespace: text(by("namespace_index")),
            first_of_namespaces: text(select(&format!(
                "{tokens} t ON t.place IN (SELECT MIN(place) FROM {tokens} GROUP BY namespace_index)"
            ))),
            after: text(select(&format!(
                "(SELECT * FROM {tokens} WHERE place > ? ORDER BY place LIMIT 256) t ON t.place >= 0"
            ))),
            // All columns by their names, so that the table of another program is noticed.
            first_row: text(format!(
                "SELECT {} FROM {tokens} ORDER BY place LIMIT 1",
                TOKENS.map(|(column, ..)| column).join(", ")
            )),
            insert: text(format!("INSERT INTO {tokens} ({}) VALUES ({values})", columns(""))),
            updates: Changed::all().map(|changed| text(update(changed))).collect(),
            seal_again: text(format!("UPDATE {tokens} SET {} WHERE place = ?", set(&TOKEN_COLUMNS[1..]))),
            delete: text(format!("DELETE FROM {tokens} WHERE place = ?")),
            delete_namespace: text(format!("DELETE FROM {tokens} WHERE namespace_index = ?")),
            lease: text(format!(
                "SELECT lease_holder, lease_until, lease_started, {now} FROM {tokens} WHERE id_index = ?"
            )),
            take_lease: text(format!(
                "UPDATE {tokens} SET lease_holder = ?, lease_until = {now} + ? WHERE id_index = ?"
            )),
            start_lease: text(format!("UPDATE {tokens} SET lease_started = 1 WHERE {is_held}")),
            renew_lease: text(format!("UPDATE {tokens} SET lease_until = {now} + ? WHERE {is_held}")),
            finish_lease: text(format!(
                "UPDATE {tokens} SET lease_holder = NULL, lease_until = NULL, lease_started = 0 WHERE {is_held}"
            )),
            drop_lease: text(format!("UPDATE {tokens} SET lease_holder = NULL, lease_until = NULL WHERE {is_held}")),
        }
    }

    /// The statement that writes a row again, with the blind indexes that have changed.
    pub(crate) fn update(&self, changed: Changed) -> &str {
        self.updates.get(usize::from(changed.0)).map_or("", String::as_str)
    }

    pub(crate) fn by(&self, criterion: Criterion<'_>) -> &str {
        match criterion {
            Criterion::Id(_) => &self.by_id,
            Criterion::UserName(_) => &self.by_user_name,
            Criterion::AccessToken(_) => &self.by_access_token,
            Criterion::GrantToken(_) => &self.by_grant_token,
            Criterion::RefreshToken(_) => &self.by_refresh_token,
        }
    }
}

/// Which blind indexes of a row have changed: a bit for each column that can.
#[derive(Clone, Copy)]
pub(crate) struct Changed(pub(crate) u8);

impl Changed {
    /// The columns that a save can change, in the order of the bits.
    pub(crate) const COLUMNS: [&'static str; 5] =
        ["user_name_index", "user_and_client_index", "access_token_index", "grant_token_index", "refresh_token_index"];

    fn all() -> impl Iterator<Item = Self> {
        (0..1 << Self::COLUMNS.len()).map(Self)
    }

    /// Whether the column of that number has changed.
    pub(crate) fn has(self, column: usize) -> bool {
        self.0 & (1 << column) != 0
    }

    fn columns(self) -> impl Iterator<Item = &'static str> {
        Self::COLUMNS.into_iter().enumerate().filter(move |(column, _)| self.has(*column)).map(|(_, name)| name)
    }
}

/// Puts the database's own placeholders in the place of question marks.
pub(crate) fn number_parameters(statement: &str, placeholder: fn(usize) -> String) -> String {
    let mut parts = statement.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (part, number) in parts.zip(1..) {
        numbered.push_str(&placeholder(number));
        numbered.push_str(part);
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_in_their_order() {
        assert_eq!(number_parameters("a = ? AND b = ?", |number| format!("${number}")), "a = $1 AND b = $2");
        assert_eq!(number_parameters("no parameter", |_| "?".to_owned()), "no parameter");
    }
}
