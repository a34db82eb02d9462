//! To and from std's types and raw descriptors. Conversions only.
//!
//! On the way in, the descriptor's mode and limits are remembered and it becomes non-blocking; on
//! the way out it gets the mode that was asked for. Clones share one mode in the kernel, so turning
//! one of several clones into a std type makes the others' descriptor blocking too; operations on
//! io_uring do not mind, those on the poll backend would. Convert the last clone.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use super::socket::Socket;
use super::unix::{UnixDatagram, UnixListener, UnixStream};
use super::{TcpListener, TcpStream, UdpSocket};

/// The conversions of the socket types of one of std's modules.
macro_rules! conversions {
    ($std:path: $($ours:ident),*) => {$(
        impl From<OwnedFd> for $ours {
            fn from(fd: OwnedFd) -> $ours {
                $ours { socket: Socket::adopt(fd) }
            }
        }

        impl From<$ours> for OwnedFd {
            fn from(ours: $ours) -> OwnedFd {
                ours.socket.give_up()
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

        /// For a child process; std wants the detour over `OwnedFd`.
        impl From<$ours> for std::process::Stdio {
            fn from(ours: $ours) -> std::process::Stdio {
                OwnedFd::from(ours).into()
            }
        }

        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.as_fd()
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
                // SAFETY: handed on to the caller: the descriptor is open and nobody else's.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }
    )*};
}

conversions!(std::net: TcpListener, TcpStream, UdpSocket);
conversions!(std::os::unix::net: UnixDatagram, UnixListener, UnixStream);
