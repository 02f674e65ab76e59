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

/// Rows of these users, made as stores make them.
fn rows(users: &[&str]) -> Namespaces {
    let mut rows = Namespaces::empty(shelf());
    let mut set = Overlay::new(&rows);
    for user in users {
        set.namespace("").save(&named(user)).unwrap();
    }
    set.into_changes().apply(&mut rows);
    rows
}

fn tokens(rows: &Namespaces, namespace: &str) -> Vec<String> {
    names(rows.index(namespace).tokens().into_iter())
}

#[test]
fn changes_see_each_other_before_they_are_applied() {
    let mut base = rows(&["a", "b", "c", "d"]);
    let before = tokens(&base, "");
    let mut set = Overlay::new(&base);
    let mut changes = set.namespace("");
    assert!(changes.overlay.is_unchanged());
    assert!(changes.delete(&"2".into()));
    assert!(!changes.delete(&"2".into()));
    assert_eq!(changes.save(&named("e")).unwrap(), "5".into());
    assert_eq!(changes.save(&named("c").to_builder().access_token("other").build()).unwrap(), "3".into());
    assert_eq!(changes.save(&Token::builder().id("5").user_name("b").build()).unwrap(), "5".into());
    assert!(changes.delete(&"1".into()));
    assert_eq!(changes.save(&named("a")).unwrap(), "6".into());
    assert!(!changes.overlay.is_unchanged());
    let seen = names(changes.iter().cloned());
    assert_eq!(seen, ["c", "d", "b", "a"]);

    let found = changes.rows(Criterion::AccessToken(&"same".into())).unwrap();
    assert!(found.is_sorted_by_key(|(place, _)| *place));
    assert_eq!(names(found.into_iter().map(|(_, row)| row)), ["d", "b", "a"]);

    assert_eq!(tokens(&base, ""), before);
    let committable = {
        let mut set = Overlay::new(&base);
        set.namespace("").delete(&"2".into());
        set.into_changes()
    };
    committable.apply(&mut base);
    assert_eq!(tokens(&base, ""), ["a", "c", "d"]);
}

#[test]
fn deleting_all_hides_rows_and_changes_before_it() {
    let mut base = rows(&["a", "b"]);
    let mut set = Overlay::new(&base);
    let mut changes = set.namespace("");
    changes.save(&named("c")).unwrap();
    assert_eq!(changes.delete_all(), 3);
    assert_eq!(changes.delete_all(), 0);
    assert_eq!(changes.iter().count(), 0);
    assert_eq!(changes.save(&named("a")).unwrap(), "4".into());
    assert!(!set.is_empty());
    set.into_changes().apply(&mut base);
    assert_eq!(tokens(&base, ""), ["a"]);
    assert_eq!(base.next_id(), 5);
}

#[test]
fn deleting_all_of_nothing_changes_nothing() {
    let base = Namespaces::empty(shelf());
    let mut set = Overlay::new(&base);
    assert_eq!(set.namespace("").delete_all(), 0);
    assert!(set.is_empty());
}

#[test]
fn the_last_number_is_chosen_and_none_after_it() {
    let base = Namespaces::new(shelf(), TokenId::LAST, BTreeMap::new());
    let mut set = Overlay::new(&base);
    let mut changes = set.namespace("");
    assert_eq!(changes.save(&named("a")).unwrap(), TokenId::chosen(TokenId::LAST));
    let refused = changes.save(&named("b"));
    assert!(matches!(refused, Err(Error::Unstorable { why: Unstorable::NoIdLeft })));
    assert_eq!(changes.save(&named("b").to_builder().id("mine").build()).unwrap(), "mine".into());
    assert_eq!(set.next_id(), TokenId::LAST + 1);
}

#[test]
fn namespaces_never_meet() {
    let mut base = rows(&["a", "b"]);
    let mut set = Overlay::new(&base);
    assert_eq!(set.namespace("n").save(&named("a")).unwrap(), "3".into(), "ids are unique in the store");
    assert_eq!(set.namespace("n").save(&named("c").to_builder().id("1").build()).unwrap(), "1".into());
    assert_eq!(set.names(), ["", "n"]);
    assert!(set.namespace("n").delete(&"3".into()));
    assert!(!set.namespace("n").delete(&"2".into()));
    let seen: Vec<_> =
        set.iter().map(|(name, token)| (name.to_owned(), token.user_name().unwrap().to_owned())).collect();
    let expected = [("", "a"), ("", "b"), ("n", "c")].map(|(name, user)| (name.to_owned(), user.to_owned()));
    assert_eq!(seen, expected);
    set.into_changes().apply(&mut base);
    assert_eq!((tokens(&base, ""), tokens(&base, "n")), (vec!["a".into(), "b".into()], vec!["c".into()]));

    let mut set = Overlay::new(&base);
    assert_eq!(set.namespace("").delete_all(), 2);
    assert_eq!(set.names(), ["n"]);
    set.into_changes().apply(&mut base);
    assert_eq!(base.names().collect::<Vec<_>>(), ["n"]);
    assert_eq!(base.next_id(), 4);
}

#[test]
fn revision_counts_in_its_own_namespace_only() {
    let mut base = rows(&["a"]);
    let read = base.index("").tokens().remove(0);
    let mut set = Overlay::new(&base);
    // Merged like a token that was built from nothing.
    set.namespace("n").save(&read).unwrap();
    let stale = read.to_builder().access_token("newer").build();
    set.namespace("").save(&stale).unwrap();
    assert!(matches!(set.namespace("").save(&stale), Err(Error::Conflict { .. })));
    set.into_changes().apply(&mut base);
    assert_eq!(tokens(&base, "n"), ["a"]);
}

#[test]
fn length_of_records_is_that_of_all_namespaces() {
    let mut base = rows(&["a", "b"]);
    let mut set = Overlay::new(&base);
    set.namespace("long name").save(&named("c")).unwrap();
    set.namespace("").delete(&"1".into());
    let expected = set.records_len();
    set.into_changes().apply(&mut base);
    assert_eq!(Overlay::new(&base).records_len(), expected);
    let of = |name: &str| crate::codec::records_len(name, &base.index(name).tokens());
    assert_eq!(expected, of("") + of("long name"));
}

/// Lookups through tables and groups, against looking at every row.
#[test]
fn the_index_finds_what_a_scan_finds_however_rows_come_and_go() {
    let mut index = Index::new(shelf(), "", []);
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
