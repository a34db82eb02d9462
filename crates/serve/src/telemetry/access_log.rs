//! The access log: one line per request.
//!
//! ```text
//! sessions ──▶ queue (bounded) ──▶ a thread of its own ──▶ file, standard output or error
//! ```
//!
//! A session adds its line under a lock that is held only for the copy; it never waits for the disk
//! or for the reader of a pipe. If those are too slow and the queue is full, lines are dropped, and
//! a line reports how many. The thread polls the queue a few dozen times a second, so that a busy
//! server writes many lines at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use overlapped_wire::AccessRecord;

use super::rate_limit::RateLimited;
use super::{AccessLine, LogFormat};
use crate::locks::IgnorePoison;
use crate::peer::Peer;

/// The maximum number of bytes that may wait for the disk.
const QUEUE_MAX: usize = 1 << 20;
/// The time for which lines are collected.
const PERIOD: Duration = Duration::from_millis(25);
/// The time for which the end of the server waits for the last lines.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// The destination of the access log. Each request has one line, also if its answer was sent only
/// in part; the line's bytes are those of the body that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// This file, to which lines are appended. It is reopened at SIGHUP and SIGUSR1, so it may be
    /// renamed before.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// An open access log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    shared: Arc<SharedQueue>,
    format: LogFormat,
}

#[derive(Debug)]
struct SharedQueue {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    dropped: u64,
    reopen: bool,
    end: bool,
    ended: bool,
}

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().ignore_poison()
    }
}

impl Log {
    /// Opens the log and starts its thread.
    pub(crate) fn open(to: &AccessLog, format: LogFormat) -> io::Result<Log> {
        let target = Destination::open(to)?;
        let shared =
            Arc::new(SharedQueue { queue: Mutex::new(Queue::default()), changed: Condvar::new() });
        let for_thread = Arc::clone(&shared);
        let _detached: JoinHandle<()> = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_lines(&for_thread, target))?;
        Ok(Log { shared, format })
    }

    /// Formats a request's line, except for the number of bytes sent.
    pub(crate) fn line(
        &self,
        peer: &Peer,
        now: SystemTime,
        record: &AccessRecord,
        took: Duration,
    ) -> AccessLine {
        AccessLine::new(self.format, peer, now, record, took)
    }

    /// Adds lines, each with the number of body bytes that were sent.
    pub(crate) fn write(&self, lines: impl Iterator<Item = (AccessLine, u64)>) {
        let (mut text, mut count) = (String::new(), 0);
        for (line, bytes) in lines {
            line.write(bytes, &mut text);
            count += 1;
        }
        if count == 0 {
            return;
        }
        let mut queue = self.shared.lock();
        if queue.lines.len() + text.len() > QUEUE_MAX {
            queue.dropped += count;
            return;
        }
        let was_empty = queue.lines.is_empty();
        queue.lines.extend_from_slice(text.as_bytes());
        drop(queue);
        if was_empty {
            self.shared.changed.notify_one();
        }
    }

    /// Reopens the file under its name.
    pub(crate) fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.changed.notify_one();
    }

    /// Waits for a while until the last lines are written. Blocks the thread.
    pub(crate) fn finish(&self) {
        let mut queue = self.shared.lock();
        queue.end = true;
        self.shared.changed.notify_all();
        let wait =
            self.shared.changed.wait_timeout_while(queue, FINISH_TIMEOUT, |queue| !queue.ended);
        drop(wait);
    }
}

enum Destination {
    File(PathBuf, File),
    Stdout,
    Stderr,
}

impl Destination {
    fn open(to: &AccessLog) -> io::Result<Destination> {
        match to {
            AccessLog::Stdout => Ok(Destination::Stdout),
            AccessLog::Stderr => Ok(Destination::Stderr),
            AccessLog::File(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path);
                let explain = |error: io::Error| {
                    let text = format!(
                        "cannot open the access log {}: {error}. Its folder must exist, and this \
                         user must be allowed to write to it.",
                        path.display()
                    );
                    io::Error::new(error.kind(), text)
                };
                Ok(Destination::File(path.clone(), file.map_err(explain)?))
            }
        }
    }

    fn reopen(&mut self) {
        if let Destination::File(path, _) = self {
            match Destination::open(&AccessLog::File(path.clone())) {
                Ok(target) => *self = target,
                Err(error) => tracing::warn!("{error} Logging to the old file."),
            }
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Destination::File(_, file) => file.write_all(lines),
            Destination::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
            Destination::Stderr => io::stderr().write_all(lines),
        }
    }
}

/// Writes the queue's lines until the log ends.
fn write_lines(shared: &SharedQueue, mut target: Destination) {
    let mut warnings = RateLimited::default();
    let mut lines = Vec::new();
    let mut end = false;
    while !end {
        let queue = shared.lock();
        let idle = |queue: &mut Queue| queue.lines.is_empty() && !queue.reopen && !queue.end;
        let waited = shared.changed.wait_while(queue, idle);
        let mut queue = waited.ignore_poison();
        std::mem::swap(&mut lines, &mut queue.lines);
        let dropped = std::mem::take(&mut queue.dropped);
        let reopen = std::mem::take(&mut queue.reopen);
        end = queue.end;
        drop(queue);
        if dropped > 0 {
            let lines_were = if dropped == 1 { "line was" } else { "lines were" };
            let _ = writeln!(lines, "# {dropped} {lines_were} dropped: writing was too slow");
        }
        if reopen {
            target.reopen();
        }
        if let Err(error) = target.write(&lines)
            && warnings.allow().is_some()
        {
            tracing::warn!("cannot write lines of the access log, which are lost: {error}");
        }
        lines.clear();
        if !end {
            thread::sleep(PERIOD);
        }
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
}
