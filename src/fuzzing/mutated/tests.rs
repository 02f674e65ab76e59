use super::*;

const FIELDS: [Field; 12] = [
    Field::Generation,
    Field::BodySalt,
    Field::BodyCommitment,
    Field::StoreId,
    Field::KeyId,
    Field::Revision,
    Field::NotesSalt,
    Field::Notes,
    Field::Mac,
    Field::BodyHeader,
    Field::KeyTable,
    Field::Body,
];
const FIELDS_OF_SLOT: [FieldOfSlot; 7] = [
    FieldOfSlot::Id,
    FieldOfSlot::Salt,
    FieldOfSlot::Data,
    FieldOfSlot::Commitment,
    FieldOfSlot::WrappedKey,
    FieldOfSlot::Head,
    FieldOfSlot::All,
];

const WITHOUT_JOURNAL: [Original; 7] = *Original::ALL.first_chunk().unwrap();

/// Every part of every file in the place of every part of its kind.
fn splices() -> Vec<Mutation> {
    let mut splices = Vec::new();
    for of in WITHOUT_JOURNAL {
        splices.extend(FIELDS.map(|field| Mutation::Field { field, of }));
        // The third slot is like the first.
        for from in [0, 1, 3] {
            for slot in [0, 1, 3] {
                splices.extend(FIELDS_OF_SLOT.map(|field| Mutation::FieldOfSlot { field, slot, of, from }));
            }
            splices.extend((0..5).map(|at| Mutation::InsertSlot { at, of, from }));
        }
    }
    splices.extend((0..4).map(|at| Mutation::RemoveSlot { at }));
    splices.extend([(0, 1), (0, 2), (0, 3), (1, 3)].map(|(one, other)| Mutation::SwapSlots { one, other }));
    splices
}

/// Opens each splice alone and with others, so many apart, in both orders.
fn check_splices(step: usize) {
    let splices = splices();
    assert_eq!(splices.len(), 638);
    let ways = [Way::First, Way::Second];
    for (number, one) in splices.iter().enumerate() {
        check(&Change { of: Original::First, mutations: vec![*one], fits: true, way: Way::External });
        for (distance, other) in splices[..number].iter().rev().enumerate().step_by(step) {
            for mutations in [vec![*one, *other], vec![*other, *one]] {
                check(&Change {
                    of: Original::First,
                    mutations,
                    fits: true,
                    way: ways[(number + distance / step) % 2],
                });
            }
        }
    }
}

#[test]
fn no_two_splices_of_files_make_another_that_opens() {
    check_splices(47);
}

#[test]
#[ignore = "takes minutes: `.ci/campaign damage`"]
fn no_two_splices_of_all_files_make_one_that_opens() {
    check_splices(1);
}

/// What opening the first file with the second key says, whose slot is the second, after these mutations.
fn refusal(mutations: &[Mutation]) -> Error {
    refusal_of(mutations, Way::Second)
}

fn refusal_of(mutations: &[Mutation], way: Way) -> Error {
    let change = Change { of: Original::First, mutations: mutations.to_vec(), fits: true, way };
    check(&change);
    open(&mut change.file(), &way.unlock()).map(|_| ()).expect_err("it opened")
}

fn is_malformed_file(error: &Error) -> bool {
    is_flaw(error, |flaw| matches!(flaw, FileFlaw::Malformed(_)))
}

#[track_caller]
fn assert_tampered(mutations: &[Mutation]) {
    let error = refusal(mutations);
    assert!(is_flaw(&error, |flaw| flaw == FileFlaw::Tampered), "{mutations:?}: {error:?}");
}

#[track_caller]
fn assert_wrong_key(mutations: &[Mutation]) {
    let error = refusal(mutations);
    assert!(matches!(error, Error::WrongRecoveryKey { .. }), "{mutations:?}: {error:?}");
}

#[track_caller]
fn assert_malformed(mutations: &[Mutation]) {
    let error = refusal(mutations);
    assert!(is_malformed_file(&error), "{mutations:?}: {error:?}");
}

fn field(field: Field, of: Original) -> Mutation {
    Mutation::Field { field, of }
}

