use std::time::{Duration, SystemTime};

use super::*;

#[test]
fn empty_text_is_the_same_as_absent() {
    let token = Token::builder().id("1").user_name("ada").access_token("a").attribute("k", "v").build();
    let cleared = token.to_builder().id("").user_name("").access_token("").attribute("k", "").scopes([""]);
    assert_eq!(cleared.build(), Token::builder().build());
}

#[test]
fn maybe_setters_leave_a_field_as_it_is_without_a_value() {
    fn none<T>() -> Option<T> {
        None
    }
    let token = full();
    let same = token
        .to_builder()
        .maybe_id(none::<&str>())
        .maybe_user_name(none::<&str>())
        .maybe_client_id(none::<&str>())
        .maybe_client_secret(none::<&str>())
        .maybe_refresh_token(none::<&str>())
        .maybe_access_token(none::<&str>())
        .maybe_grant_token(none::<&str>())
        .maybe_id_token(none::<&str>())
        .maybe_received_at(None)
        .maybe_refresh_expires_at(None)
        .maybe_rejected_at(None)
        .maybe_retry_at(None)
        .maybe_refresh_expires_in(None)
        .maybe_redirect_url(none::<&str>())
        .maybe_api_domain(none::<&str>())
        .maybe_token_type(none::<&str>())
        .maybe_scopes(none::<[&str; 1]>())
        .maybe_attribute("k", none::<&str>());
    assert_eq!(same.build(), token);

    let set = Token::builder()
        .maybe_id(Some("1"))
        .maybe_user_name(Some("u"))
        .maybe_client_id(Some("c"))
        .maybe_client_secret(Some("s"))
        .maybe_refresh_token(Some("r"))
        .maybe_access_token(Some("a"))
        .maybe_grant_token(Some("g"))
        .maybe_id_token(Some("i"))
        .maybe_expires_at(Some(SystemTime::UNIX_EPOCH))
        .maybe_received_at(Some(at(1)))
        .maybe_refresh_expires_at(Some(at(2)))
        .maybe_rejected_at(Some(at(3)))
        .maybe_retry_at(Some(at(4)))
        .failed_refreshes(5)
        .maybe_redirect_url(Some("l"))
        .maybe_api_domain(Some("d"))
        .maybe_token_type(Some("t"))
        .maybe_scopes(Some(["z"]))
        .maybe_attribute("k", Some("v"));
    assert_eq!(set.build(), token);
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A token with every field that an application sets.
fn full() -> Token {
    Token::builder()
        .id("1")
        .user_name("u")
        .client_id("c")
        .client_secret("s")
        .refresh_token("r")
        .access_token("a")
        .grant_token("g")
        .id_token("i")
        .expires_at(SystemTime::UNIX_EPOCH)
        .received_at(at(1))
        .refresh_expires_at(at(2))
        .rejected_at(at(3))
        .retry_at(at(4))
        .failed_refreshes(5)
        .redirect_url("l")
        .api_domain("d")
        .token_type("t")
        .scopes(["z"])
        .attribute("k", "v")
        .build()
}

#[test]
fn expiry_without_a_value_is_unknown_and_not_the_one_before() {
    for token in [
        full().to_builder().maybe_expires_at(None),
        full().to_builder().maybe_expires_in(None),
        full().to_builder().expiry_unknown(),
    ] {
        let token = token.build();
        assert!(token.fields().expires_at == Expiry::Unknown && token.expires_at().is_none());
    }
}

#[test]
fn lifetimes_count_from_now() {
    let before = SystemTime::now() - Duration::from_millis(1);
    let token = Token::builder().expires_in(Duration::from_secs(3600)).build();
    let lasts = token.expires_at().unwrap().duration_since(before).unwrap();
    assert!((3600..3610).contains(&lasts.as_secs()), "{lasts:?}");
    let token = Token::builder().refresh_expires_in(Duration::from_secs(3600)).build();
    let lasts = token.refresh_expires_at().unwrap().duration_since(before).unwrap();
    assert!((3600..3610).contains(&lasts.as_secs()), "{lasts:?}");
    let longest = Token::builder().maybe_refresh_expires_in(Some(Duration::MAX)).build();
    assert_eq!(longest.refresh_expires_at(), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(Millis::MAX)));
    let longest = Token::builder().maybe_expires_in(Some(Duration::MAX)).build();
    assert_eq!(longest.expires_at(), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(Millis::MAX)));
}

