//! The database of this test program: MariaDB.

use std::{path::Path, sync::LazyLock};

use mysql::{Conn, OptsBuilder, prelude::Queryable};
use tokenkeep_sql::Database;

use crate::{
    common::{Value, hex},
    server::{Server, require},
};

pub(crate) use crate::{server::Place, servers::proxy::Proxy as Counter};

pub(crate) const SCHEME: &str = "mysql://";
/// The connections to the database, without the one that asks.
pub(crate) const CONNECTIONS: &str = "SELECT id FROM information_schema.processlist \
                                      WHERE db = DATABASE() AND id <> CONNECTION_ID() ORDER BY id";
/// What it costs to begin a change: `BEGIN`, the count and the store's row.
pub(crate) const TO_BEGIN: usize = 2;

/// As README.md starts one, on a port of its own.
pub(crate) const PREPARE: &str = r#"
dir=$(mktemp -d /var/tmp/tokenkeep-mariadb.XXXXXX)
chown mysql "$dir"
# Two at a time use the same names there.
export TMPDIR=$dir
mariadb-install-db --no-defaults --user=mysql --datadir="$dir/data" --auth-root-authentication-method=normal \
    --skip-test-db > "$dir/log" 2>&1
SERVER="mariadbd --no-defaults --user=mysql --datadir=$dir/data --socket=$dir/socket --port=$port --bind-address=127.0.0.1"
PATH=$PATH:/usr/sbin
"#;

pub(crate) static SHARED: LazyLock<Server> =
    LazyLock::new(|| start(&["--innodb-flush-log-at-trx-commit=0", "--max-connections=500"]));

/// A server with the user `app` whose password is `hunter2`.
pub(crate) fn start(flags: &[&str]) -> Server {
    require("mariadbd", "mariadb-server");
    let server = Server::start(PREPARE, flags);
    let mut root = server.wait_for(|| connect(&server, "mysql"));
    root.query_drop("CREATE USER app@'%' IDENTIFIED BY 'hunter2'").unwrap();
    root.query_drop("GRANT ALL ON *.* TO app@'%'").unwrap();
    // An application that may write to a replica would not notice that it is one.
    root.query_drop("REVOKE READ_ONLY ADMIN ON *.* FROM app@'%'").unwrap();
    server
}

/// As root, through the socket.
pub(crate) fn connect(server: &Server, database: &str) -> Result<Conn, String> {
    let socket = server.directory.join("socket");
    let options = OptsBuilder::new().socket(socket.to_str()).user(Some("root")).db_name(Some(database));
    Conn::new(options).map_err(|error| error.to_string())
}

/// Makes a database without tables.
pub(crate) fn create(server: &Server, database: &str) {
    connect(server, "mysql").unwrap().query_drop(format!("CREATE DATABASE {database}")).unwrap();
}

/// Deletes a database, if the server still runs.
pub(crate) fn delete(server: &Server, database: &str) {
    if let Ok(mut root) = connect(server, "mysql") {
        let _ = root.query_drop(format!("DROP DATABASE {database}"));
    }
}

impl Place {
    /// Whether the database finds itself sound.
    pub(crate) fn check(&self) {
        let report: Vec<mysql::Row> = self.admin().0.query("CHECK TABLE tokenkeep_tokens, tokenkeep_store").unwrap();
        assert!(report.iter().all(|row| row.get::<String, _>("Msg_text").unwrap() == "OK"), "{report:?}");
    }

    pub(crate) fn admin(&self) -> Admin {
        let mut admin = connect(self.server, &self.database).unwrap();
        admin.query_drop("SET SESSION sql_mode = 'STRICT_ALL_TABLES,ANSI_QUOTES'").unwrap();
        Admin(admin)
    }
}

pub(crate) struct Admin(pub(crate) Conn);

impl Admin {
    pub(crate) fn try_execute(&mut self, statements: &str) -> Result<(), String> {
        statements.split("; ").try_for_each(|statement| {
            self.0.query_drop(statement.trim_end_matches(';')).map_err(|error| error.to_string())
        })
    }

