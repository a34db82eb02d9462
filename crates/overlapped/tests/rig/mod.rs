//! What the tasklets' tests share: random numbers, the size of a test, its report, child processes.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::process::{Command, Output};
use std::time::Duration;

/// SplitMix64: small, seeded, good enough to pick steps.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// `full` rounds when `OVERLAPPED_TORTURE` is set, else `short` ones.
pub(crate) fn rounds(short: usize, full: usize) -> usize {
    if std::env::var_os("OVERLAPPED_TORTURE").is_some() { full } else { short }
}

/// A limit on time: the strict figure with the full figures, on a machine of one's own; else ten
/// times as much, and 10 s at least, because the machine may be slow, and others may be at work on
/// it. What the tests rule out lasts for longer, or for ever.
pub(crate) fn within(strict: Duration) -> Duration {
    match rounds(0, 1) {
        0 => (strict * 10).max(Duration::from_secs(10)),
        _ => strict,
    }
}

/// For limits that cannot be larger, because what is ruled out is only a little later. A busy
/// machine is late now and then, the library's own lateness is there every time: of many rounds,
/// each of which gives its time, one keeps the limit.
pub(crate) fn in_time(limit: Duration, mut round: impl FnMut() -> Duration) {
    const ROUNDS: usize = 25;
    let seen: Vec<_> = (0..ROUNDS).map(|_| round()).take_while(|took| *took >= limit).collect();
    assert!(seen.len() < ROUNDS, "not once in less than {limit:?}: {seen:.0?}");
}

/// The one line that a judge reads. No checks is a failure.
pub(crate) fn report(id: &str, checks: usize, figure: &str) {
    assert!(checks > 0, "{id} checked nothing");
    println!("RELIABILITY {id} {checks} {figure}");
}

/// The variable that tells a child process what to do.
pub(crate) const CHILD: &str = "OVERLAPPED_TEST_CHILD";

/// What this process was asked to do by [`child`], if it is one.
pub(crate) fn asked() -> Option<String> {
    std::env::var(CHILD).ok()
}

/// Runs `test` of this program again, in a process of its own that is asked to do `what`.
pub(crate) fn child(test: &str, what: &str) -> Output {
    again()
        .args([test, "--exact", "--nocapture", "--test-threads=1", "--include-ignored"])
        .env(CHILD, what)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the test's program runs again")
}

/// This program, to run again: by Cargo's runner for another processor, if that runs it.
pub(crate) fn again() -> Command {
    let program = std::env::current_exe().expect("a test knows its program");
    let Some(runner) = foreign("RUNNER") else { return Command::new(program) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().expect("a runner has a name"));
    command.args(words).arg(program);
    command
}

/// The C compiler: by its name, or what Cargo links with for another processor.
pub(crate) fn compiler() -> Command {
    Command::new(foreign("LINKER").as_deref().unwrap_or("cc"))
}

/// Cargo's settings for programs for another processor.
fn foreign(what: &str) -> Option<String> {
    let target = cfg!(target_arch = "aarch64").then_some("AARCH64_UNKNOWN_LINUX_GNU")?;
    std::env::var(format!("CARGO_TARGET_{target}_{what}")).ok()
}

/// Both of a child's streams.
pub(crate) fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// Kilobytes of a field of `/proc/self/status`, or the count it holds.
pub(crate) fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = text.lines().find(|line| line.starts_with(field)).expect("the field");
    let number = line.split_whitespace().nth(1).expect("a value");
    number.parse().expect("a number")
}

/// How many mappings this process has.
pub(crate) fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("procfs").lines().count()
}

/// Panics without the panic hook's message, for tests that panic thousands of times.
pub(crate) fn quiet_panic<T: Send + 'static>(payload: T) -> ! {
    std::panic::resume_unwind(Box::new(payload))
}
