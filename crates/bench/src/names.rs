//! The names of suites, subjects and kinds of servers, as the command line has them.
//!
//! A name is only data: what a suite measures is in [`crate::suites`], and the code of a subject in
//! [`crate::subjects`]. Both tables stand above this file, so that everything may import a name.

use clap::ValueEnum;
use std::fmt;

/// The suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Suite {
    Tasklets,
    Echo,
    Files,
    Threads,
    Unix,
    Datagrams,
    Wake,
    Http,
    Tls,
    Protocols,
    Tools,
    Install,
}

/// The subjects, ours first. The suites with a range of subjects rely on the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Name {
    OverlappedUring,
    OverlappedPoll,
    Tokio,
    May,
    Compio,
    Monoio,
    Raw,
    Go,
    /// One thread and std's calls; files only.
    Pread,
    /// The program cp; files only.
    Cp,
    /// The program nginx; HTTP only, as all others before the tools.
    Nginx,
    NginxCached,
    Hyper,
    HyperInline,
    HyperMemory,
    /// The programs rsync, curl, wget2 and aria2c; the suite `tools` only.
    Rsync,
    Curl,
    Wget2,
    Aria2,
    /// Unmodified std code in tasklets, and in threads; the suite `install` only, as all others
    /// from here on.
    InstallUring,
    InstallPoll,
    Threads,
    /// This library's own types in tasklets with thread-locals of their own.
    OwnUring,
    Java,
}

impl Name {
    /// Tells whether a suite measures this subject, and not as a peer. Where unmodified code is
    /// measured, this library's own types are a peer.
    pub(crate) fn is_ours(self, suite: Suite) -> bool {
        match suite {
            Suite::Install => matches!(self, Name::InstallUring | Name::InstallPoll),
            _ => matches!(self, Name::OverlappedUring | Name::OverlappedPoll),
        }
    }
}

/// The kinds of servers; the first five echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerKind {
    Echo,
    /// Echo with a small buffer, for the memory of idle connections.
    Parked,
    /// Echo on two threads.
    OnTwo,
    /// Echo over streams of the Unix family.
    Unix,
    Datagrams,
    Http,
    Tls,
    /// Messages with their length in front.
    Length,
    /// Messages that end with a line feed.
    Line,
    /// Counts of words.
    Words,
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        argument(self, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        argument(self, f)
    }
}

impl fmt::Display for ServerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        argument(self, f)
    }
}

/// Writes a value as the command line has it.
fn argument(value: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value.to_possible_value() {
        Some(value) => f.pad(value.get_name()),
        None => Err(fmt::Error),
    }
}
