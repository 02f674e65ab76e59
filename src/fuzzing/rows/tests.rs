use super::*;

const PARTS: [PartOfRow; 11] = [
    PartOfRow::KeyId,
    PartOfRow::Salt,
    PartOfRow::Commitment,
    PartOfRow::Sealed,
    PartOfRow::Bytes,
    PartOfRow::Place,
    PartOfRow::Revision,
    PartOfRow::Columns,
    PartOfRow::TableId,
    PartOfRow::Namespace,
    PartOfRow::Vault,
];

#[test]
fn no_two_splices_of_rows_make_another_that_opens() {
    let mut splices: Vec<_> = (0..6).map(|which| Mutation::NoColumn { which }).collect();
    for of in Original::ALL {
        splices.extend(PARTS.map(|part| Mutation::PartOf { part, of }));
        splices.extend((0..6).map(|which| Mutation::ColumnOf { which, of, from: which }));
    }
    splices.extend((0..5).map(|which| Mutation::ColumnOf { which, of: Original::First, from: which + 1 }));
    for (number, one) in splices.iter().enumerate() {
        for other in &splices[..=number] {
            check(&Change { of: Original::First, mutations: vec![one.clone(), other.clone()] });
            check(&Change { of: Original::Other, mutations: vec![other.clone(), one.clone()] });
        }
    }
}

#[test]
fn every_flipped_bit_of_a_row_is_noticed() {
    for of in Original::ALL {
        for bit in 0..of.sample().row.bytes.len() * 8 {
            let (at, xor) = ((bit / 8).try_into().unwrap(), NonZeroU8::new(1 << (bit % 8)).unwrap());
            check(&Change { of, mutations: vec![Mutation::Byte { at, xor }] });
        }
        for len in 0..of.sample().row.bytes.len() {
            check(&Change { of, mutations: vec![Mutation::Cut { len: len.try_into().unwrap() }] });
        }
    }
}

#[test]
fn the_originals_open_and_are_all_there_is() {
    for of in Original::ALL {
        check(&Change { of, mutations: Vec::new() });
        assert_eq!(of.sample().open().unwrap(), of.sample().token);
        // A whole row in the place of another is that row.
        let parts = [PartOfRow::Bytes, PartOfRow::Place, PartOfRow::Revision, PartOfRow::Columns, PartOfRow::TableId];
        let parts = parts.into_iter().chain([PartOfRow::Namespace, PartOfRow::Vault]);
        let change =
            Change { of: Original::First, mutations: parts.map(|part| Mutation::PartOf { part, of }).collect() };
        check(&change);
        let mut changed = Original::First.sample().clone();
        change.mutations.iter().for_each(|mutation| mutation.apply(&mut changed));
        assert!(changed.is(of.sample()));
    }
}
