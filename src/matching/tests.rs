use super::*;

struct Shelf(Vec<Token>);

impl Rows for Shelf {
    type Place = usize;

    fn earliest(&self, criterion: Criterion<'_>) -> Result<Option<(usize, Token)>> {
        Ok(self.0.iter().cloned().enumerate().find(|(_, row)| criterion.matches(row)))
    }
}

fn row(id: &str) -> crate::TokenBuilder {
    let then = SystemTime::UNIX_EPOCH;
    Token::builder().id(id).access_token("a").stored(then, then, 4)
}

#[test]
fn a_replacement_clears_what_it_leaves_unset_and_keeps_age_and_place() {
    let shelf = Shelf(vec![row("1").user_name("ada").attribute("k", "v").build(), row("2").build()]);
    let now = SystemTime::now();
    let new = Token::builder().id("1").refresh_token("r").build();
    let save = replace(&shelf, &new, now).unwrap();
    assert_eq!(save.place, Some(0));
    assert_eq!(save.token, new.to_builder().stored(SystemTime::UNIX_EPOCH, now, 5).build());
}

#[test]
fn a_replacement_of_another_revision_is_a_conflict() {
    let shelf = Shelf(vec![row("1").build()]);
    let then = SystemTime::UNIX_EPOCH;
    for (revision, refused) in [(3, true), (4, false), (5, true)] {
        match replace(&shelf, &row("1").stored(then, then, revision).build(), then) {
            Err(Error::Conflict { current: 4 }) => assert!(refused),
            Ok(_) => assert!(!refused),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_replacement_needs_an_id_that_is_stored_and_does_not_go_on_to_another_rule() {
    let shelf = Shelf(vec![row("1").user_name("ada").build()]);
    for token in [row("2").user_name("ada"), Token::builder().user_name("ada").access_token("a")] {
        assert!(matches!(replace(&shelf, &token.build(), SystemTime::now()), Err(Error::NoSuchToken)));
    }
}

#[test]
fn a_replacement_is_held_to_what_a_save_is() {
    let shelf = Shelf(vec![row("1").user_name("ada").build(), row("2").user_name("grace").build()]);
    let refused = |token: crate::TokenBuilder| match replace(&shelf, &token.build(), SystemTime::now()) {
        Err(Error::Unstorable { why }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Token::builder().id("1").user_name("ada")), Unstorable::NothingToStore);
    assert_eq!(refused(row("1").user_name("grace")), Unstorable::UserNameTaken);
}

#[test]
fn an_error_of_the_rows_is_passed_on() {
    struct Broken;
    impl Rows for Broken {
        type Place = usize;
        fn earliest(&self, _: Criterion<'_>) -> Result<Option<(usize, Token)>> {
            Err(Error::other("no answer"))
        }
    }
    let token = row("1").build();
    assert!(matches!(find(&Broken, &token), Err(Error::Other(_))));
    assert!(matches!(find_stored(&Broken, &token), Err(Error::Other(_))));
    assert!(matches!(replace(&Broken, &token, SystemTime::now()), Err(Error::Other(_))));
    assert!(matches!(save(&Broken, &token, SystemTime::now(), || Ok("1".into())), Err(Error::Other(_))));
}

#[test]
fn a_save_that_is_refused_asks_for_no_id() {
    let nothing = Token::builder().user_name("ada").build();
    let refused = save(&Shelf(vec![]), &nothing, SystemTime::now(), || panic!("an id was used up"));
    assert!(matches!(refused, Err(Error::Unstorable { why: Unstorable::NothingToStore })));
}
