//! A server under test: this program again, as `serve SUBJECT KIND`, on the server's core.

use super::child::this_program;
use crate::subjects::{Name, Server as Kind};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// A server's process, killed when dropped.
pub(crate) struct Server {
    process: Child,
    /// Where it listens, as it says itself: a port, several ports, or a path.
    place: String,
}

impl Server {
    /// Starts it, and waits until it has said where it listens.
    pub(crate) fn start(name: Name, kind: Kind, arguments: &[&str]) -> Result<Server, String> {
        let mut process = this_program()
            .args(["serve", &name.to_string(), &kind.to_string()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the server: {error}"))?;
        let stdout = process.stdout.take();
        let mut server = Server { process, place: String::new() };
        if let Some(stdout) = stdout {
            // A server that fails prints nothing, and its reason is on stderr, which is ours.
            let _ = BufReader::new(stdout).read_line(&mut server.place);
        }
        Ok(server)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it listens, in its own words.
    pub(crate) fn place(&self) -> &str {
        self.place.trim_end()
    }

    /// The ports where it listens.
    pub(crate) fn ports(&self) -> Result<Vec<u16>, String> {
        let ports = self.place.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>();
        ports.map_err(|_| "the server gave no port".into())
    }

    /// The port where it listens.
    pub(crate) fn port(&self) -> Result<u16, String> {
        self.ports()?.first().copied().ok_or("the server gave no port".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves for ever; if it has died already, both are errors of no interest.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
