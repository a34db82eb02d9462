//! A script that runs: its output, its end, its last words.
//!
//! ```text
//! start ─▶ Running ─┬─ output ─▶ Output, the answer's body ─ read to its end ─▶ finish
//!                   ├─ finish ─▶ a tasklet waits for the end, until the deadline; another one
//!                   │            reads what it still writes
//!                   └─ dropped ◀─────────────── everything ends here ───────────┘
//! ```
//!
//! Whatever happens, a [`Running`] is dropped once: when the client has gone (which is looked for
//! while the script is quiet, too), when the tasklet is killed, at a deadline, or after the
//! script's end. Then its [`Child`] kills the script's group.
//! That comes before the script is released, so that the group's number is still its own.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use overlapped::os::unix::process::{ChildExt, CommandExt};
use overlapped::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use overlapped::time::{self, Instant, sleep, timeout};
use overlapped::{Builder, net};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitIdStatus};

use super::script::Script;
use super::slots::Slot;
use super::spool::{Input, Room};
use super::{explain, groups};
use crate::state::{is_shortage, retry_at_shortage};
use crate::stream::client::{ClientMonitor, POLL_PERIOD};
use crate::telemetry::Visible;

/// Lines of one script that are logged; the others are read and thrown away.
const LINES_MAX: usize = 100;

/// Bytes of one line that are logged.
const LINE_MAX: usize = 1_000;

const PIECE: usize = 16 << 10;

/// The most that a script may still write when nothing more is wanted of it, before its pipe is
/// closed.
const UNWANTED_MAX: usize = 1 << 20;

/// The time between two looks at what cannot be waited for.
const STEP: Duration = Duration::from_millis(5);

/// How long after a script's end its last words may still come.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A script that has not been released.
pub(crate) struct Running {
    child: Child,
    /// `None` once it has been read to its end.
    stdout: Option<ChildStdout>,
    deadline: Instant,
    client: ClientMonitor,
    /// Set when the reader of its standard error has come to the end.
    silent: Rc<Cell<bool>>,
    /// Bytes beyond the length that it announced; `None` where it announced none.
    surplus: Option<u64>,
    is_killed: bool,
    script: Script,
    _room: Option<Room>,
    slot: Slot,
}

/// Why no more output has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Output,
    Time,
    /// The client has left.
    Left,
    Error,
}

