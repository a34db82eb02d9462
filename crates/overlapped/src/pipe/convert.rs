//! Conversions to and from std's types and raw descriptors. The mode stays as it is.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use super::{PipeReader, PipeWriter};

/// The conversions of one end.
macro_rules! conversions {
    ($($ours:ident),*) => {$(
        impl From<OwnedFd> for $ours {
            fn from(fd: OwnedFd) -> $ours {
                $ours { fd }
            }
        }

        impl From<$ours> for OwnedFd {
            fn from(ours: $ours) -> OwnedFd {
                ours.fd
            }
        }

        impl From<std::io::$ours> for $ours {
            fn from(theirs: std::io::$ours) -> $ours {
                OwnedFd::from(theirs).into()
            }
        }

        impl From<$ours> for std::io::$ours {
            fn from(ours: $ours) -> std::io::$ours {
                ours.fd.into()
            }
        }

        impl From<$ours> for Stdio {
            fn from(ours: $ours) -> Stdio {
                ours.fd.into()
            }
        }

        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.fd.as_fd()
            }
        }

        impl AsRawFd for $ours {
            fn as_raw_fd(&self) -> RawFd {
                self.fd.as_raw_fd()
            }
        }

        impl IntoRawFd for $ours {
            fn into_raw_fd(self) -> RawFd {
                self.fd.into_raw_fd()
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

conversions!(PipeReader, PipeWriter);
