//! Counts, and why none of them wraps.
//!
//! - **64 bits, counted up by one**, last for centuries at one count in a nanosecond: ids of
//!   tasklets, schedulers, threads and ports; the order of parking; switches, operations, tasklets
//!   spawned; numbers of a group's members, the watchdog's entries and questions.
//! - **The number of elements in memory** bounds lengths of queues, live tasklets, timed waits,
//!   operations in flight, and a group's running members. Slots of tables and of locks' queues have
//!   32 bits and are checked.
//! - **A limit that is checked first** bounds tasklets, so that their places in the timers' heap
//!   have 32 bits; placed tasklets, closures in an inbox, stacks, threads of the pools; permits of
//!   a semaphore, free or taken; depths of `shield` and `no_switch`.
//! - **Values that safe code can forget** are not limited by memory, so an overflow of their count
//!   ends the process, as in `Rc`: references to a block, handles in an inbox. Each sender of a
//!   channel holds an `Arc`, whose limit comes first. Too many locks of a standard stream by one
//!   caller are a panic, as in std.
//! - **Generations of a slot**: the slot is used up with the last one.

use std::sync::atomic::{AtomicU64, Ordering};

/// Returns a number, not 0, that this process has never returned before and never will again. It
/// identifies things for ever, which an address cannot: addresses are reused.
pub(in crate::sched) fn new_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The maximum number of handles: `Arc`'s limit.
pub(in crate::sched) const HANDLES_MAX: usize = isize::MAX as usize;

/// Ends the process, because a count would wrap after too many forgotten handles.
#[cold]
pub(in crate::sched) fn overflow(what: &str) -> ! {
    eprintln!("overlapped: too many {what} were forgotten, their count would overflow; aborting");
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use crate::sched::{DEPTH_MAX, here};
    use crate::task::{self, Config, current, no_switch, run, shield, spawn, spawner};

    const CASE: &str = "OVERLAPPED_COUNT_TEST_CASE";
    const CASES: [&str; 4] = ["references", "spawners", "remotes", "a link"];

    /// Drives a count to its end, which ends this process.
    fn drive(case: &str) {
        let ended = run(|| match case {
            "references" => spawn(|| {
                here().unwrap().me().refs.set(u32::MAX - 1);
                std::mem::forget(current());
                std::mem::forget(current());
            })
            .join(),
            "spawners" => {
                let spawner = spawner().unwrap();
                here().unwrap().inbox().count_handles_from(usize::MAX / 2);
                std::mem::forget((spawner.clone(), spawner.clone()));
                Ok(())
            }
            "remotes" => {
                let remote = current().remote();
                here().unwrap().inbox().count_handles_from(usize::MAX / 2);
                std::mem::forget((remote.clone(), remote.clone()));
                Ok(())
            }
            _ => {
                let remote = current().remote();
                let here = here().unwrap();
                here.remote_link(here.me_ptr()).count_handles_from(usize::MAX / 2);
                std::mem::forget((remote.clone(), remote.clone()));
                Ok(())
            }
        });
        panic!("it goes on: {ended:?}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri starts no processes")]
    fn s16_references_forgotten_too_often_end_the_process() {
        if let Ok(case) = std::env::var(CASE) {
            return drive(&case);
        }
        let name =
            "sched::tasklet::counts::tests::s16_references_forgotten_too_often_end_the_process";
        for case in CASES {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CASE, case);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{case}: {said}");
            assert!(said.contains("their count would overflow"), "{case}: {said}");
        }
        println!("RELIABILITY S16 {} counts that end the process, as Rc's does", CASES.len());
    }

    #[test]
    fn s16_depths_are_checked_and_leave_room_for_the_library() {
        struct Nests;
        impl task::Observer for Nests {
            fn channel(&self, _: task::ChannelEvent) {
                assert_eq!(here().unwrap().me().no_switch.get(), DEPTH_MAX + 1);
                let deeper = std::panic::catch_unwind(|| no_switch(|| ()));
                assert!(deeper.is_err(), "no depth is left for the user's code");
                let waits = std::panic::catch_unwind(crate::yield_now);
                assert!(waits.is_err(), "an observer cannot wait");
                TOLD.set(TOLD.get() + 1);
            }
        }
        thread_local! {
            static TOLD: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
        }
        let ran = Config::new().observer(Nests).run(|| {
            let me = || here().unwrap().me().no_switch.get();
            no_switch(|| {
                here().unwrap().me().no_switch.set(DEPTH_MAX);
                drop(crate::Channel::<u8>::new().try_recv());
                assert!(std::panic::catch_unwind(|| no_switch(|| ())).is_err());
                assert_eq!(me(), DEPTH_MAX, "as it was");
                here().unwrap().me().no_switch.set(1);
            });
            here().unwrap().me().shields.set(DEPTH_MAX);
            assert!(std::panic::catch_unwind(|| shield(|| ())).is_err());
            here().unwrap().me().shields.set(0);
            me()
        });
        assert_eq!((ran.unwrap(), TOLD.get()), (0, 1));
        println!("RELIABILITY S16 2 depths at their ends");
    }
}
