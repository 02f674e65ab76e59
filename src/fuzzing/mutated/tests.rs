use super::*;

const FIELDS: [Field; 5] = [Field::StoreId, Field::Generation, Field::BodySalt, Field::BodyCommitment, Field::KeyId];
const FIELDS_OF_SLOT: [FieldOfSlot; 6] = [
    FieldOfSlot::Id,
    FieldOfSlot::Salt,
    FieldOfSlot::Commitment,
    FieldOfSlot::WrappedKey,
    FieldOfSlot::Bound,
    FieldOfSlot::All,
];

/// Every part of every file in the place of every part of its kind.
fn splices() -> Vec<Mutation> {
    let mut splices = Vec::new();
    for of in Original::ALL {
        splices.extend([Mutation::Header { of }, Mutation::Body { of }]);
        splices.extend(FIELDS.map(|field| Mutation::Field { field, of }));
        for from in 0..3 {
            for slot in 0..3 {
                splices.extend(FIELDS_OF_SLOT.map(|field| Mutation::FieldOfSlot { field, slot, of, from }));
            }
            splices.extend((0..4).map(|at| Mutation::InsertSlot { at, of, from }));
        }
    }
    splices.extend((0..3).map(|at| Mutation::RemoveSlot { at }));
    splices.extend([(0, 1), (0, 2), (1, 2)].map(|(one, other)| Mutation::SwapSlots { one, other }));
    splices
}

#[test]
fn no_two_splices_of_files_make_another_that_opens() {
    let splices = splices();
    assert_eq!(splices.len(), 371);
    for (number, one) in splices.iter().enumerate() {
        // Each alone and with each after it, as the lengths ask for; in the other order too.
        for other in std::iter::once(one).chain(&splices[..number]) {
            for mutations in [vec![*one, *other], vec![*other, *one]] {
                let by_the_second_key = number % 2 == 0;
                check(&Change { of: Original::First, mutations, fits: true, by_the_second_key });
            }
        }
    }
}

/// What opening the first file with the second key says, whose slot is the second, after these mutations.
fn refusal(mutations: &[Mutation]) -> Error {
    let change = Change { of: Original::First, mutations: mutations.to_vec(), fits: true, by_the_second_key: true };
    check(&change);
    open(&mut change.file(), &unlock(2)).map(|_| ()).expect_err("it opened")
}

fn is_flaw(error: &Error, expected: FileFlaw) -> bool {
    matches!(error, Error::BadFile { flaw, .. } if *flaw == expected)
}

fn is_malformed_file(error: &Error) -> bool {
    matches!(error, Error::BadFile { flaw: FileFlaw::Malformed(_), .. })
}

#[test]
fn what_is_wrong_with_a_spliced_file_is_told_apart() {
    use Original::{First, Fork, Kin, Later, Stranger};

    let is_tampered = |mutations: &[Mutation]| {
        assert!(is_flaw(&refusal(mutations), FileFlaw::Tampered), "{mutations:?}: {:?}", refusal(mutations));
    };
    let is_wrong = |mutations: &[Mutation]| {
        assert!(
            matches!(refusal(mutations), Error::WrongRecoveryKey { .. }),
            "{mutations:?}: {:?}",
            refusal(mutations)
        );
    };
    let is_malformed = |mutations: &[Mutation]| {
        assert!(is_malformed_file(&refusal(mutations)), "{mutations:?}: {:?}", refusal(mutations));
    };
    let of_slot = |field, slot, of, from| [Mutation::FieldOfSlot { field, slot, of, from }];

    for of in [Later, Fork, Kin, Stranger] {
        is_tampered(&[Mutation::Header { of }]);
        is_tampered(&[Mutation::Body { of }]);
        is_tampered(&[Mutation::Field { field: Field::BodySalt, of }]);
        is_tampered(&[Mutation::Field { field: Field::BodyCommitment, of }]);
        // All but the slots, which are bound to their store key.
        let refuse: &dyn Fn(&[Mutation]) = if matches!(of, Stranger) { &is_wrong } else { &is_tampered };
        refuse(&[
            Mutation::Field { field: Field::Generation, of },
            Mutation::Field { field: Field::BodySalt, of },
            Mutation::Field { field: Field::BodyCommitment, of },
            Mutation::Field { field: Field::KeyId, of },
            Mutation::Body { of },
        ]);
    }
    is_tampered(&[Mutation::Field { field: Field::Generation, of: Later }]);
    is_wrong(&[Mutation::Field { field: Field::KeyId, of: Stranger }]);
    is_wrong(&[Mutation::Field { field: Field::StoreId, of: Kin }]);

    // A slot that another state of the store has opens, and what it opens is not this.
    is_tampered(&of_slot(FieldOfSlot::All, 1, Later, 1));
    is_tampered(&of_slot(FieldOfSlot::All, 0, Later, 0));
    is_tampered(&[Mutation::InsertSlot { at: 3, of: Later, from: 1 }]);
    is_tampered(&[Mutation::InsertSlot { at: 3, of: Stranger, from: 1 }]);
    is_tampered(&[Mutation::RemoveSlot { at: 0 }]);
    is_tampered(&[Mutation::SwapSlots { one: 0, other: 1 }]);
    // One of another store does not open here.
    is_wrong(&of_slot(FieldOfSlot::All, 1, Kin, 1));
    is_wrong(&of_slot(FieldOfSlot::All, 1, Stranger, 1));
    is_wrong(&[Mutation::RemoveSlot { at: 1 }]);
    for field in [FieldOfSlot::Salt, FieldOfSlot::Commitment, FieldOfSlot::WrappedKey] {
        is_tampered(&of_slot(field, 0, First, 1));
        is_wrong(&of_slot(field, 1, First, 0));
        is_wrong(&of_slot(field, 1, Later, 1));
    }
    is_wrong(&of_slot(FieldOfSlot::Id, 1, Later, 1));
    // Twice the same.
    is_malformed(&of_slot(FieldOfSlot::Id, 1, First, 0));
    is_malformed(&of_slot(FieldOfSlot::All, 0, First, 1));
    is_malformed(&[Mutation::InsertSlot { at: 3, of: First, from: 1 }]);
}

#[test]
fn a_slot_of_another_kind_is_another_slot() {
    let retyped = |slot, value| Mutation::NumberOfSlot { field: NumberOfSlot::Kind, slot, value };
    assert!(is_flaw(&refusal(&[retyped(0, 2)]), FileFlaw::Tampered));
    assert!(matches!(refusal(&[retyped(1, 2)]), Error::WrongRecoveryKey { .. }));
    assert!(matches!(refusal(&[0, 1, 2].map(|slot| retyped(slot, 2))), Error::NoSlotFor { .. }));
    assert!(is_malformed_file(&refusal(&[retyped(1, 1)])));
}

#[test]
fn the_originals_open_and_are_all_there_is() {
    for of in Original::ALL {
        for by_the_second_key in [false, true] {
            let change = Change { of, mutations: Vec::new(), fits: true, by_the_second_key };
            check(&change);
            let key = unlock(if by_the_second_key { 2 } else { 1 });
            assert_eq!(open(&mut change.file(), &key).unwrap(), of.sample().contents);
        }
        // A whole file in the place of another is that file.
        let mutations = vec![Mutation::Header { of }, Mutation::Body { of }];
        assert_eq!(
            Change { of: Original::First, mutations, fits: true, by_the_second_key: false }.file(),
            of.sample().file
        );
    }
}
