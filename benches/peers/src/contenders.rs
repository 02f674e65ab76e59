//! Who is measured, and for what.

use std::{env, io, ops::Range, path::Path, process::Command};

use crate::{
    peers::{
        json::Json,
        oo7::Oo7,
        redb::Redb,
        sqlite::{Delete, Encrypted, Plain, Sqlite, Wal},
        tokenkeep::{Limits, Ours},
    },
    worker::{Worker, serve as answer},
};

/// The machine by itself, then tokenkeep, then its peers.
pub const CONTENDERS: [&str; 10] = [
    "limit",
    "tokenkeep",
    "SQLCipher",
    "SQLCipher, WAL",
    "SQLite, plain text",
    "SQLite, WAL, plain text",
    "redb, plain text",
    "JSON, plain text",
    "oo7",
    "Zoho SDK, plain text",
];
pub const LIMIT: usize = 0;
pub const TOKENKEEP: usize = 1;
/// All that are stores.
pub const STORES: Range<usize> = TOKENKEEP..CONTENDERS.len();

/// In the order in which they are measured. Who has no such work says so.
pub const WORKS: [&str; 18] = [
    "find-id",
    "find-user",
    "find-refresh",
    "absent-id",
    "absent-user",
    "absent-refresh",
    "snapshot-id",
    "snapshot-user",
    "list",
    "save",
    "save-locked",
    "delete",
    "threads",
    "find-after-save",
    "open",
    "open-full",
    "open-passphrase",
    "beyond-argon2",
];

/// Does what it is asked for, as that contender.
pub fn serve(contender: &str, directory: &Path, size: usize) -> io::Result<()> {
    match contender {
        "limit" => answer(Limits::new(Worker::new(directory, size))),
        "tokenkeep" => answer(Ours(Worker::new(directory, size))),
        "SQLCipher" => answer(Worker::<Sqlite<Encrypted, Delete>>::new(directory, size)),
        "SQLCipher, WAL" => answer(Worker::<Sqlite<Encrypted, Wal>>::new(directory, size)),
        "SQLite, plain text" => answer(Worker::<Sqlite<Plain, Delete>>::new(directory, size)),
        "SQLite, WAL, plain text" => answer(Worker::<Sqlite<Plain, Wal>>::new(directory, size)),
        "redb, plain text" => answer(Worker::<Redb>::new(directory, size)),
        "JSON, plain text" => answer(Worker::<Json>::new(directory, size)),
        "oo7" => answer(Worker::<Oo7>::new(directory, size)),
        _ => Err(io::Error::other(format!("no contender is called {contender}"))),
    }
}

/// What starts a process of that contender.
pub fn command(contender: &str, directory: &Path, size: usize) -> io::Result<Command> {
    let mut command = match contender {
        "Zoho SDK, plain text" => {
            let mut python = Command::new(env::var_os("PEERS_PYTHON").unwrap_or("python3".into()));
            python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/vendor.py"));
            python
        }
        _ => {
            let mut ours = Command::new(env::current_exe()?);
            ours.args(["worker", contender]);
            ours
        }
    };
    command.arg(directory).arg(size.to_string());
    Ok(command)
}
