//! Standard error.

use std::io::Write;

/// Writes `bytes` to standard error. An error cannot be reported anywhere.
pub(crate) fn write_to_stderr(bytes: &[u8]) {
    drop(std::io::stderr().write_all(bytes));
}
