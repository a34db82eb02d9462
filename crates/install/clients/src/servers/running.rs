//! A server that runs, or the reason why it does not.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::process::Process;

/// A server that has been started, and is stopped when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _process: Option<Process>,
}

impl Running {
    /// Names a server that lives as long as this program, or none.
    pub(super) fn by_itself(address: SocketAddr) -> Running {
        Running { address, _process: None }
    }

    /// Has clients connect to a proxy at this address.
    pub(super) fn behind(self, address: SocketAddr) -> Running {
        Running { address, ..self }
    }
}

/// The reason why there is no server.
pub(crate) enum NotStarted {
    /// Its program is missing; the Debian package that has it.
    Missing(&'static str),
    /// It has failed; the text says how.
    Failed(String),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for NotStarted {
    fn from(error: E) -> NotStarted {
        NotStarted::Failed(error.into().to_string())
    }
}

/// Returns a free port of this machine.
pub(super) fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Waits until the server answers, and `is_ready`.
pub(super) fn wait_for(
    mut process: Process,
    address: SocketAddr,
    is_ready: impl Fn() -> bool,
) -> Result<Running, NotStarted> {
    const LIMIT: Duration = Duration::from_secs(30);
    let begin = Instant::now();
    while !is_ready() || TcpStream::connect(address).is_err() {
        if process.has_ended() || begin.elapsed() > LIMIT {
            return Err(NotStarted::Failed(format!("it does not listen: {}", process.said())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Running { address, _process: Some(process) })
}
