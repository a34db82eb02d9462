//! Why something was not copied, and what helps.

use std::fmt;
use std::io::{self, ErrorKind};

use rustix::fs::FileType;
use rustix::io::Errno;

/// Why something was not copied.
#[derive(Debug)]
pub(super) enum Problem {
    /// A call failed.
    Call(Doing, io::Error),
    /// Neither a file, a folder nor a symbolic link.
    Special(FileType),
    /// The name of the copy stands for such a thing.
    SpecialThere,
    /// The name of the copy stands for a folder.
    FolderThere,
    /// A folder's copy has the name of something else.
    NoFolderThere,
    /// The name of the copy stands for the source itself.
    Same,
    /// The name of the copy stands for a file that may not be written to.
    WriteProtected,
    /// The copy of a folder stands in it.
    IntoItself,
    /// It was written to meanwhile.
    Changed { before: u64, after: u64 },
    /// `--verify` found another byte.
    Differs { at: u64 },
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
            Problem::Special(_) => {
                "Only files, folders and symbolic links are copied: mknod, mkfifo"
            }
            Problem::SpecialThere => "Nothing but files and links is replaced: move it away first",
            Problem::FolderThere | Problem::NoFolderThere => {
                "A folder and a file do not replace each other: move one away first"
            }
            Problem::WriteProtected => "--force replaces write-protected files, too",
            Problem::IntoItself => "Choose a DST outside of it",
            Problem::Changed { .. } => "Copy it again when nobody writes to it",
            Problem::Differs { .. } => {
                "The copy was not kept. Try again; if it stays so, test memory and disk"
            }
            Problem::Same | Problem::Lost(_) => return None,
        })
    }
}

fn remedy(doing: Doing, error: &io::Error) -> Option<&'static str> {
    let at_source = matches!(doing, Doing::Open | Doing::Read);
    Some(match error.kind() {
        ErrorKind::StorageFull => "The destination is full: make room, or choose another disk",
        ErrorKind::QuotaExceeded => "Your quota on the destination is used up: make room",
        ErrorKind::FileTooLarge => "The destination takes no files so large: choose another one",
        ErrorKind::ReadOnlyFilesystem => "The destination is read-only: choose another one",
        ErrorKind::PermissionDenied if at_source => "Ask its owner for `chmod +r`, or use sudo",
        ErrorKind::PermissionDenied if doing == Doing::Keep => {
            "The destination does not know such permissions or times; the contents are there"
        }
        ErrorKind::PermissionDenied => "Choose a DST that you may write to, or use sudo",
        ErrorKind::InvalidFilename => "The destination knows no such names: rename the source",
        _ => match error.raw_os_error() {
            Some(libc::EMFILE) => {
                "Raise the limit on open files, `ulimit -n`, or take fewer --jobs"
            }
            Some(libc::ENFILE) => "The system has no open files left: raise `sysctl fs.file-max`",
            Some(libc::EIO) => "The disk does not answer as it should: look at `dmesg`",
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
                    Doing::Create => "cannot make its copy",
                    Doing::Write => "cannot write its copy",
                    Doing::Keep => "cannot keep its permissions and times",
                    Doing::Sync => "cannot get its copy onto the disk",
                    Doing::Name => "cannot give its copy the name",
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
                write!(f, "is {kind}, and not copied")
            }
            Problem::SpecialThere => {
                f.write_str("its copy's name is taken by a device or the like")
            }
            Problem::FolderThere => f.write_str("its copy's name is taken by a folder"),
            Problem::NoFolderThere => f.write_str("its copy's name is taken by what is no folder"),
            Problem::Same => f.write_str("and its copy are the same file"),
            Problem::WriteProtected => f.write_str("its copy's name is taken by a protected file"),
            Problem::IntoItself => f.write_str("cannot be copied into itself"),
            Problem::Changed { before, after } if before != after => {
                write!(f, "changed while it was copied: it had {before} bytes, and has {after}")
            }
            Problem::Changed { .. } => f.write_str("changed while it was copied"),
            Problem::Differs { at } => write!(f, "and its copy differ at byte {at}"),
            Problem::Lost(why) => f.write_str(why),
        }
    }
}

/// Without the number: "No space left on device (os error 28)".
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(text, _)| text.to_owned())
}
