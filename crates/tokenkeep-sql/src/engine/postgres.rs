//! PostgreSQL, through tokio-postgres without a runtime: see [`wire`](super::wire).

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    ops::ControlFlow,
    path::Path,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use futures_util::{TryStreamExt, future::join3};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio_postgres::{
    Client, Config, Error, NoTls, Statement,
    config::SslMode,
    tls::MakeTlsConnect,
    types::{FromSql, IsNull, ToSql, Type, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    Cell, ColumnType, Connection, Dialect, EachRow, Engine, Failure, FailureKind, First, Indexes, Parameter, Row,
    wire::{self, Socket, Wire},
};
use crate::server::{IDLE_IN_TRANSACTION, Server};

mod failure;

use failure::{failure, unreachable_server};

/// A database on a PostgreSQL server.
pub(crate) struct Postgres {
    server: Server,
}

impl Postgres {
    pub(crate) fn new(server: &Server) -> Self {
        Self { server: server.clone() }
    }
}

static DIALECT: Dialect = Dialect {
    now: "CAST(floor(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)",
    placeholder: |number| format!("${number}"),
    column_type: |of_type| match of_type {
        ColumnType::Number => "BIGINT".to_owned(),
        ColumnType::Fixed(_) | ColumnType::KeyTable | ColumnType::Sealed => "BYTEA".to_owned(),
        ColumnType::Text => "TEXT COLLATE \"C\"".to_owned(),
    },
    indexes: Indexes::Apart,
    table_options: "",
    // What is sealed does not compress.
    after_creation: Some(|tokens| format!("ALTER TABLE {tokens} ALTER COLUMN sealed SET STORAGE EXTERNAL")),
    columns_of_table: "SELECT CAST(column_name AS TEXT) FROM information_schema.columns \
                       WHERE table_schema = ANY (current_schemas(false)) AND table_name = CAST(? AS TEXT) \
                       ORDER BY ordinal_position",
};

impl Engine for Postgres {
    fn connect(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure> {
        self.open(timeout, "").map(|connection| -> Box<dyn Connection> { Box::new(connection) })
    }

    fn connect_to_read(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure> {
        let read_only = "SET default_transaction_read_only = on;";
        self.open(timeout, read_only).map(|connection| -> Box<dyn Connection> { Box::new(connection) })
    }

    /// A database on a server is the administrator's to make.
    fn create_database(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }
}

impl Postgres {
    fn open(&self, timeout: Duration, settings: &str) -> Result<PostgresConnection, Failure> {
        let server = &self.server;
        let wire = Wire::new(self.socket()?);
        let mut config = Config::new();
        config.user(&server.user).dbname(&server.database).application_name("tokenkeep");
        if let Some(password) = &server.password {
            config.password(password.expose_secret());
        }
        let (client, connection) = if server.is_encrypted() {
            config.ssl_mode(SslMode::Require);
            let mut tls = MakeRustlsConnect::new(encryption(server.authority.as_deref())?);
            let tls = MakeTlsConnect::<Wire>::make_tls_connect(&mut tls, &server.host);
            let tls = tls.map_err(|error| Failure { kind: FailureKind::Untrusted, message: error.to_string() })?;
            handshake(&wire, server.connect_timeout, config.connect_raw(wire.clone(), tls))?
        } else {
            config.ssl_mode(SslMode::Disable);
            handshake(&wire, server.connect_timeout, config.connect_raw(wire.clone(), NoTls))?
        };
        let mut connection = PostgresConnection {
            client: Some(client),
            connection,
            wire,
            statements: HashMap::new(),
            timeout: server.answer_timeout(),
            lock_timeout: timeout,
            is_lost: false,
        };
        // An acknowledged commit is on the disk, also if the server has a laxer default; stricter settings stay.
        connection.batch(&format!(
            "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; SET lock_timeout = {}; \
             SET client_min_messages = warning; {settings} \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            millis(server.statement_timeout),
            millis(IDLE_IN_TRANSACTION),
            millis(timeout),
        ))?;
        Ok(connection)
    }

    fn socket(&self) -> Result<Socket, Failure> {
        #[cfg(unix)]
        if self.server.is_socket() {
            let path = Path::new(&self.server.host).join(format!(".s.PGSQL.{}", self.server.port));
            return std::os::unix::net::UnixStream::connect(path).map(Socket::Unix).map_err(unreachable_server);
        }
        let socket = wire::connect(&self.server).map_err(unreachable_server)?;
        socket.set_nodelay(true).map_err(unreachable_server)?;
        Ok(Socket::Tcp(socket))
    }
}

type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

fn handshake<C: Future<Output = Result<(), Error>> + Send + 'static>(
    wire: &Wire,
    timeout: Duration,
    connecting: impl Future<Output = Result<(Client, C), Error>>,
) -> Result<(Client, Driver), Failure> {
    let (client, connection) = wire.run(timeout, connecting).map_err(unreachable_server)?.map_err(failure)?;
    Ok((client, Box::pin(connection)))
}

fn encryption(authority: Option<&Path>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = authority {
        let refused = |error: &dyn std::fmt::Display| {
            let message = format!("{} has no certificates to trust: {error}", path.display());
            Failure { kind: FailureKind::Untrusted, message }
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| refused(&error))?;
        let mut count = 0_usize;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| refused(&error))?;
            roots.add(certificate).map_err(|error| refused(&error))?;
            count = count.saturating_add(1);
        }
        if count == 0 {
            return Err(refused(&"it is empty"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure { kind: FailureKind::Other, message: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

struct PostgresConnection {
    /// There until it is dropped.
    client: Option<Client>,
    /// What reads and writes for the client.
    connection: Driver,
    wire: Wire,
    statements: HashMap<String, Statement>,
    timeout: Duration,
    lock_timeout: Duration,
    is_lost: bool,
}

impl PostgresConnection {
    /// Runs a request, and beside it what carries it to the server.
    fn run<T>(&mut self, request: impl AsyncFnOnce(&Client, &mut Prepared) -> Result<T, Error>) -> Result<T, Failure> {
        let Self { client, connection, wire, statements, timeout, .. } = self;
        let Some(client) = client.as_ref().filter(|_| !self.is_lost) else {
            return Err(Failure { kind: FailureKind::Lost, message: "the connection is closed".to_owned() });
        };
        let mut request = pin!(request(client, statements));
        let ran = wire.run(
            *timeout,
            poll_fn(|context| {
                // The request first, so that it has something to carry; then what the answer was good for.
                if let Poll::Ready(answer) = request.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                let is_closed = connection.as_mut().poll(context);
                match (request.as_mut().poll(context), is_closed) {
                    (Poll::Ready(answer), _) => Poll::Ready(answer),
                    (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                    (Poll::Pending, _) => Poll::Pending,
                }
            }),
        );
        // The rest of that answer would be taken for the next one.
        // Held by `value_of_many_megabytes_is_not_read`.
        self.is_lost |= ran.is_err();
        let ran = ran.map_err(unreachable_server).and_then(|answer| answer.map_err(failure));
        self.is_lost |= ran.as_ref().is_err_and(|failure| failure.kind == FailureKind::Lost);
        ran
    }

    fn batch(&mut self, statements: &str) -> Result<(), Failure> {
        self.run(async |client, _| client.batch_execute(statements).await)
    }

    /// What begins a transaction that waits for locks at most for the timeout.
    fn beginning(&self, timeout: Duration) -> String {
        // A standby refuses `READ WRITE` in words of its own, and it would overrule an administrator.
        // Held by `hot_standby_is_read_until_it_is_promoted`: `COMMITTED READ WRITE` instead of `COMMITTED`.
        let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
        // One more statement only if the wait is shorter than usual.
        if timeout > self.lock_timeout.mul_f32(0.8) {
            return begin.to_owned();
        }
        format!("{begin}; SET LOCAL lock_timeout = {}", millis(timeout))
    }
}

type Prepared = HashMap<String, Statement>;

async fn prepared(client: &Client, statements: &mut Prepared, text: &str) -> Result<Statement, Error> {
    if let Some(statement) = statements.get(text) {
        return Ok(statement.clone());
    }
    let statement = client.prepare(text).await?;
    statements.insert(text.to_owned(), statement.clone());
    Ok(statement)
}

async fn read(
    client: &Client,
    wire: &Wire,
    query: &Statement,
    values: &[Parameter<'_>],
    each: EachRow<'_>,
) -> Result<(), Error> {
    let mut rows = pin!(client.query_raw(query, parameters(values)).await?);
    while let Some(row) = rows.try_next().await? {
        wire.has_row();
        if let ControlFlow::Break(()) = each(&PostgresRow(row)) {
            break;
        }
    }
    Ok(())
}

fn parameters<'p>(values: &'p [Parameter<'p>]) -> impl ExactSizeIterator<Item = &'p (dyn ToSql + Sync)> {
    values.iter().map(|parameter| -> &(dyn ToSql + Sync) { parameter })
}

impl Connection for PostgresConnection {
    fn execute(&mut self, statement: &str, values: &[Parameter<'_>]) -> Result<u64, Failure> {
        self.run(async |client, statements| {
            let statement = prepared(client, statements, statement).await?;
            client.execute_raw(&statement, parameters(values)).await
        })
    }

    fn query(&mut self, statement: &str, values: &[Parameter<'_>], each: EachRow<'_>) -> Result<(), Failure> {
        let wire = self.wire.clone();
        self.run(async |client, statements| {
            let query = prepared(client, statements, statement).await?;
            read(client, &wire, &query, values, each).await
        })
    }

    fn begin(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.batch(&self.beginning(timeout))
    }

    /// Sends all of it before the first answer comes.
    fn begin_with(&mut self, timeout: Duration, first: &First<'_>, each: EachRow<'_>) -> Result<u64, Failure> {
        let (begin, wire) = (self.beginning(timeout), self.wire.clone());
        self.run(async |client, statements| {
            let statement = prepared(client, statements, first.statement).await?;
            let query = prepared(client, statements, first.query).await?;
            let (begun, changed, read) = join3(
                client.batch_execute(&begin),
                client.execute_raw(&statement, parameters(&[])),
                read(client, &wire, &query, &[], each),
            )
            .await;
            // The first error is the cause of those after it.
            begun.and(changed).and_then(|changed| read.map(|()| changed))
        })
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.batch("COMMIT")
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        self.batch("ROLLBACK")
    }

    fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// The server frees old versions of rows by itself; see *How it is used* in docs/database.md.
    fn forget_old_rows(&mut self) {}
}

/// Says goodbye, so that the server does not log a client that vanished.
impl Drop for PostgresConnection {
    fn drop(&mut self) {
        self.client = None;
        if !self.is_lost {
            let connection = &mut self.connection;
            let _ = self.wire.run(
                Duration::from_millis(1),
                poll_fn(|context| {
                    let _ = connection.as_mut().poll(context);
                    Poll::Ready(())
                }),
            );
        }
    }
}

struct PostgresRow(tokio_postgres::Row);

impl Row for PostgresRow {
    fn cell(&self, column: usize) -> Cell<'_> {
        match self.0.try_get::<_, Option<Raw<'_>>>(column) {
            Ok(None) => Cell::Null,
            Ok(Some(Raw(cell))) => cell,
            Err(_) => Cell::Other,
        }
    }
}

struct Raw<'a>(Cell<'a>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(of_type: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(match *of_type {
            Type::INT8 => Cell::Integer(i64::from_be_bytes(bytes.try_into()?)),
            Type::INT4 => Cell::Integer(i32::from_be_bytes(bytes.try_into()?).into()),
            Type::BYTEA => Cell::Bytes(bytes),
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => Cell::Text(bytes),
            _ => Cell::Other,
        }))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match *self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Integer(number) => out.put_i64(number),
            Self::Bytes(bytes) => out.put_slice(bytes),
            Self::Text(text) => out.put_slice(text.as_bytes()),
        }
        Ok(IsNull::No)
    }

    fn accepts(of_type: &Type) -> bool {
        matches!(*of_type, Type::INT8 | Type::BYTEA | Type::TEXT)
    }

    to_sql_checked!();
}

impl std::fmt::Debug for Parameter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}