    pub(crate) fn rows(&mut self, query: &str) -> Vec<Vec<Value>> {
        // The binary protocol keeps numbers apart from texts.
        let rows: Vec<mysql::Row> = self.0.exec(query, ()).unwrap();
        rows.into_iter().map(values).collect()
    }
}

fn values(row: mysql::Row) -> Vec<Value> {
    let columns = row.columns();
    let value = |(value, column): (mysql::Value, &mysql::Column)| match value {
        mysql::Value::NULL => Value::Null,
        mysql::Value::Int(number) => Value::Integer(number),
        mysql::Value::UInt(number) => Value::Integer(number.try_into().unwrap()),
        mysql::Value::Bytes(bytes) if column.character_set() == 63 => Value::Bytes(bytes),
        mysql::Value::Bytes(bytes) => Value::Text(String::from_utf8(bytes).unwrap()),
        other => panic!("no column of ours: {other:?}"),
    };
    row.unwrap().into_iter().zip(&*columns).map(value).collect()
}

pub(crate) fn literal(bytes: &[u8]) -> String {
    format!("x'{}'", hex(bytes))
}

pub(crate) fn columns(table: &str) -> String {
    format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = '{table}' \
         ORDER BY ordinal_position"
    )
}

/// Changes that cut a value, with columns that let it be cut.
pub(crate) const TRUNCATIONS: &[&str] = &[
    "UPDATE tokenkeep_tokens SET sealed = SUBSTRING(sealed, 1, 100)",
    "ALTER TABLE tokenkeep_tokens MODIFY id_index VARBINARY(32); ALTER TABLE tokenkeep_tokens MODIFY namespace_index VARBINARY(32); \
     UPDATE tokenkeep_tokens SET namespace_index = SUBSTRING(namespace_index, 1, 31)",
];

/// A value of 8 MiB.
pub(crate) const LONG_VALUE: &str = "UPDATE tokenkeep_tokens SET sealed = REPEAT('x', 8 * 1024 * 1024)";

/// Keeps others from reading the tokens.
pub(crate) const LOCK_TOKENS: &str = "LOCK TABLES tokenkeep_tokens WRITE";
pub(crate) const UNLOCK_TOKENS: &str = "UNLOCK TABLES";

/// Makes the server refuse all changes, as a replica does or for maintenance, and take them again.
pub(crate) const READ_ONLY: &[[&str; 2]] = &[
    ["SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF"],
    ["SET GLOBAL tx_read_only = ON", "SET GLOBAL tx_read_only = OFF"],
];

/// A server that has room for a few megabytes.
pub(crate) fn start_small() -> Server {
    start(&["--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M:autoextend:max:14M"])
}

/// A server that can encrypt, with the certificates of a directory.
pub(crate) fn start_encrypted(certificates: &Path) -> Server {
    let file = |option: &str, name: &str| format!("--ssl-{option}={}", certificates.join(name).display());
    start(&[&file("ca", "ca.pem"), &file("cert", "server.pem"), &file("key", "server.key")])
}

impl Place {
    /// A user that may only read.
    pub(crate) fn reader(&self) -> String {
        let mut root = self.admin();
        root.try_execute(&format!(
            "CREATE USER r{0}@'%' IDENTIFIED BY 'r'; GRANT SELECT ON {0}.* TO r{0}@'%'",
            self.database
        ))
        .unwrap();
        self.url().replace("app:hunter2", &format!("r{}:r", self.database))
    }

    pub(crate) fn by_parts(&self, host: &str) -> Database {
        Database::mysql(host, &self.database)
    }

    pub(crate) fn socket(&self) -> String {
        self.server.directory.join("socket").to_str().unwrap().to_owned()
    }

    pub(crate) fn has_encrypted_connection(&self) -> bool {
        // Of the server, since it was started.
        let rows: Vec<(String, String)> =
            self.admin().0.query("SHOW GLOBAL STATUS LIKE 'Ssl_finished_accepts'").unwrap();
        rows[0].1 != "0"
    }
}
