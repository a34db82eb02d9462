//! The request's body, in a file without a name.
//!
//! A pipe would be the other way. But a script may answer before it has read all of its input, or
//! not read at all: then somebody must go on reading the body, from a client that may be reading
//! nothing because nobody reads what it sends. With a file, body and answer come one after the
//! other, a chunked body has a length, and a script may even seek in its input.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use overlapped::task::unblock;

use crate::web::Call;

const PIECE: usize = 64 << 10;

/// A body that came whole.
#[derive(Debug)]
pub(crate) struct Body {
    /// At its beginning; `None` where there is nothing in it.
    pub(crate) file: Option<File>,
    pub(crate) len: u64,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    TooLarge,
    /// The client broke off, or broke the protocol.
    Broken,
    /// It cannot be stored.
    NoRoom,
}

/// Reads the body to its end; `None` where the request has none.
pub(crate) fn spool(call: &mut Call<'_>, max: u64) -> Result<Option<Body>, NoBody> {
    let mut piece = vec![0; PIECE];
    let mut len = 0;
    let mut file = None;
    loop {
        let count = match call.body.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Err(NoBody::Broken),
        };
        len += count as u64;
        if len > max {
            return Err(NoBody::TooLarge);
        }
        if file.is_none() {
            file = Some(make().map_err(no_room)?);
        }
        if let Some(file) = &mut file {
            file.write_all(&piece[..count]).map_err(no_room)?;
        }
    }
    let headers = call.request.headers();
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    let file = match file {
        Some(mut file) => {
            file.rewind().map_err(no_room)?;
            Some(File::from(file))
        }
        None if has_body => None,
        None => return Ok(None),
    };
    Ok(Some(Body { file, len }))
}

fn make() -> io::Result<overlapped::fs::File> {
    Ok(unblock(tempfile::tempfile).map_err(io::Error::other)??.into())
}

fn no_room(error: io::Error) -> NoBody {
    tracing::error!(%error, "a request's body cannot be stored in the folder for temporary files");
    NoBody::NoRoom
}
