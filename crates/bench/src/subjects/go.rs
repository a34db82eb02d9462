//! Go: the sources in `go/`, built at first use into one program, beside this program, with this
//! machine's Go. The child that measures runs it and passes its figures on. A server replaces the
//! process of the child, so that the measured process is Go's alone.

use super::endpoint::{BUFFER_BYTES, PARKED_BUFFER_BYTES};
use crate::error::say;
use crate::harness::memory::Memory;
use crate::harness::process;
use crate::traits::tasks::Subject;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub(crate) struct Go;

const SOURCES: [(&str, &str); 6] = [
    ("main.go", include_str!("../../go/main.go")),
    ("files.go", include_str!("../../go/files.go")),
    ("servers.go", include_str!("../../go/servers.go")),
    ("sockets.go", include_str!("../../go/sockets.go")),
    ("wake.go", include_str!("../../go/wake.go")),
    ("words.go", include_str!("../../go/words.go")),
];

fn folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(say)?;
    Ok(program.with_file_name("overlapped-bench-go"))
}

/// Returns a command that runs the program, with that many processors of Go's scheduler.
fn program(processors: usize) -> Result<Command, String> {
    let mut command = Command::new(folder()?.join("main"));
    command.env("GOMAXPROCS", processors.to_string());
    Ok(command)
}

/// Replaces this process by an echo server.
fn serve(processors: usize, buffer: usize) -> Result<(), String> {
    become_program(processors, &["echo", &buffer.to_string()])
}

/// Replaces this process by a server on one core.
pub(in crate::subjects) fn serve_as(arguments: &[&str]) -> Result<(), String> {
    become_program(1, arguments)
}

fn become_program(processors: usize, arguments: &[&str]) -> Result<(), String> {
    // The death signal outlives the exec.
    process::die_with_parent();
    Err(say(program(processors)?.args(arguments).exec()))
}

/// Runs the program and reads the numbers that it prints.
fn numbers(processors: usize, arguments: &[&str]) -> Result<Vec<f64>, String> {
    let output = program(processors)?.args(arguments).output().map_err(say)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}", output.status, text.lines().next().unwrap_or_default()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().map(|word| word.parse().map_err(say)).collect()
}

/// Runs the program on one processor and reads the nanoseconds that it prints.
pub(super) fn nanoseconds(arguments: &[&str]) -> Result<Duration, String> {
    nanoseconds_on(1, arguments)
}

/// Runs the program on that many processors and reads the nanoseconds that it prints.
pub(super) fn nanoseconds_on(processors: usize, arguments: &[&str]) -> Result<Duration, String> {
    let numbers = numbers(processors, arguments)?;
    let nanoseconds = numbers.first().ok_or("it printed nothing")?;
    Ok(Duration::from_nanos(*nanoseconds as u64))
}

impl Subject for Go {
    fn prepare(&self) -> Result<(), String> {
        let folder = folder()?;
        let program = folder.join("main");
        let same = |(name, text): &(&str, &str)| {
            std::fs::read_to_string(folder.join(name)).is_ok_and(|found| found == *text)
        };
        if program.exists() && SOURCES.iter().all(same) {
            return Ok(());
        }
        std::fs::create_dir_all(&folder).map_err(say)?;
        // Removed first: a failed build would leave the old program beside the new sources.
        let _ = std::fs::remove_file(&program);
        for (name, text) in SOURCES {
            std::fs::write(folder.join(name), text).map_err(say)?;
        }
        // The program uses the standard library alone: no modules, no network.
        let output = Command::new("go")
            .args(["build", "-o", "main"])
            .args(SOURCES.map(|(name, _)| name))
            .current_dir(&folder)
            .env("GOFLAGS", "-mod=mod")
            .env("GOPROXY", "off")
            .output()
            .map_err(|error| format!("cannot run go: {error}"))?;
        if !output.status.success() {
            return Err(format!("go build: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(())
    }

    fn spawn_join(&self, n: u64) -> Result<Duration, String> {
        nanoseconds(&["spawn_join", &n.to_string()])
    }

    fn yields(&self, tasks: usize, rounds: u64) -> Result<Duration, String> {
        nanoseconds(&["yield", &tasks.to_string(), &rounds.to_string()])
    }

    fn channel_round_trip(&self, n: u64) -> Result<Duration, String> {
        nanoseconds(&["channel", &n.to_string()])
    }

    fn remark(&self) -> Option<&'static str> {
        Some("unbuffered chan")
    }

    fn parked(&self, n: usize) -> Result<Memory, String> {
        match numbers(1, &["parked", &n.to_string()])?[..] {
            [rss_kib, page_tables_kib, mappings] => {
                Ok(Memory { rss_kib, page_tables_kib, mappings: mappings.max(0.0) as usize })
            }
            _ => Err("it printed something else".into()),
        }
    }

    fn parked_kib_estimate(&self) -> f64 {
        4.0
    }

    fn serve(&self) -> Result<(), String> {
        serve(1, BUFFER_BYTES)
    }

    fn serve_parked(&self) -> Result<(), String> {
        serve(1, PARKED_BUFFER_BYTES)
    }

    fn serve_on_two(&self) -> Result<(), String> {
        serve(2, BUFFER_BYTES)
    }
}
