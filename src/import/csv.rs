//! The rows of a file.

use std::{path::Path, str};

use csv_core::{ReadRecordResult, Reader};
use zeroize::Zeroizing;

use super::fields::{self, Header};
use crate::{
    batch::Refusal,
    error::{Error, ImportFlaw, Result},
    secret::SecretBytes,
    token::Token,
};

/// The most rows of a file. It bounds the report, too.
const MAX_ROWS: usize = 100_000;

/// The most fields of a row: the columns, and the pieces of a redirect URL with commas.
const MAX_FIELDS: usize = 1024;

/// Each row of the file with the line that it starts in, as a token or with the reason why it is none. An error is
/// about the file as a whole: nobody can tell what its rows are.
pub(super) fn rows(bytes: &[u8], path: &Path) -> Result<Vec<(u64, Result<Token, Refusal>)>> {
    let fail = |line, Refusal { column, why }: Refusal| Error::Import { path: path.to_owned(), line, column, why };
    let flaw = |line, why| fail(line, Refusal { column: None, why });

    if let Err(error) = str::from_utf8(bytes) {
        let offset = u64::try_from(error.valid_up_to()).unwrap_or(u64::MAX);
        return Err(flaw(None, ImportFlaw::NotUtf8 { offset }));
    }
    let mut records = Records::new(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
    let (line, names) = match records.next() {
        Ok(Some(header)) => header,
        Ok(None) => return Err(flaw(None, ImportFlaw::Empty)),
        Err((line, lost)) => return Err(flaw(Some(line), lost.flaw(0))),
    };
    let header = Header::parse(&names).map_err(|refusal| fail(Some(line), refusal))?;
    drop(names);

    let expected = header.len();
    let lost = |(line, lost): (u64, Lost)| flaw(Some(line), lost.flaw(expected));
    let mut rows = Vec::new();
    while let Some((line, values)) = records.next().map_err(lost)? {
        if rows.len() == MAX_ROWS {
            return Err(flaw(None, ImportFlaw::TooManyRows { limit: MAX_ROWS }));
        }
        rows.push((line, fields::token(&header, &values)));
    }
    Ok(rows)
}

/// The line that a record starts in, and its fields.
type Record<'a> = (u64, Vec<&'a str>);

/// Why nobody can tell where the next record starts.
enum Lost {
    Quotes,
    Fields,
}

impl Lost {
    fn flaw(self, expected: usize) -> ImportFlaw {
        match self {
            Self::Quotes => ImportFlaw::BrokenQuotes,
            Self::Fields => ImportFlaw::TooManyFields { found: MAX_FIELDS, expected },
        }
    }
}

/// The records of a text, one after the other.
struct Records<'a> {
    reader: Reader,
    rest: &'a [u8],
    /// The line that `rest` starts in.
    line: u64,
    /// The fields of the record without their quotes, one after the other, wiped in the end. As long as the text, which
    /// no record exceeds: it never grows, because reallocating would leave plaintext behind.
    unquoted: SecretBytes,
    /// Where each field ends in it.
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    fn new(text: &'a [u8]) -> Self {
        let unquoted = Zeroizing::new(vec![0; text.len()]);
        Self { reader: Reader::new(), rest: text, line: 1, unquoted, ends: vec![0; MAX_FIELDS] }
    }

    /// The fields of the next record, and the line that it starts in; `None` at the end. The error is the line of a
    /// record whose quotes are broken, after which nobody can tell where the next one starts.
    fn next(&mut self) -> Result<Option<Record<'_>>, (u64, Lost)> {
        let start = self.rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.skip(start);
        let line = self.line;
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (len, count) = self.read_record().ok_or((line, Lost::Fields))?;
        let raw = self.rest.get(..len).ok_or((line, Lost::Quotes))?;
        // Held by `broken_quotes_are_refused_even_if_bad_rows_are_skipped`.
        if !has_whole_quotes(raw) {
            return Err((line, Lost::Quotes));
        }
        self.skip(len);
        let mut start = 0;
        let field = |end: &usize| {
            let field = self.unquoted.get(start..*end);
            start = *end;
            field.and_then(|field| str::from_utf8(field).ok())
        };
        let fields: Option<Vec<_>> = self.ends.iter().take(count).map(field).collect();
        Ok(Some((line, fields.ok_or((line, Lost::Quotes))?)))
    }

    /// Reads a record. Returns its length and how many fields it has; `None` if it has too many.
    fn read_record(&mut self) -> Option<(usize, usize)> {
        let (result, len, written, count) = self.reader.read_record(self.rest, &mut self.unquoted, &mut self.ends);
        match result {
            ReadRecordResult::Record => Some((len, count)),
            ReadRecordResult::InputEmpty => {
                // The last record has no line break.
                let (unquoted, ends) = (self.unquoted.get_mut(written..)?, self.ends.get_mut(count..)?);
                let (result, _, _, more) = self.reader.read_record(&[], unquoted, ends);
                (result == ReadRecordResult::Record).then(|| Some((len, count.checked_add(more)?)))?
            }
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull | ReadRecordResult::End => None,
        }
    }

    fn skip(&mut self, len: usize) {
        let (skipped, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        let lines = skipped.iter().filter(|byte| **byte == b'\n').count();
        self.line = self.line.saturating_add(u64::try_from(lines).unwrap_or(u64::MAX));
        self.rest = rest;
    }
}

/// Whether each quoted field of the record is closed, and ends with its closing quote. `csv_core` takes any text, and
/// would read several rows as one where a field happens to start with a quote.
fn has_whole_quotes(record: &[u8]) -> bool {
    enum At {
        Start,
        Plain,
        Quoted,
        Quote,
    }
    let mut at = At::Start;
    for byte in record {
        at = match (at, byte) {
            (At::Start, b'"') | (At::Quote, b'"') => At::Quoted,
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) => At::Quoted,
            (_, b',' | b'\r' | b'\n') => At::Start,
            (At::Start | At::Plain, _) => At::Plain,
            (At::Quote, _) => return false,
        };
    }
    !matches!(at, At::Quoted)
}
