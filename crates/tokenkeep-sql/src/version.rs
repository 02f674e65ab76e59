//! States of a store, to be compared.

use std::{
    fmt,
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use tokenkeep::Result;

use crate::{SqlStore, cells, engine::Connection, error::Problem};

/// A state of a store: [`SqlStore::version`]. Two are equal if nothing was committed between them. Nothing says which
/// of two is later.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version {
    table_id: [u8; 16],
    counter: u64,
}

/// The shortest and the longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

impl SqlStore {
    /// The state of the store. Changes with each commit of tokens or key slots, in any namespace; claims do not change
    /// it. Costs less than a find.
    ///
    /// # Errors
    ///
    /// The [common errors](Self#errors).
    pub fn version(&self) -> Result<Version> {
        let store = &self.0;
        store.check_caller()?;
        let counter = store.look(|connection| {
            let mut counter = None;
            let queried = connection.query(&store.statements.counter, &[], &mut |row| {
                counter = Some(cells::number(row, 0));
                ControlFlow::Break(())
            });
            queried.map(|()| counter).map_err(|failure| store.failed(failure))
        })?;
        let counter = counter.ok_or_else(|| store.problem(Problem::NoStore))?;
        let counter = counter.map_err(|flaw| store.malformed(flaw))?;
        Ok(Version { table_id: store.table_id, counter })
    }

    /// Waits until the store has another state than the given one, and returns that; `None` if it has not by the end of
    /// the timeout. Looks again after 10 to 250 ms, with one small query each time.
    ///
    /// # Errors
    ///
    /// The [common errors](Self#errors).
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// # use std::time::Duration;
    /// # use tokenkeep::{RecoveryKey, Token, TokenStore};
    /// # use tokenkeep_sql::SqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}", directory.path().join("tokens.db").display());
    /// let store = SqlStore::create(&url, &RecoveryKey::generate()?.into())?;
    /// let seen = store.version()?;
    /// assert!(store.wait_for_change(&seen, Duration::ZERO)?.is_none());
    /// store.save_token(&Token::builder().refresh_token("r").build())?;
    /// assert!(store.wait_for_change(&seen, Duration::from_secs(1))?.is_some());
    /// # Ok(()) }
    /// # main().unwrap();
    /// # }
    /// ```
    pub fn wait_for_change(&self, version: &Version, timeout: Duration) -> Result<Option<Version>> {
        let started = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let current = self.version()?;
            if current != *version {
                return Ok(Some(current));
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(pause.min(left));
            pause = pause.saturating_mul(2).min(PAUSES.1);
        }
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Version").field(&self.counter).finish()
    }
}
