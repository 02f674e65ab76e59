//! What is made here, put into a document that is written by hand.

use std::{fs, io, path::Path};

/// Replaces what stands between `<!-- NAME: made by benches/peers -->` and `<!-- end of NAME -->`.
///
/// # Errors
///
/// If the document cannot be read or written, or lacks one of the two lines; it is left as it was then.
pub fn insert_tables(document: &Path, text: &str, name: &str) -> io::Result<()> {
    let failed = |reason: String| io::Error::other(format!("{}: {reason}", document.display()));
    let written = fs::read_to_string(document).map_err(|error| failed(error.to_string()))?;
    let (start, end) = (format!("<!-- {name}: made by benches/peers -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = written.split_once(&start).ok_or_else(|| failed(format!("no line {:?}", start.trim())))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| failed(format!("no line {end:?} after its start")))?;
    fs::write(document, format!("{before}{start}\n{}\n\n{end}{after}", text.trim()))
        .map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::{env, path::PathBuf, process};

    use super::*;

    const DOCUMENT: &str = "before\n<!-- b: made by benches/peers -->\nold\n<!-- end of b -->\nbetween\n\
                            <!-- a: made by benches/peers -->\n<!-- end of a -->\nafter\n";

    /// A file of this test's own.
    struct Document(PathBuf);

    impl Document {
        fn new(test: &str, text: &str) -> Self {
            let path = env::temp_dir().join(format!("peers-{test}-{}.md", process::id()));
            fs::write(&path, text).unwrap();
            Self(path)
        }

        fn text(&self) -> String {
            fs::read_to_string(&self.0).unwrap()
        }
    }

    impl Drop for Document {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn only_what_stands_between_the_two_lines_is_replaced_however_often() {
        let document = Document::new("replaced", DOCUMENT);
        for text in ["first\n", "| new |\n"] {
            insert_tables(&document.0, text, "b").unwrap();
        }
        assert_eq!(document.text(), DOCUMENT.replace("old\n", "\n| new |\n\n"));
    }

    #[test]
    fn a_document_without_the_lines_is_refused_and_left_alone() {
        for text in ["", "<!-- end of a -->\n<!-- a: made by benches/peers -->\n"] {
            let document = Document::new("refused", text);
            let error = insert_tables(&document.0, "new", "a").unwrap_err().to_string();
            assert!(error.contains("no line") && error.contains(document.0.to_str().unwrap()), "{error}");
            assert_eq!(document.text(), text);
        }
    }
}
