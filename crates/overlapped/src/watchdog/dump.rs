//! Dumps by signal: every tasklet of every scheduler that is registered, on standard error, also
//! where a scheduler's thread is blocked.
//!
//! ```text
//! signal ──▶ the dump's own thread ──asks──▶ each scheduler's thread: its handler writes a page
//!                     └──▶ standard error ◀── the page, and where its running tasklet is ──┘
//! ```
//!
//! The handler reads lists and blocks of its own thread, which it may have interrupted anywhere.
//! `sched/observer/describe` says why that is sound. It cannot show where suspended tasklets are in
//! their code, which only they can find out (`task::dump`).

use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::report::{say, tasklets, trace};
use super::snapshot::{self, Snapshot};
use super::{Stalled, asking, registry};
#[cfg(unix)]
use crate::driver;
#[cfg(unix)]
use crate::op::{Op, Wait};
use crate::sys::lock::Mutex;
use crate::sys::per_process::PerProcess;
#[cfg(unix)]
use crate::sys::signal::{self, Listener, sigpipe};
#[cfg(unix)]
use crate::sys::thread::start_helper;
use crate::sys::thread::system_call_of;

/// The time within which a thread must answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The signals whose dumps have a thread in this process.
static SIGNALS: PerProcess<Mutex<Vec<i32>>> = PerProcess::new(forget_signals);

/// Forgets the parent's threads, in a child of fork(2). Async-signal-safe.
extern "C" fn forget_signals() {
    SIGNALS.forget();
}

/// Dumps all tasklets whenever `signal` comes, until the process ends. A second call for the same
/// signal has no effect.
///
/// # Errors
/// The signal cannot be waited for, or no descriptor or thread is available.
#[cfg(unix)]
pub(crate) fn dump_on(signal: i32) -> io::Result<()> {
    let mut signals = SIGNALS.get(|| Mutex::new(Vec::new())).lock();
    if signals.contains(&signal) {
        return Ok(());
    }
    let listener = Listener::new()?;
    listener.add(signal)?;
    start_helper("overlapped-dump", move || listen(listener))?;
    signals.push(signal);
    Ok(())
}

/// Returns the signal with this name, with or without `SIG`, or with this number.
#[cfg(unix)]
pub(crate) fn signal_of(text: &str) -> Option<i32> {
    let name = text.to_ascii_uppercase();
    let is_it = |&signal: &i32| {
        let known = signal::name(signal).unwrap_or_default();
        known == name || known.strip_prefix("SIG") == Some(&name)
    };
    (1..=signal::last_signal()).find(is_it).or_else(|| text.parse().ok())
}

/// Returns an error: there are no signals.
#[cfg(not(unix))]
pub(crate) fn dump_on(_: i32) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no signals to dump on"))
}

/// Returns the number: there are no signals with names.
#[cfg(not(unix))]
pub(crate) fn signal_of(text: &str) -> Option<i32> {
    text.parse().ok()
}

#[cfg(unix)]
fn listen(mut listener: Listener) {
    let _sigpipe = sigpipe::block();
    let op = Op::Wait(Wait::Signal { listener: listener.as_fd().as_raw_fd() });
    loop {
        // SAFETY: the listener keeps the descriptor open; no memory is involved.
        if unsafe { driver::block_on(&op, None) }.result().is_err() {
            return say("the dump's signal has no effect any more: the wait for it failed");
        }
        if listener.pending().count() > 0 {
            dump();
        }
    }
}

fn dump() {
    let numbers = registered();
    if numbers.is_empty() {
        return say("no scheduler is registered for dumps");
    }
    for (thread, answer) in numbers.into_iter().filter_map(ask) {
        let Some(snapshot) = answer else {
            say(&format!("thread '{thread}' does not answer: it blocks SIGURG"));
            continue;
        };
        let (count, list) = (snapshot.page.tasklets, tasklets(&snapshot));
        let mut text = format!(
            "{count} tasklet{} on thread '{thread}'{list}",
            if count == 1 { "" } else { "s" }
        );
        if let Some((id, _)) = snapshot.held {
            text += &format!("\n  tasklet {id} runs here:{}", trace(&snapshot));
        }
        say(&text);
    }
}

/// Returns the tasklet that a thread of this process runs, and its place in the code. `None` if it
/// runs none, is not registered, or blocks SIGURG.
pub(crate) fn running_on(thread: u64) -> Option<Stalled> {
    const ANSWER_MAX: Duration = Duration::from_millis(100);
    let system_call = system_call_of(thread);
    let asking = asking();
    let registry = registry();
    let entry = registry.entries.iter().find(|entry| entry.target.number() == thread)?;
    // SAFETY: the entry is in the registry, so its thread has not left its scheduler.
    let asked = unsafe { snapshot::ask(entry.target, false) };
    drop(registry);
    let answer = if asked { snapshot::answer(ANSWER_MAX) } else { None };
    drop(asking);
    Stalled::new(answer?, Duration::ZERO, system_call, false)
}

fn registered() -> Vec<u64> {
    registry().entries.iter().map(|entry| entry.number).collect()
}

/// Returns the answer of a scheduler's thread, and that thread's name; `None` if it has ended.
fn ask(number: u64) -> Option<(Box<str>, Option<Box<Snapshot>>)> {
    let _asking = asking();
    let registry = registry();
    let entry = registry.entries.iter().find(|entry| entry.number == number)?;
    let thread = entry.thread.clone();
    // SAFETY: the entry is in the registry, so its thread has not left its scheduler.
    let asked = unsafe { snapshot::ask(entry.target, true) };
    drop(registry);
    Some((thread, if asked { snapshot::answer(ANSWER_MAX) } else { None }))
}

/// Returns the pages of all threads, without the traces of running tasklets.
#[cfg(all(test, not(miri)))]
pub(crate) fn pages() -> Vec<String> {
    let answers = registered().into_iter().filter_map(ask).filter_map(|(_, answer)| answer);
    answers.map(|snapshot| snapshot.page.text()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_with_or_without_its_prefix_or_a_number() {
        for name in ["SIGQUIT", "quit", "Quit", "sigquit", "3"] {
            assert_eq!(signal_of(name), Some(libc::SIGQUIT), "{name}");
        }
        assert_eq!(signal_of("usr1"), Some(libc::SIGUSR1));
        assert_eq!(signal_of("never"), None);
        assert!(dump_on(libc::SIGKILL).is_err() && dump_on(-1).is_err());
    }
}
