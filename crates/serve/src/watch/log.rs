//! The access log: one line per request.
//!
//! ```text
//! sessions ──▶ queue (bounded) ──▶ a thread of its own ──▶ file, standard output or error
//! ```
//!
//! A session adds its line under a lock that is held for as long as that takes; it never waits for
//! the disk or for whoever reads the pipe. Where those are too slow and the queue is full, lines
//! are left out, and a line says how many. The thread looks a few dozen times a second, so that a
//! busy server writes many lines at once.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use overlapped_wire::AccessRecord;

use super::{Line, LogFormat};
use crate::Peer;

/// Bytes of lines that may wait for the disk.
const QUEUE_MAX: usize = 1 << 20;
/// How long lines may be collected.
const PERIOD: Duration = Duration::from_millis(25);
/// How long the end of the server waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(2);

/// The destination of the access log. Each request has one line, also one whose answer was not sent
/// whole; its bytes are those of the answer's body that were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Appended to this file, which is opened again at SIGHUP and SIGUSR1: so it may be moved away.
    File(PathBuf),
    /// To standard output.
    Stdout,
    /// To standard error.
    Stderr,
}

/// An access log that is being written.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    format: LogFormat,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    left_out: u64,
    reopen: bool,
    end: bool,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Opens it and starts its thread.
    pub(crate) fn open(to: &AccessLog, format: LogFormat) -> io::Result<Log> {
        let target = Target::open(to)?;
        let shared =
            Arc::new(Shared { queue: Mutex::new(Queue::default()), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let _detached: JoinHandle<()> = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_for_ever(&theirs, target))?;
        Ok(Log { shared, format })
    }

    /// A request's line, but for the bytes of the answer's body.
    pub(crate) fn line(
        &self,
        peer: &Peer,
        now: SystemTime,
        record: &AccessRecord,
        took: Duration,
    ) -> Line {
        Line::new(self.format, peer, now, record, took)
    }

    /// Adds lines, each with the bytes of its answer's body that were sent.
    pub(crate) fn write(&self, lines: impl Iterator<Item = (Line, u64)>) {
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
            queue.left_out += count;
            return;
        }
        let was_empty = queue.lines.is_empty();
        queue.lines.extend_from_slice(text.as_bytes());
        drop(queue);
        if was_empty {
            self.shared.changed.notify_one();
        }
    }

    /// Has the file opened again, under its name.
    pub(crate) fn reopen(&self) {
        self.shared.lock().reopen = true;
        self.shared.changed.notify_one();
    }

    /// Waits until the last lines are written, for a while. Blocks the thread.
    pub(crate) fn finish(&self) {
        let mut queue = self.shared.lock();
        queue.end = true;
        self.shared.changed.notify_all();
        let wait = self.shared.changed.wait_timeout_while(queue, PATIENCE, |queue| !queue.ended);
        drop(wait);
    }
}

enum Target {
    File(PathBuf, File),
    Stdout,
    Stderr,
}

impl Target {
    fn open(to: &AccessLog) -> io::Result<Target> {
        match to {
            AccessLog::Stdout => Ok(Target::Stdout),
            AccessLog::Stderr => Ok(Target::Stderr),
            AccessLog::File(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path);
                let explain = |error: io::Error| {
                    let text = format!(
                        "cannot write the access log {}: {error}. Its folder must exist, and this \
                         user must be allowed to write there.",
                        path.display()
                    );
                    io::Error::new(error.kind(), text)
                };
                Ok(Target::File(path.clone(), file.map_err(explain)?))
            }
        }
    }

    fn reopen(&mut self) {
        if let Target::File(path, _) = self {
            match Target::open(&AccessLog::File(path.clone())) {
                Ok(target) => *self = target,
                Err(error) => tracing::warn!("{error} The old file is written on."),
            }
        }
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Target::File(_, file) => file.write_all(lines),
            Target::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines).and_then(|()| out.flush())
            }
            Target::Stderr => io::stderr().write_all(lines),
        }
    }
}

fn write_for_ever(shared: &Shared, mut target: Target) {
    let mut complaints = super::Complaints::default();
    let mut lines = Vec::new();
    let mut end = false;
    while !end {
        let queue = shared.lock();
        let idle = |queue: &mut Queue| queue.lines.is_empty() && !queue.reopen && !queue.end;
        let waited = shared.changed.wait_while(queue, idle);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut lines, &mut queue.lines);
        let left_out = std::mem::take(&mut queue.left_out);
        let reopen = std::mem::take(&mut queue.reopen);
        end = queue.end;
        drop(queue);
        if left_out > 0 {
            let lines_were = if left_out == 1 { "line was" } else { "lines were" };
            let _ = writeln!(lines, "# {left_out} {lines_were} left out: writing was too slow");
        }
        if reopen {
            target.reopen();
        }
        if let Err(error) = target.write(&lines)
            && complaints.now().is_some()
        {
            tracing::warn!("lines of the access log are lost: {error}");
        }
        lines.clear();
        if !end {
            thread::sleep(PERIOD);
        }
    }
    shared.lock().ended = true;
    shared.changed.notify_all();
}
