//! The subjects: for each library the code that its user would write, and nothing cleverer.
//!
//! All run on one thread (or one worker), because the question is what a core can do. Echo
//! servers: accept, no delay, a task per connection, a buffer of 4 KiB, read, write all.

mod compio;
pub(crate) mod files;
mod go;
pub(crate) mod install;
mod may;
mod monoio;
mod overlapped;
mod raw;
pub(crate) mod servers;
pub(crate) mod sockets;
mod tokio;
pub(crate) mod wake;

use crate::Suite;
use crate::harness::memory::Memory;
use ::overlapped::port::PortChoice;
use clap::ValueEnum;
use overlapped::Overlapped;
use servers::{Framing, Nginx};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The buffer of a connection.
pub(crate) const BUFFER_BYTES: usize = 4096;
/// The buffer of a connection whose memory is measured, on the task's stack or in its future.
pub(crate) const PARKED_BUFFER_BYTES: usize = 1024;
/// Where a server listens: a port of the kernel's choice.
pub(crate) const ADDRESS: &str = "127.0.0.1:0";

/// Why a subject has no result where it has nothing of the kind.
pub(crate) const ABSENT: &str = "it has no such thing";

/// What every subject can do. Each method runs in a process of its own.
pub(crate) trait Subject {
    /// Whether it can run here; may build what it needs. Called once, before the rounds.
    fn prepare(&self) -> Result<(), String> {
        Ok(())
    }

    /// Spawns and joins `n` empty tasks, one after the other.
    fn spawn_join(&self, _n: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// `tasks` tasks yield `rounds` times each, in turn; see [`crate::tasklets::YieldClock`].
    fn yields(&self, _tasks: usize, _rounds: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// A number goes to another task and comes back, `n` times.
    fn channel_round_trip(&self, _n: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Which channel that is, where the library leaves a choice.
    fn remark(&self) -> Option<&'static str> {
        None
    }

    /// The memory added while `n` tasks wait for something.
    fn parked(&self, _n: usize) -> Result<Memory, String> {
        Err(ABSENT.into())
    }

    /// What a parked task may need at worst, to refuse what does not fit.
    fn parked_kib_estimate(&self) -> f64 {
        2.0
    }

    /// Listens, prints the port (see [`announce`]) and echoes until it is killed.
    fn serve(&self) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// The same with a buffer of [`PARKED_BUFFER_BYTES`].
    fn serve_parked(&self) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// The same on two threads.
    fn serve_on_two(&self) -> Result<(), String> {
        Err(ABSENT.into())
    }
}

/// The kinds of servers; the first five echo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    Echo,
    Parked,
    OnTwo,
    Unix,
    Datagrams,
    Http,
    Tls,
    Length,
    Line,
    Words,
}

impl Server {
    /// Serves until it is killed. `sockets`: how many, where there is no listener. `folder`: of the
    /// files that are served, or of the certificate.
    pub(crate) fn run(self, name: Name, sockets: usize, folder: &Path) -> Result<(), String> {
        match self {
            Server::Echo => name.subject().serve(),
            Server::Parked => name.subject().serve_parked(),
            Server::OnTwo => name.subject().serve_on_two(),
            Server::Unix => sockets::of(name)?.serve_unix(),
            Server::Datagrams => sockets::of(name)?.serve_datagrams(sockets),
            Server::Http => servers::of(name)?.http(folder),
            Server::Tls => servers::of(name)?.tls(folder),
            Server::Length => servers::of(name)?.framed(Framing::Length),
            Server::Line => servers::of(name)?.framed(Framing::Line),
            Server::Words => install::of(name)?.serve(),
        }
    }
}

/// The subjects' names, ours first.
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
    /// The program nginx; HTTP only, and so are the others from here on.
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
    /// Unmodified std code in tasklets, and in threads; the suite `install` only, and so are the
    /// others from here on.
    InstallUring,
    InstallPoll,
    Threads,
    /// This library's own types in tasklets with thread-locals of their own.
    OwnUring,
    Java,
}

impl Name {
    /// Tells whether a suite measures this, and not as a peer. Where unmodified code is measured,
    /// this library's own types are a peer.
    pub(crate) fn is_ours(self, suite: Suite) -> bool {
        match suite {
            Suite::Install => matches!(self, Name::InstallUring | Name::InstallPoll),
            _ => matches!(self, Name::OverlappedUring | Name::OverlappedPoll),
        }
    }

    pub(crate) fn subject(self) -> Box<dyn Subject> {
        match self {
            Name::OverlappedUring => Box::new(Overlapped { port: PortChoice::Uring }),
            Name::OverlappedPoll => Box::new(Overlapped { port: PortChoice::Poll }),
            Name::Tokio => Box::new(tokio::Tokio),
            Name::May => Box::new(may::May),
            Name::Compio => Box::new(compio::Compio),
            Name::Monoio => Box::new(monoio::Monoio),
            Name::Raw => Box::new(raw::Raw),
            Name::Go => Box::new(go::Go),
            Name::Pread | Name::Cp => Box::new(NoTasks),
            Name::Nginx => Box::new(Nginx { is_caching: false }),
            Name::NginxCached => Box::new(Nginx { is_caching: true }),
            Name::Hyper | Name::HyperInline | Name::HyperMemory => Box::new(NoTasks),
            Name::Rsync | Name::Curl | Name::Wget2 | Name::Aria2 => Box::new(NoTasks),
            Name::InstallUring | Name::InstallPoll | Name::Threads => Box::new(NoTasks),
            Name::OwnUring | Name::Java => Box::new(NoTasks),
        }
    }
}

/// Those that only read and copy files, or only serve.
struct NoTasks;

impl Subject for NoTasks {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        argument(self, f)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        argument(self, f)
    }
}

/// A value as the command line has it.
fn argument(value: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match value.to_possible_value() {
        Some(value) => f.write_str(value.get_name()),
        None => Err(fmt::Error),
    }
}

/// Tells the load where to connect.
pub(crate) fn announce(address: SocketAddr) {
    println!("{}", address.port());
}

/// An error as a sentence.
pub(crate) fn say(error: impl fmt::Display) -> String {
    error.to_string()
}

/// Yields once, for executors without a function for it.
async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
