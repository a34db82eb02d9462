//! Worlds in which code in the style of std runs: one file here for each, and the table of them.

mod java;
mod own;
mod program;
mod words;

use super::go;
use crate::error::ABSENT;
use crate::names::Name;
use crate::traits::install::Install;
use ::overlapped::port::PortChoice;
use own::Own;
use program::Program;

pub(crate) use java::prepare as prepare_java;
pub(crate) use program::prepare as prepare_program;

/// Finds the world of a subject.
pub(crate) fn by_name(name: Name) -> Result<Box<dyn Install>, String> {
    Ok(match name {
        Name::InstallUring => Box::new(Program { world: "tasklets", port: Some("uring") }),
        Name::InstallPoll => Box::new(Program { world: "tasklets", port: Some("poll") }),
        Name::Threads => Box::new(Program { world: "threads", port: None }),
        Name::OverlappedUring => Box::new(Own { port: PortChoice::Uring, own_locals: false }),
        Name::OverlappedPoll => Box::new(Own { port: PortChoice::Poll, own_locals: false }),
        Name::OwnUring => Box::new(Own { port: PortChoice::Uring, own_locals: true }),
        Name::Go => Box::new(Go),
        Name::Java => Box::new(java::Java),
        _ => return Err(ABSENT.into()),
    })
}

struct Go;

impl Install for Go {
    fn serve(&self) -> Result<(), String> {
        go::serve_as(&["words"])
    }
}
