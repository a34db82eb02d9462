//! Helpers for the tests of a tasklet's own thread-locals.
#![allow(dead_code, reason = "every test program uses a part of it")]

use overlapped::{Builder, SpawnError, Tasklet, run};

/// Spawns a tasklet with thread-locals of its own.
pub(crate) fn own<T: 'static>(f: impl FnOnce() -> T + 'static) -> Tasklet<T> {
    Builder::new().own_thread_locals(true).spawn(f).unwrap()
}

/// Runs `f` in a scheduler, where tasklets can have them.
pub(crate) fn with_own_locals(f: impl FnOnce()) {
    run(|| match Builder::new().own_thread_locals(true).spawn(|| ()) {
        Ok(tasklet) => {
            tasklet.join().unwrap();
            f();
        }
        Err(SpawnError::OwnThreadLocals(why)) => println!("SKIPPED no thread-locals: {why}"),
        Err(error) => panic!("{error}"),
    })
    .unwrap();
}

/// Runs each closure in a tasklet with thread-locals of its own; the results, in their order.
pub(crate) fn each<T: 'static>(count: usize, f: impl Fn(usize) -> T + Clone + 'static) -> Vec<T> {
    let one = |n| {
        let f = f.clone();
        own(move || f(n))
    };
    let all: Vec<_> = (0..count).map(one).collect();
    all.into_iter().map(|one| one.join().unwrap()).collect()
}
