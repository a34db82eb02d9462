//! Echo servers over sockets of other kinds: one file here for each subject, and the table of them.

mod announce;
mod compio;
mod monoio;
mod overlapped;
mod tokio;

use super::go;
use crate::error::ABSENT;
use crate::names::Name;
use crate::traits::sockets::Sockets;
use ::overlapped::port::PortChoice;
use announce::path;

/// Finds the sockets of a subject.
pub(crate) fn by_name(name: Name) -> Result<Box<dyn Sockets>, String> {
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
