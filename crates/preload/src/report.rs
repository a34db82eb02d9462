//! A line about each process, so that the runner of a suite knows that tasklets ran it.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;

use crate::state::existing_state;

/// Has the line written at the end of the process.
pub(crate) fn at_exit() {
    if std::env::var_os("OVERLAPPED_PRELOAD_REPORT").is_some() {
        // SAFETY: the function stays loaded.
        unsafe { libc::atexit(write) };
    }
}

extern "C" fn write() {
    let (Some(path), Some(state)) =
        (std::env::var_os("OVERLAPPED_PRELOAD_REPORT"), existing_state())
    else {
        return;
    };
    let line = format!(
        "{} {} {} {}\n",
        std::process::id(),
        state.tasklets.load(Relaxed),
        state.threads.load(Relaxed),
        overlapped_install::report().waits()
    );
    // This is one write, since other processes append to the file, too. An error could not be
    // reported.
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}
