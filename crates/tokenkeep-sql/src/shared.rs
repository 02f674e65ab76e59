//! What the handles of one open store share: the connections, the vault, and how an operation keeps both current.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokenkeep::{Error, Result, vault::Vault};

use crate::{
    cells::{Flaw, KeyColumns, StoreRow},
    engine::{Connection, Failure},
    error::{DatabaseError, Problem, is_contention},
    inside,
    pool::{Pool, Pooled},
    schema::Statements,
};

/// How long a store waits, and how it names itself.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// For other writers, for a connection, and for a lost connection.
    pub(crate) timeout: Duration,
    pub(crate) lease: Duration,
    /// Who holds a lease, for administrators.
    pub(crate) holder: String,
}

/// An open store.
pub(crate) struct Shared {
    /// What errors call the store: the URL without a password, and the tables.
    pub(crate) name: String,
    pub(crate) table_id: [u8; 16],
    pub(crate) statements: Statements,
    pub(crate) settings: Settings,
    pub(crate) pool: Pool,
    /// The name of the default namespace.
    pub(crate) default_namespace: Arc<str>,
    vault: RwLock<Arc<Vault>>,
    /// Held while the vault is exchanged, and from before the commit that makes it necessary.
    pub(crate) exchange: Mutex<()>,
}

impl Shared {
    pub(crate) fn new(
        name: String,
        table_id: [u8; 16],
        statements: Statements,
        settings: Settings,
        pool: Pool,
        vault: Vault,
    ) -> Self {
        let vault = RwLock::new(Arc::new(vault));
        let (default_namespace, exchange) = ("".into(), Mutex::new(()));
        Self { name, table_id, statements, settings, pool, default_namespace, vault, exchange }
    }

    /// The vault as this handle knows it.
    pub(crate) fn vault(&self) -> Arc<Vault> {
        self.vault.read().clone()
    }

    pub(crate) fn set_vault(&self, vault: Vault) {
        *self.vault.write() = Arc::new(vault);
    }

    /// Refuses a forked child, and a thread that is in a transaction of this store.
    pub(crate) fn check_caller(&self) -> Result<()> {
        if inside::is_inside(self) {
            return Err(Error::InTransaction);
        }
        if self.pool.is_forked() { Err(self.problem(Problem::Forked)) } else { Ok(()) }
    }

    pub(crate) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.settings.timeout).unwrap_or(now)
    }

    pub(crate) fn connection(&self, deadline: Instant) -> Result<Pooled<'_>> {
        self.pool.take(deadline).map_err(|failure| self.failed(failure))
    }

    /// Looks at what the database has, outside of a transaction: again, if the server has ended the connection since
    /// its last use.
    pub(crate) fn look<R>(&self, look: impl Fn(&mut Pooled<'_>) -> Result<R>) -> Result<R> {
        let deadline = self.deadline();
        loop {
            let mut connection = self.connection(deadline)?;
            match look(&mut connection) {
                // Held by `connections_of_before_a_restart_are_replaced`.
                Err(_) if connection.was_stale() => {}
                // On a cluster also a query can lose against what another node has committed.
                Err(error) if is_contention(&error) && Instant::now() < deadline => {}
                looked => return looked,
            }
        }
    }

    /// Adopts the stored key table, which differs from the vault's. Waits for a thread of this process that is
    /// exchanging it.
    ///
    /// Ends in `Rekeyed` after a rekeying by another process, and in `Replaced` if the tables have another store.
    pub(crate) fn follow(&self, used: &Arc<Vault>) -> Result<()> {
        // The connection first: a thread that exchanges the vault has one already.
        self.look(|connection| {
            let _exchange = self.exchange.lock();
            let current = self.vault();
            if !Arc::ptr_eq(&current, used) {
                return Ok(());
            }
            let stored = self.store_row(connection)?;
            let reloaded = current.reload(&stored.key_table)?;
            self.check_key_columns(&stored, &reloaded)?;
            self.set_vault(reloaded);
            Ok(())
        })
    }

    pub(crate) fn store_row(&self, connection: &mut dyn Connection) -> Result<StoreRow> {
        read_store_row(&self.name, connection, &self.statements)
    }

    /// Whether the columns that each operation compares belong to the key table beside them.
    pub(crate) fn check_key_columns(&self, stored: &StoreRow, vault: &Vault) -> Result<()> {
        check_key_columns(&self.name, stored, vault)
    }

    pub(crate) fn problem(&self, problem: Problem) -> Error {
        DatabaseError::new(&self.name, problem).into()
    }

    pub(crate) fn malformed(&self, flaw: &'static str) -> Error {
        self.problem(Problem::Malformed(flaw))
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        DatabaseError::failed(&self.name, failure).into()
    }
}

pub(crate) fn key_columns(vault: &Vault) -> KeyColumns {
    KeyColumns { key_id: vault.key_id(), revision: vault.revision() }
}

pub(crate) fn check_key_columns(name: &str, stored: &StoreRow, vault: &Vault) -> Result<()> {
    if stored.key == key_columns(vault) {
        return Ok(());
    }
    let flaw = "its key id or revision is not that of its key table";
    Err(DatabaseError::new(name, Problem::Malformed(flaw)).into())
}

pub(crate) fn read_store_row(name: &str, connection: &mut dyn Connection, statements: &Statements) -> Result<StoreRow> {
    let mut read = None;
    let queried = connection.query(&statements.store, &[], &mut |row| {
        read = Some(StoreRow::read(row));
        ControlFlow::Break(())
    });
    queried.map_err(|failure| Error::from(DatabaseError::failed(name, failure)))?;
    checked_store_row(name, read)
}

/// The row that the query `store` has found, if it has found one.
pub(crate) fn checked_store_row(name: &str, read: Option<std::result::Result<StoreRow, Flaw>>) -> Result<StoreRow> {
    match read {
        Some(Ok(row)) => Ok(row),
        Some(Err(flaw)) => Err(DatabaseError::new(name, Problem::Malformed(flaw)).into()),
        None => Err(DatabaseError::new(name, Problem::NoStore).into()),
    }
}
