//! Files: one file here for each subject, and the table of them. [`division`] says how the work is
//! divided among tasks.

mod compio;
mod division;
mod go;
mod monoio;
mod overlapped;
mod plain;
mod raw;
mod tokio;

use crate::error::ABSENT;
use crate::names::Name;
use crate::traits::files::Files;
use ::overlapped::port::PortChoice;

/// Finds the files of a subject.
pub(crate) fn by_name(name: Name) -> Result<Box<dyn Files>, String> {
    Ok(match name {
        Name::OverlappedUring => Box::new(overlapped::Overlapped { port: PortChoice::Uring }),
        Name::OverlappedPoll => Box::new(overlapped::Overlapped { port: PortChoice::Poll }),
        Name::Tokio => Box::new(tokio::Tokio),
        Name::Compio => Box::new(compio::Compio),
        Name::Monoio => Box::new(monoio::Monoio),
        Name::Raw => Box::new(raw::Raw),
        Name::Go => Box::new(go::Go),
        Name::Pread => Box::new(plain::Pread),
        Name::Cp => Box::new(plain::Cp),
        Name::May => return Err("it has no files of its own".into()),
        _ => return Err(ABSENT.into()),
    })
}
