//! Keys that a program of the user's choice keeps: it is asked over a pipe.
//!
//! | call | standard input | standard output |
//! |---|---|---|
//! | `PROGRAM… create` | a new key, 32 bytes | the slot's public data, at most 1,024 bytes, such as the encrypted key |
//! | `PROGRAM… open` | the slot's public data | the key, 32 bytes |
//!
//! `TOKENKEEP_STORE` and `TOKENKEEP_SLOT` in its environment name store and slot, each by 32 hexadecimal digits. A
//! status other than 0 is an error. The program's standard error is the application's, so a person sees what it says.
//!
//! `open` is asked for each slot that such a program made, up to the one that opens, and all have one deadline. If what
//! a slot's data is for is not there, the program has to end with an error at once. It is never asked to forget, so
//! what it needs for a slot belongs into the slot's data. What it keeps all the same it names by store and slot.
//!
//! The program sees the key, and is trusted with it. To use this in an application, copy this file and
//! `examples/child.rs`, as the modules `provider` and `child`.

use std::{ffi::OsString, fmt::Write, io, process::Command};

use tokenkeep::{ExternalError, ExternalKey, ExternalSlot};
use zeroize::Zeroizing;

use crate::child;

const MOST_DATA: usize = 1024;

/// A program, with the arguments that come before `create` and `open`.
pub(crate) struct Program {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
}

impl ExternalKey for Program {
    fn provider(&self) -> &str {
        "external program"
    }

    fn create(&self, slot: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        let too_long = "the program wrote more than 1,024 bytes of public data";
        let mut data = self.ask("create", slot, &key[..], MOST_DATA, too_long)?;
        Ok(std::mem::take(&mut *data))
    }

    fn open(&self, slot: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        // The data is hostile, and the program's to check. It goes through the pipe only, so no shell looks at it.
        let too_long = "the program wrote more than the 32 bytes of a key";
        let given = self.ask("open", slot, data, key.len(), too_long)?;
        // Held by `faults_of_a_program_are_distinguished`.
        if given.len() != key.len() {
            return Err(ExternalError::new("the program wrote fewer than the 32 bytes of a key"));
        }
        key.copy_from_slice(&given);
        Ok(())
    }

    /// Nothing to delete: what the program needs for a slot is in the slot's data.
    fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
        Ok(())
    }
}

impl Program {
    fn ask(
        &self,
        what: &str,
        slot: &ExternalSlot,
        input: &[u8],
        limit: usize,
        too_long: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, ExternalError> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(what);
        command.env("TOKENKEEP_STORE", hex(&slot.store_id())).env("TOKENKEEP_SLOT", slot.slot_id().to_string());
        let answer = child::run(&mut command, input, limit, slot.remaining()).map_err(|failure| match failure {
            child::Failure::NotStarted(error) if error.kind() == io::ErrorKind::NotFound => {
                ExternalError::new("the program was not found")
            }
            child::Failure::NotStarted(error) | child::Failure::Io(error) => error.into(),
            child::Failure::TimedOut => ExternalError::new("the program was not done in time and was killed"),
            child::Failure::TooLong => ExternalError::new(too_long),
        })?;
        match answer.status.code() {
            // Held by `faults_of_a_program_are_distinguished`: `_` instead of `0`.
            Some(0) => Ok(answer.output),
            Some(code) => Err(ExternalError::new("the program reported an error, which it has printed").code(code)),
            None => Err(ExternalError::new("the program was killed")),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
