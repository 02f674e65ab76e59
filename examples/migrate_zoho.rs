//! Moves the plain-text token file of the Zoho CRM SDK into a keystore.
//!
//!     cargo run --example migrate_zoho -- TOKEN_FILE.csv NEW_STORE.keep
//!
//! Without arguments it moves a copy of a file that the SDK wrote (`tests/data/zoho_sdk_token_file.csv`), in a
//! temporary directory. The passphrase comes from the environment variable `TOKENKEEP_PASSPHRASE`; a desktop
//! application asks for it.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use tokenkeep::{
    Keystore, Passphrase, TokenStore, Unlock,
    import::{ImportOptions, ImportReport, import_zoho_csv},
};

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
    let directory = tempfile::tempdir()?;
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (from, to, passphrase) = match (arguments.next(), arguments.next()) {
        (Some(from), Some(to)) => (from, to, Passphrase::new(env::var("TOKENKEEP_PASSPHRASE")?)),
        (None, _) => (
            sample(directory.path())?,
            directory.path().join("tokens.keep"),
            Passphrase::new("correct horse battery staple"),
        ),
        _ => return Err("give the SDK's token file and the path of the new store, or nothing".into()),
    };

    // A new store: nothing that exists is touched, and a migration that fails leaves nothing of its own.
    let unlock = Unlock::from(passphrase);
    let store = Keystore::create(&to, &unlock)?;
    let moved = move_into(store, &from, &unlock);
    if moved.is_err() {
        fs::remove_file(&to)?;
    }
    let count = moved?.added.len();

    println!("moved {count} tokens from {} to {}, and read each of them back", from.display(), to.display());
    println!();
    println!("What is left to do:");
    println!("  1. Let the application open the new store, and see that it works.");
    println!("  2. Delete the old file: rm {}", from.display());
    println!("     Backups, and the disk's unused blocks, may hold its plain text for years. If anybody may have read");
    println!("     it, revoke its refresh tokens at the authorization server and let the users sign in again.");
    Ok(())
}

/// Imports the file, and sees that each token reads back from the disk. One bad row refuses the whole file; with
/// `BadRows::Skip` the report would have the bad rows.
fn move_into(store: Keystore, from: &Path, unlock: &Unlock) -> Result<ImportReport, Box<dyn Error>> {
    let report = import_zoho_csv(&store, from, &ImportOptions::new())?;
    let (path, written) = (store.path().to_owned(), store.get_tokens()?);
    drop(store);

    let store = Keystore::open(path, unlock)?;
    for row in &report.added {
        let stored = store.find_token_by_id(&row.id)?;
        if stored.is_none() || stored.as_ref() != written.iter().find(|token| token.id() == Some(&row.id)) {
            return Err(format!("the token of line {} does not read back as it was", row.line).into());
        }
    }
    Ok(report)
}

fn sample(directory: &Path) -> io::Result<PathBuf> {
    let copy = directory.join("zoho_sdk_token_file.csv");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/zoho_sdk_token_file.csv"), &copy)?;
    Ok(copy)
}
