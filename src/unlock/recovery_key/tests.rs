use super::*;

/// The bytes 00 01 … 1F.
fn sample() -> RecoveryKey {
    RecoveryKey::of_bytes(&std::array::from_fn(|n| n.try_into().unwrap())).unwrap()
}

fn typo(typed: &str) -> RecoveryKeyTypo {
    match typed.parse::<RecoveryKey>() {
        Err(Error::MistypedRecoveryKey { why }) => why,
        other => panic!("expected a typing error, got {other:?}"),
    }
}

#[track_caller]
fn is_read(typed: &str, key: &RecoveryKey) {
    let read: RecoveryKey = typed.parse().unwrap_or_else(|error| panic!("{typed:?}: {error}"));
    assert_eq!((read.0.key.bytes(), read.expose_secret()), (key.0.key.bytes(), key.expose_secret()));
}

/// Another program computed it.
#[test]
fn a_key_reads_as_the_document_says() {
    let text = "TKR1-000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFP-27FX";
    assert_eq!(sample().expose_secret(), text);
    assert!(include_str!("../../../docs/format.md").contains(text));
}

#[test]
fn what_is_generated_is_random_grouped_and_read_back() {
    let (one, other) = (RecoveryKey::generate().unwrap(), RecoveryKey::generate().unwrap());
    assert_ne!(one.0.key.bytes(), other.0.key.bytes());
    for key in [one, other] {
        let text = key.expose_secret();
        let groups: Vec<_> = text.split('-').collect();
        assert_eq!((groups.len(), groups[0], text.len()), (15, "TKR1", TEXT_LEN));
        assert!(groups[1..].iter().all(|group| group.len() == 4 && group.chars().all(|c| SYMBOLS.contains(c))));
        is_read(text, &key);
    }
}

#[test]
fn typing_is_forgiving() {
    let key = sample();
    let text = key.expose_secret();
    is_read(&text.to_lowercase(), &key);
    is_read(&text.replace('-', ""), &key);
    is_read(&text.replace('-', " "), &key);
    is_read(&format!(" \t{}\r\n", text.replace('-', "\n  - ")), &key);
    is_read(&text.replace('-', "\u{2011}"), &key);
    is_read(&text.replace('-', " \u{2013} "), &key);
    is_read(&text.replace('-', "\u{a0}\u{ad}"), &key);
    // Byte order marks, minus signs, full width and no width.
    for beyond_ascii in ['\u{feff}', '\u{2212}', '\u{ff0d}', '\u{200b}', '\u{2015}', '\u{2060}', '·'] {
        is_read(&format!("{beyond_ascii}{}", text.replace('-', &beyond_ascii.to_string())), &key);
    }
    assert!(text.contains('0') && text.matches('1').count() > 1);
    for (instead, of) in [('O', '0'), ('o', '0'), ('I', '1'), ('i', '1'), ('L', '1'), ('l', '1')] {
        is_read(&text.replace(of, &instead.to_string()), &key);
    }
}

#[test]
fn each_typing_error_is_reported() {
    let text = sample().expose_secret().to_owned();
    for other in ["", " ", "T", "TKR", "tk1-", "correct horse battery staple", &text[1..], "ÄKR1"] {
        let expected = if other.starts_with("TKR") { RecoveryKeyTypo::Version } else { RecoveryKeyTypo::Start };
        assert_eq!(typo(other), expected, "{other:?}");
    }
    assert_eq!(typo(&text.replacen('1', "2", 1)), RecoveryKeyTypo::Version);
    assert_eq!(typo(&text.replacen('1', "é", 1)), RecoveryKeyTypo::Version);
    assert_eq!(typo("TKR1"), RecoveryKeyTypo::Length { found: 4, expected: 60 });
    assert_eq!(typo(&text[..text.len() - 1]), RecoveryKeyTypo::Length { found: 59, expected: 60 });
    assert_eq!(typo(&format!("{text}0")), RecoveryKeyTypo::Length { found: 61, expected: 60 });
    assert_eq!(typo(&"TKR1".repeat(100_000)), RecoveryKeyTypo::Length { found: 400_000, expected: 60 });
    for (group, wrong) in [(2, "U"), (2, "u"), (2, "!"), (9, "é"), (15, "日"), (15, "\0")] {
        let start = (group - 1) * 5;
        let typed = format!("{}{wrong}{}", &text[..start], &text[start + 1..]);
        assert_eq!(typo(&typed), RecoveryKeyTypo::Character { group }, "{wrong:?}");
    }
}

#[test]
fn one_wrong_symbol_and_two_exchanged_are_noticed() {
    let text = sample().expose_secret().replace('-', "");
    let mut tried = 0;
    for place in 4..text.len() {
        for symbol in SYMBOLS.chars().filter(|symbol| !text[place..].starts_with(*symbol)) {
            assert_eq!(typo(&format!("{}{symbol}{}", &text[..place], &text[place + 1..])), RecoveryKeyTypo::Checksum);
            tried += 1;
        }
        for other in place + 1..text.len() {
            let mut exchanged = text.clone().into_bytes();
            exchanged.swap(place, other);
            if exchanged != text.as_bytes() {
                assert_eq!(typo(str::from_utf8(&exchanged).unwrap()), RecoveryKeyTypo::Checksum);
                tried += 1;
            }
        }
    }
    assert!(tried > 56 * 31 + 1_000, "{tried}");
}

#[test]
fn debug_and_typing_errors_show_nothing_of_the_key() {
    let key = sample();
    assert_eq!(format!("{key:?}"), "RecoveryKey(***)");
    let mistyped = key.expose_secret().replacen("-", "!", 3);
    let error = mistyped.parse::<RecoveryKey>().unwrap_err();
    for group in key.expose_secret().split('-').skip(1) {
        assert!(!format!("{error:?} {error}").contains(group));
    }
}
