use std::time::Duration;

use super::*;
use crate::{TokenBuilder, id::Origin, secret::Secret, time::Millis, token::Expiry};

/// Rows in a `Vec`: a place is a position in it.
struct Shelf(Vec<Token>);

impl Rows for Shelf {
    type Place = usize;

    fn origin(&self) -> Origin {
        Origin::of("shelf")
    }

    fn rows(&mut self, criterion: Criterion<'_>) -> Result<Vec<(usize, Token)>> {
        Ok(self.0.iter().cloned().enumerate().filter(|(_, row)| criterion.matches(row)).collect())
    }
}

impl Shelf {
    fn of<const N: usize>(rows: [TokenBuilder; N]) -> Self {
        Self(rows.map(TokenBuilder::build).into())
    }

    /// The place of the row that the query means, asked for as a database's driver would be: behind a reference.
    #[track_caller]
    fn place(&mut self, query: TokenBuilder) -> Option<usize> {
        self.selected(query).unwrap()
    }

    fn selected(&mut self, query: TokenBuilder) -> Result<Option<usize>> {
        let rows: &mut dyn Rows<Place = usize> = self;
        Ok(select(rows, &query.build())?.map(|(place, _)| place))
    }

    fn save(&mut self, token: &Token) -> Result<RowWrite<usize>> {
        let rows: &mut dyn Rows<Place = usize> = self;
        save(rows, token, at(9), || Ok("new".into()))
    }
}

