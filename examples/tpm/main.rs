//! A store whose key is sealed to the computer's TPM 2.0, beside a recovery key for the day when the TPM is lost.
//!
//!     cargo run --example tpm
//!     cargo run --example tpm -- /path/to/tokens.keep
//!
//! It needs tpm2-tools and a TPM that this user may use (on Debian `apt install tpm2-tools`, and the group `tss`).
//! To try it without a TPM, start a simulator, and name it in `TPM2TOOLS_TCTI`:
//!
//!     apt install swtpm tpm2-tools && mkdir -m 700 /tmp/tpm
//!     swtpm socket --tpm2 --tpmstate dir=/tmp/tpm --server type=tcp,port=2321 --ctrl type=tcp,port=2322 \
//!         --flags not-need-init,startup-clear &
//!     TPM2TOOLS_TCTI=swtpm:port=2321 cargo run --example tpm -- /tmp/tpm/tokens.keep
//!
//! Without a path it works in a directory of its own. With a path it keeps the store: start it again, and again with
//! another TPM, where it asks for the recovery key. `provider.rs` is what an application copies.

#[path = "../child.rs"]
mod child;
mod provider;

use std::{
    env,
    error::Error,
    io::{self, BufRead},
    path::{Path, PathBuf},
};

use provider::Tpm;
use tokenkeep::{ErrorKind, External, Keystore, RecoveryKey, Secret, Token, TokenStore, Unlock};

const LABEL: &str = "this computer's TPM";

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = env::args_os().nth(1).map_or_else(|| directory.path().join("tokens.keep"), PathBuf::from);
    let store = open(&path)?;

    let signed_in = Token::builder().user_name("ada@example.com").client_id("1000.CLIENT");
    store.save_token(&signed_in.refresh_token("1000.refresh").expiry_unknown().build())?;
    println!("saved a token; the store has {}", store.get_tokens()?.len());
    println!("{}", store.status()?);
    Ok(())
}

fn tpm() -> Unlock {
    Unlock::from(External::new(Tpm)).label(LABEL)
}

/// Opens the store, and creates it at the first start.
fn open(path: &Path) -> Result<Keystore, Box<dyn Error>> {
    match Keystore::open(path, &tpm()) {
        Err(tokenkeep::Error::NotFound { .. }) => create(path),
        Err(error) if matches!(error.kind(), ErrorKind::External | ErrorKind::NoKeySlot) => {
            println!("{error}");
            open_with_recovery_key(path)
        }
        opened => {
            let store = opened?;
            println!("opened {} with the TPM", path.display());
            Ok(store)
        }
    }
}

fn create(path: &Path) -> Result<Keystore, Box<dyn Error>> {
    let store = Keystore::create(path, &tpm())?;
    println!("created {}; its key is sealed to the TPM", path.display());
    let key = RecoveryKey::generate()?;
    store.add_slot(&Unlock::from(key.clone()).label("on paper"))?;
    println!("If this TPM is ever lost or reset, this key opens your sign-ins. It is not shown again.");
    println!("    {}", key.expose_secret());
    Ok(store)
}

/// What the recovery key is for. The slot of the old TPM gives way to one of the TPM that is there now.
fn open_with_recovery_key(path: &Path) -> Result<Keystore, Box<dyn Error>> {
    println!("Type your recovery key:");
    let mut line = String::with_capacity(256);
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err("nobody is there to answer".into());
    }
    let typed = Secret::from(line);
    let store = Keystore::open(path, &Unlock::from(typed.expose_secret().trim().parse::<RecoveryKey>()?))?;
    println!("opened {} with the recovery key", path.display());
    let old = store.slots()?.into_iter().find(|slot| slot.label == LABEL);
    let replaced = match old {
        Some(slot) => store.replace_slot(slot.id, &tpm()),
        None => store.add_slot(&tpm()),
    };
    match replaced {
        Ok(_) => println!("from now on this TPM opens it"),
        // Without a TPM the key is asked for again at the next start.
        Err(error) if error.kind() == ErrorKind::External => println!("{error}"),
        Err(error) => return Err(error.into()),
    }
    Ok(store)
}
