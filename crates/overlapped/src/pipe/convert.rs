//! Conversions to and from std's types and raw descriptors. The mode stays as it is.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{PipeReader, PipeWriter};

/// The conversions of types that are the end of a pipe, which they own in their field `fd`. `$std`
/// is the module of their counterparts.
macro_rules! ends {
    ($std:path: $($ours:ident),*) => {$(
        const _: () = {
            use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
            use std::process::Stdio;

            use $std as theirs;

            use $crate::pipe::{End, Endpoint, Side};

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

            impl From<theirs::$ours> for $ours {
                fn from(theirs: theirs::$ours) -> $ours {
                    OwnedFd::from(theirs).into()
                }
            }

            impl From<$ours> for theirs::$ours {
                fn from(ours: $ours) -> theirs::$ours {
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

            impl Endpoint for $ours {
                fn end(&self, _: Side) -> Option<End<'_>> {
                    End::new(self.as_fd(), None).ok()
                }
            }
        };
    )*};
}

pub(crate) use ends;

ends!(std::io: PipeReader, PipeWriter);

macro_rules! from_raw {
    ($($ours:ident),*) => {$(
        impl FromRawFd for $ours {
            unsafe fn from_raw_fd(fd: RawFd) -> $ours {
                // SAFETY: the caller promises that the descriptor is open and owned by no other
                // code.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }
    )*};
}

from_raw!(PipeReader, PipeWriter);
