//! The end of a download.

use std::fmt;
use std::path::PathBuf;

use indicatif::HumanBytes;

/// The end of a download.
#[derive(Debug)]
pub(super) enum Outcome {
    Saved {
        path: PathBuf,
        /// Bytes of the file that came in this run.
        bytes: u64,
        /// All that came, also what a server has sent more than once.
        came: u64,
        earlier: Earlier,
    },
    /// The file was there before.
    There {
        path: PathBuf,
        /// Tells whether it is known to be this URL's; else its name is all that speaks for it.
        is_recorded: bool,
    },
    Failed {
        text: String,
        kept: Option<PathBuf>,
    },
}

/// The fate of the bytes that an earlier run had left of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    None,
    Kept(u64),
    /// They were of a version that the server does not have any more.
    Outdated(u64),
    /// The server has not gone on behind them.
    Repeated(u64),
}

impl Earlier {
    /// Nothing of them is kept any more, either because the server's file has changed or because
    /// it cannot continue this one.
    pub(super) fn dropped(self, has_changed: bool) -> Earlier {
        match self {
            Earlier::Kept(bytes) if has_changed => Earlier::Outdated(bytes),
            Earlier::Kept(bytes) => Earlier::Repeated(bytes),
            other => other,
        }
    }
}

/// The text behind the name of the file.
impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Earlier::None => Ok(()),
            Earlier::Kept(bytes) => write!(f, " (behind {} of an earlier run)", HumanBytes(*bytes)),
            Earlier::Outdated(bytes) => write!(
                f,
                " (from the first byte: the {} of an earlier run are of another version)",
                HumanBytes(*bytes)
            ),
            Earlier::Repeated(bytes) => write!(
                f,
                " (from the first byte: the server cannot continue behind the {} of an earlier \
                 run)",
                HumanBytes(*bytes)
            ),
        }
    }
}
