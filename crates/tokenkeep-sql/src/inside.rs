//! Which stores this thread is in a transaction of.

use std::{cell::RefCell, ptr};

thread_local! {
    /// Where the stores are in memory.
    static INSIDE: RefCell<Vec<*const ()>> = const { RefCell::new(Vec::new()) };
}

/// Leaves the transaction when it is dropped, also by a panic.
pub(crate) struct Inside(());

pub(crate) fn enter<S>(store: &S) -> Inside {
    INSIDE.with_borrow_mut(|stores| stores.push(ptr::from_ref(store).cast()));
    Inside(())
}

pub(crate) fn is_inside<S>(store: &S) -> bool {
    INSIDE.with_borrow(|stores| stores.contains(&ptr::from_ref(store).cast()))
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The innermost transaction ends first.
        INSIDE.with_borrow_mut(|stores| {
            stores.pop();
        });
    }
}
