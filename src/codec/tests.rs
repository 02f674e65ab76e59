use std::time::{Duration, SystemTime};

use super::*;
use crate::token::Expiry;

fn origin() -> Origin {
    Origin::of("a file")
}

/// Of a file of that generation.
pub(super) fn header(generation: u64) -> BodyHeader {
    BodyHeader::without_body(generation, 570)
}

/// The length of such a header.
pub(super) const HEADER_LEN: usize = 136 + 570;

/// A plaintext of one block less what is around it.
pub(super) const ONE_BLOCK: usize = BLOCK - HEADER_LEN - TAG_LEN;

fn decode(plaintext: &[u8], origin: Origin) -> Result<Contents> {
    super::decode(plaintext, &header(1), origin)
}

fn padded_len(payload_len: u64) -> Option<usize> {
    super::padded_len(HEADER_LEN, payload_len)
}

pub(super) fn token(id: &str) -> Fields {
    let now = Millis::new(1_795_000_000_000).unwrap();
    Fields {
        id: Some(TokenId::from(id)),
        access_token: Some(Secret::from("access")),
        stored: Some(Stored { origin: origin(), created_at: now, updated_at: now, revision: 1 }),
        ..Fields::default()
    }
}

pub(super) fn contents(tokens: impl IntoIterator<Item = Fields>) -> Contents {
    let tokens: Vec<_> = tokens.into_iter().map(Token::from).collect();
    let tokens = if tokens.is_empty() { BTreeMap::new() } else { BTreeMap::from([("".into(), tokens)]) };
    Contents { next_id: 100, ancestors: vec![], record_tags: vec![], tokens }
}

fn encoded(contents: &Contents) -> Vec<u8> {
    Encoding::of(HEADER_LEN, contents).unwrap().plaintext().unwrap()
}

#[track_caller]
fn assert_malformed(decoded: Result<Contents>, why: &str) {
    match decoded {
        Err(FileFlaw::Malformed(rule)) => assert!(rule.to_string().contains(why), "{rule}"),
        other => panic!("expected Malformed, got {other:?}"),
    }
}

fn record(id: &str) -> Record<'_> {
    Record {
        namespace: "",
        id,
        user_name: None,
        client_id: None,
        client_secret: None,
        refresh_token: None,
        access_token: Some("access"),
        grant_token: None,
        id_token: None,
        expires_at: None,
        received_at: None,
        refresh_expires_at: None,
        rejected_at: None,
        retry_at: None,
        failures: 0,
        redirect_url: None,
        api_domain: None,
        token_type: None,
        scopes: vec![],
        attributes: vec![],
        created_at: 1,
        updated_at: 2,
        revision: 3,
    }
}

