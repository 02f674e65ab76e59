//! MySQL and MariaDB, through the crate of that name.

use std::{collections::HashMap, io, sync::mpsc, thread, time::Duration};

use mysql::{
    Conn, DriverError, Error, OptsBuilder, Params, SslOpts, Statement, Value, consts::CapabilityFlags,
    prelude::Queryable,
};

use super::{
    Cell, ColumnType, Connection, Dialect, EachRow, Engine, Failure, FailureKind, First, Indexes, Parameter, Row,
};
use crate::server::{IDLE_IN_TRANSACTION, MAX_ROW_LEN, Server, use_ring};

/// A database on a MySQL or MariaDB server.
pub(crate) struct Mysql {
    server: Server,
}

impl Mysql {
    pub(crate) fn new(server: &Server) -> Self {
        Self { server: server.clone() }
    }
}

// `READ WRITE` would overrule an administrator.
// Held by `read_only_server_is_read_and_keeps_what_it_has`: `TRANSACTION READ WRITE` instead of `TRANSACTION`.
const BEGIN: &str = "START TRANSACTION";
/// As many as there are statements.
const CACHED_STATEMENTS: usize = 64;
const ISOLATION_LEVEL: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
/// The id of the character set `binary`, which columns of bytes have.
const BINARY: u16 = 63;

static DIALECT: Dialect = Dialect {
    // In the session's time zone, which is UTC: other zones have an hour twice a year that is ambiguous.
    now: "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)",
    placeholder: |_| "?".to_owned(),
    column_type: |of_type| match of_type {
        ColumnType::Number => "BIGINT".to_owned(),
        ColumnType::Fixed(length) => format!("BINARY({length})"),
        ColumnType::KeyTable => "BLOB".to_owned(),
        ColumnType::Sealed => "MEDIUMBLOB".to_owned(),
        ColumnType::Text => "VARBINARY(300)".to_owned(),
    },
    // MySQL creates none apart from its table that may exist already.
    indexes: Indexes::InTheTable,
    table_options: " ENGINE = InnoDB",
    after_creation: None,
    columns_of_table: "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() \
                       AND table_name = ? ORDER BY ordinal_position",
};

