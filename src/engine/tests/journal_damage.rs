//! Damaged journals: every bit flipped, every length, every sector zeroed, records exchanged.
//!
//! What opens has to be an older state of the same store, which a handle that has seen the newer one reports as
//! `RolledBack`. Everything else is refused.

use std::{fs, ops::Range};

use tempfile::TempDir;

use super::{super::*, at, create, load, load_at, open, save, save_token, users};
use crate::{
    Token,
    error::FileFlaw,
    file::{Access, Os},
    format::{BLOCK, BODY_HEADER_LEN, check_without_key},
};

const SECTOR: usize = 512;

/// A file with so many records, and how long it was before each of them and at the end.
struct Journaled {
    directory: TempDir,
    engine: Engine,
    file: Vec<u8>,
    ends: Vec<usize>,
}

/// What became of a damaged file.
#[derive(Debug, PartialEq)]
enum Found {
    /// So many records, of which none is missing before another one.
    Records {
        count: usize,
        is_torn: bool,
    },
    Refused(FileFlaw),
}

impl Journaled {
    /// Each third record has two blocks.
    fn new(records: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = create(&directory);
        let len = || usize::try_from(fs::metadata(at(&directory)).unwrap().len()).unwrap();
        let mut ends = vec![len()];
        for n in 0..records {
            let secret = if n % 3 == 1 { "a".repeat(5000) } else { "a".to_owned() };
            save_token(&engine, &Token::builder().user_name(n.to_string()).access_token(secret).build()).unwrap();
            ends.push(len());
        }
        let file = fs::read(at(&directory)).unwrap();
        Self { directory, engine, file, ends }
    }

    fn count(&self) -> usize {
        self.ends.len() - 1
    }

    fn record(&self, number: usize) -> Range<usize> {
        self.ends[number]..self.ends[number + 1]
    }

    fn find(&self, mut file: Vec<u8>) -> Found {
        let vault = self.engine.state.read().vault.clone();
        match load(&vault, &mut file) {
            Ok((journal, rows)) => {
                let count = usize::try_from(journal.record_count()).unwrap();
                let names: Vec<_> =
                    rows.index("").tokens().iter().map(|token| token.user_name().unwrap().to_owned()).collect();
                assert_eq!(names, (0..count).map(|n| n.to_string()).collect::<Vec<_>>());
                Found::Records { count, is_torn: journal.is_torn() }
            }
            Err(flaw) => Found::Refused(flaw),
        }
    }

    /// Flips each so many-th bit after the header.
    fn assert_flipped_bits_are_refused(&self, step: usize) {
        let header = self.engine.state.read().vault.bytes().len() + BODY_HEADER_LEN;
        for bit in (header * 8..self.file.len() * 8).step_by(step) {
            let mut flipped = self.file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(self.find(flipped), Found::Refused(FileFlaw::Tampered), "bit {bit}");
        }
    }

    /// Each so many-th length.
    fn assert_lengths_are_older_states(&self, step: usize) {
        let edges = self.ends.iter().flat_map(|end| [end + 1, end + 7, end + 8, end + 9, end + SECTOR]);
        for len in (self.ends[0]..=self.file.len()).step_by(step).chain(edges.filter(|len| *len <= self.file.len())) {
            let count = self.ends.iter().rposition(|end| *end <= len).unwrap();
            let expected = Found::Records { count, is_torn: self.ends[count] != len };
            assert_eq!(self.find(self.file[..len].to_vec()), expected, "{len} bytes");
        }
    }

    fn assert_zeroed_sectors_are_refused_before_the_last_record(&self) {
        let last = self.record(self.count() - 1);
        for start in (self.ends[0] - SECTOR..self.file.len()).step_by(SECTOR) {
            let mut zeroed = self.file.clone();
            zeroed[start..start + SECTOR].fill(0);
            let expected = match last.contains(&start) {
                true => Found::Records { count: self.count() - 1, is_torn: true },
                false => Found::Refused(FileFlaw::Tampered),
            };
            assert_eq!(self.find(zeroed), expected, "sector at {start}");
        }
    }
}

