//! Keys that a TPM 2.0 keeps, by the commands of tpm2-tools 5.
//!
//! A key is sealed under the primary key of the TPM's owner hierarchy. The slot's data is the sealed object: its public
//! and its private part, as `tpm2_create` writes them. Only the same TPM opens it, and not after it was reset. Another
//! TPM refuses it at once, so that slots for several TPMs may be in one file.
//! No PCR policy: the TPM gives the key to any system that was started.
//!
//! The key goes through pipes only, never into an argument or a file. What lies in files is encrypted by the TPM or
//! public. To use this in an application, copy this file and `examples/child.rs`, as the
//! modules `provider` and `child`.

use std::{
    ffi::OsStr,
    fs, io,
    path::PathBuf,
    process::{Command, Stdio},
};

use tokenkeep::{ExternalError, ExternalKey, ExternalSlot};
use zeroize::Zeroizing;

use crate::child;

/// The most bytes of a part of the sealed object, beside its length. (tpm2_create makes 46 and 158.)
const MOST_PART: usize = 510;
/// How the public part begins, after its length: a sealed object (KEYEDHASH), named by SHA-256.
const SEALED: [u8; 4] = [0x00, 0x08, 0x00, 0x0B];
/// TPM_RC_INTEGRITY in the first parameter, which is the private part.
const OF_ANOTHER_TPM: i32 = 0x1DF;

/// The TPM that tpm2-tools find: `TPM2TOOLS_TCTI` in the environment names another than the usual.
pub(crate) struct Tpm;

impl ExternalKey for Tpm {
    fn provider(&self) -> &str {
        "tpm2-tools"
    }

    fn create(&self, slot: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        let tools = Tools::new(slot)?;
        tools.make_primary()?;
        let [parent, public, private] = ["primary.ctx", "public", "private"].map(|name| tools.file(name));
        let mut create = tool("tpm2_create");
        create.args(["-Q", "-g", "sha256", "-i", "-"]).arg("-C").arg(parent);
        // noda: wrong passwords for other keys of the TPM do not lock this one, which has no password.
        create.args(["-a", "fixedtpm|fixedparent|noda|userwithauth"]).arg("-u").arg(&public).arg("-r").arg(&private);
        tools.run(create, "tpm2_create failed", &key[..], 0)?;
        let data = [fs::read(public)?, fs::read(private)?].concat();
        split(&data).ok_or(ExternalError::new("tpm2_create made a sealed object of another form"))?;
        Ok(data)
    }

    fn open(&self, slot: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        // Before anything else sees it: somebody who can write the file can put other data there.
        let (public_part, private_part) =
            split(data).ok_or(ExternalError::new("the slot's data is no sealed object"))?;
        let tools = Tools::new(slot)?;
        let [parent, public, private] = ["primary.ctx", "public", "private"].map(|name| tools.file(name));
        fs::write(&public, public_part)?;
        fs::write(&private, private_part)?;
        tools.make_primary()?;
        let sealed = tools.file("sealed.ctx");
        let mut load = tool("tpm2_load");
        load.arg("-Q").arg("-C").arg(parent).arg("-u").arg(public).arg("-r").arg(private).arg("-c").arg(&sealed);
        tools.run(load, "tpm2_load failed", &[], 0)?;
        let mut unseal = tool("tpm2_unseal");
        unseal.arg("-c").arg(sealed);
        let unsealed = tools.run(unseal, "tpm2_unseal failed", &[], key.len())?;
        if unsealed.len() != key.len() {
            return Err(ExternalError::new("the TPM gave fewer than the 32 bytes of a key"));
        }
        key.copy_from_slice(&unsealed);
        Ok(())
    }

    /// Nothing to delete: the TPM keeps nothing, the sealed object is in the slot's data only.
    fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
        Ok(())
    }
}

/// The public and the private part of a slot's data. Each begins with its length, as every such structure of a TPM.
fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (public, rest) = part(data)?;
    let (private, rest) = part(rest)?;
    // Held by `hostile_data_is_refused_before_a_tpm_sees_it`: without `rest.is_empty() &&`; without
    // `&& public[2..].starts_with(&SEALED)`.
    (rest.is_empty() && public[2..].starts_with(&SEALED)).then_some((public, private))
}

