//! Why something was not copied, and what helps.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use indicatif::HumanCount;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::display::{Escaped, count, plain};

/// Why something was not copied.
#[derive(Debug)]
pub(super) enum Problem {
    /// A call failed.
    Call(Doing, io::Error),
    /// Neither a file, a folder nor a symbolic link.
    Special(FileType),
    /// The name of the copy stands for such a thing.
    SpecialThere(PathBuf),
    /// The name of the copy stands for a folder.
    FolderThere(PathBuf),
    /// A folder's copy has the name of something else.
    NotFolderThere(PathBuf),
    /// The name of the copy stands for the source itself, perhaps through a link.
    Same(PathBuf),
    /// The name of the copy stands for another source of this run.
    SourceThere(PathBuf),
    /// The name of the copy stands for another copy of this run.
    JustMade(PathBuf),
    /// The name of the copy stands for a file that may not be written to.
    WriteProtected(PathBuf),
    /// The copy of a folder stands in it.
    IntoItself,
    /// The name of a folder that was copied into stands for something else now. The path is the
    /// folder's; `None`: it was removed.
    Moved(Option<PathBuf>),
    /// A folder of the copy was whole, and has lost its name since.
    MovedLater,
    /// It was written to meanwhile. There is a copy, of what was read.
    Changed { before: u64, after: u64 },
    /// It was written to meanwhile, so that `--verify` could not compare.
    ChangedUnverified,
    /// `--verify` found another byte.
    Differs { at: u64 },
    /// A signal came before the end.
    Stopped,
    /// Nobody got to it: a bug, or the process is out of something.
    Lost(String),
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Open,
    Read,
    Create,
    Write,
    /// What was written had not been refused, but did not get through: the last look at a file
    /// before it gets its name.
    Close,
    /// The copy is a mount point: it cannot be replaced, and was written to.
    InPlace,
    /// The copy is there, without its permissions or times.
    Keep,
    Sync,
    /// Giving the copy its name.
    Name,
}

impl Problem {
    pub(super) fn at(doing: Doing) -> impl FnOnce(Errno) -> Problem {
        move |errno| Problem::Call(doing, errno.into())
    }

    /// What to do about it.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Problem::Call(doing, error) => return remedy(*doing, error),
            Problem::Special(_) => "FIFOs, sockets and devices are made anew with --archive",
            Problem::SpecialThere(_) => {
                "Only files and symbolic links are replaced: move it away first"
            }
            Problem::FolderThere(_) | Problem::NotFolderThere(_) => {
                "A folder and a file do not replace each other: move one away first"
            }
            Problem::WriteProtected(_) => "--force replaces write-protected files, too",
            Problem::SourceThere(_) | Problem::IntoItself => "Choose a DST outside of the sources",
            Problem::JustMade(_) => {
                "Two sources have one name in the destination, where A and a may be one name: \
                 rename one of them, or copy them to different folders"
            }
            Problem::Changed { .. } => {
                "What changes while it is copied may be copied half old and half new: copy it once \
                 more when nobody writes to it"
            }
            Problem::ChangedUnverified => "Copy it again when nobody writes to it",
            Problem::Differs { .. } => {
                "The copy was not kept. Try again; if it stays so, test memory and disk"
            }
            Problem::Moved(_) | Problem::MovedLater => "Take the copies from there, or copy again",
            Problem::Same(_) | Problem::Stopped | Problem::Lost(_) => return None,
        })
    }

    /// Tells whether there is a copy all the same.
    pub(super) fn is_warning(&self) -> bool {
        matches!(self, Problem::Changed { .. })
    }
}