#[test]
fn remaining_time_is_never_negative_and_none_if_unknown() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let token = |seconds| Token::builder().expires_at(now + Duration::from_secs(seconds)).build();
    assert_eq!(token(5).remaining(now), Some(Duration::from_secs(5)));
    assert_eq!(token(0).remaining(now + Duration::from_secs(9)), Some(Duration::ZERO));
    assert!(!token(1).is_expired(now) && token(0).is_expired(now));
    let unknown = Token::builder().expiry_unknown().build();
    assert!(unknown.remaining(now).is_none() && !unknown.is_expired(now));
    assert!(Token::builder().build().remaining(now).is_none());
}

#[test]
fn times_are_cut_to_milliseconds_and_kept_between_1970_and_9999() {
    let kept = |time| Token::builder().expires_at(time).build().expires_at().unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    assert_eq!(kept(epoch + Duration::from_micros(1_999)), epoch + Duration::from_millis(1));
    assert_eq!(kept(epoch - Duration::from_secs(1)), epoch);
    assert_eq!(kept(epoch + Duration::from_secs(1 << 38)), epoch + Duration::from_millis(Millis::MAX));
}

#[test]
fn each_time_and_number_is_read_back() {
    let token = full();
    let times = [token.received_at(), token.refresh_expires_at(), token.rejected_at(), token.retry_at()];
    assert_eq!(times, [1, 2, 3, 4].map(|seconds| Some(at(seconds))));
    assert_eq!(token.failed_refreshes(), 5);
}

#[test]
fn scopes_keep_their_order_and_lose_their_duplicates() {
    assert_eq!(Token::builder().scopes(["b", "a", "b", "", "c"]).build().scopes(), ["b", "a", "c"]);
}

#[test]
fn revision_stays_with_a_copy_and_goes_with_another_id() {
    let (store, epoch) = (Origin::of("a store"), SystemTime::UNIX_EPOCH);
    let read = full().to_builder().stored(store, epoch, epoch, 7).build();
    assert_eq!(read.to_builder().access_token("b").build().revision_in(store), Some(7));
    assert_eq!(read.to_builder().id("1").build().revision(), Some(7));
    assert_eq!(read.to_builder().id("2").build().revision(), None);
    assert_eq!(read.to_builder().id("").build().revision(), None);
    assert_eq!(read.revision_in(Origin::of("another store")), None);
    assert_eq!(read.without_revision(), full());
    // A copy in another store is the same token.
    assert_eq!(read, full().to_builder().stored(Origin::of("another store"), epoch, epoch, 7).build());
}

#[test]
fn debug_shows_fields_for_a_reader_and_hides_user_and_secrets() {
    let (store, epoch) = (Origin::of("a store"), SystemTime::UNIX_EPOCH);
    let token = full().to_builder().user_name("canary").attribute("canary", "canary");
    let token = token.stored(store, epoch, epoch, 7);
    let shown = format!("{:?}", token.clone().build());
    assert_eq!(
        shown,
        "Token { id: \"1\", user_name: ***, client_secret: ***, refresh_token: ***, access_token: ***, \
         grant_token: ***, id_token: ***, attributes: ***, client_id: \"c\", redirect_url: \"l\", \
         api_domain: \"d\", token_type: \"t\", expires_at: 1970-01-01T00:00:00.000Z, \
         received_at: 1970-01-01T00:00:01.000Z, refresh_expires_at: 1970-01-01T00:00:02.000Z, \
         rejected_at: 1970-01-01T00:00:03.000Z, retry_at: 1970-01-01T00:00:04.000Z, failed_refreshes: 5, \
         scopes: [\"z\"], \
         created_at: 1970-01-01T00:00:00.000Z, updated_at: 1970-01-01T00:00:00.000Z, revision: 7 }"
    );
    assert_eq!(format!("{token:?}"), format!("TokenBuilder{}", &shown["Token".len()..]));
    assert_eq!(format!("{:?}", Token::builder().expiry_unknown().build()), "Token { expires_at: unknown }");
}
