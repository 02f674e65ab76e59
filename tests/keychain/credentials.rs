//! A keychain in a directory, which outlives its processes, and which fails on request.

use std::{
    any::Any,
    collections::HashMap,
    fs, io,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use keyring_core::{
    CredentialStore, Entry, Error, Result,
    api::{Credential, CredentialApi, CredentialStoreApi},
};

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Fail,
    Hang,
    Panic,
    /// The process ends there and then.
    Stop,
}

/// Faults at one of the calls, counted from the first.
#[derive(Debug)]
pub(crate) struct Plan {
    calls: AtomicUsize,
    fault: Option<(usize, Fault)>,
}

impl Plan {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn call(&self) -> Result<()> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Some((at, fault)) if at == number => match fault {
                Fault::Fail => Err(Error::PlatformFailure(Box::new(io::Error::other("it fails here")))),
                Fault::Hang => loop {
                    thread::park();
                },
                Fault::Panic => panic!("it panics here"),
                Fault::Stop => process::exit(STOPPED),
            },
            _ => Ok(()),
        }
    }
}

pub(crate) const STOPPED: i32 = 9;

#[derive(Debug, Clone)]
pub(crate) struct Directory {
    directory: PathBuf,
    pub(crate) plan: Arc<Plan>,
}

impl Directory {
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self::with(directory, None)
    }

    pub(crate) fn with(directory: impl Into<PathBuf>, fault: Option<(usize, Fault)>) -> Self {
        let plan = Plan { calls: AtomicUsize::new(0), fault };
        Self { directory: directory.into(), plan: Arc::new(plan) }
    }

    pub(crate) fn store(&self) -> Arc<CredentialStore> {
        Arc::new(self.clone())
    }

    /// The names of all entries.
    pub(crate) fn entries(&self) -> Vec<String> {
        crate::common::names_in(&self.directory)
    }
}

impl CredentialStoreApi for Directory {
    fn vendor(&self) -> String {
        "a directory".to_owned()
    }

    fn id(&self) -> String {
        self.directory.display().to_string()
    }

    fn build(&self, service: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        self.plan.call()?;
        let (specifiers, plan) = ((service.to_owned(), user.to_owned()), self.plan.clone());
        let path = self.directory.join(format!("{service} {user}"));
        Ok(Entry::new_with_credential(Arc::new(File { specifiers, path, plan })))
    }

    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        self.plan.call()?;
        let entries = self.entries();
        let users =
            entries.iter().filter_map(|name| name.split_once(' ')).filter(|(found, _)| *found == spec["service"]);
        users.map(|(service, user)| self.build(service, user, None)).collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct File {
    specifiers: (String, String),
    path: PathBuf,
    plan: Arc<Plan>,
}

fn answer<T>(done: io::Result<T>) -> Result<T> {
    done.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoEntry,
        _ => Error::PlatformFailure(Box::new(error)),
    })
}

impl CredentialApi for File {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        self.plan.call()?;
        answer(fs::write(&self.path, secret))
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        self.plan.call()?;
        answer(fs::read(&self.path))
    }

    fn delete_credential(&self) -> Result<()> {
        self.plan.call()?;
        answer(fs::remove_file(&self.path))
    }

    fn get_credential(&self) -> Result<Option<Arc<Credential>>> {
        Ok(None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some(self.specifiers.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A keychain that answers with another key than it was given.
#[derive(Debug)]
pub(crate) struct Forgetful(pub(crate) Directory);

impl CredentialStoreApi for Forgetful {
    fn vendor(&self) -> String {
        "forgetful".to_owned()
    }

    fn id(&self) -> String {
        self.0.id()
    }

    fn build(&self, service: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let entry = self.0.build(service, user, None)?;
        // The one that is asked for next has another key.
        if entry.get_secret().is_ok() {
            entry.set_secret(&[b'0'; 64])?;
        }
        Ok(entry)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A keychain that takes a while for each answer.
#[derive(Debug)]
pub(crate) struct Slow(pub(crate) Directory, pub(crate) Duration);

impl CredentialStoreApi for Slow {
    fn vendor(&self) -> String {
        "slow".to_owned()
    }

    fn id(&self) -> String {
        self.0.id()
    }

    fn build(&self, service: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        thread::sleep(self.1);
        self.0.build(service, user, None)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A keychain that takes everything and has nothing.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl CredentialStoreApi for Nowhere {
    fn vendor(&self) -> String {
        "nowhere".to_owned()
    }

    fn id(&self) -> String {
        "nowhere".to_owned()
    }

    fn build(&self, _: &str, _: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        // Its own credentials live as long as the entry, and each question has an entry of its own.
        keyring_core::mock::Store::new()?.build("", "", None)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
