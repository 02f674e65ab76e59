//! The least that the machine needs for the work of a store: what it would take without one.

use std::{
    fs::{self, File},
    hint::black_box,
    io::Write,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use argon2::{Algorithm, Argon2, Params, Version};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
};
use tokenkeep::KdfParams;

/// Hashes and encrypts the bytes in place, all but the last, which the tag takes, and nothing else. What they were does
/// not matter.
pub(crate) fn seal(bytes: &mut [u8]) {
    black_box(digest(&SHA256, bytes));
    let (bytes, last) = bytes.split_last_chunk_mut::<16>().unwrap();
    last.copy_from_slice(aead().seal_in_place_separate_tag(nonce(), Aad::empty(), bytes).unwrap().as_ref());
}

/// Replaces a file of the directory durably, and nothing else.
pub(crate) fn replace(directory: &Path, bytes: &[u8]) {
    let temporary = directory.join("limit.tmp");
    let mut file = File::create(&temporary).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    fs::rename(temporary, directory.join("limit")).unwrap();
    File::open(directory).unwrap().sync_all().unwrap();
}

/// What a save of one token appends.
pub(crate) const RECORD_LEN: usize = 4096;

/// As many bytes as a save of one token appends, sealed.
pub(crate) fn record() -> Vec<u8> {
    let mut record = vec![7; RECORD_LEN];
    seal(&mut record);
    record
}

/// Appends a [`record`] durably, and nothing else.
pub(crate) fn append(file: &mut File, record: &[u8]) {
    file.write_all(record).unwrap();
    file.sync_data().unwrap();
}

/// Seals a record and appends it durably, under a lock on a lock file and a lock on the file. Before, it looks whether
/// the path leads to the file, and at the last bytes of the file. After the sync, it looks at the file again. Nothing else.
pub(crate) fn append_locked(path: &Path, record: &mut [u8]) {
    let lock = File::options().write(true).create(true).truncate(false).open(path.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let mut file = File::options().read(true).append(true).open(path).unwrap();
    file.lock().unwrap();
    let (opened, at_path) = (file.metadata().unwrap(), fs::metadata(path).unwrap());
    assert_eq!(opened.ino(), at_path.ino());
    let mut tag = [0; 16];
    file.read_exact_at(&mut tag, opened.len() - 16).unwrap();
    black_box(tag);
    seal(record);
    append(&mut file, record);
    assert_eq!(fs::metadata(path).unwrap().len(), opened.len() + record.len() as u64);
}

/// Looks at the file, reads the [`record`] at its end, decrypts it, and nothing else.
pub(crate) fn read_last_record(path: &Path) -> usize {
    let len = fs::metadata(path).unwrap().len();
    let mut record = vec![0; RECORD_LEN];
    File::open(path).unwrap().read_exact_at(&mut record, len - RECORD_LEN as u64).unwrap();
    aead().open_in_place(nonce(), Aad::empty(), &mut record).unwrap().len()
}

/// Reads and decrypts what was [sealed](seal) and [put there](replace), and nothing else.
pub(crate) fn read_and_decrypt(directory: &Path) -> usize {
    let mut bytes = fs::read(directory.join("limit")).unwrap();
    aead().open_in_place(nonce(), Aad::empty(), &mut bytes).unwrap().len()
}

/// Reads a file of a sealed body and of [records](record), decrypts all of them, and nothing else.
pub(crate) fn read_and_decrypt_records(path: &Path, body_len: usize) -> usize {
    let mut bytes = fs::read(path).unwrap();
    let (body, records) = bytes.split_at_mut(body_len);
    let open = |bytes: &mut [u8]| aead().open_in_place(nonce(), Aad::empty(), bytes).unwrap().len();
    open(body) + records.chunks_exact_mut(RECORD_LEN).map(open).sum::<usize>()
}

/// Derives a key from a passphrase at the default cost, and nothing else.
pub(crate) fn derive_key(passphrase: &str) -> [u8; 32] {
    let cost = KdfParams::default();
    let params = Params::new(cost.memory_kib(), cost.passes(), cost.lanes(), Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = [0; 32];
    argon2.hash_password_into(passphrase.as_bytes(), &[1; 32], &mut key).unwrap();
    key
}

fn aead() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap())
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
