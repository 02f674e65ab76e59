//! A process that forks in the middle of a transaction.

use tokenkeep::{Error, Result, TokenStore};
use tokenkeep_sql::Problem;

use crate::common::{Fixture, problem, token};

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
}

/// Does something in a forked child, and waits for its end.
#[allow(dead_code, reason = "a file has no server that shows connections")]
pub(crate) fn in_child(work: impl FnOnce()) {
    // SAFETY: the child needs nothing that another thread may hold, and ends without running anything else.
    let child = unsafe { fork() };
    if child == 0 {
        work();
        // SAFETY: it returns nothing.
        unsafe { _exit(0) };
    }
    let mut status = -1;
    // SAFETY: the pointer is that of a local variable.
    assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child has ended as it should");
}

#[test]
fn forked_child_leaves_the_connections_to_its_parent() {
    let fixture = Fixture::new();
    let save = |user: &str| token().user_name(user).refresh_token("r").build();
    let mut is_child = false;
    let made = fixture.store.transaction(|transaction| {
        transaction.save_token(&save("ada"))?;
        // SAFETY: the child needs nothing that another thread may hold, and ends without running anything else.
        let child = unsafe { fork() };
        if child == 0 {
            is_child = true;
            return Err(transaction.get_tokens().err().unwrap_or_else(|| Error::other("a transaction in a child")));
        }
        let mut status = -1;
        // SAFETY: the pointer is that of a local variable.
        assert_eq!(unsafe { waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child is refused everything");
        transaction.save_token(&save("grace"))
    });
    if is_child {
        let is_refused = |answer: Result<()>| answer.is_err() && problem(answer) == Problem::Forked;
        let is_refused = [made.map(drop), fixture.store.get_tokens().map(drop)].into_iter().all(is_refused);
        // SAFETY: it returns nothing.
        unsafe { _exit(i32::from(!is_refused)) };
    }
    made.unwrap();
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 2);
}
