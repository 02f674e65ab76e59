//! A static value that a forked child does not share with its parent.

use std::{process, sync::OnceLock};

/// A value for each process: a forked child gets a new one.
///
/// A child cannot use its copy of the parent's value. If another thread held a lock in the value during the fork, the
/// lock stays taken for ever in the child. The value may also name threads that the child does not have.
pub(crate) struct PerProcess<T>(OnceLock<Box<Value<T>>>);

struct Value<T> {
    process: u32,
    value: T,
    of_children: PerProcess<T>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    pub(crate) fn get(&self) -> &T {
        self.of(process::id())
    }

    fn of(&self, process: u32) -> &T {
        let first = || Box::new(Value { process, value: T::default(), of_children: Self::new() });
        let Value { process: owner, value, of_children } = &**self.0.get_or_init(first);
        // Held by `forked_child_finds_no_lock_taken`: `true`.
        if *owner == process { value } else { of_children.of(process) }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn forked_child_finds_no_lock_taken() {
        let table: PerProcess<Mutex<u32>> = PerProcess::new();
        let mut of_parent = table.of(7).lock();
        *of_parent = 1;
        assert_eq!(table.of(8).try_lock().map(|of_child| *of_child), Some(0));
        assert_eq!(table.of(9).try_lock().map(|of_grandchild| *of_grandchild), Some(0));
        drop(of_parent);
        assert_eq!(*table.of(7).lock(), 1);
    }
}
