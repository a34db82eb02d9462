//! A server under test: this program again, as `serve SUBJECT KIND`, on the server's core.

use super::child::this_program;
use crate::names::{Name, ServerKind};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

/// A server's process, killed when dropped.
pub(crate) struct Server {
    process: Child,
    /// The line that it has printed: a port, several ports, or a path.
    endpoint: String,
}

impl Server {
    /// Starts a server, and waits until it has printed where it listens.
    pub(crate) fn start(
        name: Name,
        kind: ServerKind,
        arguments: &[&str],
    ) -> Result<Server, String> {
        let mut process = this_program()
            .args(["serve", &name.to_string(), &kind.to_string()])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the server: {error}"))?;
        let stdout = process.stdout.take();
        let mut server = Server { process, endpoint: String::new() };
        if let Some(stdout) = stdout {
            // A server that fails prints nothing here, but its reason on stderr, which it shares
            // with this process.
            let _ = BufReader::new(stdout).read_line(&mut server.endpoint);
        }
        Ok(server)
    }

    /// Returns the number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Returns the line that it has printed.
    pub(crate) fn endpoint(&self) -> &str {
        self.endpoint.trim_end()
    }

    /// Reads the ports on which it listens.
    pub(crate) fn ports(&self) -> Result<Vec<u16>, String> {
        let ports = self.endpoint.split_whitespace().map(str::parse).collect::<Result<Vec<_>, _>>();
        ports.map_err(|_| "the server gave no port".into())
    }

    /// Reads the port on which it listens.
    pub(crate) fn port(&self) -> Result<u16, String> {
        self.ports()?.first().copied().ok_or("the server gave no port".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It serves for ever. Both calls fail if it has died already, which does no harm.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
