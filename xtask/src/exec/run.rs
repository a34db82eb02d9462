//! Runs one program with a time limit.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::family::{kill_all, spawn, wait_out_interrupt};
use super::invocation::Invocation;

/// The end of a program.
#[derive(Debug)]
pub struct Ran {
    /// The reason of a failure, or `None` after a success.
    pub failure: Option<String>,
    /// The lines that it wrote to either stream, in their order.
    pub lines: Vec<String>,
}

/// Runs `invocation` in `root`, and repeats its output here. After `limit` it is killed with
/// everything that it started.
pub fn run(root: &Path, invocation: &Invocation, limit: Duration) -> io::Result<Ran> {
    run_with(root, invocation, limit, |line| println!("{line}"))
}

/// Runs `invocation` in `root` as [`run`] does, and prints nothing.
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
        // Cargo writes into a pipe, and would not know that its lines are shown in a terminal.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = spawn(&mut command)?;
    // The command holds the writing end of the pipe, so the output would never end.
    drop(command);
    let lines = follow(output);
    let deadline = Instant::now() + limit;
    let mut written = Vec::new();
    let mut failure = None;
    let mut ended = false;
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => {
                show(&line);
                written.push(line);
            }
            // A child that outlives the program may hold its output open, and is not waited for.
            Err(RecvTimeoutError::Timeout) if ended => break,
            Err(RecvTimeoutError::Timeout) => ended = child.try_wait()?.is_some(),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if failure.is_none() && !ended && Instant::now() > deadline {
            failure = Some(format!("killed after {} s", limit.as_secs()));
            kill_all(&mut child);
        }
    }
    // The output may end long before the program does.
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
    Ok(Ran { failure, lines: written })
}

/// Sends each line as it arrives, until the end of the stream.
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
    fn lines_are_kept_and_a_failure_is_reported() {
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
}
