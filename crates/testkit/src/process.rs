//! This program run again, and what the system says of a process.

use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The variable that tells a child process what to do.
pub const CHILD: &str = "OVERLAPPED_TEST_CHILD";

/// Returns what [`child`] asks this process to do, if it is one.
pub fn asked() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs `test` of this program again, in a process of its own that is asked to do `what`.
///
/// # Panics
///
/// The program does not start.
pub fn child(test: &str, what: &str) -> Output {
    again()
        .args([test, "--exact", "--nocapture", "--test-threads=1", "--include-ignored"])
        .env(CHILD, what)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the test's program runs again")
}

/// Runs `body` in a process of its own, where it may change and count what belongs to processes.
/// `test` is the full name of the test that calls it.
///
/// # Panics
///
/// `body` did.
#[track_caller]
pub fn alone(test: &str, body: impl Fn()) {
    if asked().is_some() {
        return body();
    }
    let output = child(test, "alone");
    let text = said(&output);
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(text.contains("1 passed"), "no such test: {test}");
    // Its lines that begin with SKIPPED are printed once more.
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
}

/// Locks out the other tests of this program that call it: those that look at the whole process,
/// or at the clock.
pub fn in_order() -> MutexGuard<'static, ()> {
    static ORDER: Mutex<()> = Mutex::new(());
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names this program, to run again: by Cargo's runner for another processor, if that runs it.
///
/// # Panics
///
/// The system does not name it.
pub fn again() -> Command {
    let program = std::env::current_exe().expect("a test knows its program");
    let Some(runner) = foreign("RUNNER") else { return Command::new(program) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().expect("a runner has a name"));
    command.args(words).arg(program);
    command
}

/// Names the C compiler: what Cargo links with for another processor, else `cc`.
pub fn compiler() -> Command {
    Command::new(foreign("LINKER").as_deref().unwrap_or("cc"))
}

/// Returns a setting of Cargo's (`RUNNER`, `LINKER`) for programs for another processor.
pub fn foreign(what: &str) -> Option<String> {
    let target = cfg!(target_arch = "aarch64").then_some("AARCH64_UNKNOWN_LINUX_GNU")?;
    std::env::var(format!("CARGO_TARGET_{target}_{what}")).ok()
}

/// Tells whether an emulator runs this program: it has no seccomp(2), no ptrace(2), and threads of
/// its own.
pub fn is_emulated() -> bool {
    foreign("RUNNER").is_some()
}

/// Joins what a child wrote to both of its streams.
pub fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// Reads a field of `/proc/self/status`: kilobytes, or a count.
///
/// # Panics
///
/// There is no such field.
pub fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = text.lines().find(|line| line.starts_with(field)).expect("the field");
    let number = line.split_whitespace().nth(1).expect("a value");
    number.parse().expect("a number")
}

/// Counts the mappings of this process.
///
/// # Panics
///
/// The system does not tell.
pub fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("procfs").lines().count()
}

/// Counts the open descriptors of this process; the one that counts them is among them.
///
/// # Panics
///
/// The system does not tell.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// Panics without the panic hook's message, for tests that panic thousands of times.
pub fn quiet_panic<T: Send + 'static>(payload: T) -> ! {
    std::panic::resume_unwind(Box::new(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_runs_in_a_process_of_its_own() {
        let parent = std::process::id();
        alone("process::tests::a_body_runs_in_a_process_of_its_own", || {
            assert_eq!(asked().as_deref(), Some("alone"));
            assert!(open_descriptors() > 3 && mappings() > 3 && status("Threads:") > 0);
        });
        assert!(asked().is_some() || parent == std::process::id());
    }

    #[test]
    fn a_test_that_is_not_there_fails() {
        let missing = || alone("no_such_test", || {});
        assert!(asked().is_some() || std::panic::catch_unwind(missing).is_err());
    }
}
