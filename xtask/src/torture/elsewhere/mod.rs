//! Tests on another processor and another system, which an emulator stands for. Tests for which it
//! lacks something are left out, each by its name and with the reason.

pub(super) mod emulated;
pub(super) mod wine;

use crate::exec::Invocation;

/// Names of tests, each with the reason why it is left out.
type LeftOut = [(&'static str, &'static str)];

/// Makes the test programs leave them out. The arguments of `tests` for the programs have begun.
fn skip(tests: Invocation, left_out: &LeftOut) -> Invocation {
    left_out.iter().fold(tests, |tests, (name, _)| tests.arg("--skip").arg(name))
}

/// Prints them, because a skipped check says so.
fn print(left_out: &LeftOut) {
    for (name, reason) in left_out {
        println!("SKIPPED: {name}: {reason}");
    }
}
