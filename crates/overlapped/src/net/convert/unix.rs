//! Conversions to and from std's types and raw descriptors, on Unix.
//!
//! A socket that comes in becomes non-blocking, and its own mode and limits are stored. A socket
//! that goes out gets the mode set by `set_nonblocking`. Clones share one mode in the kernel: if
//! one of several clones becomes a std type, the others become blocking, too. That does not affect
//! operations on io_uring, but those on the poll backend would block. So the last clone is the one
//! to convert.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use crate::net::socket::Socket;
use crate::net::unix::{UnixDatagram, UnixListener, UnixStream};
use crate::net::{TcpListener, TcpStream, UdpSocket};

/// The conversions of the socket types of one of std's modules.
macro_rules! conversions {
    ($std:path: $($ours:ident),*) => {$(
        impl From<OwnedFd> for $ours {
            fn from(fd: OwnedFd) -> $ours {
                $ours { socket: Socket::from_std(fd) }
            }
        }

        impl From<$ours> for OwnedFd {
            fn from(ours: $ours) -> OwnedFd {
                ours.socket.into_std()
            }
        }

        const _: () = {
            use $std as std_net;

            impl From<std_net::$ours> for $ours {
                fn from(theirs: std_net::$ours) -> $ours {
                    OwnedFd::from(theirs).into()
                }
            }

            impl From<$ours> for std_net::$ours {
                fn from(ours: $ours) -> std_net::$ours {
                    OwnedFd::from(ours).into()
                }
            }
        };

        /// Serves a child process; std takes `OwnedFd` only.
        impl From<$ours> for std::process::Stdio {
            fn from(ours: $ours) -> std::process::Stdio {
                OwnedFd::from(ours).into()
            }
        }

        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.as_socket()
            }
        }

        impl AsRawFd for $ours {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.raw()
            }
        }

        impl IntoRawFd for $ours {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl FromRawFd for $ours {
            unsafe fn from_raw_fd(fd: RawFd) -> $ours {
                // SAFETY: the caller promises that the descriptor is open and owned by no other
                // code.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }
    )*};
}

conversions!(std::net: TcpListener, TcpStream, UdpSocket);
conversions!(std::os::unix::net: UnixDatagram, UnixListener, UnixStream);
