//! A connected socket of either family.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use overlapped::net::TcpStream;
use overlapped::os::unix::net::UnixStream;
use overlapped::time::Duration;
use rustix::net::SendFlags;

/// TCP or Unix.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Socket::Tcp(stream) => (&*stream).read(buf),
                Socket::Unix(stream) => (&*stream).read(buf),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let written = match self {
                Socket::Tcp(stream) => (&*stream).write(bytes),
                Socket::Unix(stream) => (&*stream).write(bytes),
            };
            match written {
                Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written,
            }
        }
    }

    /// Sends as much as need not wait, past the port; 0 also where it fails, which the usual way
    /// will find out and say.
    ///
    /// It leaves at once, where what goes through a ring waits for the other tasklets' turns.
    /// Nobody else gets a turn by it: not for what may go on for ever.
    pub(crate) fn send_at_once(&self, bytes: &[u8], flags: SendFlags) -> usize {
        let flags = flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(self, bytes, flags).unwrap_or(0)
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => stream.shutdown(how),
            Socket::Unix(stream) => stream.shutdown(how),
        }
    }

    /// Has closing destroy what is under way, so that the client cannot take it for all there was.
    pub(crate) fn reset_at_close(&self) {
        if let Socket::Tcp(stream) = self {
            let _ = stream.set_linger(Some(Duration::ZERO));
        }
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Socket::Tcp(stream) => stream.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Socket::Tcp(stream) => stream.as_fd(),
            Socket::Unix(stream) => stream.as_fd(),
        }
    }
}
