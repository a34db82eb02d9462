//! Unmodified std code: the program in `bin/install`, in which overlapped-install is linked, and
//! the example `server` of that crate. Both are built at first use, beside this program. The
//! subject `threads` runs the same code outside tasklets, and serves without overlapped-install.

use super::words::{count, more};
use crate::error::say;
use crate::harness::process;
use crate::traits::install::Install;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(super) struct Program {
    pub(super) world: &'static str,
    /// The port, or `None` for that of the environment.
    pub(super) port: Option<&'static str>,
}

fn beside(name: &str) -> Result<PathBuf, String> {
    Ok(std::env::current_exe().map_err(say)?.with_file_name(name))
}

/// Builds both programs with the profile of this one.
pub(crate) fn prepare() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let build = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.arg("build").args(arguments);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let output = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("cargo build: {}", String::from_utf8_lossy(&output.stderr)))
    };
    build(&["-p", "overlapped-bench", "--bin", "overlapped-bench-install"])?;
    build(&["-p", "overlapped-install", "--example", "server"])
}

impl Program {
    fn run(&self, case: &str, n: u64) -> Result<Vec<f64>, String> {
        let output = Command::new(beside("overlapped-bench-install")?)
            .args([self.world, case, &n.to_string()])
            .envs(self.port.map(|port| ("OVERLAPPED_PORT", port)))
            .output()
            .map_err(say)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}", output.status, text.lines().next().unwrap_or_default()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        text.split_whitespace().map(|word| word.parse().map_err(say)).collect()
    }
}

impl Install for Program {
    fn figure(&self, case: &str, n: u64) -> Result<f64, String> {
        self.run(case, n)?.first().copied().ok_or_else(|| "it printed nothing".into())
    }

    fn downloads(&self) -> Result<[Duration; 2], String> {
        let server = slow_server().map_err(say)?;
        let downloads = self.run("downloads", server.into())?;
        match downloads[..] {
            [serial, at_once] => Ok([serial, at_once].map(|ns| Duration::from_nanos(ns as u64))),
            _ => Err("it printed something else".into()),
        }
    }

    fn serve(&self) -> Result<(), String> {
        if self.world == "threads" {
            return serve_by_threads().map_err(say);
        }
        process::die_with_parent();
        let mut server = Command::new(beside("examples")?.join("server"));
        server.arg("127.0.0.1:0").envs(self.port.map(|port| ("OVERLAPPED_PORT", port)));
        Err(say(server.exec()))
    }
}

fn serve_by_threads() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let words = Arc::new(Mutex::new(HashMap::new()));
    for stream in listener.incoming() {
        let (stream, words) = (stream?, Arc::clone(&words));
        thread::spawn(move || {
            let lock = || words.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            count(&stream, &stream, |line| more(&mut lock(), line))
        });
    }
    Ok(())
}

/// Starts an HTTP server on threads of its own, which takes 100 ms for each answer, and returns its
/// port.
fn slow_server() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(port)
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    thread::sleep(Duration::from_millis(100));
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
}
