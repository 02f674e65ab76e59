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
//! another TPM, where it asks for the recovery key. Several computers may use the file, each with its own TPM.
//! `provider.rs` is what an application copies.

#[path = "../child.rs"]
mod child;
#[path = "../computer.rs"]
mod computer;
#[path = "../paper.rs"]
mod paper;
mod provider;

use std::{
    env,
    error::Error,
    io::{self, BufRead},
    path::{Path, PathBuf},
};

use provider::Tpm;
use tokenkeep::{ErrorKind, External, Keystore, RecoveryKey, Secret, SlotId, SlotKind, Token, TokenStore, Unlock};

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = env::args_os().nth(1).map_or_else(|| directory.path().join("tokens.keep"), PathBuf::from);
    let label = format!("the TPM of {}", computer::name());
    let store = open(&path, &Unlock::from(External::new(Tpm)).label(&label), &label)?;
    paper::ensure(&store, |key| {
        println!("If this TPM is ever lost or reset, this key opens your sign-ins. It is not shown again.");
        // An application waits until somebody says that it is on paper.
        println!("    {}", key.expose_secret());
    })?;

    let signed_in = Token::builder().user_name("ada@example.com").client_id("1000.CLIENT");
    store.save_token(&signed_in.refresh_token("1000.refresh").expiry_unknown().build())?;
    println!("saved a token; the store has {}", store.get_tokens()?.len());
    println!("{}", store.status()?);
    Ok(())
}

/// Opens the store, and creates it at the first start.
fn open(path: &Path, tpm: &Unlock, label: &str) -> Result<Keystore, Box<dyn Error>> {
    match Keystore::open(path, tpm) {
        Err(tokenkeep::Error::NotFound { .. }) => {
            let store = Keystore::create(path, tpm)?;
            println!("created {}; its key is sealed to the TPM", path.display());
            Ok(store)
        }
        Err(error) if matches!(error.kind(), ErrorKind::External | ErrorKind::NoKeySlot) => {
            println!("{error}");
            let store = open_with_recovery_key(path)?;
            match use_from_now_on(&store, tpm, label) {
                Ok(_) => println!("from now on this TPM opens it"),
                // Without a TPM the key is asked for again at the next start.
                Err(error) if error.kind() == ErrorKind::External => println!("{error}"),
                Err(error) => return Err(error.into()),
            }
            Ok(store)
        }
        opened => {
            let store = opened?;
            println!("opened {} with the TPM", path.display());
            Ok(store)
        }
    }
}

fn open_with_recovery_key(path: &Path) -> Result<Keystore, Box<dyn Error>> {
    println!("Type your recovery key:");
    let mut line = String::with_capacity(256);
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err("nobody is there to answer".into());
    }
    let typed = Secret::from(line);
    let store = Keystore::open(path, &Unlock::from(typed.expose_secret().trim().parse::<RecoveryKey>()?))?;
    println!("opened {} with the recovery key", path.display());
    Ok(store)
}

/// The slot of the TPM that this computer had gives way to one of the TPM that it has now. The slots of other computers
/// stay: their TPMs still open the file.
fn use_from_now_on(store: &Keystore, tpm: &Unlock, label: &str) -> tokenkeep::Result<SlotId> {
    let old = store.slots()?.into_iter().find(|slot| slot.kind == SlotKind::External && slot.label == label);
    match old {
        Some(slot) => store.replace_slot(slot.id, tpm),
        None => store.add_slot(tpm),
    }
}

#[cfg(test)]
mod tests {
    use tokenkeep::{ExternalError, ExternalKey, ExternalSlot};

    use super::*;

    /// A TPM that knows its own data by its number, and keeps the key in it.
    struct Numbered(u8);

    impl ExternalKey for Numbered {
        fn provider(&self) -> &str {
            Tpm.provider()
        }

        fn create(&self, _: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
            Ok([&[self.0], &key[..]].concat())
        }

        fn open(&self, _: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
            let own = data.strip_prefix(&[self.0]).ok_or(ExternalError::new("another TPM"))?;
            *key = own.try_into().map_err(|_| ExternalError::new("no key"))?;
            Ok(())
        }

        fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
            Ok(())
        }
    }

    #[test]
    fn a_new_tpm_takes_the_place_of_its_computers_old_one_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.keep");
        let tpm = |number, label: &str| Unlock::from(External::new(Numbered(number))).label(label);
        let [ada, grace] = ["the TPM of ada", "the TPM of grace"];
        let store = Keystore::create(&path, &tpm(1, ada)).unwrap();
        // Labels that people gave to other slots do not matter.
        store.add_slot(&Unlock::from(RecoveryKey::generate().unwrap()).label(grace)).unwrap();
        use_from_now_on(&store, &tpm(2, grace), grace).unwrap();
        for (number, label) in [(1, ada), (2, grace)] {
            assert_eq!(Keystore::open(&path, &tpm(number, "")).unwrap().opened_by().unwrap().unwrap().label, label);
        }
        // Ada's computer gets a new mainboard.
        use_from_now_on(&store, &tpm(3, ada), ada).unwrap();
        let opens = [1, 2, 3].map(|number| Keystore::open(&path, &tpm(number, "")).is_ok());
        assert_eq!((opens, store.slots().unwrap().len()), ([false, true, true], 3));
    }
}
