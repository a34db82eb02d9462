//! Conversions to and from std's types and raw sockets, on Windows.
//!
//! A socket that comes in becomes non-blocking. Windows does not tell the mode that it had: it
//! counts as blocking, and leaves in the mode set by `set_nonblocking`. Clones share one mode: once
//! one of several has left, calls of the others block the thread. So the last clone is the one to
//! convert.

use std::os::windows::io::{
    AsRawSocket, AsSocket, BorrowedSocket, FromRawSocket, IntoRawSocket, OwnedSocket, RawSocket,
};

use crate::net::socket::Socket;
use crate::net::{TcpListener, TcpStream, UdpSocket};

macro_rules! conversions {
    ($($ours:ident),*) => {$(
        impl From<OwnedSocket> for $ours {
            fn from(socket: OwnedSocket) -> $ours {
                $ours { socket: Socket::from_std(socket) }
            }
        }

        impl From<$ours> for OwnedSocket {
            fn from(ours: $ours) -> OwnedSocket {
                ours.socket.into_std()
            }
        }

        impl From<std::net::$ours> for $ours {
            fn from(theirs: std::net::$ours) -> $ours {
                OwnedSocket::from(theirs).into()
            }
        }

        impl From<$ours> for std::net::$ours {
            fn from(ours: $ours) -> std::net::$ours {
                OwnedSocket::from(ours).into()
            }
        }

        impl AsSocket for $ours {
            fn as_socket(&self) -> BorrowedSocket<'_> {
                self.socket.as_socket()
            }
        }

        impl AsRawSocket for $ours {
            fn as_raw_socket(&self) -> RawSocket {
                self.socket.raw()
            }
        }

        impl IntoRawSocket for $ours {
            fn into_raw_socket(self) -> RawSocket {
                OwnedSocket::from(self).into_raw_socket()
            }
        }

        impl FromRawSocket for $ours {
            unsafe fn from_raw_socket(socket: RawSocket) -> $ours {
                // SAFETY: the caller promises that the socket is open and owned by no other code.
                unsafe { OwnedSocket::from_raw_socket(socket) }.into()
            }
        }
    )*};
}

conversions!(TcpListener, TcpStream, UdpSocket);
