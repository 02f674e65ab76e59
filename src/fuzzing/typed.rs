//! Recovery keys as they are typed.

use arbitrary::Arbitrary;

use crate::{Error, RecoveryKey, SlotKind, Unlock};

#[derive(Debug, Arbitrary)]
pub(super) struct Typed {
    key: [u8; 32],
    edits: Vec<Edit>,
    anything: String,
}

#[derive(Debug, Arbitrary)]
enum Edit {
    Insert {
        at: u8,
        symbol: char,
    },
    Replace {
        at: u8,
        symbol: char,
    },
    Remove {
        at: u8,
    },
    LowerCase {
        at: u8,
    },
    /// What `0` and `1` may be mistaken for.
    Lookalike {
        at: u8,
        which: bool,
    },
}

pub(super) fn check(typed: &Typed) {
    assert_read_or_refused(&typed.anything);
    let written = RecoveryKey::of_bytes(&typed.key).expect("any bytes are a key");
    let mut symbols: Vec<char> = written.expose_secret().chars().collect();
    for edit in &typed.edits {
        edit.apply(&mut symbols);
    }
    let text: String = symbols.into_iter().collect();
    let read = assert_read_or_refused(&text);
    assert_eq!(
        read.as_deref() == Some(written.expose_secret()),
        plain(&text) == plain(written.expose_secret()),
        "{typed:?}"
    );
}

/// Returns the key, as it is written, if the text is one.
fn assert_read_or_refused(text: &str) -> Option<String> {
    match text.parse::<RecoveryKey>() {
        Ok(key) => {
            assert_eq!(plain(key.expose_secret()), plain(text), "{text:?}");
            assert_eq!(Unlock::from(key.clone()).slot_kind(None), SlotKind::RecoveryKey);
            Some(key.expose_secret().to_owned())
        }
        Err(Error::MistypedRecoveryKey { .. }) => None,
        Err(other) => panic!("{text:?}: {other:?}"),
    }
}

/// The symbols without what does not matter, as `docs/format.md` tells it.
fn plain(text: &str) -> String {
    let matters = |symbol: &char| {
        let ignored = [
            ('\u{9}', '\u{D}'),
            (' ', ' '),
            ('-', '-'),
            ('\u{85}', '\u{85}'),
            ('\u{A0}', '\u{A0}'),
            ('\u{AD}', '\u{AD}'),
            ('\u{B7}', '\u{B7}'),
            ('\u{2022}', '\u{2022}'),
            ('\u{1680}', '\u{1680}'),
            // Spaces, characters without a width, dashes, quotation marks.
            ('\u{2000}', '\u{2015}'),
            ('\u{2018}', '\u{201F}'),
            ('\u{2028}', '\u{202F}'),
            ('\u{2043}', '\u{2043}'),
            ('\u{205F}', '\u{2060}'),
            ('\u{2066}', '\u{2069}'),
            ('\u{2212}', '\u{2212}'),
            ('\u{3000}', '\u{3000}'),
            ('\u{FE58}', '\u{FE58}'),
            ('\u{FE63}', '\u{FE63}'),
            ('\u{FEFF}', '\u{FEFF}'),
            ('\u{FF0D}', '\u{FF0D}'),
        ];
        !ignored.iter().any(|(first, last)| (first..=last).contains(&symbol))
    };
    let symbols: Vec<char> = text.chars().filter(matters).map(|symbol| symbol.to_ascii_uppercase()).collect();
    let digit = |(place, symbol): (usize, char)| match symbol {
        // The first three are letters that mean themselves.
        _ if place < 3 => symbol,
        'O' if place > 3 => '0',
        'I' | 'L' => '1',
        other => other,
    };
    symbols.into_iter().enumerate().map(digit).collect()
}

impl Edit {
    fn apply(&self, symbols: &mut Vec<char>) {
        let len = symbols.len();
        let place = |at: u8| usize::from(at) % len.max(1);
        match *self {
            Self::Insert { at, symbol } => symbols.insert(usize::from(at) % (len + 1), symbol),
            _ if len == 0 => {}
            Self::Replace { at, symbol } => symbols[place(at)] = symbol,
            Self::Remove { at } => {
                symbols.remove(place(at));
            }
            Self::LowerCase { at } => symbols[place(at)].make_ascii_lowercase(),
            Self::Lookalike { at, which } => {
                let symbol = &mut symbols[place(at)];
                *symbol = match (*symbol, which) {
                    ('0', _) => 'O',
                    ('1', false) => 'I',
                    ('1', true) => 'l',
                    (other, _) => other,
                };
            }
        }
    }
}
