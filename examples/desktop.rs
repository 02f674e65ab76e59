//! A desktop application: the system's keychain unlocks its store. Where there is no keychain, a passphrase does; and a
//! recovery key does on the day when neither is to be had.
//!
//!     cargo run --example desktop
//!     cargo run --example desktop -- /path/to/tokens.keep
//!
//! Without a path it works in a directory of its own, and takes its entry out of the keychain again at the end. With a
//! path it keeps the store: start it again, with and without a keychain.

mod computer;
mod paper;

use std::{
    env,
    error::Error,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use tokenkeep::{
    ErrorKind, KdfParams, Keychain, KeychainFailure, Keystore, Passphrase, RecoveryKey, Secret, SlotKind, Token,
    TokenStore, Unlock,
};

/// The name of the application in the keychain.
const SERVICE: &str = "com.example.tokenkeep-desktop";

fn main() -> Result<(), Box<dyn Error>> {
    let given = env::args_os().nth(1).map(PathBuf::from);
    let directory = tempfile::tempdir()?;
    let path = given.clone().unwrap_or_else(|| directory.path().join("tokens.keep"));

    // Not on the thread of the user interface: the keychain may ask the user, and a passphrase takes its time.
    let store = match open(&path) {
        Err(error) if is_first_start(&*error) => create(&path)?,
        opened => opened?,
    };
    paper::ensure(&store, |key| {
        println!("If this computer's keychain is ever lost, this key opens your sign-ins. It is not shown again.");
        // An application shows it in a window, with a button that prints it.
        println!("    {}", key.expose_secret());
    })?;

    let signed_in = Token::builder().user_name("ada@example.com").client_id("1000.CLIENT");
    store.save_token(&signed_in.refresh_token("1000.refresh").build())?;
    println!("{}", store.status()?);

    if given.is_none() {
        forget(&store)?;
    }
    Ok(())
}

fn keychain() -> Unlock {
    Unlock::from(Keychain::new(SERVICE)).label(label())
}

fn label() -> String {
    format!("the keychain of {}", computer::name())
}

fn is_first_start(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(tokenkeep::Error::NotFound { .. }))
}

/// Opens the store: with the keychain, else with what the user types.
fn open(path: &Path) -> Result<Keystore, Box<dyn Error>> {
    match Keystore::open(path, &keychain()) {
        // The keychain does not give the key, or the store was created where there was no keychain.
        Err(error) if matches!(error.kind(), ErrorKind::Keychain | ErrorKind::NoKeySlot) => {
            println!("{error}");
            let typed = ask("Type your passphrase or your recovery key")?;
            let unlock = match typed.expose_secret().parse::<RecoveryKey>() {
                Ok(key) => Unlock::from(key),
                Err(_) => Unlock::from(Passphrase::new(typed)),
            };
            let store = Keystore::open(path, &unlock)?;
            use_keychain_from_now_on(&store)?;
            Ok(store)
        }
        opened => Ok(opened?),
    }
}

/// Creates the store: with the keychain if there is one, else with a passphrase.
fn create(path: &Path) -> Result<Keystore, Box<dyn Error>> {
    match Keystore::create(path, &keychain()) {
        // A keychain that is locked or slow is no reason to fall back to a weaker method: only a missing one is.
        Err(tokenkeep::Error::Keychain {
            why: KeychainFailure::Unavailable | KeychainFailure::NotCompiledIn, ..
        }) => {
            let passphrase = ask("Choose a passphrase for your sign-ins")?;
            if ask("Type the same passphrase again")? != passphrase {
                return Err("the two passphrases differ".into());
            }
            Ok(Keystore::create(path, &Passphrase::new(passphrase).kdf(cost()).into())?)
        }
        created => Ok(created?),
    }
}

/// Adds a key slot for the keychain as it is now, in the place of this computer's earlier one. The slots of other
/// computers stay. Without a keychain the user is asked again at the next start.
fn use_keychain_from_now_on(store: &Keystore) -> Result<(), Box<dyn Error>> {
    let old = store.slots()?.into_iter().find(|slot| slot.kind == SlotKind::Keychain && slot.label == label());
    let added = match old {
        Some(slot) => store.replace_slot(slot.id, &keychain()),
        None => store.add_slot(&keychain()),
    };
    match added {
        Err(error) if error.kind() == ErrorKind::Keychain => Ok(()),
        added => Ok(added.map(drop)?),
    }
}

/// An application takes the default, or `KdfParams::calibrate`. This one is run often, and without optimisation.
fn cost() -> KdfParams {
    KdfParams::MIN
}

/// An application asks in a window that hides what is typed.
fn ask(question: &str) -> Result<Secret, Box<dyn Error>> {
    println!("{question}: ");
    io::stdout().flush()?;
    let mut line = String::with_capacity(256);
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err("nobody is there to answer".into());
    }
    line.truncate(line.trim_end_matches(['\r', '\n']).len());
    Ok(Secret::from(line))
}

/// What "sign out everywhere" does before it deletes the file.
fn forget(store: &Keystore) -> Result<(), Box<dyn Error>> {
    for slot in store.slots()?.into_iter().filter(|slot| slot.kind == SlotKind::Keychain) {
        store.remove_slot(slot.id)?;
    }
    Ok(())
}
