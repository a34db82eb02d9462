//! Echo servers over sockets of other kinds: streams of the Unix family, and UDP.
//!
//! A stream's echo is that of the suite `echo`. UDP: several sockets, a task for each, that
//! receives a datagram and sends it back to whom it came from.

mod compio;
mod monoio;
mod overlapped;
mod tokio;

use super::{ABSENT, Name, go, say};
use ::overlapped::port::PortChoice;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a subject may do. Each method runs in a process of its own, until that is killed.
pub(crate) trait Sockets {
    /// Listens at [`path`], says so, and echoes.
    fn serve_unix(&self) -> Result<(), String>;

    /// Binds so many sockets, announces them (see [`announce`]), and echoes.
    fn serve_datagrams(&self, sockets: usize) -> Result<(), String>;
}

pub(crate) fn of(name: Name) -> Result<Box<dyn Sockets>, String> {
    Ok(match name {
        Name::OverlappedUring => Box::new(overlapped::Overlapped { port: PortChoice::Uring }),
        Name::OverlappedPoll => Box::new(overlapped::Overlapped { port: PortChoice::Poll }),
        Name::Tokio => Box::new(tokio::Tokio),
        Name::Compio => Box::new(compio::Compio),
        Name::Monoio => Box::new(monoio::Monoio),
        Name::Go => Box::new(Go),
        _ => return Err(ABSENT.into()),
    })
}

/// Where this process listens. The load removes it.
fn path() -> PathBuf {
    std::env::temp_dir().join(format!("overlapped-bench-{}.socket", std::process::id()))
}

/// Tells the load where to connect.
fn announce_path() {
    println!("{}", path().display());
}

/// Tells the load the sockets' ports.
fn announce(sockets: impl IntoIterator<Item = SocketAddr>) {
    let ports: Vec<String> =
        sockets.into_iter().map(|address| address.port().to_string()).collect();
    println!("{}", ports.join(" "));
}

struct Go;

impl Sockets for Go {
    fn serve_unix(&self) -> Result<(), String> {
        let path = path();
        let path = path.to_str().ok_or("the folder for temporary files has an odd name")?;
        go::serve_as(&["echo_unix", path])
    }

    fn serve_datagrams(&self, sockets: usize) -> Result<(), String> {
        go::serve_as(&["echo_datagrams", &sockets.to_string()])
    }
}