impl Running {
    /// Starts `script`.
    ///
    /// # Errors
    /// Those of fork(2) and execve(2).
    pub(crate) fn start(
        script: &Script,
        environment: BTreeMap<OsString, OsString>,
        input: Option<Input>,
        deadline: Instant,
        slot: Slot,
    ) -> io::Result<Running> {
        let mut command = Command::new(&script.path);
        command.env_clear().envs(environment).process_group(0).kill_on_drop(true);
        let (stdin, room) = match input {
            Some(Input { file, room }) => (Stdio::from(file), room),
            None => (Stdio::null(), None),
        };
        command.stdin(stdin);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = script.path.parent() {
            command.current_dir(folder);
        }
        let mut child = retry_at_shortage(|| groups::spawn(&mut command), is_shortage)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let silent = Rc::new(Cell::new(false));
        let name = Visible(&script.name.to_string_lossy()).to_string();
        let running = Running {
            child,
            stdout,
            deadline,
            client: ClientMonitor::default(),
            silent: Rc::clone(&silent),
            surplus: None,
            is_killed: false,
            script: script.clone(),
            _room: room,
            slot,
        };
        if let Some(stderr) = stderr {
            let left = deadline.duration_since(Instant::now()) + LAST_WORDS;
            let log = move || {
                timeout(left, || log(&name, stderr));
                silent.set(true);
            };
            Builder::new().name("a script's errors").spawn(log)?;
        }
        Ok(running)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    /// Ends it.
    pub(crate) fn kill(&mut self) {
        self.is_killed = true;
        // An error means that the script has become somebody whom we may not kill.
        let _ = self.child.kill_process_group();
        // Also where it has left its group.
        let _ = self.child.kill();
    }

    /// Appends some output to `bytes`.
    pub(crate) fn read_more(
        &mut self,
        bytes: &mut Vec<u8>,
        deadline: Instant,
    ) -> Result<(), Ended> {
        let before = bytes.len();
        bytes.resize(before + 4096, 0);
        let read = self.read(&mut bytes[before..], deadline);
        bytes.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(Ended::Output),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Ended::Time),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Err(Ended::Left),
            Err(_) => Err(Ended::Error),
        }
    }

    fn read(&mut self, buf: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let Some(stdout) = &mut self.stdout else { return Ok(0) };
        loop {
            let left = deadline.duration_since(Instant::now());
            if left.is_zero() || time::expired() {
                let limit = if left.is_zero() { "--cgi-timeout" } else { "--request-timeout" };
                let text = format!("has not ended in the time that {limit} gives it");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            match timeout(left.min(POLL_PERIOD), || stdout.read(buf)) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    if self.client.has_left(self.slot.is_wanted()) {
                        let text = "was killed, since its client has left";
                        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, text));
                    }
                }
                Ok(0) => {
                    self.stdout = None;
                    return Ok(0);
                }
                read => return read,
            }
        }
    }

    /// Its output, from `first` on.
    pub(crate) fn output(self, first: Vec<u8>, max: u64, length: Option<u64>) -> Output {
        let left = max.min(length.unwrap_or(u64::MAX));
        let is_cut = length.is_none_or(|length| length > max);
        let (first, running) = (io::Cursor::new(first), Some(self));
        Output { first, running, left, is_cut, missing: length }
    }

    /// Nothing more is wanted of it: it may come to its end, until the deadline, and is one of
    /// those that run at once until then. What it still writes is read, or it would be killed by
    /// the pipe that nobody reads. `has_answered`: its header was right; else its end is said,
    /// however it was.
    pub(crate) fn finish(mut self, has_answered: bool) {
        let left = self.deadline.duration_since(Instant::now());
        let (script, surplus) = (self.script.path.clone(), self.surplus);
        let say_surplus = move |more: u64| {
            if let Some(surplus @ 1..) = surplus.map(|surplus| surplus + more) {
                tracing::warn!(
                    "the script {} has written more than the Content-Length that it announced: \
                     {surplus} bytes were not sent",
                    script.display()
                );
            }
        };
        if let Some(mut stdout) = self.stdout.take() {
            let discard = move || say_surplus(timeout(left, || discard(&mut stdout)));
            let _ = Builder::new().name("a script's unwanted output").spawn(discard);
        } else {
            say_surplus(0);
        }
        // Where there is no scheduler, or no room in it, the drop is the end.
        let _ = Builder::new().name("a script's end").spawn(move || self.wait(has_answered));
    }

    /// Waits for the end, and leaves it unreleased.
    fn wait(&mut self, has_answered: bool) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        // Refused before Linux 5.3, and by some filters.
        if let Ok(end) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            let left = self.deadline.duration_since(Instant::now());
            let _ = timeout(left, || net::wait_readable(&end));
        }
        // The end of a script that is traced is told before it can be asked for.
        while Instant::now() < self.deadline && status(pid).is_none() {
            sleep(STEP);
        }
        let script = &self.script.path;
        match status(pid) {
            _ if self.is_killed => {}
            None => tracing::warn!(
                ?script,
                "killed: it has gone on for longer than --cgi-timeout allows"
            ),
            Some(end) => {
                if let Some(said) = explain::end(&end, has_answered, &self.script) {
                    tracing::error!(?script, "{said}");
                }
            }
        }
        self.kill();
        let late = Instant::now() + LAST_WORDS;
        while !self.silent.get() && Instant::now() < late {
            sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Before the child is dropped, and its number released.
        self.kill();
        groups::forget(&self.child);
    }
}

