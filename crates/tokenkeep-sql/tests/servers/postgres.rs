//! The database of this test program: PostgreSQL.

use std::{path::Path, process::Command, sync::LazyLock};

use postgres::{Client, Config, NoTls, types::Type};
use tokenkeep_sql::Database;

use crate::{
    common::{Value, hex},
    server::{Server, require},
};

pub(crate) use crate::{server::Place, servers::proxy::Proxy as Counter};

pub(crate) const SCHEME: &str = "postgres://";
/// The connections to the database, without the one that asks.
pub(crate) const CONNECTIONS: &str = "SELECT pid::int8 FROM pg_stat_activity \
                                      WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY pid";
/// What it costs to begin a change: `BEGIN`, the count and the store's row.
pub(crate) const TO_BEGIN: usize = 1;

/// As README.md starts one, on a port of its own, with data that a command makes.
fn prepare(make_data: &str) -> String {
    format!(
        r#"
dir=$(mktemp -d /var/tmp/tokenkeep-postgres.XXXXXX)
chown postgres "$dir"
bin=/usr/lib/postgresql/15/bin
as='setpriv --reuid=postgres --regid=postgres --init-groups'
touch "$dir/log"
cd "$dir"
{make_data}
SERVER="$as $bin/postgres -D $dir/data -p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir"
"#
    )
}

const NEW_DATA: &str = r#"
echo hunter2 > "$dir/password"
chown postgres "$dir/password"
$as $bin/initdb -D "$dir/data" -U app --auth-local=trust --auth-host=scram-sha-256 --pwfile="$dir/password" -N \
    >> "$dir/log" 2>&1
"#;

pub(crate) static SHARED: LazyLock<Server> = LazyLock::new(|| start(&["-c", "fsync=off", "-c", "max_connections=300"]));

/// A server with the user `app` whose password is `hunter2`.
pub(crate) fn start(flags: &[&str]) -> Server {
    start_with(&prepare(NEW_DATA), flags)
}

/// A server that repeats what another one does, and can be read.
pub(crate) fn start_standby(primary: &Server) -> Server {
    let copy = format!(
        "$as $bin/pg_basebackup -D \"$dir/data\" -R -X stream -c fast -U app -h '{}' -p {} >> \"$dir/log\" 2>&1",
        primary.directory.display(),
        primary.port
    );
    start_with(&prepare(&copy), &[])
}

fn start_with(prepare: &str, flags: &[&str]) -> Server {
    require("initdb", "postgresql");
    let server = Server::start(prepare, flags);
    drop(server.wait_for(|| connect(&server, "postgres")));
    server
}

/// As the administrator, through the socket.
pub(crate) fn connect(server: &Server, database: &str) -> Result<Client, String> {
    let mut config = Config::new();
    config.host_path(&server.directory).port(server.port).user("app").dbname(database);
    config.connect(NoTls).map_err(|error| error.to_string())
}

/// Makes a database without tables.
pub(crate) fn create(server: &Server, database: &str) {
    // Not in an async task of a test: this driver panics there.
    std::thread::scope(|scope| {
        let create = || {
            connect(server, "postgres")?
                .batch_execute(&format!("CREATE DATABASE {database}"))
                .map_err(|error| error.to_string())
        };
        scope.spawn(create).join().unwrap().unwrap();
    });
}

/// The server deletes no database that somebody is connected to; it goes with all of its own at the end.
pub(crate) fn delete(_: &Server, _: &str) {}

impl Place {
    /// Whether the database finds itself sound.
    pub(crate) fn check(&self) {
        // Reads each row without the indexes, and compares their number with the index's.
        let count = |scan: &str| {
            let mut admin = self.admin();
            admin.try_execute(&format!("SET enable_{scan} = off")).unwrap();
            admin.rows("SELECT count(*) FROM tokenkeep_tokens WHERE place >= 0 AND sealed IS NOT NULL")
        };
        assert_eq!(count("seqscan"), count("indexscan"));
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin(connect(self.server, &self.database).unwrap())
    }
}

pub(crate) struct Admin(pub(crate) Client);

impl Admin {
    /// One after the other, because some do not work in the transaction that several of them make.
    pub(crate) fn try_execute(&mut self, statements: &str) -> Result<(), String> {
        statements.split("; ").try_for_each(|statement| {
            self.0
                .batch_execute(statement)
                .map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string))
        })
    }

    pub(crate) fn rows(&mut self, query: &str) -> Vec<Vec<Value>> {
        let rows = self.0.query(query, &[]).unwrap();
        rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect()
    }
}