#[test]
fn flipped_bit_of_a_journal_is_refused() {
    for (records, step) in [(1, 61), (3, 401)] {
        Journaled::new(records).assert_flipped_bits_are_refused(step);
    }
    Journaled::new(60).assert_flipped_bits_are_refused(100_003);
}

#[test]
#[ignore = "takes minutes: `.ci/campaign damage`"]
fn every_flipped_bit_of_a_journal_is_refused() {
    for records in [0, 1, 3] {
        Journaled::new(records).assert_flipped_bits_are_refused(1);
    }
    Journaled::new(180).assert_flipped_bits_are_refused(61);
}

#[test]
fn journal_that_was_cut_is_an_older_state() {
    for (records, step) in [(1, 7), (3, 61), (60, 10_007)] {
        Journaled::new(records).assert_lengths_are_older_states(step);
    }
}

#[test]
#[ignore = "takes minutes: `.ci/campaign damage`"]
fn journal_of_every_length_is_an_older_state() {
    for (records, step) in [(1, 1), (3, 1), (180, 101)] {
        Journaled::new(records).assert_lengths_are_older_states(step);
    }
}

#[test]
fn zeroed_sector_is_torn_in_the_last_record_only() {
    for records in [1, 2, 3, 20] {
        Journaled::new(records).assert_zeroed_sectors_are_refused_before_the_last_record();
    }
}

/// Cut and zeroed at once, as a power cut leaves a record of several blocks.
#[test]
fn cut_record_with_missing_sectors_is_torn() {
    let journaled = Journaled::new(2);
    let last = journaled.record(1);
    assert_eq!(last.len(), 2 * BLOCK);
    for len in last.clone().step_by(SECTOR) {
        for sector in (last.start..len).step_by(SECTOR) {
            let mut file = journaled.file[..len].to_vec();
            file[sector..sector + SECTOR].fill(0);
            assert_eq!(journaled.find(file), Found::Records { count: 1, is_torn: true }, "{len}, {sector}");
        }
    }
}

/// Zeros after the last record are the tail of a file that grew before its bytes came. Anything else is damage.
#[test]
fn only_zeros_may_follow_the_last_record() {
    for records in [0, 2] {
        let journaled = Journaled::new(records);
        for added in [1, 7, 8, 9, BLOCK, 3 * BLOCK + 5] {
            let longer = |byte: u8| [&journaled.file[..], &vec![byte; added]].concat();
            assert_eq!(journaled.find(longer(0)), Found::Records { count: records, is_torn: true }, "{added}");
            if added >= 8 {
                assert_eq!(journaled.find(longer(1)), Found::Refused(FileFlaw::Tampered), "{added}");
            }
        }
        // A valid head at a later place, which was written after what is missing here.
        let mut later = [&journaled.file[..], &[0; 2 * BLOCK]].concat();
        let place = journaled.file.len() + BLOCK;
        let head = crate::format::RecordHead::new(4096, u64::try_from(place).unwrap());
        later[place..place + 8].copy_from_slice(head.bytes());
        assert_eq!(journaled.find(later), Found::Refused(FileFlaw::Tampered));
    }
}

/// Of the same file, of an earlier generation, of a later one, and of another store.
#[test]
fn record_at_another_place_is_refused() {
    let journaled = Journaled::new(5);
    let file = &journaled.file;
    let refused = Found::Refused(FileFlaw::Tampered);
    let part = |number: usize| file[journaled.record(number)].to_vec();
    let (body, records) = (file[..journaled.ends[0]].to_vec(), (0..5).map(part).collect::<Vec<_>>());
    let with =
        |order: &[usize]| [&body[..], &order.iter().flat_map(|n| records[*n].clone()).collect::<Vec<_>>()].concat();
    assert_eq!(journaled.find(with(&[0, 1, 2, 3, 4])), Found::Records { count: 5, is_torn: false });
    for order in [&[1][..], &[0, 2], &[0, 1, 3, 2, 4], &[0, 0, 1], &[0, 1, 2, 3, 3], &[2, 1, 0, 3, 4], &[0, 1, 2, 4]] {
        assert_eq!(journaled.find(with(order)), refused, "{order:?}");
    }
    // Of another generation, and of the same length.
    let before = file.clone();
    journaled.engine.compact().unwrap();
    let start = usize::try_from(journaled.engine.state.read().journal.end()).unwrap();
    save(&journaled.engine, "5").unwrap();
    let after = fs::read(at(&journaled.directory)).unwrap();
    let (of_before, of_after) = (journaled.record(0), start..start + BLOCK);
    let (mut newer, mut older) = (after.clone(), before.clone());
    newer[of_after.clone()].copy_from_slice(&before[of_before.clone()]);
    older[of_before].copy_from_slice(&after[of_after]);
    assert_eq!((journaled.find(newer), journaled.find(older)), (Found::Refused(FileFlaw::Tampered), refused));
}