/// The way a child has ended, if it has; it stays unreleased.
fn status(pid: Pid) -> Option<WaitIdStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    rustix::process::waitid(WaitId::Pid(pid), options).ok()?
}

/// Reads what nobody wants, to its end or to the limit; how many bytes.
fn discard(stdout: &mut ChildStdout) -> u64 {
    let mut piece = vec![0; PIECE];
    let mut read = 0;
    while read < UNWANTED_MAX
        && let Ok(count @ 1..) = stdout.read(&mut piece)
    {
        read += count;
    }
    read as u64
}

/// The content that a script writes.
pub(crate) struct Output {
    /// What came together with the header.
    first: io::Cursor<Vec<u8>>,
    /// `None` after the end.
    running: Option<Running>,
    /// How much more may come.
    left: u64,
    /// Whether more than that is too much, and not just more than was announced.
    is_cut: bool,
    /// The bytes that are still to come of the length that was announced.
    missing: Option<u64>,
}

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(running) = &mut self.running else { return Ok(0) };
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 && !self.is_cut {
            self.end();
            return Ok(0);
        }
        // One more than may come, to see the end where it is, or as much as was announced.
        let most = self.left.saturating_add(u64::from(self.is_cut));
        let most = buf.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        let buf = &mut buf[..most];
        let count = match self.first.read(buf)? {
            0 => {
                let deadline = running.deadline;
                running.read(buf, deadline)
            }
            count => Ok(count),
        };
        let error = match count {
            Ok(0) => {
                let missing = self.missing.unwrap_or(0);
                let path = running.script.path.clone();
                self.end();
                if missing == 0 {
                    return Ok(0);
                }
                let text = format!(
                    "the script {} has ended its output {missing} bytes before the Content-Length \
                     that it announced",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            Ok(count) if count as u64 <= self.left => {
                self.left -= count as u64;
                self.missing = self.missing.map(|missing| missing.saturating_sub(count as u64));
                return Ok(count);
            }
            Ok(_) => {
                let text = "has written more than --cgi-max-output allows";
                io::Error::new(io::ErrorKind::FileTooLarge, text)
            }
            Err(error) => error,
        };
        // Whoever answers says it, with the client and the request.
        let text = format!("the script {} {error}", running.script.path.display());
        self.running = None;
        Err(io::Error::new(error.kind(), text))
    }
}

impl Output {
    fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            let unread = self.first.get_ref().len() as u64 - self.first.position();
            running.surplus = self.missing.map(|_| unread);
            running.finish(true);
        }
    }
}

impl Drop for Output {
    /// Ends after the announced length, since a client reads that and no more: the script may have
    /// more to do, as behind its output's end.
    fn drop(&mut self) {
        if self.left == 0 && !self.is_cut {
            self.end();
        }
    }
}

/// Logs what a script says, line by line, bounded and escaped.
fn log(script: &str, mut stderr: ChildStderr) {
    let mut piece = vec![0; PIECE];
    let mut line = Vec::new();
    let mut lines = 0;
    while let Ok(count @ 1..) = stderr.read(&mut piece) {
        // What is not logged is not looked at: it may be hundreds of megabytes.
        if lines > LINES_MAX {
            continue;
        }
        for part in piece[..count].split_inclusive(|&byte| byte == b'\n') {
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                lines += 1;
                say(script, &line, lines);
                line.clear();
            }
            if lines > LINES_MAX {
                line.clear();
                break;
            }
        }
    }
    if !line.is_empty() {
        say(script, &line, lines + 1);
    }
}

/// Logs the line of this number, counted from 1.
fn say(script: &str, line: &[u8], number: usize) {
    if number <= LINES_MAX {
        let line = String::from_utf8_lossy(line);
        tracing::warn!("{script}: {}", Visible(line.trim_end()));
    } else {
        tracing::warn!("{script}: more than {LINES_MAX} lines; the others are not logged");
    }
}