impl Engine for Mysql {
    fn connect(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure> {
        self.open(timeout).map(|connection| -> Box<dyn Connection> { Box::new(connection) })
    }

    fn connect_to_read(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure> {
        let mut connection = self.open(timeout)?;
        connection.text("SET SESSION TRANSACTION READ ONLY")?;
        Ok(Box::new(connection))
    }

    /// A database on a server is the administrator's to make.
    fn create_database(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    /// A commit lets the next writer go on before it is on the disk: so many commits reach the disk together.
    fn writers(&self, connections: usize) -> usize {
        connections.saturating_sub(1).max(1)
    }
}

impl Mysql {
    fn open(&self, timeout: Duration) -> Result<MysqlConnection, Failure> {
        let server = &self.server;
        let mut options = OptsBuilder::new()
            .user(Some(&server.user))
            .pass(server.password.as_ref().map(tokenkeep::Secret::expose_secret))
            .db_name(Some(&server.database))
            .prefer_socket(false)
            .tcp_connect_timeout(Some(server.connect_timeout))
            .read_timeout(Some(server.answer_timeout()))
            .write_timeout(Some(server.answer_timeout()))
            .max_allowed_packet(Some(MAX_ROW_LEN))
            .stmt_cache_size(CACHED_STATEMENTS)
            // An update counts the rows that it finds, also where it leaves them as they are.
            .additional_capabilities(CapabilityFlags::CLIENT_FOUND_ROWS);
        options = if server.is_socket() {
            options.socket(Some(&server.host))
        } else {
            options.ip_or_hostname(Some(&server.host)).tcp_port(server.port)
        };
        if server.is_encrypted() {
            use_ring();
            options = options.ssl_opts(SslOpts::default().with_root_cert_path(server.authority.clone()));
        }
        let connection = within(server.connect_timeout, move || Conn::new(options))?;
        let mut connection = MysqlConnection {
            connection,
            statements: HashMap::new(),
            lock_timeout: seconds(timeout),
            is_in_transaction: false,
            is_lost: false,
            is_node: false,
        };
        connection.prepare_session(server, timeout)?;
        Ok(connection)
    }
}

/// The driver has a time-out for each read, and none for connecting as a whole. A connection that comes later is
/// closed.
fn within(timeout: Duration, connect: impl FnOnce() -> mysql::Result<Conn> + Send + 'static) -> Result<Conn, Failure> {
    let lost = |message: String| Failure { kind: FailureKind::Lost, message };
    let (sender, receiver) = mpsc::sync_channel(1);
    let started = thread::Builder::new().name("tokenkeep-connect".to_owned()).spawn(move || {
        let _ = sender.send(connect());
    });
    started.map_err(|error| lost(error.to_string()))?;
    // Held by `server_that_never_answers_ends_at_the_deadline`: `recv()` instead of `recv_timeout(timeout)`.
    let connected = receiver.recv_timeout(timeout);
    connected.map_err(|_| lost("the server did not answer in time".to_owned()))?.map_err(failure)
}

struct MysqlConnection {
    connection: Conn,
    statements: HashMap<String, Statement>,
    /// The one that the session has now, in seconds.
    lock_timeout: u64,
    is_in_transaction: bool,
    is_lost: bool,
    /// Whether the server is a node of a Galera cluster.
    is_node: bool,
}

impl MysqlConnection {
    fn prepare_session(&mut self, server: &Server, timeout: Duration) -> Result<(), Failure> {
        // MySQL has some of these, MariaDB others, and Galera one more.
        let known = "SHOW SESSION VARIABLES WHERE Variable_name IN \
                     ('wsrep_on', 'max_statement_time', 'max_execution_time', 'idle_transaction_timeout')";
        let known: Vec<(String, String)> = self.connection.query(known).map_err(|error| self.failed(error))?;
        let mut settings = vec![
            "time_zone = '+00:00'".to_owned(),
            "autocommit = 1".to_owned(),
            // A value that does not fit is refused, and never cut.
            "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'".to_owned(),
            format!("innodb_lock_wait_timeout = {}", seconds(timeout)),
        ];
        for (name, value) in known {
            settings.push(match &*name {
                "max_statement_time" => format!("{name} = {:.3}", server.statement_timeout.as_secs_f64()),
                "max_execution_time" => format!("{name} = {}", server.statement_timeout.as_millis()),
                "idle_transaction_timeout" => format!("{name} = {}", IDLE_IN_TRANSACTION.as_secs()),
                // What was committed on another node is seen.
                "wsrep_on" if value == "ON" => {
                    self.is_node = true;
                    "wsrep_sync_wait = 1".to_owned()
                }
                _ => continue,
            });
        }
        self.text(&ISOLATION_LEVEL.replace("SET ", "SET SESSION "))?;
        self.text(&format!("SET SESSION {}", settings.join(", SESSION "))).map(drop)
    }

    /// Executes statements that return no rows, and returns how many rows the last one has changed.
    fn text(&mut self, statements: &str) -> Result<u64, Failure> {
        let mut execute = || {
            let mut answers = self.connection.query_iter(statements)?;
            let mut changed = 0;
            while let Some(mut answer) = answers.iter() {
                changed = answer.affected_rows();
                // An error is that of the next statement.
                answer.try_for_each(|row| row.map(drop))?;
            }
            Ok(changed)
        };
        execute().map_err(|error| self.failed(error))
    }

    /// Sets how long the session waits for locks.
    fn wait_at_most(&mut self, timeout: Duration) -> Result<(), Failure> {
        let wanted = seconds(timeout);
        if wanted != self.lock_timeout {
            self.text(&format!("SET SESSION innodb_lock_wait_timeout = {wanted}"))?;
            self.lock_timeout = wanted;
        }
        Ok(())
    }

    fn prepared(&mut self, text: &str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.connection.prep(text).map_err(|error| self.failed(error))?;
        self.statements.insert(text.to_owned(), statement.clone());
        // A node of a cluster that undoes the transaction for another node while it prepares a statement does not say
        // so. Each statement that follows would be a transaction of its own.
        // Held by `transaction_that_ends_at_a_new_statement_changes_nothing`.
        if self.is_in_transaction && !self.has_transaction()? {
            let message = "the server has undone the transaction".to_owned();
            return Err(Failure { kind: FailureKind::Contention, message });
        }
        Ok(statement)
    }

    /// Asks the server. Within a transaction it refuses to change what the next one is like.
    fn has_transaction(&mut self) -> Result<bool, Failure> {
        const IN_TRANSACTION: u16 = 1568;
        match self.connection.query_drop(ISOLATION_LEVEL) {
            Ok(()) => Ok(false),
            Err(Error::MySqlError(refused)) if refused.code == IN_TRANSACTION => Ok(true),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&mut self, error: Error) -> Failure {
        let is_unread = matches!(error, Error::CodecError(_));
        let mut failure = failure(error);
        // What another node has committed may already be in the way of a transaction that is about to be undone for it.
        if self.is_node && failure.kind == FailureKind::NotUnique {
            failure.kind = FailureKind::Contention;
        }
        // After a part of an answer that was not read nothing else can be.
        self.is_lost |= failure.kind == FailureKind::Lost || is_unread;
        failure
    }
}

impl Connection for MysqlConnection {
    fn execute(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<u64, Failure> {
        let prepared = self.prepared(statement)?;
        // The server commits before and after it creates a table.
        self.is_in_transaction &= !statement.starts_with("CREATE");
        match self.connection.exec_drop(prepared, values(parameters)) {
            Ok(()) => Ok(self.connection.affected_rows()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn query(&mut self, statement: &str, parameters: &[Parameter<'_>], each: EachRow<'_>) -> Result<(), Failure> {
        let statement = self.prepared(statement)?;
        let query = || {
            let mut is_over = false;
            // To its end, also if no more rows are wanted: there may be an error that undoes the transaction.
            for row in self.connection.exec_iter(statement, values(parameters))? {
                let row = row?;
                is_over = is_over || each(&MysqlRow(row)).is_break();
            }
            Ok(())
        };
        query().map_err(|error| self.failed(error))
    }

    fn begin(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.wait_at_most(timeout)?;
        self.text(BEGIN)?;
        self.is_in_transaction = true;
        Ok(())
    }

    fn begin_with(&mut self, timeout: Duration, first: &First<'_>, each: EachRow<'_>) -> Result<u64, Failure> {
        self.wait_at_most(timeout)?;
        // Also if only the second statement fails.
        self.is_in_transaction = true;
        let changed = self.text(&format!("{BEGIN}; {}", first.statement))?;
        self.query(first.query, &[], each)?;
        Ok(changed)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.text("COMMIT")?;
        self.is_in_transaction = false;
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        self.text("ROLLBACK")?;
        self.is_in_transaction = false;
        Ok(())
    }

    fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// InnoDB removes old versions of rows by itself: see *How it is used* in docs/database.md.
    fn forget_old_rows(&mut self) {}
}

struct MysqlRow(mysql::Row);

impl Row for MysqlRow {
    fn cell(&self, column: usize) -> Cell<'_> {
        match self.0.as_ref(column) {
            Some(Value::NULL) => Cell::Null,
            Some(Value::Int(number)) => Cell::Integer(*number),
            Some(Value::UInt(number)) => i64::try_from(*number).map_or(Cell::Other, Cell::Integer),
            Some(Value::Bytes(bytes)) => match self.0.columns_ref().get(column) {
                Some(column) if column.character_set() == BINARY => Cell::Bytes(bytes),
                _ => Cell::Text(bytes),
            },
            _ => Cell::Other,
        }
    }
}

fn values(parameters: &[Parameter<'_>]) -> Params {
    let value = |parameter: &Parameter<'_>| match *parameter {
        Parameter::Null => Value::NULL,
        Parameter::Integer(number) => Value::Int(number),
        Parameter::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        Parameter::Text(text) => Value::Bytes(text.as_bytes().to_vec()),
    };
    if parameters.is_empty() { Params::Empty } else { Params::Positional(parameters.iter().map(value).collect()) }
}

/// Whole seconds, as InnoDB counts; at least one.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

fn failure(error: Error) -> Failure {
    let refused = match error {
        Error::MySqlError(refused) => refused,
        Error::IoError(error) => return of_socket(&error),
        Error::TlsError(_) | Error::DriverError(DriverError::TlsNotSupported) => {
            return Failure { kind: FailureKind::Untrusted, message: error.to_string() };
        }
        // The driver does not show its type.
        Error::CodecError(error) if error.to_string().ends_with("larger than max_allowed_packet") => {
            return Failure { kind: FailureKind::TooLong, message: "an answer of more than 4 MiB".to_owned() };
        }
        Error::CodecError(error) => return of_socket(&error),
        // The server asks for a login method that this driver does not have or does not allow.
        Error::DriverError(
            DriverError::UnknownAuthPlugin(_)
            | DriverError::CleartextPluginDisabled
            | DriverError::OldMysqlPasswordDisabled,
        ) => return Failure { kind: FailureKind::Permission, message: error.to_string() },
        Error::DriverError(_) => {
            return Failure { kind: FailureKind::Lost, message: error.to_string() };
        }
        // Those hold values.
        _ => return Failure { kind: FailureKind::Other, message: "an answer has another form".to_owned() },
    };
    let kind = match refused.code {
        // Lock time-out, deadlock (also with another node), changed since the snapshot, interrupted by another node,
        // too many connections.
        1205 | 1213 | 1020 | 1317 | 1040 | 1203 => FailureKind::Contention,
        1969 | 3024 => FailureKind::TimedOut,
        1290 | 1792 | 1836 => FailureKind::ReadOnly,
        1044 | 1045 | 1130 | 1142 | 1143 | 1227 | 1698 => FailureKind::Permission,
        1049 => FailureKind::NoDatabase,
        1146 => FailureKind::NoTable,
        1054 | 1136 => FailureKind::OtherColumns,
        1021 | 1114 => FailureKind::Full,
        1062 => FailureKind::NotUnique,
        1264 | 1265 | 1406 => FailureKind::TooLong,
        1034 | 1194 | 1195 | 1712 => FailureKind::Damaged,
        // No node of a cluster, shutting down, an error during the commit, and connections that were ended.
        1047 | 1053 | 1180 | 1152..=1161 | 1184 | 1927 | 1928 | 4031 => FailureKind::Lost,
        _ => FailureKind::Other,
    };
    // These show a value.
    let message = match refused.code {
        1062 | 1264 | 1292 | 1366 => format!("error {}", refused.code),
        _ => format!("{} ({})", refused.message, refused.code),
    };
    Failure { kind, message }
}

fn of_socket(error: &(dyn std::error::Error + 'static)) -> Failure {
    let kind = if is_of_encryption(error) { FailureKind::Untrusted } else { FailureKind::Lost };
    Failure { kind, message: error.to_string() }
}

/// Whether rustls is among the causes.
fn is_of_encryption(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>()
        || inner.is_some_and(|cause| is_of_encryption(cause))
        || error.source().is_some_and(is_of_encryption)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_that_this_side_lacks_is_refused_and_no_lost_connection() {
        let logins = [
            DriverError::UnknownAuthPlugin("auth_gssapi_client".to_owned()),
            DriverError::CleartextPluginDisabled,
            DriverError::OldMysqlPasswordDisabled,
        ];
        for login in logins {
            assert_eq!(failure(Error::DriverError(login)).kind, FailureKind::Permission);
        }
        assert_eq!(failure(Error::DriverError(DriverError::ConnectTimeout)).kind, FailureKind::Lost);
        let host = mysql::MySqlError { state: "HY000".to_owned(), message: "not allowed".to_owned(), code: 1130 };
        assert_eq!(failure(Error::MySqlError(host)).kind, FailureKind::Permission);
    }
}
