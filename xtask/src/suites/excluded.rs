//! Tests that pass on threads and are not run on tasklets, each with its reason.

/// A test, or all whose names begin so where it ends in `*`.
struct Excluded {
    suite: &'static str,
    test: &'static str,
    reason: &'static str,
}

const fn excludes(suite: &'static str, test: &'static str, reason: &'static str) -> Excluded {
    Excluded { suite, test, reason }
}

const SPINS: &str = "a thread spins until another one has done something, without a call that \
                     waits; tasklets are not pre-empted";

const KERNELS_NUMBER: &str = "it counts the kernel's numbers of threads (gettid), which tasklets \
                              share";

const EXCLUDED: &[Excluded] = &[
    excludes("test_threading", "test.test_threading.ThreadTests.test_various_ops*", KERNELS_NUMBER),
    excludes("std", "tests_sync_mpsc::port_gone_concurrent", SPINS),
    excludes("std", "tests_sync_mpsc::port_gone_concurrent_shared", SPINS),
    excludes("std", "tests_sync_mpsc::test_recv_try_iter", SPINS),
    excludes(
        "std",
        "tests_sync_once_lock::sync_once_cell_does_not_leak_partially_constructed_boxes",
        SPINS,
    ),
    excludes("parking_lot", "parking_lot::remutex::tests::test_reentrant_mutex_bump", SPINS),
    excludes("crossbeam-channel", "iter::recv_try_iter", SPINS),
    excludes("crossbeam-channel", "list::stress_iter", SPINS),
    excludes("crossbeam-channel", "mpsc::channel_tests::port_gone_concurrent*", SPINS),
    excludes("crossbeam-channel", "mpsc::channel_tests::test_recv_try_iter", SPINS),
    excludes("crossbeam-channel", "select::loop_try", SPINS),
    excludes("crossbeam-channel", "select_macro::loop_try", SPINS),
    excludes("crossbeam-channel", "zero::stress_iter", SPINS),
    excludes("flume", "iter::recv_try_iter", SPINS),
    excludes("flume", "list::stress_iter", SPINS),
    excludes("flume", "mpsc::channel_tests::port_gone_concurrent*", SPINS),
    excludes("flume", "mpsc::channel_tests::test_recv_try_iter", SPINS),
    excludes("flume", "zero::stress_iter", SPINS),
];

/// The reason why a test is not run.
pub(super) fn excluded(suite: &str, test: &str) -> Option<&'static str> {
    let is_it = |one: &&Excluded| {
        one.suite == suite
            && match one.test.strip_suffix('*') {
                Some(beginning) => test.starts_with(beginning),
                None => one.test == test,
            }
    };
    EXCLUDED.iter().find(is_it).map(|one| one.reason)
}