fn remedy(doing: Doing, error: &io::Error) -> Option<&'static str> {
    let at_source = matches!(doing, Doing::Open | Doing::Read);
    Some(match error.kind() {
        ErrorKind::StorageFull => "The destination is full: make room, or choose another disk",
        ErrorKind::QuotaExceeded => "Your quota on the destination is used up: make room",
        ErrorKind::FileTooLarge => {
            "The destination takes no files of this size: choose another one"
        }
        ErrorKind::ReadOnlyFilesystem => "The destination is read-only: choose another one",
        ErrorKind::PermissionDenied if at_source => "Ask its owner for `chmod +r`, or use sudo",
        ErrorKind::PermissionDenied if doing == Doing::Keep => {
            "The destination cannot store such permissions or times; the contents are there"
        }
        ErrorKind::PermissionDenied => "Choose a DST that you may write to, or use sudo",
        ErrorKind::InvalidFilename => "The destination cannot store such a name: rename the source",
        _ => match error.raw_os_error() {
            Some(libc::EMFILE) => {
                "Raise the limit on open files, `ulimit -n`, or give a smaller number to --jobs"
            }
            Some(libc::EIO) => "A disk reports an error: look at `dmesg`",
            Some(libc::ENFILE) => "The system has no open files left: raise `sysctl fs.file-max`",
            _ => return None,
        },
    })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Call(doing, error) => {
                let what = match doing {
                    Doing::Open => "cannot be opened",
                    Doing::Read => "cannot be read",
                    Doing::Create => "its copy cannot be made",
                    Doing::Write => "its copy cannot be written",
                    Doing::Close => "its copy cannot be written to its end",
                    Doing::InPlace => {
                        "its copy is a mount point, was written to, and is now incomplete"
                    }
                    Doing::Keep => "its copy cannot be given its permissions and times",
                    Doing::Sync => "its copy cannot be written to the disk",
                    Doing::Name => "its copy cannot be given its name",
                };
                write!(f, "{what}: {}", plain(error))
            }
            Problem::Special(kind) => {
                let kind = match kind {
                    FileType::Fifo => "a FIFO",
                    FileType::Socket => "a socket",
                    FileType::CharacterDevice | FileType::BlockDevice => "a device",
                    _ => "of an unknown kind",
                };
                write!(f, "is {kind}, which is not copied")
            }
            Problem::SpecialThere(to) => {
                write!(f, "{} exists and is a FIFO, a socket or a device", Escaped::new(to))
            }
            Problem::FolderThere(to) => write!(f, "{} exists and is a folder", Escaped::new(to)),
            Problem::NotFolderThere(to) => {
                write!(f, "{} exists and is not a folder", Escaped::new(to))
            }
            Problem::Same(to) => {
                write!(f, "source and target are the same file ({})", Escaped::new(to))
            }
            Problem::SourceThere(to) => {
                write!(f, "{} is another source, which is not replaced", Escaped::new(to))
            }
            Problem::JustMade(to) => {
                let to = Escaped::new(to);
                write!(
                    f,
                    "{to} was made during this run, from another source or by another process, \
                     and is not replaced"
                )
            }
            Problem::WriteProtected(to) => {
                write!(f, "{} exists and is write-protected", Escaped::new(to))
            }
            Problem::IntoItself => f.write_str("cannot be copied into itself"),
            Problem::Moved(Some(now)) => write!(
                f,
                "no longer names the folder that was copied into; that is {} now, with all copies",
                Escaped::new(now)
            ),
            Problem::Moved(None) => f.write_str(
                "no longer names the folder that was copied into; that was removed with all copies",
            ),
            Problem::MovedLater => f.write_str(
                "no longer names the folder that was copied into; that was moved or removed after \
                 it had been copied",
            ),
            Problem::Changed { before, after } if before != after => write!(
                f,
                "it had {}, and has {} now; the copy has what was read",
                count(*before, "byte"),
                HumanCount(*after)
            ),
            Problem::Changed { .. } => f.write_str("it was written to; the copy has what was read"),
            Problem::ChangedUnverified => {
                f.write_str("changed while it was copied, and could not be verified")
            }
            Problem::Differs { at } => write!(f, "its copy differs at byte {at}"),
            Problem::Stopped => f.write_str("stopped before its end"),
            Problem::Lost(why) => f.write_str(why),
        }
    }
}