/// Two records that were sealed for one place, one of them in a copy of the file.
#[test]
fn record_of_a_copy_follows_no_other_record() {
    let journaled = Journaled::new(1);
    let copy = tempfile::tempdir().unwrap();
    fs::copy(at(&journaled.directory), at(&copy)).unwrap();
    let (one, other) = (&journaled.engine, open(&copy));
    for engine in [one, &other] {
        save(engine, "1").unwrap();
        save(engine, "2").unwrap();
    }
    let (one, other) = (fs::read(at(&journaled.directory)).unwrap(), fs::read(at(&copy)).unwrap());
    let last = one.len() - BLOCK;
    let mixed = [&one[..last], &other[last..]].concat();
    assert_eq!(journaled.find(mixed), Found::Refused(FileFlaw::Tampered));
}

#[test]
fn older_journal_is_reported_by_an_open_handle() {
    let journaled = Journaled::new(3);
    let reader = open(&journaled.directory);
    let damages: [fn(&Journaled, &mut Vec<u8>); 3] = [
        |journaled, file| file.truncate(journaled.ends[2]),
        |journaled, file| file.truncate(journaled.ends[2] + 100),
        |journaled, file| {
            let last = journaled.record(2);
            file[last.start + SECTOR..last.start + 2 * SECTOR].fill(0);
        },
    ];
    for damage in damages {
        let mut file = journaled.file.clone();
        damage(&journaled, &mut file);
        fs::write(at(&journaled.directory), &file).unwrap();
        let reader = [&reader, &open_before(&journaled)];
        for engine in reader {
            assert!(matches!(users(engine), Err(Error::RolledBack { .. })), "{:?}", users(engine));
            assert!(matches!(save(engine, "lost"), Err(Error::RolledBack { .. })));
        }
        assert_eq!(fs::read(at(&journaled.directory)).unwrap(), file);
        assert_eq!(users(&open(&journaled.directory)).unwrap(), ["0", "1"]);
    }
}

/// A handle that has seen all of the file.
fn open_before(journaled: &Journaled) -> Engine {
    let damaged = fs::read(at(&journaled.directory)).unwrap();
    fs::write(at(&journaled.directory), &journaled.file).unwrap();
    let engine = open(&journaled.directory);
    fs::write(at(&journaled.directory), damaged).unwrap();
    engine
}

#[test]
fn torn_record_is_reported_and_replaced_by_the_next_save() {
    let journaled = Journaled::new(2);
    let cut = &journaled.file[..journaled.ends[1] + 700];
    fs::write(at(&journaled.directory), cut).unwrap();
    let engine = open(&journaled.directory);
    let status = engine.status().unwrap();
    assert_eq!((status.journal.records, status.journal.is_torn), (1, true));
    let found = crate::Keystore::verify_file(at(&journaled.directory)).unwrap();
    assert_eq!(found.journal, status.journal);
    engine.verify().unwrap();
    assert_eq!(fs::read(at(&journaled.directory)).unwrap(), cut, "a reader repairs nothing");
    save(&engine, "grace").unwrap();
    let status = engine.status().unwrap();
    assert_eq!((status.generation, status.journal.records, status.journal.is_torn), (2, 0, false));
    assert_eq!(users(&open(&journaled.directory)).unwrap(), ["0", "grace"]);
}

