//! The work of each subject in the suite `install`.

mod java;
mod own;
mod program;
mod words;

use super::{ABSENT, Name, go, say};
use own::Own;
use std::time::Duration;

pub(crate) use java::prepare as prepare_java;
pub(crate) use program::prepare as prepare_program;

use ::overlapped::port::PortChoice;
use program::Program;

/// The work of one subject. Each method runs in a process of its own.
pub(crate) trait Install {
    /// Nanoseconds for `n` times, or KiB for each of `n`.
    fn figure(&self, _case: &str, _n: u64) -> Result<f64, String> {
        Err(ABSENT.into())
    }

    /// Twenty downloads, one after the other, and at once.
    fn downloads(&self) -> Result<[Duration; 2], String> {
        Err(ABSENT.into())
    }

    /// Counts words for its clients until it is killed; prints where it listens.
    fn serve(&self) -> Result<(), String>;
}

pub(crate) fn of(name: Name) -> Result<Box<dyn Install>, String> {
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
