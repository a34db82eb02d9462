//! Tests that pass on threads and are not run on tasklets, each with its reason.

/// A test, or all whose names begin so where it ends in `*`.
struct Excluded {
    suite: &'static str,
    test: &'static str,
    reason: &'static str,
}

const EXCLUDED: &[Excluded] = &[];

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