fn token() -> TokenBuilder {
    Token::builder()
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// A row at revision 4.
fn row(id: &str) -> TokenBuilder {
    token().id(id).access_token("a").stored(Origin::of("shelf"), at(1), at(2), 4)
}

/// A row of a user.
fn ada(id: &str) -> TokenBuilder {
    row(id).user_name("ada")
}

#[test]
fn rows_are_asked_through_a_trait_object() {
    let mut shelf = Shelf::of([ada("1").client_id("c")]);
    let rows: &mut dyn Rows<Place = usize> = &mut shelf;
    let query = token().user_name("ada").build();
    let laid_over = token().id("1").token_type("Bearer").build();
    assert_eq!(select(rows, &query).unwrap().unwrap().0, 0);
    assert_eq!(find(rows, &query).unwrap().unwrap().id(), Some(&"1".into()));
    assert_eq!(find(rows, &laid_over).unwrap().unwrap().token_type(), Some("Bearer"));
    assert_eq!(find_stored(rows, &laid_over).unwrap().unwrap().token_type(), None);
    assert_eq!(save(rows, &laid_over, at(9), || panic!("it has an id")).unwrap().place, Some(0));
    assert_eq!(replace(rows, &row("1").build(), at(9)).unwrap().place, Some(0));
    assert_eq!(delete_if(rows, &"1".into(), 4).unwrap(), Some(0));
}

#[test]
fn rule_1_takes_the_row_of_a_stored_id() {
    let mut shelf = Shelf::of([ada("1"), row("2")]);
    assert_eq!(shelf.place(token().id("2").user_name("ada")), Some(1));
    assert_eq!(shelf.place(token().id("3").user_name("ada")), Some(0), "an id that is not stored does not decide");
}

#[test]
fn rule_1_refuses_another_client() {
    let mut shelf = Shelf::of([row("1").client_id("c"), row("2").client_secret("s"), row("3")]);
    for (query, is_refused) in [
        (token().id("1").client_id("d"), true),
        (token().id("1").client_id("c"), false),
        (token().id("1").client_secret("s"), false),
        (token().id("2").client_id("c"), true),
        (token().id("2"), false),
        (token().id("3").client_id("c"), false),
    ] {
        let id = query.clone().build().id().cloned().unwrap();
        for answer in [shelf.selected(query.clone()).map(drop), shelf.save(&query.build()).map(drop)] {
            match answer {
                Err(Error::OtherClient { id: named }) => assert!(is_refused && named == id, "{id}"),
                Ok(()) => assert!(!is_refused, "{id}"),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn rule_2_takes_the_row_of_user_and_client() {
    let mut shelf = Shelf::of([ada("1").client_id("c"), ada("2").client_id("d"), row("3").client_id("e")]);
    let query = |client| token().user_name("ada").client_id(client).access_token("a");
    assert_eq!(shelf.place(query("c")), Some(0));
    assert_eq!(shelf.place(query("d")), Some(1));
    assert_eq!(shelf.place(query("e")), None, "and no other rule is tried");
    assert_eq!(shelf.place(token().user_name("grace").access_token("a")), None, "and no other rule is tried");
}

#[test]
fn rule_2_lets_a_row_without_client_adopt_one() {
    let query = || token().user_name("ada").client_id("c");
    assert_eq!(Shelf::of([ada("1")]).place(query()), Some(0));
    assert_eq!(Shelf::of([ada("1").client_secret("s")]).place(query()), None);
    assert_eq!(Shelf::of([ada("1"), ada("2").client_id("c")]).place(query()), Some(1), "its own row comes first");
    let adopted = Shelf::of([ada("1")]).save(&query().build()).unwrap();
    assert_eq!((adopted.place, adopted.token.client_id()), (Some(0), Some("c")));
}

#[test]
fn rule_2_without_client_takes_the_only_row() {
    let query = || token().user_name("ada").client_secret("s");
    assert_eq!(Shelf::of([row("1"), ada("2").client_id("c")]).place(query()), Some(1));
    let mut shelf = Shelf::of([ada("1"), ada("2").client_id("c"), ada("3").client_id("d")]);
    assert!(matches!(shelf.selected(query()), Err(Error::Ambiguous { count: 3 })));
    assert!(matches!(shelf.save(&query().build()), Err(Error::Ambiguous { count: 3 })));
}

#[test]
fn rule_3_takes_the_earliest_row_of_an_access_token() {
    let mut shelf = Shelf::of([row("1").access_token("b").refresh_token("r"), ada("2").client_id("c"), row("3")]);
    assert_eq!(shelf.place(token().access_token("a")), Some(1));
    assert_eq!(shelf.place(token().access_token("a").client_id("c")), None);
    assert_eq!(shelf.place(token().access_token("a").client_secret("s")), None);
    assert_eq!(shelf.place(token().access_token("c").refresh_token("r")), None, "and no other rule is tried");
}

#[test]
fn rule_4_takes_the_earliest_row_of_that_client() {
    let mut shelf = Shelf::of([
        row("1").grant_token("g").refresh_token("r"),
        row("2").client_id("d").grant_token("g").refresh_token("r"),
        row("3").client_id("c").client_secret("s").refresh_token("r"),
        row("4").client_id("c").grant_token("g"),
    ]);
    let query = || token().client_id("c").access_token("new");
    assert_eq!(shelf.place(query().grant_token("g")), Some(3));
    assert_eq!(shelf.place(query().refresh_token("r")), Some(2));
    assert_eq!(shelf.place(query().grant_token("g").refresh_token("r")), Some(2), "the earliest of both");
    assert_eq!(shelf.place(query().refresh_token("r").client_secret("rotated")), Some(2));
    assert_eq!(shelf.place(query().refresh_token("g")), None);
}

#[test]
fn rule_5_takes_no_row() {
    let mut shelf = Shelf::of([ada("1").client_id("c").client_secret("s").refresh_token("r").grant_token("g")]);
    for query in [
        token(),
        token().refresh_token("r"),
        token().client_secret("s").refresh_token("r").grant_token("g"),
        token().client_id("c").client_secret("s").access_token("a"),
    ] {
        assert_eq!(shelf.place(query), None);
    }
    let added = shelf.save(&token().refresh_token("r").build()).unwrap();
    assert_eq!((added.place, added.token.id()), (None, Some(&"new".into())));
}

/// A token with every field set, to a value that ends as given.
fn full(end: &str, expiry: Expiry) -> Token {
    let text = |name: &str| Some(format!("{name} {end}").into_boxed_str());
    let secret = |name: &str| Some(Secret::from(format!("{name} {end}")));
    let number: u32 = end.parse().unwrap();
    let time = |offset: u64| Millis::new(u64::from(number) * 10 + offset);
    let fields = Fields {
        id: Some(format!("id {end}").into()),
        user_name: text("user"),
        client_id: text("client"),
        client_secret: secret("client secret"),
        refresh_token: secret("refresh"),
        access_token: secret("access"),
        grant_token: secret("grant"),
        id_token: secret("id token"),
        expires_at: expiry,
        received_at: time(1),
        refresh_expires_at: time(2),
        rejected_at: time(3),
        retry_at: time(4),
        failed_refreshes: number,
        redirect_url: text("url"),
        api_domain: text("domain"),
        token_type: text("type"),
        scopes: vec![format!("scope {end}")],
        attributes: [("k".to_owned(), format!("v {end}").into())].into(),
        stored: None,
    };
    fields.into()
}

/// Sees that each field but the id and what a store sets is the other token's.
#[track_caller]
fn assert_same_content(one: &Token, other: &Token) {
    // A new field does not compile until it is compared here, and set above.
    let Fields {
        id: _,
        user_name,
        client_id,
        client_secret,
        refresh_token,
        access_token,
        grant_token,
        id_token,
        expires_at,
        received_at,
        refresh_expires_at,
        rejected_at,
        retry_at,
        failed_refreshes,
        redirect_url,
        api_domain,
        token_type,
        scopes,
        attributes,
        stored: _,
    } = one.fields();
    let other = other.fields();
    assert_eq!(*user_name, other.user_name);
    assert_eq!(*client_id, other.client_id);
    assert_eq!(*client_secret, other.client_secret);
    assert_eq!(*refresh_token, other.refresh_token);
    assert_eq!(*access_token, other.access_token);
    assert_eq!(*grant_token, other.grant_token);
    assert_eq!(*id_token, other.id_token);
    assert!(*expires_at == other.expires_at);
    assert_eq!(*received_at, other.received_at);
    assert_eq!(*refresh_expires_at, other.refresh_expires_at);
    assert_eq!(*rejected_at, other.rejected_at);
    assert_eq!(*retry_at, other.retry_at);
    assert_eq!(*failed_refreshes, other.failed_refreshes);
    assert_eq!(*redirect_url, other.redirect_url);
    assert_eq!(*api_domain, other.api_domain);
    assert_eq!(*token_type, other.token_type);
    assert_eq!(*scopes, other.scopes);
    assert_eq!(*attributes, other.attributes);
}

/// The token without what its access token and refresh token clear where they are new.
fn unmarked(token: &Token) -> Token {
    Fields { rejected_at: None, retry_at: None, failed_refreshes: 0, ..token.fields().clone() }.into()
}

#[test]
fn merge_loses_no_field() {
    let (one, two) = (full("1", Expiry::At(at(1).into())), full("2", Expiry::At(at(2).into())));
    let empty = row("7").access_token("").build();

    let laid = merge(&empty, &one);
    assert_same_content(&laid, &unmarked(&one));
    assert_eq!((laid.id(), laid.revision()), (empty.id(), Some(4)), "the id and what a store sets stay the row's");

    let kept = merge(&one, &token().id("7").build());
    assert_same_content(&kept, &one);
    assert_eq!((kept.id(), kept.revision()), (one.id(), None));

    let replaced = merge(&one, &two);
    assert_same_content(&replaced, &unmarked(&two));
    assert_eq!(replaced.id(), one.id());
}

#[test]
fn merge_lays_attributes_over_and_replaces_scopes() {
    let row = row("1").scopes(["x", "y"]).attribute("k", "1").attribute("l", "2").build();
    let laid = merge(&row, &token().scopes(["z"]).attribute("l", "3").attribute("m", "4").build());
    assert_eq!(laid.scopes(), ["z"]);
    let attributes: Vec<_> = laid.attributes().map(|(name, value)| (name, value.expose_secret())).collect();
    assert_eq!(attributes, [("k", "1"), ("l", "3"), ("m", "4")]);
}

#[test]
fn merge_keeps_sets_or_clears_the_expiry() {
    let row = row("1").expires_at(at(1)).build();
    let expiry = |over: TokenBuilder| merge(&row, &over.build()).expires_at();
    assert_eq!(expiry(token().access_token("b")), Some(at(1)));
    assert_eq!(expiry(token().expires_at(at(2))), Some(at(2)));
    assert_eq!(expiry(token().expiry_unknown()), None);
}

/// A row with tokens, and all that belongs to them.
fn marked() -> TokenBuilder {
    let row = row("1").refresh_token("r").received_at(at(11)).refresh_expires_at(at(12));
    row.rejected_at(at(13)).retry_at(at(14)).failed_refreshes(3)
}

type Marks = ([Option<u64>; 4], u32);

fn marks(token: &Token) -> Marks {
    let fields = token.fields();
    let times = [fields.received_at, fields.refresh_expires_at, fields.rejected_at, fields.retry_at];
    (times.map(|time| time.map(Millis::get)), fields.failed_refreshes)
}

const ALL: Marks = ([Some(11), Some(12), Some(13), Some(14)], 3);

/// What becomes of the marks in a save and a find of that token.
#[track_caller]
fn assert_merged(token: TokenBuilder, expected: Marks) {
    let mut shelf = Shelf::of([marked()]);
    let token = token.build();
    assert_eq!(marks(&shelf.save(&token).unwrap().token), expected, "a save of {token:?}");
    assert_eq!(marks(&find(&mut shelf, &token).unwrap().unwrap()), expected, "a find of {token:?}");
}

/// What becomes of the marks in a replacement.
#[track_caller]
fn assert_replaced(token: TokenBuilder, expected: Marks) {
    let write = replace(&mut Shelf::of([marked()]), &token.build(), at(9)).unwrap();
    assert_eq!(marks(&write.token), expected, "{:?}", write.token);
}

/// A token by id without a revision.
fn by_id_1() -> TokenBuilder {
    token().id("1")
}

#[test]
fn a_save_that_changes_no_token_lays_marks_over_and_keeps_them() {
    assert_merged(by_id_1().attribute("k", "v"), ALL);
    assert_merged(by_id_1().access_token("a").refresh_token("r").attribute("k", "v"), ALL);
    assert_merged(marked().attribute("k", "v"), ALL);
    let other = || by_id_1().received_at(at(21)).refresh_expires_at(at(22)).rejected_at(at(23)).retry_at(at(24));
    assert_merged(other(), ([Some(21), Some(22), Some(23), Some(24)], 3));
    assert_merged(other().failed_refreshes(4), ([Some(21), Some(22), Some(23), Some(24)], 4));
}

#[test]
fn another_access_token_has_its_own_time_of_receipt() {
    let refreshed = |received| ([received, Some(12), None, None], 0);
    assert_merged(by_id_1().access_token("b"), refreshed(None));
    assert_merged(by_id_1().access_token("b").received_at(at(21)), refreshed(Some(21)));
    // A token that was built from nothing says it itself.
    assert_merged(by_id_1().access_token("b").received_at(at(11)), refreshed(Some(11)));
    assert_merged(marked().access_token("b"), refreshed(None));
    assert_merged(marked().access_token("b").received_at(at(21)), refreshed(Some(21)));
    assert_replaced(marked().access_token("b"), refreshed(None));
    assert_replaced(marked().access_token("b").received_at(at(21)), refreshed(Some(21)));
    assert_replaced(marked().access_token(""), ([None, Some(12), Some(13), Some(14)], 3));
}

#[test]
fn another_refresh_token_has_its_own_expiry() {
    let rotated = |expiry| ([Some(11), expiry, None, None], 0);
    assert_merged(by_id_1().refresh_token("s"), rotated(None));
    assert_merged(by_id_1().refresh_token("s").refresh_expires_at(at(22)), rotated(Some(22)));
    assert_merged(by_id_1().refresh_token("s").refresh_expires_at(at(12)), rotated(Some(12)));
    assert_merged(marked().refresh_token("s"), rotated(None));
    assert_merged(marked().refresh_token("s").refresh_expires_at(at(22)), rotated(Some(22)));
    assert_replaced(marked().refresh_token("s"), rotated(None));
    assert_replaced(marked().refresh_token("s").refresh_expires_at(at(22)), rotated(Some(22)));
    assert_replaced(marked().refresh_token(""), ([Some(11), None, Some(13), Some(14)], 3));
}

#[test]
fn another_token_clears_what_was_said_of_refreshing() {
    let said = |token: TokenBuilder| token.rejected_at(at(23)).retry_at(at(24)).failed_refreshes(9);
    for token in [by_id_1().access_token("b"), marked().access_token("b")] {
        assert_merged(said(token.clone()), ([None, Some(12), None, None], 0));
        assert_merged(said(token.refresh_token("s")), ([None, None, None, None], 0));
    }
    assert_replaced(said(by_id_1().access_token("b").refresh_token("r")), ([None; 4], 0));
    assert_replaced(said(by_id_1().access_token("a").refresh_token("s")), ([None; 4], 0));
}

#[test]
fn replacement_clears_the_marks_that_it_leaves_unset() {
    let same = || by_id_1().access_token("a").refresh_token("r");
    assert_replaced(same(), ([None; 4], 0));
    assert_replaced(same().retry_at(at(24)).failed_refreshes(1), ([None, None, None, Some(24)], 1));
    assert_replaced(marked(), ALL);
}

#[test]
fn a_new_row_keeps_its_marks_as_given() {
    assert_eq!(marks(&Shelf(vec![]).save(&marked().build().without_revision()).unwrap().token), ALL);
    let of_another_store = marked().stored(Origin::of("another"), at(1), at(2), 4).build();
    assert_eq!(marks(&Shelf(vec![]).save(&of_another_store).unwrap().token), ALL);
}

#[test]
fn a_find_that_changes_nothing_keeps_marks_and_revision() {
    let mut shelf = Shelf::of([marked()]);
    let row = shelf.0[0].clone();
    for (query, revision) in [
        (by_id_1().access_token("a").refresh_token("r"), Some(4)),
        (by_id_1().retry_at(at(14)).failed_refreshes(3), Some(4)),
        (by_id_1().received_at(at(21)), None),
        (by_id_1().failed_refreshes(4), None),
    ] {
        let found = find(&mut shelf, &query.build()).unwrap().unwrap();
        assert_eq!(found.revision(), revision);
        assert_eq!(found == row, revision.is_some());
    }
}

#[test]
fn a_find_that_changes_something_carries_no_revision() {
    let mut shelf = Shelf::of([ada("1").expires_at(at(5))]);
    for (query, revision) in [
        (token().user_name("ada"), Some(4)),
        (token().user_name("ada").access_token("a"), Some(4)),
        (row("1"), None), // its expiry is unknown
        (token().id("1").access_token("stale"), None),
        (row("1").expires_at(at(5)).stored(Origin::of("shelf"), at(1), at(1), 3), Some(4)),
        (token().id("1").expiry_unknown(), None),
    ] {
        let found = find(&mut shelf, &query.clone().build()).unwrap().unwrap();
        assert_eq!(found.revision(), revision, "{query:?}");
        assert_eq!(find_stored(&mut shelf, &query.build()).unwrap().unwrap().revision(), Some(4));
    }
}

#[test]
fn a_save_over_a_revision_means_that_revision_only() {
    let mut shelf = Shelf::of([ada("1")]);
    let revision = |store: &str, revision| ada("1").stored(Origin::of(store), at(1), at(2), revision).build();
    for (token, expected) in [
        (revision("shelf", 3), Err(4)),
        (revision("shelf", 4), Ok(Some(0))),
        (revision("shelf", 5), Err(4)),
        (revision("another", 3), Ok(Some(0))),
        (revision("shelf", 3).without_revision(), Ok(Some(0))),
    ] {
        match shelf.save(&token) {
            Err(Error::Conflict { current }) => assert_eq!(expected, Err(current)),
            Ok(write) => {
                assert_eq!(expected, Ok(write.place));
                assert_eq!(write.token.revision(), Some(5));
                assert_eq!(write.token.created_at(), Some(at(1)));
                assert_eq!(write.token.updated_at(), Some(at(9)));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_save_over_a_revision_brings_no_row_back() {
    let mut shelf = Shelf::of([ada("1")]);
    assert!(matches!(shelf.save(&ada("gone").build()), Err(Error::NoSuchToken)));
    let merged = shelf.save(&ada("gone").build().without_revision()).unwrap();
    assert_eq!((merged.place, merged.token.id()), (Some(0), Some(&"1".into())));
}

#[test]
fn a_save_over_a_revision_cannot_change_the_client() {
    let mut shelf = Shelf::of([ada("1").client_id("c")]);
    let read = shelf.0[0].to_builder();
    assert!(matches!(shelf.save(&read.clone().client_id("d").build()), Err(Error::OtherClient { .. })));
    let replaced = replace(&mut shelf, &read.client_id("d").build(), at(9)).unwrap();
    assert_eq!((replaced.place, replaced.token.client_id()), (Some(0), Some("d")));
}

#[test]
fn user_and_client_are_unique() {
    let mut shelf = Shelf::of([ada("1").client_id("c"), ada("2"), row("3").client_id("c"), row("4"), row("5")]);
    for (id, client, is_taken) in
        [("1", "c", false), ("3", "c", true), ("4", "", true), ("4", "c", true), ("4", "d", false)]
    {
        let token = token().id(id).user_name("ada").client_id(client).access_token("a").build();
        for write in [shelf.save(&token), replace(&mut shelf, &token, at(9))] {
            match write {
                Err(Error::Unstorable { why: Unstorable::UserAndClientTaken }) => assert!(is_taken, "{id} {client}"),
                Ok(_) => assert!(!is_taken, "{id} {client}"),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(matches!(
        shelf.save(&token().id("2").client_id("c").build()),
        Err(Error::Unstorable { why: Unstorable::UserAndClientTaken })
    ));
}

#[test]
fn replacement_clears_unset_fields_and_keeps_age_and_place() {
    let mut shelf = Shelf::of([row("1").user_name("ada").attribute("k", "v").expires_at(at(5)), row("2")]);
    let new = Token::builder().id("1").refresh_token("r").build();
    let write = replace(&mut shelf, &new, at(9)).unwrap();
    assert_eq!(write.place, Some(0));
    assert_eq!(write.token, new.to_builder().stored(Origin::of("any"), at(1), at(9), 5).build());
}

#[test]
fn a_replacement_of_another_revision_is_a_conflict() {
    let mut shelf = Shelf::of([row("1")]);
    for (store, revision, refused) in
        [("shelf", 3, true), ("shelf", 4, false), ("shelf", 5, true), ("another", 3, false)]
    {
        match replace(&mut shelf, &row("1").stored(Origin::of(store), at(1), at(2), revision).build(), at(9)) {
            Err(Error::Conflict { current: 4 }) => assert!(refused),
            Ok(_) => assert!(!refused),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn replacement_needs_a_stored_id_and_no_other_rule() {
    let mut shelf = Shelf::of([ada("1")]);
    for token in [row("2").user_name("ada"), Token::builder().user_name("ada").access_token("a")] {
        assert!(matches!(replace(&mut shelf, &token.build(), at(9)), Err(Error::NoSuchToken)));
    }
}

#[test]
fn a_replacement_is_held_to_what_a_save_is() {
    let mut shelf = Shelf::of([ada("1"), row("2").user_name("grace")]);
    let mut refused = |token: TokenBuilder| match replace(&mut shelf, &token.build(), at(9)) {
        Err(Error::Unstorable { why }) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Token::builder().id("1").user_name("ada")), Unstorable::NothingToStore);
    assert_eq!(refused(row("1").user_name("grace")), Unstorable::UserAndClientTaken);
}

#[test]
fn a_delete_of_another_revision_is_a_conflict() {
    let mut shelf = Shelf::of([row("0"), row("1")]);
    assert_eq!(delete_if(&mut shelf, &"1".into(), 4).unwrap(), Some(1));
    assert_eq!(delete_if(&mut shelf, &"2".into(), 4).unwrap(), None);
    for revision in [0, 3, 5] {
        assert!(matches!(delete_if(&mut shelf, &"1".into(), revision), Err(Error::Conflict { current: 4 })));
    }
}

#[test]
fn an_error_of_the_rows_is_passed_on() {
    struct Broken;
    impl Rows for Broken {
        type Place = usize;
        fn origin(&self) -> Origin {
            Origin::of("broken")
        }
        fn rows(&mut self, _: Criterion<'_>) -> Result<Vec<(usize, Token)>> {
            Err(Error::other("no answer"))
        }
    }
    for token in [row("1"), token().user_name("ada"), token().access_token("a")] {
        let token = token.build();
        assert!(matches!(find(&mut Broken, &token), Err(Error::Other(_))));
        assert!(matches!(find_stored(&mut Broken, &token), Err(Error::Other(_))));
        assert!(matches!(save(&mut Broken, &token, at(9), || Ok("1".into())), Err(Error::Other(_))));
    }
    assert!(matches!(replace(&mut Broken, &row("1").build(), at(9)), Err(Error::Other(_))));
    assert!(matches!(delete_if(&mut Broken, &"1".into(), 4), Err(Error::Other(_))));
}

#[test]
fn a_save_that_is_refused_asks_for_no_id() {
    let nothing = Token::builder().user_name("ada").build();
    let refused = save(&mut Shelf(vec![]), &nothing, at(9), || panic!("an id was used up"));
    assert!(matches!(refused, Err(Error::Unstorable { why: Unstorable::NothingToStore })));
}

#[test]
fn criterion_debug_shows_no_value() {
    let secret = Secret::from("s3cret");
    for criterion in [
        Criterion::Id(&"s3cret".into()),
        Criterion::UserName("s3cret"),
        Criterion::AccessToken(&secret),
        Criterion::GrantToken(&secret),
        Criterion::RefreshToken(&secret),
    ] {
        assert!(!format!("{criterion:?}").contains("s3cret"));
    }
}
