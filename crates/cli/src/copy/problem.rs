//! Failures of copies, and their remedies.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use indicatif::HumanCount;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::display::{Escaped, count, plain};

/// The reason why something was not copied.
#[derive(Debug)]
pub(super) enum Problem {
    /// A call failed.
    Call(Step, io::Error),
    /// Neither a file, a folder nor a symbolic link.
    Special(FileType),
    /// The copy's name belongs to such a special file.
    SpecialExists(PathBuf),
    /// The copy's name belongs to a folder.
    FolderExists(PathBuf),
    /// The name of a folder's copy belongs to something else.
    NotFolderExists(PathBuf),
    /// The copy's name belongs to the source itself, perhaps through a link.
    Same(PathBuf),
    /// The copy's name belongs to another source of this run.
    SourceExists(PathBuf),
    /// The copy's name belongs to another copy of this run.
    JustMade(PathBuf),
    /// The copy's name belongs to a write-protected file.
    WriteProtected(PathBuf),
    /// The folder contains its copy.
    IntoItself,
    /// A folder that copies went into was moved. The path is its new one; `None` if it was
    /// removed.
    Moved(Option<PathBuf>),
    /// A folder of the copy was finished, and was moved later.
    MovedLater,
    /// The source was written to during the copy. There is a copy of what was read.
    Changed { before: u64, after: u64 },
    /// The source was written to during the copy, so that `--verify` could not compare.
    ChangedUnverified,
    /// `--verify` found a difference.
    Differs { at: u64 },
    /// A signal stopped the copy.
    Stopped,
    /// It was never processed: a bug, or a resource is exhausted.
    Lost(String),
}

/// The step that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Open,
    Read,
    Create,
    Write,
    /// A write error reported only by the close, before the file gets its name.
    Close,
    /// The copy is a mount point, which cannot be replaced, and was written to.
    InPlace,
    /// The copy exists, without its permissions or times.
    Keep,
    Sync,
    /// Giving the copy its name.
    Name,
}

impl Problem {
    pub(super) fn at(step: Step) -> impl FnOnce(Errno) -> Problem {
        move |errno| Problem::Call(step, errno.into())
    }

    /// Returns a remedy, if there is one.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        Some(match self {
            Problem::Call(step, error) => return remedy(*step, error),
            Problem::Special(_) => "FIFOs, sockets and devices are created anew with --archive",
            Problem::SpecialExists(_) => {
                "Only files and symbolic links are replaced: move the other one away first"
            }
            Problem::FolderExists(_) | Problem::NotFolderExists(_) => {
                "A folder and a file do not replace each other: move one away first"
            }
            Problem::WriteProtected(_) => "--force also replaces write-protected files",
            Problem::SourceExists(_) | Problem::IntoItself => "Choose a DST outside of the sources",
            Problem::JustMade(_) => {
                "Two sources have the same name in the destination, which may ignore case: \
                 rename one of them, or copy them to different folders"
            }
            Problem::Changed { .. } => {
                "A file that is written to during the copy may be copied half old and half new: \
                 copy it again when no program writes to it"
            }
            Problem::ChangedUnverified => "Copy it again when no program writes to it",
            Problem::Differs { .. } => {
                "The copy was not kept. Try again; if it fails again, test memory and disk"
            }
            Problem::Moved(_) | Problem::MovedLater => "Take the copies from there, or copy again",
            Problem::Same(_) | Problem::Stopped | Problem::Lost(_) => return None,
        })
    }

    /// Tells whether there is a copy nevertheless.
    pub(super) fn is_warning(&self) -> bool {
        matches!(self, Problem::Changed { .. })
    }
}

fn remedy(step: Step, error: &io::Error) -> Option<&'static str> {
    let at_source = matches!(step, Step::Open | Step::Read);
    Some(match error.kind() {
        ErrorKind::StorageFull => {
            "The destination is full: free some space, or choose another disk"
        }
        ErrorKind::QuotaExceeded => "Your quota on the destination is exhausted: free some space",
        ErrorKind::FileTooLarge => {
            "The destination does not store files of this size: choose another one"
        }
        ErrorKind::ReadOnlyFilesystem => "The destination is read-only: choose another one",
        ErrorKind::PermissionDenied if at_source => "Ask its owner for `chmod +r`, or use sudo",
        ErrorKind::PermissionDenied if step == Step::Keep => {
            "The destination cannot store such permissions or times; the contents are complete"
        }
        ErrorKind::PermissionDenied => "Choose a DST that you may write to, or use sudo",
        ErrorKind::InvalidFilename => "The destination cannot store such a name: rename the source",
        _ => match error.raw_os_error() {
            Some(libc::EMFILE) => {
                "Raise the limit on open files (`ulimit -n`), or give --jobs a smaller number"
            }
            Some(libc::EIO) => "A disk reports an error: see `dmesg`",
            Some(libc::ENFILE) => "The system has too many open files: raise `sysctl fs.file-max`",
            _ => return None,
        },
    })
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Call(step, error) => {
                let what = match step {
                    Step::Open => "cannot be opened",
                    Step::Read => "cannot be read",
                    Step::Create => "the copy cannot be created",
                    Step::Write => "the copy cannot be written",
                    Step::Close => "the copy cannot be written completely",
                    Step::InPlace => {
                        "the copy is a mount point, was written to, and is now incomplete"
                    }
                    Step::Keep => "the copy cannot be given its permissions and times",
                    Step::Sync => "the copy cannot be written to the disk",
                    Step::Name => "the copy cannot be given its name",
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
            Problem::SpecialExists(to) => {
                write!(f, "{} exists and is a FIFO, a socket or a device", Escaped::new(to))
            }
            Problem::FolderExists(to) => write!(f, "{} exists and is a folder", Escaped::new(to)),
            Problem::NotFolderExists(to) => {
                write!(f, "{} exists and is not a folder", Escaped::new(to))
            }
            Problem::Same(to) => {
                write!(f, "source and target are the same file ({})", Escaped::new(to))
            }
            Problem::SourceExists(to) => {
                write!(f, "{} is another source, which is not replaced", Escaped::new(to))
            }
            Problem::JustMade(to) => {
                let to = Escaped::new(to);
                write!(
                    f,
                    "{to} was created during this run, from another source or by another process, \
                     and is not replaced"
                )
            }
            Problem::WriteProtected(to) => {
                write!(f, "{} exists and is write-protected", Escaped::new(to))
            }
            Problem::IntoItself => f.write_str("cannot be copied into itself"),
            Problem::Moved(Some(now)) => write!(
                f,
                "no longer names the folder that was copied into, which is now {}, with all copies",
                Escaped::new(now)
            ),
            Problem::Moved(None) => f.write_str(
                "no longer names the folder that was copied into, which was removed with all \
                 copies",
            ),
            Problem::MovedLater => f.write_str(
                "no longer names the folder that was copied into, which was moved or removed \
                 after it had been copied",
            ),
            Problem::Changed { before, after } if before != after => write!(
                f,
                "it had {}, and now has {}; the copy has what was read",
                count(*before, "byte"),
                HumanCount(*after)
            ),
            Problem::Changed { .. } => f.write_str("it was written to; the copy has what was read"),
            Problem::ChangedUnverified => {
                f.write_str("was written to during the copy, and could not be verified")
            }
            Problem::Differs { at } => write!(f, "the copy differs at byte {at}"),
            Problem::Stopped => f.write_str("was stopped before its end"),
            Problem::Lost(why) => f.write_str(why),
        }
    }
}
