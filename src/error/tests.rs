//! One message of each variant, compared with `docs/messages.md`. With `TOKENKEEP_WRITE_MESSAGES` in its environment
//! the test writes that file.

use std::{env, fs, path::Path};

use super::*;

/// A list of errors for each variant of an enum, which does not compile while a variant is missing.
macro_rules! examples {
    ($name:ident, $enum:ident: $($variant:ident => [$($example:expr),+ $(,)?],)+) => {
        fn $name() -> Vec<(&'static str, Vec<$enum>)> {
            fn _every_variant_is_listed(value: &$enum) {
                match value {
                    $($enum::$variant { .. } => {})+
                }
            }
            vec![$((stringify!($variant), vec![$($example),+])),+]
        }
    };
}

fn path() -> PathBuf {
    PathBuf::from("/home/ada/app/tokens.keep")
}

fn directory() -> PathBuf {
    PathBuf::from("/home/ada/app")
}

fn slot() -> SlotId {
    SlotId([0xAB; 16])
}

fn all<R: Copy>(examples: Vec<(&'static str, Vec<R>)>) -> Vec<R> {
    examples.into_iter().flat_map(|(_, examples)| examples).collect()
}

fn each<R: Copy>(reasons: Vec<(&'static str, Vec<R>)>, error: impl Fn(R) -> Error) -> Vec<Error> {
    all(reasons).into_iter().map(error).collect()
}

examples! { flaws, FileFlaw:
    Empty => [FileFlaw::Empty],
    NotAKeystore => [FileFlaw::NotAKeystore],
    UnsupportedVersion => [FileFlaw::UnsupportedVersion { found: 2 }],
    UnsupportedFeature => [FileFlaw::UnsupportedFeature { bits: 4 }],
    KdfLimit => [FileFlaw::KdfLimit(kdf_limit(KdfCost::Passes))],
    DamagedHeader => [FileFlaw::DamagedHeader],
    Truncated => [FileFlaw::Truncated { expected: 4096, found: 100 }],
    Tampered => [FileFlaw::Tampered],
    Malformed => [FileFlaw::malformed("its generation is zero")],
}

examples! { kinds, FileKind:
    Directory => [FileKind::Directory],
    SymbolicLink => [FileKind::SymbolicLink],
    Pipe => [FileKind::Pipe],
    Socket => [FileKind::Socket],
    Device => [FileKind::Device],
}

examples! { operations, FileOperation:
    Resolve => [FileOperation::Resolve],
    ReadMetadata => [FileOperation::ReadMetadata],
    Open => [FileOperation::Open],
    Read => [FileOperation::Read],
    Create => [FileOperation::Create],
    Write => [FileOperation::Write],
    Sync => [FileOperation::Sync],
    Replace => [FileOperation::Replace],
    Lock => [FileOperation::Lock],
}

examples! { store_operations, StoreOperation:
    ReplaceToken => [StoreOperation::ReplaceToken],
    DeleteTokenIf => [StoreOperation::DeleteTokenIf],
    LockToken => [StoreOperation::LockToken],
}

examples! { costs, KdfCost:
    MemoryKib => [KdfCost::MemoryKib],
    Passes => [KdfCost::Passes],
    Lanes => [KdfCost::Lanes],
    MemoryKibTimesPasses => [KdfCost::MemoryKibTimesPasses],
}

/// A cost that is out of bounds, with the real bound.
fn kdf_limit(cost: KdfCost) -> KdfLimit {
    let (asked, limit) = match cost {
        KdfCost::MemoryKib => (1024, 7168),
        KdfCost::Passes => (17, 16),
        KdfCost::Lanes => (0, 1),
        KdfCost::MemoryKibTimesPasses => (7168, 35_840),
    };
    KdfLimit { cost, asked, limit }
}

examples! { slot_limits, SlotLimit:
    KeySlots => [SlotLimit::KeySlots],
    Passphrases => [SlotLimit::Passphrases],
}

fn most(slots: SlotLimit) -> usize {
    match slots {
        SlotLimit::KeySlots => 8,
        SlotLimit::Passphrases => 4,
    }
}

examples! { parts, Part:
    Token => [Part::Token],
    Namespace => [Part::Namespace],
    Id => [Part::Id],
    UserName => [Part::UserName],
    ClientId => [Part::ClientId],
    ClientSecret => [Part::ClientSecret],
    RefreshToken => [Part::RefreshToken],
    AccessToken => [Part::AccessToken],
    GrantToken => [Part::GrantToken],
    IdToken => [Part::IdToken],
    RedirectUrl => [Part::RedirectUrl],
    ApiDomain => [Part::ApiDomain],
    TokenType => [Part::TokenType],
    Scope => [Part::Scope],
    AttributeName => [Part::AttributeName],
    AttributeValue => [Part::AttributeValue],
    Label => [Part::Label],
}

examples! { unstorable, Unstorable:
    NothingToStore => [Unstorable::NothingToStore],
    UserAndClientTaken => [Unstorable::UserAndClientTaken],
    UnnamedAttribute => [Unstorable::UnnamedAttribute],
    NoIdLeft => [Unstorable::NoIdLeft],
    NoAccessToken => [Unstorable::NoAccessToken],
    NeverStored => [Unstorable::NeverStored],
}

examples! { keychain_failures, KeychainFailure:
    Unavailable => [KeychainFailure::Unavailable],
    Locked => [KeychainFailure::Locked],
    TimedOut => [KeychainFailure::TimedOut { after: Duration::from_secs(30) }],
    Missing => [KeychainFailure::Missing],
    WrongKey => [KeychainFailure::WrongKey],
    BadService => [KeychainFailure::BadService],
    Forgetful => [KeychainFailure::Forgetful],
    Broken => [KeychainFailure::Broken],
    NotCompiledIn => [KeychainFailure::NotCompiledIn],
}

examples! { external_failures, ExternalFailure:
    Failed => [
        ExternalFailure::Failed(ExternalError::new("the TPM does not know the key: use its own TPM").code(0x1DF)),
    ],
    TimedOut => [ExternalFailure::TimedOut { after: Duration::from_secs(30) }],
    WrongKey => [ExternalFailure::WrongKey],
    Forgetful => [ExternalFailure::Forgetful],
    TooMuchData => [ExternalFailure::TooMuchData { len: 1025, limit: 1024 }],
    BadName => [ExternalFailure::BadName { limit: 64 }],
    Panicked => [ExternalFailure::Panicked],
    NoThread => [ExternalFailure::NoThread],
}

examples! { row_flaws, RowFlaw:
    OtherKey => [RowFlaw::OtherKey],
    Tampered => [RowFlaw::Tampered],
    Malformed => [RowFlaw::Malformed(Detail::new("its columns are not those of its token"))],
}

examples! { typos, RecoveryKeyTypo:
    Start => [RecoveryKeyTypo::Start],
    Version => [RecoveryKeyTypo::Version],
    Length => [RecoveryKeyTypo::Length { found: 59, expected: 60 }],
    Character => [RecoveryKeyTypo::Character { group: 3 }],
    Checksum => [RecoveryKeyTypo::Checksum],
}

examples! { permissions, UnsafePermissions:
    FileMode => [UnsafePermissions::FileMode { mode: 0o644 }],
    DirectoryMode => [UnsafePermissions::DirectoryMode { mode: 0o777 }],
    NotOurs => [UnsafePermissions::NotOurs { owner: 1000 }],
    ForeignDirectory => [UnsafePermissions::ForeignDirectory { owner: 1000 }],
    ForeignOwner => [UnsafePermissions::ForeignOwner { owner: 1000 }],
    ForeignLock => [UnsafePermissions::ForeignLock { owner: 1000 }],
    HardLinked => [UnsafePermissions::HardLinked { links: 2 }],
}

examples! { columns, ImportColumn:
    Id => [ImportColumn::Id],
    UserName => [ImportColumn::UserName],
    ClientId => [ImportColumn::ClientId],
    ClientSecret => [ImportColumn::ClientSecret],
    RefreshToken => [ImportColumn::RefreshToken],
    AccessToken => [ImportColumn::AccessToken],
    GrantToken => [ImportColumn::GrantToken],
    ExpiryTime => [ImportColumn::ExpiryTime],
    RedirectUrl => [ImportColumn::RedirectUrl],
    ApiDomain => [ImportColumn::ApiDomain],
}

examples! { import_flaws, ImportFlaw:
    NoFile => [ImportFlaw::NoFile],
    NotUtf8 => [ImportFlaw::NotUtf8 { offset: 114 }],
    Empty => [ImportFlaw::Empty],
    UnknownColumn => [ImportFlaw::UnknownColumn { number: 2 }],
    RepeatedColumn => [ImportFlaw::RepeatedColumn],
    BrokenQuotes => [ImportFlaw::BrokenQuotes],
    TooManyRows => [ImportFlaw::TooManyRows { limit: 100_000 }],
    TooManyAlike => [ImportFlaw::TooManyAlike { limit: 100 }],
    TooFewFields => [ImportFlaw::TooFewFields { found: 4, expected: 10 }],
    TooManyFields => [ImportFlaw::TooManyFields { found: 11, expected: 10 }],
    BadExpiry => [ImportFlaw::BadExpiry],
    SameId => [ImportFlaw::SameId { line: 2 }],
    SameToken => [ImportFlaw::SameToken { line: 2 }],
    IdTaken => [ImportFlaw::IdTaken],
    Ambiguous => [ImportFlaw::Ambiguous { count: 2 }],
    Unstorable => [ImportFlaw::Unstorable(Unstorable::NothingToStore)],
    TooLarge => [ImportFlaw::TooLarge { size: 65_537, limit: 65_536 }],
}

/// Where in a file a flaw is.
fn place_of(why: ImportFlaw) -> (Option<u64>, Option<ImportColumn>) {
    match why {
        ImportFlaw::NoFile | ImportFlaw::NotUtf8 { .. } | ImportFlaw::Empty | ImportFlaw::TooManyRows { .. } => {
            (None, None)
        }
        ImportFlaw::UnknownColumn { .. } => (Some(1), None),
        ImportFlaw::RepeatedColumn => (Some(1), Some(ImportColumn::UserName)),
        ImportFlaw::TooManyAlike { .. } => (Some(103), Some(ImportColumn::UserName)),
        ImportFlaw::BadExpiry => (Some(3), Some(ImportColumn::ExpiryTime)),
        ImportFlaw::SameId { .. } | ImportFlaw::IdTaken => (Some(3), Some(ImportColumn::Id)),
        ImportFlaw::Ambiguous { .. } => (Some(3), Some(ImportColumn::ClientId)),
        ImportFlaw::TooLarge { .. } => (Some(3), Some(ImportColumn::RedirectUrl)),
        _ => (Some(3), None),
    }
}

/// Lists of errors that are made from all reasons of an enum.
macro_rules! errors {
    ($($variant:ident => $examples:expr,)+) => {
        fn errors() -> Vec<(&'static str, Vec<Error>)> {
            fn _every_variant_is_listed(error: &Error) {
                match error {
                    $(Error::$variant { .. } => {})+
                }
            }
            vec![$((stringify!($variant), $examples)),+]
        }
    };
}

/// What a system says about an operation.
fn cause(operation: FileOperation) -> io::Error {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
    match operation {
        FileOperation::Write => io::Error::new(StorageFull, "no space left on device"),
        FileOperation::Create | FileOperation::Replace => io::Error::new(ReadOnlyFilesystem, "read-only file system"),
        FileOperation::Resolve | FileOperation::ReadMetadata | FileOperation::Open => {
            io::Error::new(PermissionDenied, "permission denied")
        }
        FileOperation::Read | FileOperation::Sync => io::Error::other("input/output error"),
        FileOperation::Lock => io::Error::other("no locks available"),
    }
}

errors! {
    NotFound => vec![Error::NotFound { path: path() }],
    MissingDirectory => vec![Error::MissingDirectory { path: directory() }],
    AlreadyExists => vec![Error::AlreadyExists { path: path() }],
    EmptyPath => vec![Error::EmptyPath],
    NotAFile => each(kinds(), |found| Error::NotAFile { path: path(), found }),
    ReservedName => vec![Error::ReservedName { path: directory().join("tokens.keep.lock") }],
    MountedFile => vec![Error::MountedFile { path: path() }],
    BadFile => each(flaws(), |flaw| Error::BadFile { path: path(), flaw }),
    FileTooLarge => vec![Error::FileTooLarge { path: path(), size: 67_112_960, limit: 67_108_864 }],
    KdfLimit => each(costs(), |cost| Error::KdfLimit(kdf_limit(cost))),
    KdfMemory => vec![Error::KdfMemory { kib: 65_536 }],
    WrongPassphrase => vec![Error::WrongPassphrase { path: path() }],
    EmptyPassphrase => vec![Error::EmptyPassphrase],
    WrongRecoveryKey => vec![Error::WrongRecoveryKey { path: path() }],
    MistypedRecoveryKey => each(typos(), |why| Error::MistypedRecoveryKey { why }),
    Keychain => each(keychain_failures(), |why| Error::Keychain { why }),
    External => each(external_failures(), |why| Error::External { provider: "tpm2".to_owned(), why }),
    KeyLeft => vec![
        Error::KeyLeft { cause: Box::new(KeychainFailure::Locked.error()) },
        Error::KeyLeft {
            cause: Box::new(Error::External {
                provider: "tpm2".to_owned(),
                why: ExternalFailure::TimedOut { after: Duration::from_secs(30) },
            }),
        },
    ],
    BadRow => each(row_flaws(), |flaw| Error::BadRow { name: "accounts".into(), place: 7, flaw }),
    NoSlotFor => [
        UnlockMethod::Passphrase,
        UnlockMethod::Keychain,
        UnlockMethod::RecoveryKey,
        UnlockMethod::External,
    ]
        .map(|method| Error::NoSlotFor { path: path(), method })
        .into(),
    NoneOpened => vec![
        Error::NoneOpened {
            path: path(),
            failures: vec![
                UnlockFailure { method: UnlockMethod::Keychain, error: KeychainFailure::Unavailable.error() },
                UnlockFailure { method: UnlockMethod::Passphrase, error: Error::WrongPassphrase { path: path() } },
            ],
        },
        Error::NoneOpened {
            path: path(),
            failures: vec![
                UnlockFailure {
                    method: UnlockMethod::RecoveryKey,
                    error: Error::NoSlotFor { path: path(), method: UnlockMethod::RecoveryKey },
                },
                UnlockFailure { method: UnlockMethod::Keychain, error: KeychainFailure::Locked.error() },
            ],
        },
        Error::NoneOpened { path: path(), failures: vec![] },
    ],
    NoSuchSlot => vec![Error::NoSuchSlot { id: slot() }],
    NotAnOrphan => vec![Error::NotAnOrphan { id: slot() }],
    LastSlot => vec![Error::LastSlot],
    TooManySlots => each(slot_limits(), |what| Error::TooManySlots { what, limit: most(what) }),
    Busy => vec![Error::Busy { path: path(), waited: Duration::from_secs(10) }],
    Refreshing => vec![Error::Refreshing { waited: Duration::from_secs(30) }],
    BackedOff => vec![Error::BackedOff { until: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000) }],
    ClaimEnded => vec![Error::ClaimEnded],
    Conflict => vec![Error::Conflict { current: 7 }],
    NoSuchToken => vec![Error::NoSuchToken],
    OtherClient => vec![Error::OtherClient { id: "42".into() }],
    Ambiguous => vec![Error::Ambiguous { count: 2 }],
    Unsupported => each(store_operations(), |operation| Error::Unsupported { operation }),
    Replaced => vec![Error::Replaced { path: path() }],
    PathChanged => vec![Error::PathChanged {
        path: "/home/ada/app/current/tokens.keep".into(),
        opened: "/home/ada/app/41/tokens.keep".into(),
    }],
    Rekeyed => vec![Error::Rekeyed { path: path() }],
    RolledBack => vec![Error::RolledBack { path: path() }],
    Diverged => vec![Error::Diverged { path: path() }],
    ChangedMeanwhile => vec![Error::ChangedMeanwhile { path: path() }],
    Forked => vec![Error::Forked { path: path() }],
    TooLarge => each(parts(), |part| {
        let limit = match part {
            Part::Token => 262_144,
            Part::Label | Part::Namespace => 256,
            _ => 65_536,
        };
        Error::TooLarge { part, size: limit + 1, limit }
    }),
    Unstorable => each(unstorable(), |why| Error::Unstorable { why }),
    UnsafePermissions => each(permissions(), |what| Error::UnsafePermissions {
        path: match what {
            UnsafePermissions::DirectoryMode { .. } | UnsafePermissions::ForeignDirectory { .. } => directory(),
            UnsafePermissions::ForeignLock { .. } => directory().join("tokens.keep.lock"),
            _ => path(),
        },
        what,
    }),
    DurabilityUnknown => vec![Error::DurabilityUnknown {
        id: None,
        path: directory(),
        cause: cause(FileOperation::Sync),
    }],
    Import => each(import_flaws(), |why| {
        let (line, column) = place_of(why);
        Error::Import { path: directory().join("tokens.csv"), line, column, why }
    })
    .into_iter()
    .chain(each(columns(), |column| Error::Import {
        path: directory().join("tokens.csv"),
        line: Some(3),
        column: Some(column),
        why: ImportFlaw::TooLarge { size: 65_537, limit: 65_536 },
    }))
    .collect(),
    ImportIncomplete => vec![Error::ImportIncomplete {
        path: directory().join("tokens.csv"),
        lines: vec![2, 3],
        cause: Box::new(Error::other("the cloud vault did not answer")),
    }],
    Random => vec![Error::Random],
    Io => each(operations(), |operation| Error::Io { operation, path: path(), cause: cause(operation) }),
    NoGenerationLeft => vec![Error::NoGenerationLeft { path: path() }],
    InTransaction => vec![Error::InTransaction],
    Internal => vec![Error::internal("a change was never made")],
    Store => vec![Error::of_store(ErrorKind::Busy, "the database was locked for 10 s: try again")],
    Other => vec![Error::other("the cloud vault did not answer")],
}

fn document() -> String {
    let mut text = String::from(
        "# Error messages\n\n\
         One example of each message, by variant of `Error`, with the error's kind and whether the same call may\n\
         succeed later although nobody does anything about the error. A test compares this page with what the\n\
         library produces (`each_variant_has_the_message_of_the_document`).\n",
    );
    for (variant, examples) in errors() {
        text += &format!("\n## `{variant}`\n\n| kind | retryable | message |\n|---|---|---|\n");
        for error in examples {
            let retryable = if error.is_retryable() { "yes" } else { "no" };
            text += &format!("| `{:?}` | {retryable} | {error} |\n", error.kind());
        }
    }
    text
}

#[test]
fn each_variant_has_the_message_of_the_document() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/messages.md");
    if env::var_os("TOKENKEEP_WRITE_MESSAGES").is_some() {
        fs::write(&page, document()).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap();
    for (written, produced) in written.lines().zip(document().lines()) {
        assert_eq!(written, produced);
    }
    assert_eq!(written, document());
}

/// One exception each: what is not about one file.
#[test]
fn messages_about_a_file_name_its_path() {
    for (variant, examples) in errors() {
        for error in examples {
            let names_path = error.to_string().contains("/home/ada/app");
            let shows_path = format!("{error:?}").contains("/home/ada/app");
            assert_eq!(names_path, shows_path, "{variant}: {error}");
        }
    }
}

#[test]
fn messages_say_what_to_do_and_not_the_old_words() {
    for (variant, examples) in errors() {
        for error in examples {
            let message = error.to_string();
            assert!(!message.ends_with('.') && !message.contains("folder"), "{variant}: {message}");
            assert!(message.len() > 20 && message.len() < 330, "{variant}: {message}");
        }
    }
}

#[test]
fn only_what_may_pass_by_itself_is_retryable() {
    let retryable: Vec<_> = errors()
        .into_iter()
        .filter(|(_, examples)| examples.iter().any(Error::is_retryable))
        .map(|(variant, _)| variant)
        .collect();
    assert_eq!(
        retryable,
        ["KdfMemory", "Keychain", "External", "Busy", "Refreshing", "BackedOff", "ChangedMeanwhile", "Random", "Store"]
    );
    let refused = Error::Io {
        operation: FileOperation::Write,
        path: path(),
        cause: io::Error::from(io::ErrorKind::ReadOnlyFilesystem),
    };
    assert_eq!(refused.kind(), ErrorKind::Permission);
}

/// The list in the documentation of `ErrorKind` names each variant in the entry of its kind.
#[test]
fn list_of_kinds_names_each_variant_in_its_entry() {
    let list = include_str!("kind.rs");
    for (variant, examples) in errors() {
        for error in examples {
            let entries = list.split("\n/// - ");
            let start = format!("`{:?}`:", error.kind());
            let entry =
                entries.map(|entry| entry.split("\n///\n").next().unwrap()).find(|entry| entry.starts_with(&start));
            let (_, variants) = entry.and_then(|entry| entry.split_once("Variant")).expect("an entry for each kind");
            assert!(variants.contains(&format!("`{variant}`")), "{variant}: {variants}");
        }
    }
}
