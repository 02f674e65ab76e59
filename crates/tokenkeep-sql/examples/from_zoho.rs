//! Moves the plain-text table `oauthtoken` of a Zoho CRM SDK into sealed tables, of the same database or another one.
//!
//!     cargo run -p tokenkeep-sql --features sqlite,import --example from_zoho -- OLD_URL NEW_URL KEY_FILE
//!
//! The recovery key in the file opens the new store; a new one is made if there is no file. Run it again if the
//! application has saved into the old table meanwhile: tokens that were moved stay as they are.

mod key_file;

use std::{env, error::Error, fs, path::Path, process::ExitCode};

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
    let key = Path::new(key);
    key_file::create_if_missing(key)?;
    let unlock = Unlock::from(fs::read_to_string(key)?.trim().parse::<RecoveryKey>()?);
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
