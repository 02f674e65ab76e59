//! A test of a program with a `main` of its own.

use libtest_mimic::Trial;

/// A test that fails by a panic.
pub(crate) fn trial(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
