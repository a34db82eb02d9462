//! Methods and traits that several socket types have, word for word.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use super::socket::Limit;
#[cfg(unix)]
use super::unix::{UnixDatagram, UnixListener, UnixStream};
use super::{Shutdown, TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use crate::pipe::{End, Endpoint, Side};
use crate::sys::socket;
use crate::time::Duration;

/// The methods that every socket has.
macro_rules! handles {
    ($($ours:ident),*) => {$(
        impl $ours {
            /// Returns another handle to the same socket. Clones share mode and time limits, as in
            /// std.
            ///
            /// # Errors
            /// Those of fcntl(2): no descriptors left.
            pub fn try_clone(&self) -> io::Result<$ours> {
                Ok($ours { socket: self.socket.try_clone()? })
            }

            /// Takes the pending error (`SO_ERROR`).
            ///
            /// # Errors
            /// Those of getsockopt(2).
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                socket::take_error(self.socket.as_socket())
            }

            /// Switches the non-blocking mode, in which a call that would wait fails with
            /// `WouldBlock`, for this handle and its clones. Accepted sockets do not inherit the
            /// mode, as in std on Linux.
            ///
            /// # Errors
            /// None; std's signature.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.socket.set_nonblocking(nonblocking);
                Ok(())
            }
        }
    )*};
}

handles!(TcpListener, TcpStream, UdpSocket);
#[cfg(unix)]
handles!(UnixDatagram, UnixListener, UnixStream);

/// The time limits of sockets that transfer data.
macro_rules! time_limits {
    ($($ours:ident),*) => {$(
        impl $ours {
            /// Limits how long a receiving call may wait; `None` means for ever. A call that
            /// reaches the limit fails with `WouldBlock`, as in std on Unix, and has consumed
            /// nothing.
            ///
            /// # Errors
            /// `InvalidInput` for a limit of zero, as std.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.socket.set_limit(Limit::Read, timeout)
            }

            /// Limits how long a sending call may wait, as
            #[doc = concat!("[`set_read_timeout`](", stringify!($ours), "::set_read_timeout).")]
            ///
            /// # Errors
            /// `InvalidInput` for a limit of zero, as std.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.socket.set_limit(Limit::Write, timeout)
            }

            /// Returns the limit of receiving calls.
            ///
            /// # Errors
            /// None; std's signature.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.socket.limit(Limit::Read))
            }

            /// Returns the limit of sending calls.
            ///
            /// # Errors
            /// None; std's signature.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.socket.limit(Limit::Write))
            }
        }
    )*};
}

time_limits!(TcpStream, UdpSocket);
#[cfg(unix)]
time_limits!(UnixDatagram, UnixStream);

/// The end of transfers in one or both directions.
macro_rules! shutdowns {
    ($($ours:ident),*) => {$(
        impl $ours {
            /// Shuts down receiving, sending, or both. Tasklets that wait on the socket are woken
            /// by it.
            ///
            /// # Errors
            /// Those of shutdown(2).
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                socket::shutdown(self.socket.as_socket(), how)
            }
        }
    )*};
}

shutdowns!(TcpStream);
#[cfg(unix)]
shutdowns!(UnixDatagram, UnixStream);

/// Implements std's traits for streams, and `Endpoint` for `io::copy`.
macro_rules! streams {
    ($($ours:ident),*) => {$(
        #[cfg(unix)]
        impl Endpoint for $ours {
            fn end(&self, side: Side) -> Option<End<'_>> {
                self.socket.end(side)
            }
        }

        impl Read for &$ours {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.socket.receive(buf, false)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.socket.receive_vectored(bufs)
            }
        }

        impl Write for &$ours {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.socket.send(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.socket.send_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $ours {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl Write for $ours {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    )*};
}

streams!(TcpStream);
#[cfg(unix)]
streams!(UnixStream);