fn part(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = usize::from(u16::from_be_bytes(*data.first_chunk()?));
    // Held by `hostile_data_is_refused_before_a_tpm_sees_it`.
    if !(1..=MOST_PART).contains(&len) {
        return None;
    }
    data.split_at_checked(2 + len)
}

fn tool(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    // Read for the number of the error.
    command.stderr(Stdio::piped());
    command
}

/// The commands for one slot, and a directory for what goes between them.
struct Tools<'a> {
    slot: &'a ExternalSlot,
    directory: tempfile::TempDir,
}

impl<'a> Tools<'a> {
    fn new(slot: &'a ExternalSlot) -> Result<Self, ExternalError> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let tools = Self { slot, directory: builder.prefix("tokenkeep-tpm-").tempdir()? };
        // A command that was killed may have left an object.
        tools.flush()?;
        Ok(tools)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The primary key. The TPM makes the same one each time, from a seed that it never gives away.
    fn make_primary(&self) -> Result<(), ExternalError> {
        let mut create = tool("tpm2_createprimary");
        create.args(["-Q", "-C", "o", "-g", "sha256", "-G", "ecc", "-c"]).arg(self.file("primary.ctx"));
        self.run(create, "tpm2_createprimary failed", &[], 0).map(drop)
    }

    /// Runs a command and takes its objects out of the TPM, whether it failed or not.
    fn run(
        &self,
        command: Command,
        failed: &'static str,
        input: &[u8],
        limit: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ExternalError> {
        let done = self.run_only(command, failed, input, limit);
        // Held by `stores_in_a_row_leave_nothing_in_the_tpm`: `Ok::<(), ExternalError>(())`.
        let flushed = self.flush();
        let output = done?;
        flushed?;
        Ok(output)
    }

    /// A TPM holds three objects. Behind a resource manager (/dev/tpmrm0, the usual) these are this user's own. On the
    /// bare device, /dev/tpm0, they are everybody's: do not use that where other programs use the TPM.
    fn flush(&self) -> Result<(), ExternalError> {
        let mut flush = tool("tpm2_flushcontext");
        flush.arg("-t");
        self.run_only(flush, "tpm2_flushcontext failed", &[], 0).map(drop)
    }

    fn run_only(
        &self,
        mut command: Command,
        failed: &'static str,
        input: &[u8],
        limit: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ExternalError> {
        let answer =
            child::run(&mut command, input, limit, self.slot.remaining()).map_err(|failure| match failure {
                child::Failure::NotStarted(error) if error.kind() == io::ErrorKind::NotFound => {
                    ExternalError::new("tpm2-tools are not installed")
                }
                child::Failure::NotStarted(error) | child::Failure::Io(error) => error.into(),
                child::Failure::TimedOut => ExternalError::new("the TPM was not done in time"),
                child::Failure::TooLong => ExternalError::new("a command of tpm2-tools wrote more than was expected"),
            })?;
        if answer.status.success() {
            return Ok(answer.output);
        }
        let errors = String::from_utf8_lossy(&answer.errors);
        if errors.contains("Could not load tcti") {
            return Err(ExternalError::new(
                "no TPM can be reached: there is no /dev/tpmrm0, this user may not open it (on many systems the group \
                 tss may), or TPM2TOOLS_TCTI names another",
            ));
        }
        match code(&errors) {
            Some(code @ OF_ANOTHER_TPM) => Err(ExternalError::new(
                "the TPM does not know this key: it was sealed to another TPM, or the TPM was reset or the \
                 slot changed since; use another unlock method",
            )
            .code(code)),
            Some(code) => Err(ExternalError::new(failed).code(code)),
            None => Err(ExternalError::new(failed)),
        }
    }
}

/// The last number in what a command says of its failure: the TPM's own, if it has answered.
fn code(errors: &str) -> Option<i32> {
    let last = errors.rsplit("0x").next().filter(|last| last.len() < errors.len())?;
    let digits = last.find(|character: char| !character.is_ascii_hexdigit()).map_or(last, |end| &last[..end]);
    i32::from_str_radix(digits, 16).ok()
}
