//! What each subject does as a server of HTTP, of TLS, and of framed messages: the code that a
//! user who knows it well would write.

mod framed;
mod hyper;
mod nginx;
mod overlapped;

use super::{ABSENT, Name, go};
use ::overlapped::port::PortChoice;
use hyper::Source;
pub(crate) use nginx::Nginx;
use std::path::Path;

/// How messages are told apart. Both are answered with what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A decimal number and a line feed, then so many bytes; answered with the bytes.
    Length,
    /// Up to a line feed; answered with the line.
    Line,
}

/// What a subject may serve. Each method runs in a process of its own, until that is killed.
pub(crate) trait Servers {
    /// The files of a folder over HTTP/1.1.
    fn http(&self, _folder: &Path) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// HTTP over TLS 1.3, by the certificate and the key in a folder; the answer is [`GREETING`].
    fn tls(&self, _folder: &Path) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// Messages.
    fn framed(&self, _framing: Framing) -> Result<(), String> {
        Err(ABSENT.into())
    }
}

/// What HTTP over TLS answers.
pub(crate) const GREETING: &str = "Hello, world!\n";

pub(crate) fn of(name: Name) -> Result<Box<dyn Servers>, String> {
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
