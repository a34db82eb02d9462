//! Requests to a [`Port`](super::Port), with everything that they need.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::cursors::FileId;
use crate::sys::descriptor;
use crate::sys::file::nonblocking;
use crate::sys::readiness::Interest;
use crate::sys::socket::tcp;

/// A shared descriptor, which is closed with its last clone and the last request that uses it.
///
/// Made from whatever owns a descriptor: `TcpStream`, `TcpListener`, `File`, pipes, `OwnedFd`.
#[derive(Debug, Clone)]
pub struct Descriptor(Arc<OwnedFd>);

impl Descriptor {
    /// Makes a TCP socket that can connect to `addr`.
    ///
    /// # Errors
    /// The system's reason, such as no descriptors left.
    pub fn stream_for(addr: &SocketAddr) -> io::Result<Descriptor> {
        Ok(tcp::stream(addr)?.into())
    }

    /// Returns the descriptor itself if this is its last clone; otherwise gives the clone back.
    ///
    /// # Errors
    /// Another owner or a request in flight holds a clone.
    pub fn into_inner(self) -> Result<OwnedFd, Descriptor> {
        Arc::try_unwrap(self.0).map_err(Descriptor)
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl From<Arc<OwnedFd>> for Descriptor {
    fn from(fd: Arc<OwnedFd>) -> Descriptor {
        Descriptor(fd)
    }
}

impl From<&Descriptor> for Descriptor {
    fn from(descriptor: &Descriptor) -> Descriptor {
        descriptor.clone()
    }
}

/// The owners of descriptors in std. (A blanket implementation would collide with
/// `From<Descriptor> for Descriptor`.)
macro_rules! from_owners {
    ($($owner:ty),* $(,)?) => {$(
        impl From<$owner> for Descriptor {
            fn from(owner: $owner) -> Descriptor {
                Descriptor(Arc::new(OwnedFd::from(owner)))
            }
        }
    )*};
}

from_owners! {
    OwnedFd,
    std::fs::File,
    std::io::PipeReader,
    std::io::PipeWriter,
    std::net::TcpListener,
    std::net::TcpStream,
    std::net::UdpSocket,
    std::os::unix::net::UnixDatagram,
    std::os::unix::net::UnixListener,
    std::os::unix::net::UnixStream,
    std::process::ChildStderr,
    std::process::ChildStdin,
    std::process::ChildStdout,
}

/// One operation and everything it needs, owned.
///
/// Receives and reads **append**: they fill the room between the buffer's length and its capacity
/// and make it longer by what has come, so nothing uninitialised is ever seen. They never
/// reallocate; a buffer without room is refused (0 bytes would look like the end). Sends and
/// writes take the bytes from `start` on, so that one that came out short can be continued with
/// the same buffer.
///
/// One operation transfers 2,147,479,552 bytes at most, as read(2) does.
#[derive(Debug)]
pub struct Request {
    pub(super) descriptor: Descriptor,
    pub(super) operation: Operation,
}

#[derive(Debug)]
pub(super) enum Operation {
    Accept,
    Connect(SocketAddr),
    Recv(Vec<u8>),
    Send(Vec<u8>, usize),
    /// With an offset, or at the cursor.
    Read(Vec<u8>, Option<u64>),
    Write(Vec<u8>, usize, Option<u64>),
    Ready(Interest),
}

impl Request {
    /// Takes the next connection of a listening socket. The connection is close-on-exec and
    /// non-blocking (`set_nonblocking(false)` gives a stream that std can block on).
    ///
    /// The readiness backend sets `O_NONBLOCK` on the listener.
    pub fn accept(listener: impl Into<Descriptor>) -> Request {
        Request::new(listener, Operation::Accept)
    }

    /// Connects a socket, such as one from [`Descriptor::stream_for`].
    ///
    /// The readiness backend sets `O_NONBLOCK` on the socket.
    pub fn connect(socket: impl Into<Descriptor>, addr: SocketAddr) -> Request {
        Request::new(socket, Operation::Connect(addr))
    }

    /// Receives from a socket, appending to `buffer`. 0 bytes: the peer has ended its stream.
    pub fn recv(socket: impl Into<Descriptor>, buffer: Vec<u8>) -> Request {
        Request::new(socket, Operation::Recv(buffer))
    }

    /// Sends `buffer[start..]` on a socket. May send less: continue at a later start. Never
    /// raises SIGPIPE.
    pub fn send(socket: impl Into<Descriptor>, buffer: Vec<u8>, start: usize) -> Request {
        Request::new(socket, Operation::Send(buffer, start))
    }

    /// Reads from a pipe, terminal or socket, or at a file's cursor, appending to `buffer`.
    /// 0 bytes: the end.
    ///
    /// Transfers at a file's cursor are performed in the order of submission, one at a time: each
    /// request on the same file waits in the port until the one before has ended. Requests on other
    /// files do not wait, and neither does [`Request::read_at`]: any number of those run at once.
    /// Ports do not know each other's requests, so use one port for one cursor. A file opened with
    /// `O_DIRECT` is refused: use [`Request::read_at`].
    pub fn read(stream: impl Into<Descriptor>, buffer: Vec<u8>) -> Request {
        Request::new(stream, Operation::Read(buffer, None))
    }

    /// Writes `buffer[start..]` to a pipe, terminal or socket, or at a file's cursor. May write
    /// less: continue at a later start. Transfers at a file's cursor are performed in order, as
    /// with [`Request::read`].
    ///
    /// A pipe without a reader raises SIGPIPE, unless the process ignores it, as Rust programs do
    /// by default. Sockets never do.
    pub fn write(stream: impl Into<Descriptor>, buffer: Vec<u8>, start: usize) -> Request {
        Request::new(stream, Operation::Write(buffer, start, None))
    }

    /// Reads from a file at `offset`, appending to `buffer`. 0 bytes: the end.
    ///
    /// The readiness backend reads in `submit`, which may wait for the disk.
    pub fn read_at(file: impl Into<Descriptor>, buffer: Vec<u8>, offset: u64) -> Request {
        Request::new(file, Operation::Read(buffer, Some(offset)))
    }

    /// Writes `buffer[start..]` to a file at `offset`. May write less: continue at a later start
    /// and a later offset.
    ///
    /// The readiness backend writes in `submit`, which may wait for the disk.
    pub fn write_at(
        file: impl Into<Descriptor>,
        buffer: Vec<u8>,
        start: usize,
        offset: u64,
    ) -> Request {
        Request::new(file, Operation::Write(buffer, start, Some(offset)))
    }

    /// Waits until there is something to read, or the end, or an error; transfers nothing.
    pub fn readable(descriptor: impl Into<Descriptor>) -> Request {
        Request::new(descriptor, Operation::Ready(Interest::Readable))
    }

    /// Waits until there is room to write, or an error; transfers nothing.
    pub fn writable(descriptor: impl Into<Descriptor>) -> Request {
        Request::new(descriptor, Operation::Ready(Interest::Writable))
    }

    fn new(descriptor: impl Into<Descriptor>, operation: Operation) -> Request {
        Request { descriptor: descriptor.into(), operation }
    }

    /// Checks whether the request makes sense; see [`Port::submit`](super::Port::submit).
    pub(super) fn check(&self) -> io::Result<()> {
        match &self.operation {
            Operation::Recv(buffer) | Operation::Read(buffer, _)
                if buffer.len() == buffer.capacity() =>
            {
                return Err(invalid("the buffer has no room: reserve some, or clear it"));
            }
            Operation::Send(buffer, start) | Operation::Write(buffer, start, _)
                if *start > buffer.len() =>
            {
                return Err(invalid("the start is behind the end of the buffer"));
            }
            Operation::Read(_, Some(offset)) | Operation::Write(_, _, Some(offset))
                if i64::try_from(*offset).is_err() =>
            {
                return Err(invalid("no file has such an offset"));
            }
            _ => {}
        }
        Ok(())
    }

    /// Turns reads and writes on sockets into receives and sends (write(2) on a socket raises
    /// SIGPIPE). Returns the file whose cursor is used, if any.
    pub(super) fn resolve(self) -> io::Result<(Request, Option<FileId>)> {
        let Request { descriptor, operation } = self;
        if !matches!(operation, Operation::Read(_, None) | Operation::Write(_, _, None)) {
            return Ok((Request { descriptor, operation }, None));
        }
        let identity = descriptor::identity(descriptor.as_raw_fd());
        let identity = identity.map_err(io::Error::from_raw_os_error)?;
        let operation = match (operation, identity.kind) {
            (Operation::Read(buffer, None), descriptor::Kind::Socket) => Operation::Recv(buffer),
            (Operation::Write(buffer, start, None), descriptor::Kind::Socket) => {
                Operation::Send(buffer, start)
            }
            (operation, _) => operation,
        };
        let is_disk = identity.kind.is_disk();
        // The ring moves no cursor after a transfer past the page cache.
        if is_disk && nonblocking::is_direct(descriptor.as_fd())? {
            return Err(invalid("O_DIRECT goes past the cursor: use read_at, write_at"));
        }
        let file = is_disk.then_some((identity.device, identity.inode));
        Ok((Request { descriptor, operation }, file))
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