fn payload(records: Vec<Record<'_>>) -> Payload<'_> {
    Payload { schema: SCHEMA, next_id: 100, ancestors: vec![], record_tags: vec![], records }
}

fn decoded(payload: &Payload<'_>) -> Result<Contents> {
    decode(&padded(&options(u64::MAX).serialize(payload).unwrap()), origin())
}

/// A plaintext around a payload that `encode` might not have written.
fn padded(payload: &[u8]) -> Vec<u8> {
    let mut plaintext = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    plaintext.extend_from_slice(payload);
    plaintext.resize(padded_len(length(payload.len())).unwrap(), 0);
    plaintext
}

/// Each case differs in one thing from a payload that is accepted.
#[track_caller]
fn assert_refuses(why: &str, change: impl FnOnce(&mut Payload<'_>)) {
    let mut payload = payload(vec![record("1"), record("2")]);
    assert!(decoded(&payload).is_ok());
    change(&mut payload);
    assert_malformed(decoded(&payload), why);
}

#[test]
fn contents_read_back_and_encode_to_the_same_bytes() {
    let full = Token::builder()
        .id("an id")
        .user_name("山田")
        .client_id("client")
        .client_secret("secret")
        .refresh_token("refresh")
        .access_token("access")
        .grant_token("grant")
        .id_token("id token")
        .expires_in(Duration::from_secs(1))
        .received_at(SystemTime::now())
        .refresh_expires_in(Duration::from_secs(2))
        .rejected_at(SystemTime::UNIX_EPOCH)
        .retry_at(SystemTime::now())
        .failed_refreshes(u32::MAX)
        .redirect_url("https://app.example/cb")
        .api_domain("https://api.example")
        .token_type("Bearer")
        .scopes(["b", "a"])
        .attribute("z", "1")
        .attribute("a", "2");
    let full = full.stored(origin(), SystemTime::UNIX_EPOCH, SystemTime::now(), 9);
    for contents in [contents([]), contents([token("1"), token("2")]), contents([full.build().fields().clone()])] {
        let bytes = encoded(&contents);
        let read = decode(&bytes, origin()).unwrap();
        assert_eq!(read, contents);
        assert_eq!(encoded(&read), bytes);
    }
}

#[test]
fn the_payload_is_laid_out_as_the_document_says() {
    let timed = Fields {
        scopes: vec!["s".into()],
        expires_at: Expiry::At(Millis::new(11).unwrap()),
        received_at: Millis::new(12),
        refresh_expires_at: Millis::new(13),
        rejected_at: Millis::new(14),
        retry_at: Millis::new(15),
        failed_refreshes: 16,
        ..token("1")
    };
    let plaintext = encoded(&contents([timed]));
    let mut expected = vec![];
    expected.extend_from_slice(&1_u32.to_le_bytes()); // schema
    expected.extend_from_slice(&100_u64.to_le_bytes()); // next id
    expected.extend_from_slice(&[0; 16]); // no ancestors, no tags of a journal's records
    expected.extend_from_slice(&1_u64.to_le_bytes()); // one record
    expected.extend_from_slice(&0_u64.to_le_bytes()); // namespace ""
    expected.extend_from_slice(&1_u64.to_le_bytes());
    expected.extend_from_slice(b"1");
    expected.extend_from_slice(&[0; 4]); // user name, client id, client secret, refresh token
    expected.push(1); // access token
    expected.extend_from_slice(&6_u64.to_le_bytes());
    expected.extend_from_slice(b"access");
    expected.extend_from_slice(&[0; 2]); // grant token, id token
    for time in [11_u64, 12, 13, 14, 15] {
        expected.push(1); // expiry, received, refresh expiry, rejected, retry
        expected.extend_from_slice(&time.to_le_bytes());
    }
    expected.extend_from_slice(&16_u32.to_le_bytes()); // failures
    expected.extend_from_slice(&[0; 3]); // redirect URL, API domain, token type
    expected.extend_from_slice(&1_u64.to_le_bytes()); // one scope
    expected.extend_from_slice(&1_u64.to_le_bytes());
    expected.extend_from_slice(b"s");
    expected.extend_from_slice(&0_u64.to_le_bytes()); // no attribute
    for number in [1_795_000_000_000, 1_795_000_000_000, 1_u64] {
        expected.extend_from_slice(&number.to_le_bytes());
    }
    let (len, rest) = plaintext.split_at(4);
    assert_eq!(len, u32::try_from(expected.len()).unwrap().to_le_bytes());
    assert_eq!(rest[..expected.len()], expected);
    assert_eq!(plaintext.len(), ONE_BLOCK);
}

/// The examples of the paper, for lengths where no rounding to blocks hides them.
#[test]
fn padding_follows_padme_and_whole_blocks() {
    for (payload_len, padded) in [
        (0, 4096),
        // Padmé gives 3,328 for 3,201 to 3,328, and then 3,456: with header and tag more than a block.
        (3324, 4096),
        (3325, 8192),
        (4092, 8192),
        (131_068, 135_168),
        (131_069, 139_264),     // 2^17 + 1: steps of 2^(17 - 5)
        (1_000_000, 1_019_904), // 1,000,004: steps of 2^(19 - 5)
        (9_000_000, 9_179_136), // steps of 2^(23 - 5)
    ] {
        assert_eq!(padded_len(payload_len), Some(padded - HEADER_LEN - TAG_LEN), "{payload_len}");
    }
    assert_eq!(padded_len(u64::MAX), None);
    assert_eq!(super::padded_len(usize::MAX, 0), None);
    // Just as much as there is room for: no block more.
    assert_eq!(super::padded_len(4096 - 16 - 1024, 1020), Some(1024));
    assert_eq!(super::padded_len(4096 - 16 - 1023, 1020), Some(1024 + 4095));
}

#[test]
fn padding_costs_at_most_an_eighth_and_a_block() {
    for len in (0..3_000_000).step_by(997) {
        let padded = length(padded_len(len).unwrap());
        assert!(padded >= len + 4 && padded <= (len + 4) + (len + 4) / 8 + 4096, "{len}: {padded}");
    }
}

#[test]
fn a_plaintext_has_exactly_its_padding() {
    let good = encoded(&contents([token("1")]));
    let mut longer = good.to_vec();
    longer.resize(ONE_BLOCK + 4096, 0);
    let mut nonzero = good.to_vec();
    nonzero[ONE_BLOCK - 1] = 1;
    let mut beyond = good.to_vec();
    beyond[..4].copy_from_slice(&u32::try_from(ONE_BLOCK - 3).unwrap().to_le_bytes());
    let mut endless = good.to_vec();
    endless[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    for wrong in [&longer[..], &nonzero, &beyond, &endless, &good[..ONE_BLOCK - 1], &good[..3], &[]] {
        assert_malformed(decode(wrong, origin()), "padded");
    }
}

#[test]
fn bytes_after_the_payload_are_refused() {
    let mut bytes = options(u64::MAX).serialize(&payload(vec![])).unwrap();
    bytes.push(0);
    assert_malformed(decode(&padded(&bytes), origin()), "bincode");
}

#[test]
fn lengths_that_promise_more_than_there_is_cost_nothing() {
    let bytes = options(u64::MAX).serialize(&payload(vec![])).unwrap();
    // The counts of ancestors, of record tags and of records.
    for at in [12, 20, 28] {
        for count in [u64::MAX, 1 << 40, 1] {
            let mut bomb = bytes.clone();
            bomb[at..at + 8].copy_from_slice(&count.to_le_bytes());
            assert_malformed(decode(&padded(&bomb), origin()), "bincode");
        }
    }
}

#[test]
fn texts_are_utf_8() {
    let mut bytes = options(u64::MAX).serialize(&payload(vec![record("1")])).unwrap();
    let id = bytes.iter().rposition(|byte| *byte == b'1').unwrap();
    bytes[id] = 0xff;
    assert_malformed(decode(&padded(&bytes), origin()), "bincode");
}

#[test]
fn an_option_is_0_or_1() {
    let mut bytes = options(u64::MAX).serialize(&payload(vec![record("1")])).unwrap();
    let user_name = bytes.iter().rposition(|byte| *byte == b'1').unwrap() + 1;
    bytes[user_name] = 2;
    assert_malformed(decode(&padded(&bytes), origin()), "bincode");
}

#[test]
fn every_rule_of_the_domain_is_held() {
    assert_refuses("schema", |payload| payload.schema = 2);
    assert_refuses("next id", |payload| payload.next_id = 0);
    assert_refuses("next id", |payload| payload.next_id = TokenId::LAST + 2);
    assert!(decoded(&Payload { next_id: TokenId::LAST + 1, ..payload(vec![record("1")]) }).is_ok(), "none is left");
    assert_refuses("yet to be chosen", |payload| payload.next_id = 2);
    assert_refuses("one id", |payload| payload.records[1].id = "1");
    assert_refuses("one user name and client id", |payload| {
        payload.records.iter_mut().for_each(|row| row.user_name = Some("ada"));
    });
    assert_refuses("revision", |payload| payload.records[0].revision = 0);
    assert_refuses("could not have been saved", |payload| payload.records[0].access_token = None);
    assert_refuses("year 9999", |payload| payload.records[0].expires_at = Some(253_402_300_800_000));
    assert_refuses("year 9999", |payload| payload.records[0].received_at = Some(253_402_300_800_000));
    assert_refuses("year 9999", |payload| payload.records[0].refresh_expires_at = Some(253_402_300_800_000));
    assert_refuses("year 9999", |payload| payload.records[0].rejected_at = Some(253_402_300_800_000));
    assert_refuses("year 9999", |payload| payload.records[0].retry_at = Some(253_402_300_800_000));
    assert_refuses("year 9999", |payload| payload.records[0].created_at = u64::MAX);
    assert_refuses("year 9999", |payload| payload.records[0].updated_at = u64::MAX);
    assert_refuses("a scope twice", |payload| payload.records[0].scopes = vec!["a", "b", "a"]);
    let attribute = |name| Attribute { name, value: "v" };
    assert_refuses("out of order", |payload| payload.records[0].attributes = vec![attribute("b"), attribute("a")]);
    assert_refuses("out of order", |payload| payload.records[0].attributes = vec![attribute("a"), attribute("a")]);
}

#[test]
fn namespaces_are_kept_apart_and_in_order() {
    let rows = |rows: &[(&'static str, &'static str)]| {
        let row = |(namespace, id): &(&'static str, &'static str)| Record {
            namespace,
            user_name: Some("ada"),
            client_id: Some(id),
            ..record(id)
        };
        decoded(&payload(rows.iter().map(row).collect()))
    };
    let read = rows(&[("", "1"), ("a", "1"), ("a", "2"), ("\u{FFFD}", "1"), ("\u{10000}", "1")]).unwrap();
    let counts: Vec<_> = read.tokens.iter().map(|(name, tokens)| (&**name, tokens.len())).collect();
    assert_eq!(counts, [("", 1), ("a", 2), ("\u{FFFD}", 1), ("\u{10000}", 1)]);
    let order = "in the order of their namespaces";
    assert_malformed(rows(&[("a", "1"), ("", "1")]), order);
    assert_malformed(rows(&[("a", "1"), ("b", "1"), ("a", "2")]), order);
    assert_malformed(rows(&[("\u{10000}", "1"), ("\u{FFFD}", "1")]), order);
    assert_malformed(rows(&[("a", "1"), ("a", "1")]), "one id");
    assert_malformed(rows(&[("a", "99"), ("b", "100")]), "yet to be chosen");
    let (longest, longer) = ("n".repeat(256), "n".repeat(257));
    let named = |namespace| decoded(&payload(vec![Record { namespace, ..record("1") }]));
    assert_eq!(named(&longest).unwrap().tokens.len(), 1);
    assert_malformed(named(&longer), "longer than 256 bytes");
}

#[test]
fn ancestors_fit_the_generation() {
    let ancestor = || Ancestor { salt: [1; 8], record_count: 0, tag: [2; 8] };
    let of_generation = |generation, count| {
        let payload = Payload { ancestors: (0..count).map(|_| ancestor()).collect(), ..payload(vec![record("1")]) };
        super::decode(&padded(&options(u64::MAX).serialize(&payload).unwrap()), &header(generation), origin())
    };
    for (generation, count) in [(1, 0), (2, 1), (64, 63), (65, 64), (66, 64), (u64::MAX, 64)] {
        let read = of_generation(generation, count).unwrap();
        assert_eq!(read.ancestors, vec![Mark { salt: [1; 8], record_count: 0, tag: [2; 8] }; count]);
        assert_malformed(of_generation(generation, count + 1), "ancestors");
        if count > 0 {
            assert_malformed(of_generation(generation, count - 1), "ancestors");
        }
    }
}

/// For each number of records that the replaced state had, as many tags, and at most 256. The last is that of the
/// state.
#[test]
fn tags_of_records_fit_the_replaced_state() {
    assert_refuses("tags of records", |payload| payload.record_tags = vec![[0; 8]]);
    let read = |record_count, record_tags| {
        let ancestors = vec![Ancestor { salt: [1; 8], record_count, tag: [2; 8] }];
        let payload = Payload { ancestors, record_tags, ..payload(vec![record("1")]) };
        super::decode(&padded(&options(u64::MAX).serialize(&payload).unwrap()), &header(2), origin())
    };
    for (record_count, tags) in [(0, 0), (1, 1), (2, 2), (256, 256), (257, 256), (u32::MAX, 256)] {
        let fitting = vec![[2; 8]; tags];
        assert_eq!(read(record_count, fitting.clone()).unwrap().record_tags, fitting);
        assert_malformed(read(record_count, vec![[2; 8]; tags + 1]), "tags of records");
        if tags > 0 {
            assert_malformed(read(record_count, vec![[2; 8]; tags - 1]), "tags of records");
            assert_malformed(read(record_count, [&fitting[1..], &[[3; 8]]].concat()), "tags of records");
        }
    }
}

#[test]
fn one_user_name_may_have_several_clients_but_each_once() {
    let of_clients = |clients: &[Option<&'static str>]| {
        let ids = ["1", "2", "3"];
        let rows = clients.iter().zip(ids).map(|(client, id)| Record {
            user_name: Some("ada"),
            client_id: *client,
            ..record(id)
        });
        decoded(&payload(rows.collect()))
    };
    let read = of_clients(&[Some("one"), Some("other"), None]).unwrap();
    let clients: Vec<_> = read.tokens[""].iter().map(Token::client_id).collect();
    assert_eq!(clients, [Some("one"), Some("other"), None]);
    for twice in [[Some("one"), None, Some("one")], [None, Some("one"), None]] {
        assert_malformed(of_clients(&twice), "one user name and client id");
    }
    // Rows without a user name may share a client.
    let nameless = |id| Record { client_id: Some("one"), ..record(id) };
    assert_eq!(decoded(&payload(vec![nameless("1"), nameless("2")])).unwrap().tokens[""].len(), 2);
}

/// Public clients have none, and other clients rotate it.
#[test]
fn client_secret_does_not_tell_two_rows_apart() {
    assert_refuses("one user name and client id", |payload| {
        for (row, secret) in payload.records.iter_mut().zip(["one", "other"]) {
            (row.user_name, row.client_secret) = (Some("ada"), Some(secret));
        }
    });
}

#[test]
fn decoded_tokens_carry_the_revision_of_their_store() {
    let read = decoded(&payload(vec![record("1")])).unwrap();
    let token = &read.tokens[""][0];
    assert_eq!(token.revision_in(origin().within("")), Some(3));
    assert_eq!(token.revision_in(origin().within("n")), None);
    assert_eq!(token.revision_in(Origin::of("another file")), None);
}

#[test]
fn an_expiry_that_is_not_stored_is_unknown() {
    let read = decoded(&payload(vec![record("1"), Record { expires_at: Some(7), ..record("2") }])).unwrap();
    let expiries: Vec<_> = read.tokens[""].iter().map(|token| token.fields().expires_at).collect();
    assert!(expiries == [Expiry::Unknown, Expiry::At(Millis::new(7).unwrap())]);
}

#[test]
fn no_text_is_empty() {
    let empties: [fn(&mut Record<'_>); 15] = [
        |row| row.id = "",
        |row| row.user_name = Some(""),
        |row| row.client_id = Some(""),
        |row| row.client_secret = Some(""),
        |row| row.refresh_token = Some(""),
        |row| row.access_token = Some(""),
        |row| row.grant_token = Some(""),
        |row| row.id_token = Some(""),
        |row| row.redirect_url = Some(""),
        |row| row.api_domain = Some(""),
        |row| row.token_type = Some(""),
        |row| row.scopes = vec![""],
        |row| row.attributes = vec![Attribute { name: "", value: "v" }],
        |row| row.attributes = vec![Attribute { name: "n", value: "" }],
        |row| row.scopes = vec!["a", ""],
    ];
    for empty in empties {
        assert_refuses("empty text", |payload| empty(&mut payload.records[1]));
    }
}

#[test]
fn sizes_are_those_that_can_be_saved() {
    let (largest, larger) = ("x".repeat(65_536), "x".repeat(65_537));
    let mut row = record("1");
    row.access_token = Some(&largest);
    assert!(decoded(&payload(vec![row])).is_ok());
    let mut row = record("1");
    row.access_token = Some(&larger);
    assert_malformed(decoded(&payload(vec![row])), "could not have been saved");
}

fn row(record: &Record<'_>) -> Vec<u8> {
    let record = options(u64::MAX).serialize(record).unwrap();
    let mut plaintext = u32::try_from(record.len()).unwrap().to_le_bytes().to_vec();
    plaintext.extend_from_slice(&record);
    plaintext.resize(plaintext.len().next_multiple_of(256), 0);
    plaintext
}

#[test]
fn row_reads_back_and_encodes_to_the_same_bytes() {
    let plaintext = row(&Record { namespace: "n", user_name: Some("ada"), ..record("7") });
    let (namespace, token) = decode_row(&plaintext, |_| origin()).unwrap();
    assert_eq!(*namespace, *"n");
    assert_eq!((token.id().unwrap().as_str(), token.user_name(), token.revision()), ("7", Some("ada"), Some(3)));
    assert_eq!(*encode_row("n", &token).unwrap(), plaintext);
}

#[test]
fn row_is_padded_by_padme_and_blocks_of_256_bytes() {
    for (record_len, padded) in [(1, 256), (252, 256), (253, 512), (4092, 4096), (4093, 4352), (70_000, 71_680)] {
        assert_eq!(padded_row_len(record_len), Some(padded), "{record_len}");
    }
}

#[test]
fn each_rule_of_a_row_is_checked() {
    let refused = |plaintext: &[u8]| match decode_row(plaintext, |_| origin()) {
        Err(FileFlaw::Malformed(rule)) => rule.to_string(),
        other => panic!("expected Malformed, got {other:?}"),
    };
    let sound = row(&record("1"));
    assert!(decode_row(&sound, |_| origin()).is_ok());
    assert!(refused(&row(&Record { revision: 0, ..record("1") })).contains("revision"));
    assert!(refused(&row(&Record { access_token: None, ..record("1") })).contains("saved"));
    assert!(refused(&[&sound[..], &[0; 256]].concat()).contains("padded"));
    assert!(refused(&sound[..sound.len() - 1]).contains("padded"));
    let mut dirty = sound.clone();
    *dirty.last_mut().unwrap() = 1;
    assert!(refused(&dirty).contains("padded"));
    let mut longer = sound;
    longer[0] += 1;
    assert!(refused(&longer).contains("bincode"));
}
