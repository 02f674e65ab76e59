use std::sync::mpsc;

use super::{
    super::tests::{HEADER_LEN, ONE_BLOCK, contents, token},
    *,
};
use crate::token::Fields;

fn encoding(contents: &Contents, records_len: u64) -> Encoding<'_> {
    let prelude = Prelude { next_id: 100, ancestors: &contents.ancestors, record_tags: &[] };
    let tokens = contents.tokens[""].iter().map(|token| ("", token));
    Encoding::new(HEADER_LEN, prelude, tokens, records_len).unwrap()
}

/// So that it is refused as too long before any of it is made.
#[test]
fn the_length_of_a_plaintext_is_known_before_it_is_made() {
    let contents = contents([token("1")]);
    let len = |records_len| encoding(&contents, records_len).len();
    let records_len = records_len("", &contents.tokens[""]);
    assert_eq!(len(records_len), ONE_BLOCK);
    assert_eq!(len(records_len + 4096), ONE_BLOCK + 4096);
    assert!(length(len(u32::MAX.into())) > u32::MAX.into(), "more than a payload can say of its length");
    assert_eq!(len(u64::MAX), usize::MAX, "more than can be counted");
    for (ancestor_count, tag_count) in [(0, 0), (1, 0), (64, 256)] {
        let ancestors = vec![Mark { salt: [1; 8], record_count: 300, tag: [2; 8] }; ancestor_count];
        let contents = Contents { ancestors, record_tags: vec![[3; 8]; tag_count], ..contents.clone() };
        let encoding = Encoding::of(HEADER_LEN, &contents).unwrap();
        assert_eq!(plaintext_len(HEADER_LEN, ancestor_count, tag_count, records_len), encoding.len());
        // Writing refuses a payload of another length than was computed.
        assert_eq!(encoding.plaintext().unwrap().len(), encoding.len());
    }
}

#[test]
fn record_of_a_wrong_length_is_not_encoded() {
    let contents = contents([token("1"), token("2")]);
    let encoded = |records_len| encoding(&contents, records_len).plaintext();
    let records_len = records_len("", &contents.tokens[""]);
    assert!(encoded(records_len).is_ok());
    for wrong in [0, records_len - 1, records_len + 1, records_len + 8192] {
        assert!(matches!(encoded(wrong), Err(Error::Internal(_))), "{wrong} for {records_len}");
    }
}

#[test]
fn what_there_is_no_room_for_is_not_written() {
    let mut zeros = [0; 8];
    let (finished, parts) = mpsc::channel();
    let mut room = Room { zeros: &mut zeros, written: 0, finished: Some(finished) };
    room.write_all(&[1; 7]).unwrap();
    assert!(room.write_all(&[2; 2]).is_err());
    room.write_all(&[3]).unwrap();
    assert!(room.write_all(&[4]).is_err());
    assert!(parts.try_recv().is_err(), "nothing is finished");
    drop((room, parts));
    assert_eq!(zeros, [1, 1, 1, 1, 1, 1, 1, 3]);
}

/// The hash that is made of the parts is that of the plaintext.
#[test]
fn parts_are_handed_out_in_order_and_are_all_of_the_plaintext() {
    for (count, len) in [(1, 10), (1, 64 * 1024), (30, 5000), (5, 60_000)] {
        let token = |id: usize| Fields { access_token: Some("a".repeat(len).into()), ..token(&id.to_string()) };
        let contents = Contents { next_id: 100, ..contents((0..count).map(token)) };
        let encoding = Encoding::of(HEADER_LEN, &contents).unwrap();
        let mut plaintext = vec![0; encoding.len()];
        let (finished, parts) = mpsc::channel();
        encoding.write(&mut plaintext, Some(finished)).unwrap();
        let parts: Vec<&[u8]> = parts.iter().collect();
        let (_, whole) = parts.split_last().unwrap();
        assert!(whole.iter().all(|part| part.len().is_multiple_of(64)), "{count} of {len}");
        assert_eq!(parts.len(), encoding.len() / PART + 1, "{count} of {len}");
        assert_eq!(parts.concat(), encoding.plaintext().unwrap());
    }
}
