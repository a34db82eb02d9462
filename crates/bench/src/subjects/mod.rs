//! The subjects: for each library the code that its user would write, and nothing cleverer.
//!
//! Nearly all run on one thread (or one worker), because the question is what a core can do. Echo
//! servers: accept, no delay, a task per connection, a buffer of 4 KiB, read, write all.
//!
//! A library has one file here for its tasks, and one in each folder for another kind of work; all
//! implement the traits of [`crate::traits`]. The fronts of the folders, and this one, find an
//! implementation by its name. They stand above the files, which import none of them.

mod compio;
mod endpoint;
pub(crate) mod files;
mod go;
pub(crate) mod install;
mod may;
mod monoio;
mod overlapped;
mod raw;
mod servers;
mod sockets;
mod tokio;
pub(crate) mod wake;

use crate::names::{Name, ServerKind};
use crate::traits::servers::Framing;
use crate::traits::tasks::Subject;
use ::overlapped::port::PortChoice;
use overlapped::Overlapped;
use servers::Nginx;
use std::path::Path;

/// Finds the subject with a name.
pub(crate) fn by_name(name: Name) -> Box<dyn Subject> {
    match name {
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

/// A subject without tasks, which only reads and copies files, or only serves.
struct NoTasks;

impl Subject for NoTasks {}

/// Serves until it is killed: on `sockets` sockets, where there is no listener, and the files or by
/// the certificate in `folder`.
pub(crate) fn serve(
    kind: ServerKind,
    name: Name,
    sockets: usize,
    folder: &Path,
) -> Result<(), String> {
    match kind {
        ServerKind::Echo => by_name(name).serve(),
        ServerKind::Parked => by_name(name).serve_parked(),
        ServerKind::OnTwo => by_name(name).serve_on_two(),
        ServerKind::Unix => sockets::by_name(name)?.serve_unix(),
        ServerKind::Datagrams => sockets::by_name(name)?.serve_datagrams(sockets),
        ServerKind::Http => servers::by_name(name)?.http(folder),
        ServerKind::Tls => servers::by_name(name)?.tls(folder),
        ServerKind::Length => servers::by_name(name)?.framed(Framing::Length),
        ServerKind::Line => servers::by_name(name)?.framed(Framing::Line),
        ServerKind::Words => install::by_name(name)?.serve(),
    }
}