fn of_slot(field: FieldOfSlot, slot: u8, of: Original, from: u8) -> [Mutation; 1] {
    [Mutation::FieldOfSlot { field, slot, of, from }]
}

#[test]
fn parts_of_other_files_are_noticed() {
    use Original::{Fork, Kin, Later, Rekeyed, Slotted, Stranger};

    for of in [Later, Fork, Slotted, Rekeyed, Kin, Stranger] {
        for alone in [Field::BodyHeader, Field::BodySalt, Field::BodyCommitment, Field::Body] {
            assert_tampered(&[field(alone, of)]);
        }
    }
    for of in [Slotted, Rekeyed, Kin, Stranger] {
        // All but the key table.
        assert_tampered(&[field(Field::BodyHeader, of), field(Field::Body, of)]);
    }
    for of in [Slotted, Rekeyed, Kin, Stranger] {
        // The whole table: its slots open, and the body is not for it.
        assert_tampered(&[field(Field::KeyTable, of)]);
        for alone in [Field::NotesSalt, Field::Notes, Field::Mac] {
            assert_tampered(&[field(alone, of)]);
        }
        // All of the table but its slots.
        let all = [Field::Revision, Field::NotesSalt, Field::Notes, Field::Mac].map(|alone| field(alone, of));
        assert_tampered(&all);
    }
    assert_tampered(&[field(Field::Generation, Later)]);
    assert_tampered(&[field(Field::Revision, Slotted)]);
    assert_wrong_key(&[field(Field::KeyId, Rekeyed)]);
    assert_wrong_key(&[field(Field::KeyId, Stranger)]);
    assert_wrong_key(&[field(Field::StoreId, Kin)]);
}

#[test]
fn slots_of_other_files_are_noticed() {
    use Original::{First, Kin, Rekeyed, Slotted, Stranger};

    // A slot that another table of the store has opens, and the table is not for it.
    assert_tampered(&of_slot(FieldOfSlot::All, 1, Slotted, 1));
    assert_tampered(&[Mutation::InsertSlot { at: 3, of: Slotted, from: 1 }]);
    assert_tampered(&[Mutation::InsertSlot { at: 0, of: Slotted, from: 1 }]);
    assert_tampered(&[Mutation::InsertSlot { at: 3, of: Stranger, from: 1 }]);
    assert_tampered(&[Mutation::RemoveSlot { at: 0 }]);
    assert_tampered(&[Mutation::SwapSlots { one: 0, other: 1 }]);
    // One of another store, or of another store key, does not open here.
    for of in [Rekeyed, Kin, Stranger] {
        assert_wrong_key(&of_slot(FieldOfSlot::All, 1, of, 1));
    }
    assert_wrong_key(&[Mutation::RemoveSlot { at: 1 }]);
    for field in [FieldOfSlot::Salt, FieldOfSlot::Commitment, FieldOfSlot::WrappedKey] {
        assert_tampered(&of_slot(field, 0, First, 1));
        assert_wrong_key(&of_slot(field, 1, First, 0));
        assert_wrong_key(&of_slot(field, 1, Slotted, 1));
    }
    assert_wrong_key(&of_slot(FieldOfSlot::Id, 1, Slotted, 1));
    assert_tampered(&of_slot(FieldOfSlot::Data, 3, Kin, 3));
    // Twice the same.
    assert_malformed(&of_slot(FieldOfSlot::Id, 1, First, 0));
    assert_malformed(&of_slot(FieldOfSlot::All, 0, First, 1));
    assert_malformed(&[Mutation::InsertSlot { at: 3, of: First, from: 1 }]);
    // Data where none belongs.
    assert_malformed(&of_slot(FieldOfSlot::Data, 0, First, 3));
    assert_malformed(&of_slot(FieldOfSlot::Data, 3, First, 0));
}

#[test]
fn other_data_gives_another_key() {
    let refused = |mutations: &[Mutation]| refusal_of(mutations, Way::External);
    let of_kin = refused(&of_slot(FieldOfSlot::Data, 3, Original::Kin, 3));
    assert!(matches!(of_kin, Error::External { .. }), "{of_kin:?}");
    for inserted in [Some(0), None] {
        let error = refused(&[Mutation::ByteOfData { slot: 3, at: 20, inserted }]);
        assert!(is_malformed_file(&error), "{error:?}");
    }
}

