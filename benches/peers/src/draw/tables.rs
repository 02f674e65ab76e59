//! All figures, as Markdown.

use std::fmt::Write;

use super::numbers::{Quantity, grouped};
use crate::results::{BESIDE, Results};

// What the limit is for a work, if it has one.
const STAT: &str = "a bare `stat`";
const HASH_MAP: &str = "a `HashMap` lookup";
const ARGON2: &str = "Argon2id alone";
const APPEND: &str = "as many bytes appended and synced";
const APPEND_LOCKED: &str = "as many bytes sealed, appended and synced under two locks, with the file checked";
const LAST_RECORD: &str = "a `stat`, and the last record read and decrypted";
const REPLACE: &str = "the bytes replaced, hashed, encrypted";
const DECRYPT: &str = "read and decrypt";
const DECRYPT_RECORDS: &str = "read and decrypt, each record by itself";
const OWN_BYTES: &str = "the tokens themselves";
const NONE: &str = "";

const TABLES: [(&str, &str, Quantity, &str); 20] = [
    ("Finding by user", "find-user", Quantity::Time, STAT),
    ("Finding by id", "find-id", Quantity::Time, STAT),
    ("Finding by refresh token", "find-refresh", Quantity::Time, STAT),
    ("Finding by user what is not there", "absent-user", Quantity::Time, STAT),
    ("Finding by id what is not there", "absent-id", Quantity::Time, STAT),
    ("Finding by refresh token what is not there", "absent-refresh", Quantity::Time, STAT),
    ("Finding by user in a snapshot", "snapshot-user", Quantity::Time, HASH_MAP),
    ("Finding by id in a snapshot", "snapshot-id", Quantity::Time, HASH_MAP),
    ("Saving", "save", Quantity::Time, APPEND),
    ("Deleting", "delete", Quantity::Time, REPLACE),
    ("Listing all", "list", Quantity::Time, NONE),
    ("Finding by id after another process has saved", "find-after-save", Quantity::Time, LAST_RECORD),
    ("Opening", "open", Quantity::Time, DECRYPT),
    ("Opening with a full journal", "open-full", Quantity::Time, DECRYPT_RECORDS),
    ("Opening with a passphrase", "open-passphrase", Quantity::Time, ARGON2),
    ("The same beyond Argon2id, each beside the other", "beyond-argon2", Quantity::Time, NONE),
    ("One save when sixteen threads save", "threads", Quantity::Time, NONE),
    ("Memory at rest", "rest", Quantity::Bytes, OWN_BYTES),
    ("Memory at its peak, during saves", "peak", Quantity::Bytes, OWN_BYTES),
    ("Bytes written for one save", "written", Quantity::Bytes, NONE),
];

/// What was measured on, and a table for each work: contenders down, sizes across, and in a cell the median, the 10th
/// and the 90th percentile.
pub fn tables(results: &Results) -> String {
    let machine = results.machine.iter().map(|(what, value)| format!("- {what}: {value}\n"));
    let mut text = machine.collect::<String>() + "\n";
    for (title, work, quantity, limit) in TABLES {
        let columns: String = results.sizes().into_iter().map(|size| format!(" {} |", grouped(size))).collect();
        let rule = "---:|".repeat(results.sizes().len());
        write!(text, "### {title}\n\n| tokens |{columns}\n|---|{rule}\n").expect("it is a string");
        let mut add = |contender: &str, name: &str, work: &str, quantity| {
            if results.figures.iter().any(|figure| figure.contender == contender && figure.work == work) {
                text += &row(results, name, contender, work, quantity);
            }
        };
        add("limit", &format!("*{limit}*"), work, quantity);
        add(BESIDE, &format!("*{BESIDE}*"), work, Quantity::Multiple);
        if work == "save" {
            add("limit", &format!("*{APPEND_LOCKED}*"), "save-locked", quantity);
        }
        for contender in results.contenders.iter().filter(|contender| *contender != "limit") {
            let name = if contender == "tokenkeep" { "**tokenkeep**" } else { contender };
            add(contender, name, work, quantity);
        }
        text += "\n";
    }
    text
}

fn row(results: &Results, name: &str, contender: &str, work: &str, quantity: Quantity) -> String {
    let cell = |size| results.figure(contender, work, size).map_or("–".to_owned(), |figure| quantity.spread(figure));
    let cells: String = results.sizes().into_iter().map(|size| format!(" {} |", cell(size))).collect();
    format!("| {name} |{cells}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Figure;

    #[test]
    fn a_row_has_a_cell_for_each_size_and_there_is_none_for_who_has_no_such_work() {
        let figure = |contender: &str, work: &str, size, median| Figure {
            contender: contender.to_owned(),
            work: work.to_owned(),
            size,
            median,
            p10: median / 2.0,
            p90: median,
            samples: 3,
        };
        let results = Results {
            machine: [("memory".to_owned(), "24 GiB".to_owned())].into(),
            contenders: ["limit", "tokenkeep", "oo7"].map(str::to_owned).into(),
            figures: vec![
                figure("tokenkeep", "save", 1000, 2e6),
                figure("limit", "save", 10, 1e6),
                figure("limit", "save-locked", 10, 1.1e6),
                figure(BESIDE, "save", 10, 1.166),
            ],
        };
        let expected = "### Saving\n\n| tokens | 10 | 1,000 |\n|---|---:|---:|\n\
                        | *as many bytes appended and synced* | 1.0 ms (0.50–1.0) | – |\n\
                        | *tokenkeep beside the limit* | 1.17 (0.583–1.17) | – |\n\
                        | *as many bytes sealed, appended and synced under two locks, with the file checked* | 1.1 ms (0.55–1.1) | – |\n\
                        | **tokenkeep** | – | 2.0 ms (1.0–2.0) |\n\n### Deleting\n";
        let tables = tables(&results);
        assert!(tables.starts_with("- memory: 24 GiB\n\n###") && tables.contains(expected), "{tables}");
    }
}
