//! A running script: its output, its end, its final messages.
//!
//! ```text
//! start ─▶ RunningScript ─┬─ output ─▶ ScriptOutput, the body ─── read to its end ─▶ finish
//!                         ├─ finish ─▶ a tasklet waits for the end, until the deadline; another
//!                         │            one reads the remaining output
//!                         └─ dropped ◀───────────── everything ends here ───────────────┘
//! ```
//!
//! Whatever happens, a [`RunningScript`] is dropped once: when the client has left (which is also
//! checked while the script writes nothing), when the tasklet is killed, at a deadline, or after
//! the script's end. The drop kills the script's process group, before the script is reaped, so
//! that the group's number is still its own.

mod groups;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use overlapped::Builder;
use overlapped::os::unix::process::{ChildExt, CommandExt};
use overlapped::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use overlapped::time::{self, Instant, sleep, timeout};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus};

use crate::state::{is_shortage, retry_at_shortage};
use crate::stream::client::{ClientMonitor, POLL_PERIOD};
use crate::telemetry::Visible;
use crate::web::cgi::explain;
use crate::web::cgi::permits::ScriptPermit;
use crate::web::cgi::script::Script;
use crate::web::cgi::spool::{Input, QuotaShare};

pub use groups::kill_scripts;

/// The maximum number of lines of one script that are logged; further ones are read and discarded.
const LINES_MAX: usize = 100;

/// The maximum number of bytes of one line that are logged.
const LINE_MAX: usize = 1_000;

/// The maximum number of bytes that are read at a time.
const PIECE: usize = 16 << 10;

/// The maximum number of bytes that a script may write when its output is unwanted, before its pipe
/// is closed.
const UNWANTED_MAX: usize = 1 << 20;

/// The time between two polls of a state that cannot be waited for.
const POLL_STEP: Duration = Duration::from_millis(5);

/// The time for a script's final messages after its end.
const FINAL_MESSAGES: Duration = Duration::from_secs(1);

/// A script that was not reaped.
pub(crate) struct RunningScript {
    child: Child,
    /// `None` after the end of the output.
    stdout: Option<ChildStdout>,
    deadline: Instant,
    client: ClientMonitor,
    /// True when standard error was read to its end.
    stderr_ended: Rc<Cell<bool>>,
    /// Bytes beyond the announced length; `None` without an announced length.
    surplus: Option<u64>,
    is_killed: bool,
    script: Script,
    _share: Option<QuotaShare>,
    permit: ScriptPermit,
}

/// The reason why no output could be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    EndOfOutput,
    TimedOut,
    ClientLeft,
    Io,
}

impl RunningScript {
    /// Starts `script`.
    ///
    /// # Errors
    /// Those of fork(2) and execve(2).
    pub(crate) fn start(
        script: &Script,
        environment: BTreeMap<OsString, OsString>,
        input: Option<Input>,
        deadline: Instant,
        permit: ScriptPermit,
    ) -> io::Result<RunningScript> {
        let mut command = Command::new(&script.path);
        command.env_clear().envs(environment).process_group(0).kill_on_drop(true);
        let (stdin, share) = match input {
            Some(Input { file, share }) => (Stdio::from(file), share),
            None => (Stdio::null(), None),
        };
        command.stdin(stdin);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = script.path.parent() {
            command.current_dir(folder);
        }
        let mut child = retry_at_shortage(|| groups::spawn(&mut command), is_shortage)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let stderr_ended = Rc::new(Cell::new(false));
        let name = Visible(&script.name.to_string_lossy()).to_string();
        let running = RunningScript {
            child,
            stdout,
            deadline,
            client: ClientMonitor::default(),
            stderr_ended: Rc::clone(&stderr_ended),
            surplus: None,
            is_killed: false,
            script: script.clone(),
            _share: share,
            permit,
        };
        if let Some(stderr) = stderr {
            let left = deadline.duration_since(Instant::now()) + FINAL_MESSAGES;
            let log = move || {
                timeout(left, || log_lines(&name, stderr));
                stderr_ended.set(true);
            };
            Builder::new().name("logs a script's errors").spawn(log)?;
        }
        Ok(running)
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    /// Kills the script and its process group.
    pub(crate) fn kill(&mut self) {
        self.is_killed = true;
        // An error means that the script has changed its user and may not be killed.
        let _ = self.child.kill_process_group();
        // The script itself may have left its group.
        let _ = self.child.kill();
    }

    /// Appends some output to `bytes`.
    pub(crate) fn read_more(
        &mut self,
        bytes: &mut Vec<u8>,
        deadline: Instant,
    ) -> Result<(), ReadError> {
        let before = bytes.len();
        bytes.resize(before + 4096, 0);
        let read = self.read(&mut bytes[before..], deadline);
        bytes.truncate(before + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => Err(ReadError::EndOfOutput),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(ReadError::TimedOut),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                Err(ReadError::ClientLeft)
            }
            Err(_) => Err(ReadError::Io),
        }
    }

