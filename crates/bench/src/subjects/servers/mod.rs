//! Servers of HTTP, of TLS, and of framed messages: the code that a user who knows the library well
//! would write. One file here for each subject except Go, and the table of them.

mod framed;
mod hyper;
mod nginx;
mod overlapped;

use super::go;
use crate::error::ABSENT;
use crate::names::Name;
use crate::traits::servers::{Framing, GREETING, Servers};
use ::overlapped::port::PortChoice;
use hyper::Source;
pub(crate) use nginx::Nginx;
use std::path::Path;

/// Finds the servers of a subject.
pub(crate) fn by_name(name: Name) -> Result<Box<dyn Servers>, String> {
    Ok(match name {
        Name::OverlappedUring => Box::new(overlapped::Overlapped { port: PortChoice::Uring }),
        Name::OverlappedPoll => Box::new(overlapped::Overlapped { port: PortChoice::Poll }),
        Name::Tokio => Box::new(framed::Tokio),
        Name::Hyper => Box::new(hyper::Hyper { source: Source::Pool }),
        Name::HyperInline => Box::new(hyper::Hyper { source: Source::Inline }),
        Name::HyperMemory => Box::new(hyper::Hyper { source: Source::Memory }),
        Name::Nginx => Box::new(Nginx { is_caching: false }),
        Name::NginxCached => Box::new(Nginx { is_caching: true }),
        Name::Go => Box::new(Go),
        _ => return Err(ABSENT.into()),
    })
}

struct Go;

impl Servers for Go {
    fn http(&self, folder: &Path) -> Result<(), String> {
        go::serve_as(&["http", &folder.to_string_lossy()])
    }

    fn tls(&self, folder: &Path) -> Result<(), String> {
        go::serve_as(&["tls", &folder.to_string_lossy(), GREETING])
    }

    fn framed(&self, framing: Framing) -> Result<(), String> {
        go::serve_as(match framing {
            Framing::Length => &["length"],
            Framing::Line => &["line"],
        })
    }
}
