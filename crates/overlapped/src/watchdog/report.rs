//! Reports of the watchdog: to the subscriber, or to standard error.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::snapshot::Snapshot;
use super::unwind;
use crate::foreign::{names, quietly};
use crate::sys::terminal::write_to_stderr;
use crate::sys::thread::start;

/// Warns the subscriber of `tracing`. If none wants warnings, writes to standard error.
pub(super) fn warn(text: &str) {
    let is_heard = quietly(|| {
        let is_heard = tracing::enabled!(tracing::Level::WARN);
        if is_heard {
            tracing::warn!("{text}");
        }
        is_heard
    });
    if is_heard == Some(false) {
        say(text);
    }
}

/// Warns as [`warn`] does, from a thread of its own: for callers that may neither wait nor run the
/// user's code.
pub(crate) fn warn_aside(text: Arc<str>) {
    let copy = Arc::clone(&text);
    if start("overlapped-warn", move || warn(&copy)).is_err() {
        say(&text);
    }
}

/// Reports a note as [`warn`] reports a warning.
pub(super) fn note(text: &str) {
    let is_heard = quietly(|| {
        tracing::info!("{text}");
        tracing::enabled!(tracing::Level::WARN)
    });
    if is_heard == Some(false) {
        say(text);
    }
}

/// Writes a line to standard error, not through std's stream: the reported thread may hold its
/// lock.
pub(super) fn say(text: &str) {
    write_to_stderr(format!("overlapped: {text}\n").as_bytes());
}

/// Lists every tasklet, one line each, the oldest first.
pub(super) fn tasklets(snapshot: &Snapshot) -> String {
    let page = snapshot.page.text();
    let mut text: String = page.lines().rev().map(|line| format!("\n  {line}")).collect();
    if snapshot.page.is_full() {
        text.push_str("\n  (the youngest; the page is full)");
    }
    text
}

/// Returns the trace of the tasklet that holds the thread: one line for each function, innermost
/// first.
pub(super) fn trace(snapshot: &Snapshot) -> String {
    // A bug in the unwinder costs the trace, not the watchdog.
    let addresses = catch_unwind(AssertUnwindSafe(|| unwind::walk(snapshot))).unwrap_or_default();
    let mut text = String::new();
    for address in addresses {
        let names = names(address);
        for name in &names {
            let _ = write!(text, "\n    {address:#x} {name}");
        }
        if names.is_empty() {
            let _ = write!(text, "\n    {address:#x}");
        }
    }
    text
}
