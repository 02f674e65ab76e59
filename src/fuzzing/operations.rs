//! Operations of two handles on one file, while the disk fails now and then.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use arbitrary::Arbitrary;

use super::model::{self, Expiry, Model, NAMESPACES, Operation, Row, Source};
use crate::{
    Error, Keystore, RecoveryKey, Unlock,
    engine::Engine,
    file::{Access, Disk, StoreFile, Watched},
};

#[derive(Debug, Arbitrary)]
pub(super) struct Step {
    by_the_second: bool,
    /// Which of the next calls that change the disk fails, if that many are made.
    fails_at: Option<u8>,
    what: What,
}

#[derive(Debug, Arbitrary)]
enum What {
    Single(Drawn),
    Transaction { operations: Vec<Drawn>, is_given_up: bool },
    Reopen,
    Verify,
    Backup,
}

/// An operation in a namespace, as the fuzzer draws it.
#[derive(Debug, Arbitrary)]
struct Drawn {
    namespace: u8,
    operation: DrawnOperation,
}

#[derive(Debug, Arbitrary)]
enum DrawnOperation {
    Save(Source, Few),
    Find(Source, Few),
    Replace(Source, Few),
    Delete(u8),
    DeleteIf(u8, u8),
    DeleteAll,
    Read(u8),
}

impl Drawn {
    fn operation(&self) -> (&'static str, Operation) {
        let operation = match &self.operation {
            DrawnOperation::Save(source, few) => Operation::Save(*source, few.row()),
            DrawnOperation::Find(source, few) => Operation::Find(*source, few.row()),
            DrawnOperation::Replace(source, few) => Operation::Replace(*source, few.row()),
            DrawnOperation::Delete(number) => Operation::Delete(id(*number)),
            DrawnOperation::DeleteIf(number, revision) => Operation::DeleteIf(id(*number), u64::from(revision % 8)),
            DrawnOperation::DeleteAll => Operation::DeleteAll,
            DrawnOperation::Read(number) => Operation::Read(id(*number)),
        };
        (NAMESPACES[usize::from(self.namespace) % NAMESPACES.len()], operation)
    }
}

/// A row of values so few that rows meet.
#[derive(Debug, Arbitrary)]
struct Few {
    id: Option<u8>,
    texts: [Option<bool>; 8],
    /// 0: the expiry is unknown.
    expires_at: Option<u8>,
    times: [Option<bool>; 4],
    failed_refreshes: Option<bool>,
    scopes: [bool; 2],
    attribute: Option<(bool, bool)>,
}

const TEXTS: [&str; 8] = [
    "user_name",
    "client_id",
    "client_secret",
    "refresh_token",
    "access_token",
    "grant_token",
    "id_token",
    "api_domain",
];
const TIMES: [&str; 4] = ["received_at", "refresh_expires_at", "rejected_at", "retry_at"];
const IDS: [&str; 6] = ["1", "2", "3", "5", "id", "07"];

fn id(number: u8) -> String {
    IDS[usize::from(number) % IDS.len()].to_owned()
}

impl Few {
    fn row(&self) -> Row {
        let texts =
            TEXTS.iter().zip(self.texts).filter_map(|(name, value)| Some((*name, format!("{name} {}", value?))));
        let scopes = ["x", "y"].into_iter().zip(self.scopes).filter(|(_, is_set)| *is_set);
        Row {
            texts: texts.chain(self.id.map(|number| ("id", id(number)))).collect(),
            expiry: match self.expires_at {
                None => Expiry::Unset,
                Some(0) => Expiry::Unknown,
                Some(millis) => Expiry::At(millis.into()),
            },
            times: TIMES.iter().zip(self.times).filter_map(|(name, value)| Some((*name, u64::from(value?)))).collect(),
            failed_refreshes: self.failed_refreshes.map_or(0, |more| 1 + u32::from(more)),
            scopes: scopes.map(|(scope, _)| scope.to_owned()).collect(),
            attributes: self.attribute.map(|(name, value)| (name.to_string(), value.to_string())).into_iter().collect(),
            revision: 0,
            is_of_other_store: false,
        }
    }
}

/// Calls that will succeed before one fails.
type Failure = Arc<AtomicU8>;
const NEVER: u8 = u8::MAX;

fn failing(failure: &Failure) -> Arc<dyn Disk> {
    let failure = failure.clone();
    Arc::new(Watched(move |_| match failure.load(Ordering::Relaxed) {
        NEVER => Ok(()),
        0 => {
            failure.store(NEVER, Ordering::Relaxed);
            Err(io::ErrorKind::StorageFull.into())
        }
        calls => {
            failure.store(calls - 1, Ordering::Relaxed);
            Ok(())
        }
    }))
}

fn unlock() -> Unlock {
    Unlock::from(RecoveryKey::of_bytes(&[7; 32]).expect("any bytes are a key"))
}

fn open(path: &Path, failure: &Failure) -> Keystore {
    let file = StoreFile::existing(path, Access::Checked, 1 << 20, failing(failure));
    Keystore::over(
        file.and_then(|file| Engine::open(file, &unlock(), Duration::from_secs(10))).expect("the store opens"),
    )
}

pub(super) fn check(directory: &Path, steps: Vec<Step>) {
    for entry in fs::read_dir(directory).expect("the directory").flatten() {
        fs::remove_file(entry.path()).expect("an emptied directory");
    }
    let (path, copy) = (directory.join("store"), directory.join("copy"));
    Keystore::create(&path, &unlock()).expect("a new store");
    let failures = [(); 2].map(|()| Failure::new(NEVER.into()));
    let mut stores = [0, 1].map(|which| open(&path, &failures[which]));
    let mut model = Model::default();
    for step in steps {
        let which = usize::from(step.by_the_second);
        let (store, failure) = (&stores[which], &failures[which]);
        if let Some(calls) = step.fails_at {
            failure.store(calls % 8, Ordering::Relaxed);
        }
        let may_fail = step.fails_at.is_some();
        let done = match &step.what {
            What::Single(drawn) => {
                let (namespace, operation) = drawn.operation();
                model.check(&model::Step::Single(namespace, operation), store)
            }
            What::Transaction { operations, is_given_up } => {
                let operations = operations.iter().map(Drawn::operation).collect();
                model.check(&model::Step::Transaction { operations, is_given_up: *is_given_up }, store)
            }
            What::Reopen => Ok(()),
            What::Verify => store.verify(),
            What::Backup => store.backup_to(&copy),
        };
        failure.store(NEVER, Ordering::Relaxed);
        match done {
            Ok(()) => {}
            Err(Error::Io { .. } | Error::DurabilityUnknown { .. }) if may_fail => {}
            Err(other) => panic!("{step:?}: {other:?}"),
        }
        if let What::Backup = step.what
            && copy.exists()
        {
            model.assert_is_in(&open(&copy, &Failure::new(NEVER.into()))).expect("the copy's tokens");
            fs::remove_file(&copy).expect("the copy's removal");
        }
        if let What::Reopen = step.what {
            stores[which] = open(&path, failure);
        }
        for store in &stores {
            model.assert_is_in(store).expect("the tokens");
        }
    }
}