/// It is as long as before, so no record was appended.
#[cfg(unix)]
#[test]
fn torn_file_that_was_changed_in_place_is_read_as_a_whole() {
    let journaled = Journaled::new(2);
    let mut file = journaled.file[..journaled.ends[1] + 700].to_vec();
    fs::write(at(&journaled.directory), &file).unwrap();
    let engine = open(&journaled.directory);
    file[journaled.ends[0] - 100] ^= 1;
    fs::write(at(&journaled.directory), &file).unwrap();
    assert!(matches!(users(&engine), Err(Error::BadFile { flaw: FileFlaw::Tampered, .. })), "{:?}", users(&engine));
}

/// A handle that finds a longer file reads what is new, and not the rest again.
#[test]
fn damage_that_an_append_hides_is_found_by_verify_and_mended_by_compact() {
    let journaled = Journaled::new(1);
    let reader = open(&journaled.directory);
    save(&journaled.engine, "1").unwrap();
    let mut file = fs::read(at(&journaled.directory)).unwrap();
    file[journaled.ends[0] - 100] ^= 1;
    fs::write(at(&journaled.directory), &file).unwrap();
    assert_eq!(users(&reader).unwrap(), ["0", "1"]);
    assert!(matches!(reader.verify(), Err(Error::BadFile { flaw: FileFlaw::Tampered, .. })));
    reader.compact().unwrap();
    assert_eq!(users(&open(&journaled.directory)).unwrap(), ["0", "1"]);
}

/// Without a key, a record with a sector of zeros is one that its writer did not finish.
#[test]
fn file_without_a_key_shows_what_is_torn() {
    let journaled = Journaled::new(3);
    let start = journaled.ends[0];
    let layout = |file: &[u8]| check_without_key(&mut file[start..].to_vec(), u64::try_from(start).unwrap());
    let whole = layout(&journaled.file).unwrap();
    assert_eq!((whole.records, whole.is_torn), (3, false));
    let mut zeroed = journaled.file.clone();
    let last = journaled.record(2);
    zeroed[last.end - SECTOR..].fill(0);
    let torn = layout(&zeroed).unwrap();
    assert_eq!((torn.records, torn.is_torn), (2, true));
    let mut damaged = journaled.file.clone();
    damaged[journaled.record(1).start] ^= 1;
    assert_eq!(layout(&damaged), Err(FileFlaw::Tampered));
}

/// What stands before the damage, and nothing after it.
#[test]
fn recovery_takes_the_records_before_the_damage() {
    let journaled = Journaled::new(4);
    let vault = journaled.engine.state.read().vault.clone();
    for damaged in 0..4 {
        let mut file = journaled.file.clone();
        file[journaled.record(damaged).start + 300] ^= 1;
        let (journal, rows) = load_at(&vault, &mut file.clone(), AtDamage::Stop).unwrap();
        assert_eq!(usize::try_from(journal.record_count()).unwrap(), damaged);
        assert_eq!(rows.index("").tokens().len(), damaged);
        fs::write(at(&journaled.directory), &file).unwrap();
        let file = StoreFile::existing(&at(&journaled.directory), Access::Checked, 1 << 20, Arc::new(Os)).unwrap();
        let path = journaled.directory.path().join(format!("recovered {damaged}"));
        recover_before_damage(&file, &super::unlock(), &path).unwrap();
        let recovered = StoreFile::existing(&path, Access::Checked, 1 << 20, Arc::new(Os)).unwrap();
        let recovered = Engine::open(recovered, &super::unlock(), Duration::ZERO).unwrap();
        assert_eq!(users(&recovered).unwrap().len(), damaged);
        save(&recovered, "next").unwrap();
    }
    let mut file = journaled.file.clone();
    file[journaled.ends[0] - 1] ^= 1;
    assert_eq!(load_at(&vault, &mut file, AtDamage::Stop).unwrap_err(), FileFlaw::Tampered, "the body is damaged");
}
