//! Which stores this thread is in a transaction of.

use std::{cell::RefCell, ptr};

use crate::shared::Shared;

thread_local! {
    static INSIDE: RefCell<Vec<*const Shared>> = const { RefCell::new(Vec::new()) };
}

/// Leaves the transaction when it is dropped, also by a panic.
pub(crate) struct Inside(());

pub(crate) fn enter(store: &Shared) -> Inside {
    INSIDE.with_borrow_mut(|stores| stores.push(ptr::from_ref(store)));
    Inside(())
}

pub(crate) fn is_inside(store: &Shared) -> bool {
    INSIDE.with_borrow(|stores| stores.contains(&ptr::from_ref(store)))
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The innermost transaction ends first.
        INSIDE.with_borrow_mut(|stores| {
            stores.pop();
        });
    }
}
