//! An unattended program: it opens its store with a secret that its service manager hands over. `docs/headless.md` says
//! which way is for whom.
//!
//! Without arguments it shows itself: it makes a key and a store in a directory of its own, and starts itself as each
//! of the ways on this machine would. `headless new-key` prints a new key, `headless PATH` opens or makes the store at
//! the path.

use std::{
    env,
    error::Error,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::Path,
    process::Command,
};

use tokenkeep::{Keystore, RecoveryKey, Secret, Unlock};
use zeroize::Zeroizing;

fn main() -> Result<(), Box<dyn Error>> {
    match env::args_os().nth(1) {
        None => show()?,
        Some(argument) if argument == "new-key" => println!("{}", RecoveryKey::generate()?.expose_secret()),
        Some(path) => println!("{}", Keystore::open_or_create(path, &unlock()?)?.status()?),
    }
    Ok(())
}

/// The first way that there is, the best first. One that is there and fails is not passed over for a weaker one.
fn unlock() -> Result<Unlock, Box<dyn Error>> {
    let secret = if let Some(directory) = env::var_os("CREDENTIALS_DIRECTORY") {
        systemd_credential(directory, "tokens")?
    } else if Path::new("/run/secrets/tokens").try_exists()? {
        container_secret(Path::new("/run/secrets/tokens"))?
    } else if let Some(file) = env::var_os("TOKENS_KEY_FILE") {
        private_file(Path::new(&file))?
    } else {
        environment("TOKENS_KEY")?
    };
    Ok(Unlock::from(secret.expose_secret().parse::<RecoveryKey>()?))
}

/// systemd's service manager has checked who may read it.
fn systemd_credential(credentials_directory: OsString, name: &str) -> io::Result<Secret> {
    read_secret(File::open(Path::new(&credentials_directory).join(name))?)
}

/// Every process in the container may read it, with any mode: the container is the border.
fn container_secret(path: &Path) -> io::Result<Secret> {
    read_secret(File::open(path)?)
}

/// A file that no other user can have read or written, seen on the open file, which nobody can exchange any more.
#[cfg(unix)]
fn private_file(path: &Path) -> io::Result<Secret> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    // A pipe would otherwise be waited for.
    let at_once = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(at_once).open(path)?;
    let found = file.metadata()?;
    let (mode, owner, own) = (found.mode() & 0o7777, found.uid(), rustix::process::geteuid().as_raw());
    if !found.is_file() || mode & 0o077 != 0 || owner != own {
        let problem = format!("{} has mode {mode:04o} and is user {owner}'s: chmod 600, chown {own}", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
    }
    read_secret(file)
}

/// Elsewhere the directory's own rights have to do.
#[cfg(not(unix))]
fn private_file(path: &Path) -> io::Result<Secret> {
    read_secret(File::open(path)?)
}

/// The weakest way. The variable stays in the process's memory, and in that of every process that it starts.
fn environment(name: &str) -> io::Result<Secret> {
    // The error itself shows what is in the variable.
    let missing = |_| io::Error::new(io::ErrorKind::NotFound, format!("{name} is not set, or is no text"));
    env::var(name).map(Secret::from).map_err(missing)
}

/// All of a small file, but for the line end that `echo` and editors leave. Read into one buffer, which is wiped.
fn read_secret(file: File) -> io::Result<Secret> {
    const MOST: usize = 4096;
    let mut text = Zeroizing::new(String::with_capacity(MOST + 1));
    file.take(MOST as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a secret of more than 4096 bytes"));
    }
    let len = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(len);
    Ok(Secret::from(std::mem::take(&mut *text)))
}

fn show() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (key_file, store) = (directory.path().join("tokens"), directory.path().join("tokens.keep"));
    let key = RecoveryKey::generate()?;
    fs::write(&key_file, format!("{}\n", key.expose_secret()))?;
    #[cfg(unix)]
    fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;

    let ways: [(&str, &str, &str); 3] = [
        ("a systemd credential", "CREDENTIALS_DIRECTORY", directory.path().to_str().ok_or("a path that is no text")?),
        ("a file of its own", "TOKENS_KEY_FILE", key_file.to_str().ok_or("a path that is no text")?),
        ("an environment variable", "TOKENS_KEY", key.expose_secret()),
    ];
    for (way, variable, value) in ways {
        let mut program = Command::new(env::current_exe()?);
        for other in ["CREDENTIALS_DIRECTORY", "TOKENS_KEY_FILE", "TOKENS_KEY"] {
            program.env_remove(other);
        }
        let opened = program.arg(&store).env(variable, value).output()?;
        if !opened.status.success() {
            return Err(String::from_utf8_lossy(&opened.stderr).into());
        }
        println!("opened with {way}:\n{}", String::from_utf8(opened.stdout)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_reads_the_secret_without_its_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(&path, "correct horse\r\n").unwrap();
        let text = |secret: io::Result<Secret>| secret.unwrap().expose_secret().to_owned();
        assert_eq!(text(systemd_credential(directory.path().into(), "tokens")), "correct horse");
        assert_eq!(text(container_secret(&path)), "correct horse");
        assert!(environment("TOKENS_KEY_THAT_NOBODY_SETS").is_err());
        fs::write(&path, "x".repeat(4097)).unwrap();
        assert!(container_secret(&path).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_not_shown() {
        use std::os::unix::ffi::OsStringExt;

        // In a process of its own, for the environment is all of this one's.
        if env::var_os("TOKENS_KEY").is_some() {
            println!("refused: {:?}", environment("TOKENS_KEY").unwrap_err());
            return;
        }
        let value = OsString::from_vec(b"canary\xff".to_vec());
        let mut program = Command::new(env::current_exe().unwrap());
        program.args(["--nocapture", "a_variable_that"]).env("TOKENS_KEY", value);
        let output = String::from_utf8(program.output().unwrap().stdout).unwrap();
        assert!(
            output.contains("refused: ") && output.contains("is no text") && !output.contains("canary"),
            "{output}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        fs::write(&path, "correct horse").unwrap();
        for (mode, refused) in
            [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o666, true), (0o602, true)]
        {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(private_file(&path).is_err(), refused, "{mode:o}");
        }
        assert!(private_file(directory.path()).is_err());
        let pipe = directory.path().join("pipe");
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
        assert!(private_file(&pipe).is_err());
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            assert!(private_file(&path).is_err(), "another user's");
        }
    }
}
