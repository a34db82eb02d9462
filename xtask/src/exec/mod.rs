//! Runs one program with a time limit and keeps what it said.
//!
//! ```text
//! family    what a program has started, and its end
//! progress  how far a run of many tests is, and its limit
//! ```

mod family;
mod progress;

use std::fmt;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

pub use family::end_on_interrupt;
pub(crate) use family::{Mark, Scratch, kill_all, spawn, wait_out_interrupt};
pub(crate) use progress::{Progress, is_hung, is_over, no_end};

/// A program with its arguments and the environment that differs from ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    program: String,
    arguments: Vec<String>,
    set: Vec<(String, String)>,
    unset: Vec<String>,
}

impl Invocation {
    /// `program` with `arguments`, which are parted at spaces.
    pub fn new(program: &str, arguments: &str) -> Invocation {
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Invocation { program: program.to_owned(), arguments, ..Invocation::default() }
    }

    /// Replaces the program, spaces and all.
    pub(crate) fn program(mut self, path: &Path) -> Invocation {
        self.program = path.to_string_lossy().into_owned();
        self
    }

    /// Cargo with `arguments`.
    pub fn cargo(arguments: &str) -> Invocation {
        Invocation::new("cargo", arguments)
    }

    /// With one more argument, spaces and all.
    pub fn arg(mut self, argument: &str) -> Invocation {
        self.arguments.push(argument.to_owned());
        self
    }

    /// With a variable set.
    pub fn env(mut self, name: &str, value: &str) -> Invocation {
        self.set.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without a variable that we may have.
    pub fn without_env(mut self, name: &str) -> Invocation {
        self.unset.push(name.to_owned());
        self
    }

    /// Runs it as an argument of `outer`, with the environment of both.
    pub fn under(self, outer: Invocation) -> Invocation {
        let Invocation { program, mut arguments, mut set, mut unset } = outer;
        arguments.push(self.program);
        arguments.extend(self.arguments);
        set.extend(self.set);
        unset.extend(self.unset);
        Invocation { program, arguments, set, unset }
    }

    fn command(&self) -> Command {
        // Cargo tells its children which of the installed ones it is.
        let own = (self.program == "cargo").then(|| std::env::var_os("CARGO")).flatten();
        let mut command = Command::new(own.unwrap_or_else(|| self.program.clone().into()));
        command.args(&self.arguments);
        self.unset.iter().for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.set.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it silently; whether it ended well.
    pub fn probe(&self) -> bool {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

/// As it would be typed into a shell.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.set {
            write!(f, "{name}={} ", quoted(value))?;
        }
        write!(f, "{}", self.program)?;
        self.arguments.iter().try_for_each(|argument| write!(f, " {}", quoted(argument)))
    }
}

fn quoted(text: &str) -> String {
    if text.contains(' ') { format!("'{text}'") } else { text.to_owned() }
}

/// The end of a program.
#[derive(Debug)]
pub struct Ran {
    /// `None`: well; else the reason.
    pub failure: Option<String>,
    /// The lines that it wrote, to either stream, in their order.
    pub lines: Vec<String>,
}

/// Runs `invocation` in `root`, repeating its output here. After `limit` it is killed with all that
/// it started.
pub fn run(root: &Path, invocation: &Invocation, limit: Duration) -> io::Result<Ran> {
    run_with(root, invocation, limit, |line| println!("{line}"))
}

/// Runs `invocation` in `root` and keeps its output to itself.
pub(crate) fn run_quietly(
    root: &Path,
    invocation: &Invocation,
    limit: Duration,
) -> io::Result<Ran> {
    run_with(root, invocation, limit, |_| {})
}

fn run_with(
    root: &Path,
    invocation: &Invocation,
    limit: Duration,
    show: impl Fn(&str),
) -> io::Result<Ran> {
    let (output, input) = io::pipe()?;
    let mut command = invocation.command();
    command.current_dir(root).stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    if io::stdout().is_terminal() {
        // Behind a pipe, cargo would not know.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = spawn(&mut command)?;
    // It holds our end for writing: the output would never end.
    drop(command);
    let lines = follow(output);
    let deadline = Instant::now() + limit;
    let mut said = Vec::new();
    let mut failure = None;
    let mut ended = false;
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                show(&line);
                said.push(line);
            }
            // What outlives the program may hold its output open: nobody waits for that.
            Err(RecvTimeoutError::Timeout) if ended => break,
            Err(RecvTimeoutError::Timeout) => ended = child.try_wait()?.is_some(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if failure.is_none() && !ended && Instant::now() > deadline {
            failure = Some(format!("killed after {} s", limit.as_secs()));
            kill_all(&mut child);
        }
    }
    // Its output may end long before it does.
    while child.try_wait()?.is_none() {
        if failure.is_none() && Instant::now() > deadline {
            failure = Some(format!("killed after {} s", limit.as_secs()));
            kill_all(&mut child);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = child.wait()?;
    let failure = failure.or_else(|| (!status.success()).then(|| status.to_string()));
    if failure.is_some() {
        wait_out_interrupt();
    }
    Ok(Ran { failure, lines: said })
}

/// Sends each line as it comes. Ends with the stream.
fn follow(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Ran {
        run(Path::new("."), &Invocation::new("sh", "-c").arg(script), limit).unwrap()
    }

    #[test]
    fn lines_are_kept_and_a_bad_end_is_told() {
        let ran = shell("echo one; echo two >&2; exit 3", Duration::from_secs(60));
        assert_eq!(ran.lines, ["one", "two"]);
        assert!(ran.failure.unwrap().contains('3'));
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let begin = Instant::now();
        let ran = shell("sleep 300 & sleep 300; echo never", Duration::from_secs(1));
        assert!(ran.failure.unwrap().contains("killed"));
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert!(ran.lines.is_empty());
    }

    #[test]
    fn an_invocation_reads_as_typed() {
        let inner = Invocation::cargo("test p1_").env("A", "b c");
        let outer = Invocation::new("strace", "-f");
        assert_eq!(inner.under(outer).to_string(), "A='b c' strace -f cargo test p1_");
    }
}
