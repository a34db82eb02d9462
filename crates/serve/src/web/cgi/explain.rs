//! Messages about scripts that could not be started or have failed, with remedies.

use std::io::{self, Read};

use overlapped::fs::File;
use overlapped::signal;
use rustix::io::Errno;
use rustix::process::WaitIdStatus;

use super::script::Script;

/// The maximum number of bytes that are read of a script's first line.
const LINE_MAX: u64 = 256;

/// Describes why the system could not start a script.
pub(crate) fn start(script: &Script, error: &io::Error) -> String {
    let line = first_line(script).unwrap_or_default();
    let interpreter = line.strip_prefix("#!").map(|rest| rest.trim().split([' ', '\t']).next());
    let interpreter = interpreter.flatten().unwrap_or_default();
    if line.starts_with("#!") && line.ends_with('\r') {
        return carriage_return(&line);
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) if !interpreter.is_empty() => format!(
            "cannot be started: its interpreter {interpreter:?} does not exist; install it, or \
             correct the script's first line"
        ),
        Some(Errno::NOEXEC) => "cannot be started: it is not a program for this machine, and \
                                has no first line such as #!/bin/sh"
            .to_owned(),
        Some(Errno::ACCESS | Errno::PERM) => format!(
            "cannot be started: {error}; this user may not execute it or its interpreter, or its \
             file system is mounted noexec"
        ),
        Some(Errno::MFILE) => {
            "cannot be started: this process has all the descriptors it may have: \
                               raise `ulimit -Hn`, or lower --cgi-scripts or --max-connections"
                .to_owned()
        }
        Some(Errno::TOOBIG) => {
            "cannot be started: the request's headers are too long for an environment".to_owned()
        }
        _ => format!("cannot be started: {error}"),
    }
}

/// Describes the end of a script if it is a failure: by a signal, or (without `has_answered`)
/// without a header.
pub(crate) fn end(status: &WaitIdStatus, has_answered: bool, script: &Script) -> Option<String> {
    if let Some(number) = status.terminating_signal() {
        let name = signal::name(number).map_or_else(|| number.to_string(), str::to_owned);
        let remedy = match name.as_str() {
            // The reader of its output has gone, which is not the script's fault.
            "SIGPIPE" => return None,
            "SIGKILL" => {
                "another process or the kernel killed it, the latter if memory was short (dmesg)"
            }
            "SIGXCPU" | "SIGXFSZ" => "it has exceeded a limit that this server was started with",
            "SIGSYS" => "it has made a system call that a filter forbids",
            "SIGTERM" | "SIGINT" | "SIGHUP" => "another process has terminated it",
            _ => "it has crashed: run it by hand, in its folder, with the variables of the request",
        };
        return Some(format!("was ended by the signal {name}; {remedy}"));
    }
    let code = status.exit_status().filter(|_| !has_answered)?;
    // The exit code of an interpreter, or of env, that was not found.
    if code == 127
        && let Some(line) = first_line(script).filter(|line| line.ends_with('\r'))
    {
        return Some(carriage_return(&line));
    }
    Some(format!(
        "has ended with exit code {code} and without a complete header (such as Content-Type: \
         text/plain, and an empty line); this log has what it wrote to standard error"
    ))
}

fn carriage_return(line: &str) -> String {
    format!(
        "its first line ends with CR LF, so that the system looks for an interpreter whose name \
         ends with a carriage return: {line:?}; save it with LF alone (sed -i 's/\\r$//' FILE)"
    )
}

/// Returns the script's first line without its line feed.
fn first_line(script: &Script) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(&script.path).ok()?.take(LINE_MAX).read_to_end(&mut bytes).ok()?;
    let line = bytes.split(|&byte| byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}