fn value(row: &postgres::Row, column: usize) -> Value {
    match *row.columns()[column].type_() {
        Type::INT8 => row.get::<_, Option<i64>>(column).map_or(Value::Null, Value::Integer),
        Type::BYTEA => row.get::<_, Option<Vec<u8>>>(column).map_or(Value::Null, Value::Bytes),
        Type::TEXT | Type::VARCHAR | Type::NAME => {
            row.get::<_, Option<String>>(column).map_or(Value::Null, Value::Text)
        }
        ref other => panic!("no column of ours: {other}"),
    }
}

pub(crate) fn literal(bytes: &[u8]) -> String {
    format!("'\\x{}'::bytea", hex(bytes))
}

pub(crate) fn columns(table: &str) -> String {
    format!(
        "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}' \
         ORDER BY ordinal_position"
    )
}

/// Changes that cut a value.
pub(crate) const TRUNCATIONS: &[&str] = &[
    "UPDATE tokenkeep_tokens SET sealed = substring(sealed FROM 1 FOR 100)",
    "UPDATE tokenkeep_tokens SET namespace_index = substring(namespace_index FROM 1 FOR 31)",
];

/// A value of 8 MiB.
pub(crate) const LONG_VALUE: &str = "UPDATE tokenkeep_tokens SET sealed = decode(repeat('78', 8 * 1024 * 1024), 'hex')";

/// Keeps others from reading the tokens.
pub(crate) const LOCK_TOKENS: &str = "BEGIN; LOCK TABLE tokenkeep_tokens IN ACCESS EXCLUSIVE MODE";
pub(crate) const UNLOCK_TOKENS: &str = "COMMIT";

/// Makes the server refuse all changes, as hosting companies do when the disk is nearly full, and take them again.
pub(crate) const READ_ONLY: &[[&str; 2]] = &[[
    "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()",
    "ALTER SYSTEM SET default_transaction_read_only = off; SELECT pg_reload_conf()",
]];

/// A server that has room for a few megabytes of tables.
pub(crate) fn start_small() -> Server {
    let server = start_with(&(prepare(NEW_DATA) + SMALL_DISK), &[]);
    let small = format!("CREATE TABLESPACE small LOCATION '{}'", server.directory.join("small").display());
    let mut admin = connect(&server, "postgres").unwrap();
    admin.batch_execute(&small).unwrap();
    admin.batch_execute("ALTER SYSTEM SET default_tablespace = small").unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    server
}

/// The mount is the server's own, and goes with it.
const SMALL_DISK: &str = r#"
mkdir "$dir/small"
cat > "$dir/start" <<END
mount -t tmpfs -o size=1m,mode=700,uid=$(id -u postgres) none "$dir/small"
exec $SERVER "\$@"
END
SERVER="unshare --mount --propagation private bash $dir/start"
"#;

/// A server that can encrypt, with the certificates of a directory.
pub(crate) fn start_encrypted(certificates: &Path) -> Server {
    // The server takes no key that others may read.
    let key = certificates.join("server.key");
    let owned =
        Command::new("bash").args(["-c", "chown postgres \"$1\" && chmod 600 \"$1\"", "own"]).arg(&key).status();
    assert!(owned.unwrap().success());
    let certificate = format!("ssl_cert_file={}", certificates.join("server.pem").display());
    start(&["-c", "ssl=on", "-c", &certificate, "-c", &format!("ssl_key_file={}", key.display())])
}

impl Place {
    /// A user that may only read.
    pub(crate) fn reader(&self) -> String {
        let name = format!("r{}", self.database);
        let statements =
            format!("CREATE ROLE {name} LOGIN PASSWORD 'r'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}");
        self.admin().try_execute(&statements).unwrap();
        self.url().replace("app:hunter2", &format!("{name}:r"))
    }

    pub(crate) fn by_parts(&self, host: &str) -> Database {
        Database::postgres(host, &self.database)
    }

    pub(crate) fn socket(&self) -> String {
        self.server.directory.to_str().unwrap().to_owned()
    }

    pub(crate) fn has_encrypted_connection(&self) -> bool {
        !self
            .admin()
            .rows("SELECT client_addr::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl")
            .is_empty()
    }
}
