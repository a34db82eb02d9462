//! Tests that pass on threads and are not run on tasklets, each with its reason.

/// A test, or, with a `*` at the end, all tests whose names begin with it.
struct Excluded {
    suite: &'static str,
    test: &'static str,
    reason: &'static str,
}

const fn excludes(suite: &'static str, test: &'static str, reason: &'static str) -> Excluded {
    Excluded { suite, test, reason }
}

/// The reason that was observed for each such test: the stack of the host's thread is in the test's
/// own loop, again and again, and its system calls, if any, are malloc's.
const SPINS: &str = "a thread spins until another one has done something, without a call that \
                     waits, and tasklets are not pre-empted";

const KERNELS_NUMBER: &str = "it counts the kernel's numbers of threads (gettid), which tasklets \
                              share";

const NO_VSOCK: &str = "it hangs on threads, too: without a loopback of AF_VSOCK the client's \
                        connect fails with ENODEV, and the server's accept waits for it without \
                        a limit";

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

/// The tests that hang on threads, too.
const NOT_ON_THREADS: &[Excluded] =
    &[excludes("test_socket", "test.test_socket.ThreadedVSOCKSocketStreamTest.*", NO_VSOCK)];

impl Excluded {
    fn is(&self, suite: &str, test: &str) -> bool {
        self.suite == suite
            && match self.test.strip_suffix('*') {
                Some(beginning) => test.starts_with(beginning),
                None => self.test == test,
            }
    }
}

fn reason(list: &[Excluded], suite: &str, test: &str) -> Option<&'static str> {
    list.iter().find(|one| one.is(suite, test)).map(|one| one.reason)
}

/// Finds the reason why a test is not run on tasklets.
pub(super) fn excluded(suite: &str, test: &str) -> Option<&'static str> {
    reason(EXCLUDED, suite, test)
}

/// Finds the reason why a test is not run at all.
pub(super) fn not_on_threads(suite: &str, test: &str) -> Option<&'static str> {
    reason(NOT_ON_THREADS, suite, test)
}