    fn read(&mut self, buf: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let Some(stdout) = &mut self.stdout else { return Ok(0) };
        loop {
            let left = deadline.duration_since(Instant::now());
            if left.is_zero() || time::expired() {
                let limit = if left.is_zero() { "--cgi-timeout" } else { "--request-timeout" };
                let text = format!("has not ended within the time that {limit} allows");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            match timeout(left.min(POLL_PERIOD), || stdout.read(buf)) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    if self.client.has_left(self.permit.is_contended()) {
                        let text = "was killed because its client has left";
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

    /// Returns the output, which begins with the bytes `first`.
    pub(crate) fn output(self, first: Vec<u8>, max: u64, length: Option<u64>) -> ScriptOutput {
        let left = max.min(length.unwrap_or(u64::MAX));
        let is_limited = length.is_none_or(|length| length > max);
        let (first, running) = (io::Cursor::new(first), Some(self));
        ScriptOutput { first, running, left, is_limited, missing: length }
    }

    /// Lets the script run to its end, until the deadline; it keeps its permit. Its remaining
    /// output is read, because a closed pipe would kill it. With `has_answered`, its header was
    /// valid; otherwise its end is logged in any case.
    pub(crate) fn finish(mut self, has_answered: bool) {
        let left = self.deadline.duration_since(Instant::now());
        let (script, surplus) = (self.script.path.clone(), self.surplus);
        let log_surplus = move |more: u64| {
            if let Some(surplus @ 1..) = surplus.map(|surplus| surplus + more) {
                tracing::warn!(
                    "the script {} has written more than its Content-Length: {surplus} bytes were \
                     not sent",
                    script.display()
                );
            }
        };
        if let Some(mut stdout) = self.stdout.take() {
            let discard = move || log_surplus(timeout(left, || discard(&mut stdout)));
            let _ = Builder::new().name("discards a script's output").spawn(discard);
        } else {
            log_surplus(0);
        }
        // Without a scheduler, or if that has no room, the drop ends the script.
        let _ =
            Builder::new().name("waits for a script's end").spawn(move || self.wait(has_answered));
    }

    /// Waits for the end, without reaping the script.
    fn wait(&mut self, has_answered: bool) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        // Linux before 5.3, and some filters, refuse a pidfd; other systems have none.
        #[cfg(target_os = "linux")]
        if let Ok(end) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            let left = self.deadline.duration_since(Instant::now());
            let _ = timeout(left, || overlapped::net::wait_readable(&end));
        }
        // A pidfd of a traced script becomes readable before waitid(2) reports the end.
        while Instant::now() < self.deadline && status(pid).is_none() {
            sleep(POLL_STEP);
        }
        let script = &self.script.path;
        match status(pid) {
            _ if self.is_killed => {}
            None => {
                tracing::warn!(?script, "killed: it has run for longer than --cgi-timeout allows")
            }
            Some(end) => {
                if let Some(message) = explain::end(&end, has_answered, &self.script) {
                    tracing::error!(?script, "{message}");
                }
            }
        }
        self.kill();
        let until = Instant::now() + FINAL_MESSAGES;
        while !self.stderr_ended.get() && Instant::now() < until {
            sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for RunningScript {
    fn drop(&mut self) {
        // This precedes the drop of the child, which reaps it.
        self.kill();
        groups::remove(&self.child);
    }
}

/// Returns how a child has ended, if it has, without reaping it.
fn status(pid: Pid) -> Option<WaitIdStatus> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    rustix::process::waitid(WaitId::Pid(pid), options).ok()?
}

/// Reads output to its end or to the limit, and discards it; returns how many bytes.
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

/// The output of a script, as the body of the answer.
pub(crate) struct ScriptOutput {
    /// The bytes that were read together with the header.
    first: io::Cursor<Vec<u8>>,
    /// `None` after the end.
    running: Option<RunningScript>,
    /// Bytes that may still be sent.
    left: u64,
    /// True if more output exceeds the limit, and not only the announced length.
    is_limited: bool,
    /// Bytes of the announced length that are still missing.
    missing: Option<u64>,
}

impl Read for ScriptOutput {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(running) = &mut self.running else { return Ok(0) };
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 && !self.is_limited {
            self.end();
            return Ok(0);
        }
        // With a limit, one byte more than allowed, to detect output beyond it.
        let max = self.left.saturating_add(u64::from(self.is_limited));
        let max = buf.len().min(usize::try_from(max).unwrap_or(usize::MAX));
        let buf = &mut buf[..max];
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
                    "the script {} has ended its output {missing} bytes before its Content-Length",
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
        // The session logs it, with the client and the request.
        let text = format!("the script {} {error}", running.script.path.display());
        self.running = None;
        Err(io::Error::new(error.kind(), text))
    }
}

impl ScriptOutput {
    fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            let unread = self.first.get_ref().len() as u64 - self.first.position();
            running.surplus = self.missing.map(|_| unread);
            running.finish(true);
        }
    }
}

impl Drop for ScriptOutput {
    /// Lets the script run on if the announced length was sent: it may have more to do, as after
    /// the end of its output.
    fn drop(&mut self) {
        if self.left == 0 && !self.is_limited {
            self.end();
        }
    }
}

/// Logs the standard error of a script line by line, bounded and escaped.
fn log_lines(script: &str, mut stderr: ChildStderr) {
    let mut piece = vec![0; PIECE];
    let mut line = Vec::new();
    let mut lines = 0;
    while let Ok(count @ 1..) = stderr.read(&mut piece) {
        // The rest is not scanned: it may be hundreds of megabytes.
        if lines > LINES_MAX {
            continue;
        }
        for part in piece[..count].split_inclusive(|&byte| byte == b'\n') {
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                lines += 1;
                log_line(script, &line, lines);
                line.clear();
            }
            if lines > LINES_MAX {
                line.clear();
                break;
            }
        }
    }
    if !line.is_empty() {
        log_line(script, &line, lines + 1);
    }
}

/// Logs the line with this number, which begins at 1.
fn log_line(script: &str, line: &[u8], number: usize) {
    if number <= LINES_MAX {
        let line = String::from_utf8_lossy(line);
        tracing::warn!("{script}: {}", Visible(line.trim_end()));
    } else {
        tracing::warn!("{script}: more than {LINES_MAX} lines; the others are not logged");
    }
}
