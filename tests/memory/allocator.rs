//! An allocator that, while it records, keeps what is given back to it, so that it can be searched.

use std::{
    alloc::{GlobalAlloc, Layout, System, handle_alloc_error},
    ptr, slice,
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};

use zeroize::Zeroize;

struct Keeping;

#[global_allocator]
static KEEPING: Keeping = Keeping;

static IN_USE: AtomicBool = AtomicBool::new(false);
static RECORDING: AtomicBool = AtomicBool::new(false);
/// The block that was given back last.
static LAST: AtomicPtr<Freed> = AtomicPtr::new(ptr::null_mut());

/// A block that was given back. It holds what it held then.
struct Freed {
    block: *mut u8,
    layout: Layout,
    before: *mut Freed,
}

// SAFETY: blocks come from the system's allocator and go back to it, at once or later, with the layout that they have.
// The trait's own `realloc` gives a new block, copies, and gives the old one back: the worst that a growing buffer can
// do.
unsafe impl GlobalAlloc for Keeping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if IN_USE.load(Ordering::Relaxed) {
            // So that nobody is found out for what another one left there.
            unsafe { System.alloc_zeroed(layout) }
        } else {
            unsafe { System.alloc(layout) }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !RECORDING.load(Ordering::SeqCst) {
            return unsafe { System.dealloc(block, layout) };
        }
        unsafe {
            let freed = System.alloc(Layout::new::<Freed>()).cast::<Freed>();
            if freed.is_null() {
                handle_alloc_error(Layout::new::<Freed>());
            }
            let mut before = LAST.load(Ordering::SeqCst);
            loop {
                freed.write(Freed { block, layout, before });
                match LAST.compare_exchange(before, freed, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => return,
                    Err(newer) => before = newer,
                }
            }
        }
    }
}

/// The blocks that all threads gave back during a recording. They are wiped when this is dropped.
pub(crate) struct Recorded(*mut Freed);

/// From now on all blocks are given out empty. Without this it is the system's allocator, as applications have it.
pub(crate) fn use_it() {
    IN_USE.store(true, Ordering::SeqCst);
}

/// Does something, and keeps every block that it gives back.
pub(crate) fn record<R>(work: impl FnOnce() -> R) -> (R, Recorded) {
    struct Recording;
    impl Drop for Recording {
        fn drop(&mut self) {
            RECORDING.store(false, Ordering::SeqCst);
        }
    }
    // What is left of a recording that ended in a panic.
    drop(Recorded::take());
    assert!(IN_USE.load(Ordering::SeqCst));
    assert!(!RECORDING.swap(true, Ordering::SeqCst), "one recording at a time");
    let recording = Recording;
    let result = work();
    drop(recording);
    (result, Recorded::take())
}

impl Recorded {
    fn take() -> Self {
        Self(LAST.swap(ptr::null_mut(), Ordering::SeqCst))
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[u8]> {
        let mut next = self.0;
        std::iter::from_fn(move || {
            // SAFETY: nobody else has the blocks, and this has them until it is dropped.
            unsafe {
                let freed = next.as_ref()?;
                next = freed.before;
                Some(slice::from_raw_parts(freed.block, freed.layout.size()))
            }
        })
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        while !self.0.is_null() {
            // SAFETY: nobody else has the blocks, and nobody has them after this.
            unsafe {
                let Freed { block, layout, before } = self.0.read();
                System.dealloc(self.0.cast(), Layout::new::<Freed>());
                slice::from_raw_parts_mut(block, layout.size()).zeroize();
                System.dealloc(block, layout);
                self.0 = before;
            }
        }
    }
}
