//! The size of a test, and the line that it reports.

/// Tells whether the danger tests are to run all their rounds (`OVERLAPPED_TORTURE` is set).
pub fn is_torture() -> bool {
    std::env::var_os("OVERLAPPED_TORTURE").is_some()
}

/// Returns `full` under torture, else `short`.
pub fn rounds(short: usize, full: usize) -> usize {
    if is_torture() { full } else { short }
}

/// Prints the one line that `cargo xtask torture` reads: what was checked, how often, and a figure.
///
/// # Panics
///
/// Nothing was checked.
#[track_caller]
pub fn report(id: &str, checks: usize, figure: &str) {
    assert!(checks > 0, "{id} checked nothing");
    println!("RELIABILITY {id} {checks} {figure}");
}
