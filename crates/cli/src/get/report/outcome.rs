//! The result of a download.

use std::fmt;
use std::path::PathBuf;

use indicatif::HumanBytes;

/// The result of a download.
#[derive(Debug)]
pub(in crate::get) enum Outcome {
    Saved {
        path: PathBuf,
        /// Bytes of the file received in this run.
        bytes: u64,
        /// All bytes received, including those that the server sent more than once.
        received: u64,
        earlier: Earlier,
    },
    /// The file existed before.
    Existed {
        path: PathBuf,
        /// True if the file is recorded as this URL's; otherwise only its name matches.
        is_recorded: bool,
    },
    Failed {
        text: String,
        kept: Option<PathBuf>,
    },
}

/// The fate of the bytes that an earlier run had left of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::get) enum Earlier {
    None,
    Kept(u64),
    /// They belonged to a version that the server no longer has.
    Outdated(u64),
    /// The server could not continue after them.
    Repeated(u64),
}

impl Earlier {
    /// Returns the remark after the bytes were discarded, either because the server's file has
    /// changed or because the server cannot continue it.
    pub(in crate::get) fn dropped(self, has_changed: bool) -> Earlier {
        match self {
            Earlier::Kept(bytes) if has_changed => Earlier::Outdated(bytes),
            Earlier::Kept(bytes) => Earlier::Repeated(bytes),
            other => other,
        }
    }
}

/// The text after the name of the file.
impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Earlier::None => Ok(()),
            Earlier::Kept(bytes) => write!(f, " (after {} of an earlier run)", HumanBytes(*bytes)),
            Earlier::Outdated(bytes) => write!(
                f,
                " (from the first byte: the {} of an earlier run are of another version)",
                HumanBytes(*bytes)
            ),
            Earlier::Repeated(bytes) => write!(
                f,
                " (from the first byte: the server cannot continue after the {} of an earlier \
                 run)",
                HumanBytes(*bytes)
            ),
        }
    }
}
