//! A recovery key in a file, for the examples. docs/headless.md has better places.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    process,
};

use tokenkeep::RecoveryKey;

/// Makes the file with a new key, for this user alone, if there is no file yet. Any number of processes may do so at
/// once: all of them find the same key afterwards. A process that is killed leaves no half of a key.
pub(crate) fn create_if_missing(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let key = RecoveryKey::generate().map_err(io::Error::other)?;
    // The key is complete, and on the disk, before the file has its name.
    let new = path.with_extension(format!("{}.tmp", process::id()));
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Left by a process with the same id that was killed here.
    let _ = fs::remove_file(&new);
    let mut file = options.open(&new)?;
    file.write_all(key.expose_secret().as_bytes())?;
    file.sync_all()?;
    // Unlike a rename, this replaces no key that another process has made meanwhile.
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        linked => linked?,
    }
    // Before any token is sealed under the key: a power cut must not leave tokens without it.
    #[cfg(unix)]
    File::open(fs::canonicalize(path)?.parent().unwrap_or(path))?.sync_all()?;
    Ok(())
}
