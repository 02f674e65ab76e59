use super::super::sealing::{THREAD_THRESHOLD, write_and_hash};
use crate::{
    Token,
    codec::{Encoding, Prelude, records_len},
    error::Error,
    id::Origin,
    seal::PlaintextHash,
    time::Millis,
};

const PRELUDE: Prelude<'_> = Prelude { next_id: 2, ancestors: &[], record_tags: &[] };

fn token(len: usize) -> Token {
    let (time, origin) = (Millis::new(1).unwrap().time(), Origin::of("sealing"));
    Token::builder().id("1").access_token("a".repeat(len)).stored(origin, time, time, 1).build()
}

/// Also if another thread hashes it while it is written.
#[test]
fn hash_is_that_of_the_whole_plaintext() {
    for len in [64, THREAD_THRESHOLD - 8192, THREAD_THRESHOLD - 200, THREAD_THRESHOLD, 3 * THREAD_THRESHOLD] {
        let token = token(len);
        let encoding = Encoding::new(600, PRELUDE, [("", &token)].into_iter(), records_len("", [&token])).unwrap();
        let mut plaintext = vec![0; encoding.len()];
        let hash = write_and_hash(&encoding, &mut plaintext).unwrap();
        assert_eq!(plaintext, encoding.plaintext().unwrap(), "{len}");
        assert_eq!(hash, PlaintextHash::of([&*plaintext]), "{len}");
    }
}

/// With records of another length than they were said to have.
#[test]
fn a_plaintext_that_cannot_be_written_is_not_sealed() {
    for len in [64, THREAD_THRESHOLD] {
        let token = token(len);
        let wrong = records_len("", [&token]) + 1;
        let encoding = Encoding::new(600, PRELUDE, [("", &token)].into_iter(), wrong).unwrap();
        let refused = write_and_hash(&encoding, &mut vec![0; encoding.len()]);
        assert!(matches!(refused, Err(Error::Internal(_))), "{len}");
    }
}
