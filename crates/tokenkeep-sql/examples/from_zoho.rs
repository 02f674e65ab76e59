//! Moves the plain-text table `oauthtoken` of a Zoho CRM SDK into sealed tables, of the same database or another one.
//!
//!     cargo run -p tokenkeep-sql --features sqlite,import --example from_zoho -- OLD_URL NEW_URL KEY_FILE
//!
//! The recovery key in the file opens the new store; a new one is made if there is no file. Run it again if the
//! application has saved into the old table meanwhile: tokens that were moved stay as they are.

use std::{
    env,
    error::Error,
    fs,
    io::{ErrorKind, Write},
    path::Path,
    process::{self, ExitCode},
};

use tokenkeep::{
    RecoveryKey, TokenStore, Unlock,
    import::{ImportOptions, ImportReport},
};
use tokenkeep_sql::SqlStore;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [old, new, key] = &arguments[..] else {
        return Err("give the URLs of the old and the new database, and the path of the key".into());
    };
    let unlock = Unlock::from(key_in(Path::new(key))?);
    let store = SqlStore::open_or_create(new, &unlock)?;
    // All rows or none: `BadRows::Skip` leaves bad ones out and reports them.
    let ImportReport { added, kept, .. } = store.import_zoho_table(old, &ImportOptions::new())?;

    // Another handle reads each of them back.
    let store = SqlStore::open(new, &unlock)?;
    for row in added.iter().chain(&kept) {
        if store.find_token_by_id(&row.id)?.is_none() {
            return Err(format!("the token of row {} is not stored", row.line).into());
        }
    }
    println!("{} tokens moved in, {} were there already", added.len(), kept.len());
    println!("{}", store.name());
    Ok(())
}

/// The key in the file, which only this user can read: see docs/headless.md for better places.
fn key_in(path: &Path) -> Result<RecoveryKey, Box<dyn Error>> {
    if !path.exists() {
        // The key is complete before the file has its name: another process may start at the same time.
        let new = path.with_extension(format!("{}.tmp", process::id()));
        let _ = fs::remove_file(&new);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new)?;
        file.write_all(RecoveryKey::generate()?.expose_secret().as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&new, path);
        fs::remove_file(&new)?;
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            linked => linked?,
        }
        // Before any token is sealed under the key: a power cut must not leave tokens without it.
        #[cfg(unix)]
        fs::File::open(path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(fs::read_to_string(path)?.trim().parse()?)
}
