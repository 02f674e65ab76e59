use std::time::SystemTime;

use proptest::{collection::vec, prelude::*};

use super::*;

fn shelf() -> Origin {
    Origin::of("a shelf")
}

/// A row whose access and refresh tokens are each one of three, and whose length differs from round to round.
fn row(place: Place, round: usize, access: u8, refresh: u8) -> Token {
    Token::builder()
        .id(place.to_string())
        .user_name("u".repeat(round % 4))
        .access_token(format!("a{access}"))
        .refresh_token(format!("r{refresh}"))
        .stored(shelf(), SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH, 1)
        .build()
}

proptest! {
    /// Rows come and go in any order, several with one value: the tables find what a look at each row finds.
    #[test]
    fn tables_find_the_earliest_row_as_a_look_at_each_would(
        changes in vec((0_u64..8, any::<bool>(), 0_u8..3, 0_u8..3), 0..60),
    ) {
        let mut index = Index::new(shelf(), "", []);
        for (round, (place, is_put, access, refresh)) in changes.into_iter().enumerate() {
            if is_put {
                index.put(place, row(place, round, access, refresh));
            } else {
                index.remove(place);
            }
            let rebuilt = Index::new(shelf(), "", index.tokens());
            prop_assert_eq!(index.records_len(), rebuilt.records_len());
            for value in 0..3 {
                let (access, refresh) = (format!("a{value}").as_str().into(), format!("r{value}").as_str().into());
                for criterion in [Criterion::AccessToken(&access), Criterion::RefreshToken(&refresh)] {
                    let rows = index.iter().filter(|(_, row)| criterion.matches(row)).map(|(place, _)| place);
                    prop_assert!(index.places(criterion).eq(rows));
                }
            }
        }
        let places: BTreeSet<_> = index.iter().map(|(place, _)| place).chain(100..120).collect();
        index.remove_all(&places);
        prop_assert!(index.tables.earliest.iter().all(HashTable::is_empty));
        prop_assert!(index.tables.later.is_empty());
        prop_assert_eq!(index.records_len(), 0);
    }
}
