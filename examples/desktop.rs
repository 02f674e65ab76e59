//! A desktop application: its store is unlocked by the system's keychain, by a passphrase where there is none, and by a recovery
//! key on the day when neither is to be had.
//!
//!     cargo run --example desktop
//!     cargo run --example desktop -- /path/to/tokens.keep
//!
//! Without a path it works in a folder of its own, and takes its entry out of the keychain again at the end.

use std::{
    env,
    error::Error,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use tokenkeep::{KdfParams, KeychainFailure, Keystore, RecoveryKey, Secret, SlotKind, Token, TokenStore, Unlock};

/// What the application is called in the keychain.
const SERVICE: &str = "com.example.tokenkeep-desktop";

fn main() -> Result<(), Box<dyn Error>> {
    let given = env::args_os().nth(1).map(PathBuf::from);
    let folder = tempfile::tempdir()?;
    let path = given.clone().unwrap_or_else(|| folder.path().join("tokens.keep"));

    let is_new = !path.try_exists()?;
    // Not on the thread of the user interface: the keychain may ask the user, and a passphrase takes its time.
    let store = unlocked(&path)?;
    if is_new {
        offer_recovery_key(&store)?;
    }

    store.save_token(&Token::builder().user_name("ada@example.com").refresh_token("1000.refresh").build())?;
    println!("{}", store.status()?);

    if given.is_none() {
        forget(&store)?;
    }
    Ok(())
}

/// The store, opened or made: with the keychain if there is one, else with a passphrase.
fn unlocked(path: &Path) -> Result<Keystore, Box<dyn Error>> {
    match Keystore::open_or_create(path, Unlock::keychain(SERVICE).label("this computer")) {
        Ok(store) => Ok(store),
        // No keychain at all, or a store that was made where there was none.
        Err(tokenkeep::Error::Keychain {
            why: KeychainFailure::Unavailable | KeychainFailure::NotCompiledIn, ..
        })
        | Err(tokenkeep::Error::NoSuchSlot { .. }) => {
            let passphrase = ask("Passphrase for your sign-ins")?;
            Ok(Keystore::open_or_create(path, Unlock::passphrase(passphrase).kdf(cost()))?)
        }
        // There is a keychain, and it should have the key. A weaker way is not made by itself; the person may have another.
        Err(error @ tokenkeep::Error::Keychain { .. }) => {
            println!("{error}");
            let key = ask("Unlock the keychain and start again, or type your recovery key")?;
            let store = Keystore::open(path, Unlock::recovery_key(key.expose_secret().parse()?))?;
            // From now on this computer's keychain opens it, as it is today.
            store.add_slot(Unlock::keychain(SERVICE).label("this computer"))?;
            Ok(store)
        }
        Err(error) => Err(error.into()),
    }
}

/// An application takes the default, or `KdfParams::calibrate`. This one is tried without being optimised, and often.
fn cost() -> KdfParams {
    KdfParams::MIN
}

/// Once, when the store is made.
fn offer_recovery_key(store: &Keystore) -> Result<(), Box<dyn Error>> {
    let key = RecoveryKey::generate()?;
    println!("If this computer's keychain is ever lost, this key opens your sign-ins. It is not shown again.");
    // An application shows it in a window, with a button that prints it.
    println!("    {}", key.expose_secret());
    store.add_slot(Unlock::recovery_key(key).label("on paper"))?;
    Ok(())
}

/// An application asks in a window that does not show what is typed.
fn ask(what: &str) -> Result<Secret, Box<dyn Error>> {
    print!("{what}: ");
    io::stdout().flush()?;
    let mut line = String::with_capacity(256);
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err("nobody is there to be asked".into());
    }
    line.truncate(line.trim_end().len());
    Ok(Secret::from(line))
}

/// What a "sign out everywhere" would do before it deletes the file.
fn forget(store: &Keystore) -> Result<(), Box<dyn Error>> {
    for slot in store.slots()?.into_iter().filter(|slot| slot.kind == SlotKind::Keychain) {
        store.remove_slot(slot.id)?;
    }
    Ok(())
}
