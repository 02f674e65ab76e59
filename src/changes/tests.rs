use super::*;

fn shelf() -> Origin {
    Origin::of("a shelf")
}

fn named(user: &str) -> Token {
    Token::builder().user_name(user).access_token("same").build()
}

fn names(tokens: impl Iterator<Item = Token>) -> Vec<String> {
    tokens.map(|token| token.user_name().unwrap().to_owned()).collect()
}

/// An index of rows of these users, made as stores make it.
fn index(users: &[&str]) -> Index {
    let mut index = Index::empty(shelf());
    let mut changes = Changes::new(&index);
    for user in users {
        changes.save(&named(user)).unwrap();
    }
    changes.finish().apply(&mut index);
    index
}

#[test]
fn changes_see_each_other_and_leave_the_rows_alone_until_they_are_applied() {
    let mut base = index(&["a", "b", "c", "d"]);
    let before = names(base.tokens().into_iter());
    let mut changes = Changes::new(&base);
    assert!(changes.is_empty());
    assert!(changes.delete(&"2".into()));
    assert!(!changes.delete(&"2".into()));
    assert_eq!(changes.save(&named("e")).unwrap(), "5".into());
    assert_eq!(changes.save(&named("c").to_builder().access_token("other").build()).unwrap(), "3".into());
    assert_eq!(changes.save(&Token::builder().id("5").user_name("b").build()).unwrap(), "5".into());
    assert!(changes.delete(&"1".into()));
    assert_eq!(changes.save(&named("a")).unwrap(), "6".into());
    assert!(!changes.is_empty());
    let seen = names(changes.iter().cloned());
    assert_eq!(seen, ["c", "d", "b", "a"]);

    let found = changes.rows(Criterion::AccessToken(&"same".into())).unwrap();
    assert!(found.is_sorted_by_key(|(place, _)| *place));
    assert_eq!(names(found.into_iter().map(|(_, row)| row)), ["d", "b", "a"]);

    assert_eq!(names(base.tokens().into_iter()), before);
    let delta = {
        let mut changes = Changes::new(&base);
        changes.delete(&"2".into());
        changes.finish()
    };
    delta.apply(&mut base);
    assert_eq!(names(base.tokens().into_iter()), ["a", "c", "d"]);
}

#[test]
fn deleting_all_hides_rows_and_changes_before_it() {
    let mut base = index(&["a", "b"]);
    let mut changes = Changes::new(&base);
    changes.save(&named("c")).unwrap();
    assert_eq!(changes.delete_all(), 3);
    assert_eq!(changes.delete_all(), 0);
    assert!(!changes.is_empty());
    assert_eq!(changes.iter().count(), 0);
    assert_eq!(changes.save(&named("a")).unwrap(), "4".into());
    changes.finish().apply(&mut base);
    assert_eq!(names(base.tokens().into_iter()), ["a"]);
    assert_eq!(base.next_id(), 5);
}

#[test]
fn deleting_all_of_nothing_changes_nothing() {
    let base = Index::empty(shelf());
    let mut changes = Changes::new(&base);
    assert_eq!(changes.delete_all(), 0);
    assert!(changes.is_empty());
}

#[test]
fn the_last_number_is_chosen_and_none_after_it() {
    let base = Index::new(shelf(), TokenId::LAST, []);
    let mut changes = Changes::new(&base);
    assert_eq!(changes.save(&named("a")).unwrap(), TokenId::chosen(TokenId::LAST));
    let refused = changes.save(&named("b"));
    assert!(matches!(refused, Err(Error::Unstorable { why: Unstorable::NoIdLeft })));
    assert_eq!(changes.save(&named("b").to_builder().id("mine").build()).unwrap(), "mine".into());
    assert_eq!(changes.next_id(), TokenId::LAST + 1);
}

/// Lookups through tables and groups, against looking at every row.
#[test]
fn the_index_finds_what_a_scan_finds_however_rows_come_and_go() {
    let mut index = Index::empty(shelf());
    // A generator of no importance (Knuth's MMIX), so that every run is the same one.
    let mut state = 1_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..4_000 {
        let place = random(60);
        if random(3) == 0 {
            index.remove(place);
        } else {
            let shared = |name: &str, value: u64| format!("{name} {value}");
            let row = Token::builder()
                .id(place.to_string())
                .access_token(shared("access", random(4)))
                .refresh_token(shared("refresh", random(4)))
                .grant_token(if random(2) == 0 { String::new() } else { shared("grant", random(2)) });
            index.put(place, row.build());
        }
        let access = shared_secret("access", random(4));
        let (refresh, grant) = (shared_secret("refresh", random(4)), shared_secret("grant", random(2)));
        let id = TokenId::chosen(random(60));
        let criteria = [
            Criterion::Id(&id),
            Criterion::AccessToken(&access),
            Criterion::RefreshToken(&refresh),
            Criterion::GrantToken(&grant),
        ];
        for criterion in criteria {
            let scanned = index.iter().filter(|(_, row)| criterion.matches(row)).map(|(place, _)| place);
            assert!(index.places(criterion).eq(scanned), "{criterion:?}");
        }
    }
}

fn shared_secret(name: &str, value: u64) -> crate::Secret {
    format!("{name} {value}").into()
}