#[test]
fn a_slot_of_another_kind_is_another_slot() {
    let retyped = |slot, value| Mutation::NumberOfSlot { field: NumberOfSlot::Kind, slot, value };
    assert_tampered(&[retyped(0, 2)]);
    assert_wrong_key(&[retyped(1, 2)]);
    assert!(matches!(refusal(&[0, 1, 2].map(|slot| retyped(slot, 2))), Error::NoSlotFor { .. }));
    assert_malformed(&[retyped(1, 1)]);
    assert_malformed(&[retyped(1, 4)]);
    assert_malformed(&[retyped(3, 3)]);
}

#[test]
fn the_originals_open_and_are_all_there_is() {
    for of in Original::ALL {
        for way in [Way::First, Way::Second, Way::External] {
            let change = Change { of, mutations: Vec::new(), fits: true, way };
            check(&change);
            let opened = open(&mut change.file(), &way.unlock()).unwrap();
            assert_eq!(opened.contents, of.sample().states.last().unwrap().1);
            assert_eq!(opened.records, if WITHOUT_JOURNAL.contains(&of) { 0 } else { 3 });
        }
        // A whole file in the place of another is that file.
        let parts = [Field::BodyHeader, Field::KeyTable, Field::Body, Field::Journal];
        let mutations = parts.map(|part| field(part, of)).to_vec();
        let change = Change { of: Original::First, mutations, fits: true, way: Way::First };
        assert_eq!(change.file(), of.sample().file);
    }
}

const JOURNALS: [Original; 3] = [Original::Long, Original::LongFork, Original::LaterLong];

/// What can be done to a journal by who has all three, but no key.
fn changes_of_journals() -> Vec<Mutation> {
    let mut changes = Vec::new();
    for of in JOURNALS {
        for from in 0..3 {
            changes.extend((0..3).map(|at| Mutation::Record { at, of, from }));
            changes.extend((0..4).map(|at| Mutation::InsertRecord { at, of, from }));
            for part in [PartOfRecord::Head, PartOfRecord::Salt, PartOfRecord::Sealed, PartOfRecord::Tag] {
                changes.extend((0..3).map(|at| Mutation::PartOfRecord { part, at, of, from }));
            }
        }
        changes.push(field(Field::Journal, of));
    }
    changes.push(field(Field::Journal, Original::First));
    changes.extend((0..3).map(|at| Mutation::RemoveRecord { at }));
    changes.extend([(0, 1), (0, 2), (1, 2)].map(|(one, other)| Mutation::SwapRecords { one, other }));
    for at in 0..3 {
        changes.extend([0, 1, 2, 3, 4, 1 << 19].map(|len| Mutation::BlocksOfRecord { at, len }));
        changes.extend([1, 4095, 4097, u32::MAX].map(|len| Mutation::LenOfRecord { at, len }));
    }
    changes.extend((0..32).map(|from_end| Mutation::ZeroSectors { from_end, count: 1 }));
    changes.extend((7..32).step_by(8).map(|from_end| Mutation::ZeroSectors { from_end, count: 8 }));
    changes.extend((0..3).map(|blocks| Mutation::AppendZeros { blocks }));
    changes.extend([1, 7, 8, 40, 511, 512, 4095, 4096, 4097, 16_383, 16_384].map(|len| Mutation::CutFromEnd { len }));
    changes.extend([(1, 7), (1, 8), (0, 1), (7, 255)].map(|(byte, count)| Mutation::Append { byte, count }));
    changes
}

#[test]
fn no_two_changes_of_journals_open_as_what_was_never_written() {
    let changes = changes_of_journals();
    for (number, one) in changes.iter().enumerate() {
        for fits in [false, true] {
            for of in JOURNALS {
                check(&Change { of, mutations: vec![*one], fits, way: Way::First });
            }
        }
        for (distance, other) in changes[..number].iter().rev().enumerate().step_by(13) {
            for mutations in [vec![*one, *other], vec![*other, *one]] {
                check(&Change { of: Original::Long, mutations, fits: distance % 2 == 0, way: Way::Second });
            }
        }
    }
}
