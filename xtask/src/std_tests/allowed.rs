//! The tests of std that fail over this library, each with the difference that docs/std.md names.

/// A test that may fail.
#[derive(Debug)]
pub(super) struct Allowed {
    program: &'static str,
    test: &'static str,
    pub(super) reason: &'static str,
}

const fn fails(program: &'static str, test: &'static str, reason: &'static str) -> Allowed {
    Allowed { program, test, reason }
}

const THREADS_OWN: &str = "a `thread_local!` belongs to the thread, and its tasklets share it";
const BUFFER: &str = "`io::copy` has a buffer of its own between types that are not this library's";
const STDS_OWN: &str = "a function of std, not stable, that returns the thread";
const DEFAULT: &str =
    "`Read::read_buf` is not stable: outside std it has its default, which clears the buffer first";

const ALLOWED: &[Allowed] = &[
    fails("net_tcp", "read_buf", DEFAULT),
    fails("fs", "file_test_read_buf", DEFAULT),
    fails("process", "child_stdout_read_buf", DEFAULT),
    fails("io_copy", "copy_specializes_from_slice", BUFFER),
    fails("io_copy", "copy_specializes_from_vecdeque", BUFFER),
    fails("examples_thread_local", "line_58", THREADS_OWN),
    fails("examples_thread_current", "line_149", STDS_OWN),
];

/// Finds the entry of a test.
pub(super) fn allowed(program: &str, test: &str) -> Option<&'static Allowed> {
    ALLOWED.iter().find(|entry| entry.program == program && entry.test == test)
}
