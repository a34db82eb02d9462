//! The request's body: in memory, and when it is large in a file without a name.
//!
//! A pipe would be the other way. But a script may answer before it has read all of its input, or
//! not read at all: then somebody must go on reading the body, from a client that may be reading
//! nothing because nobody reads what it sends. With a file, body and answer come one after the
//! other, a chunked body has a length, and a script may even seek in its input.
//!
//! A body comes whole before its script takes one of the places: a client may take its time, and
//! holds nothing meanwhile but its connection, some memory, and room on the disk, of which there is
//! a limited amount for all bodies together.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use overlapped::task::unblock;

use crate::state::{is_shortage, retry_at_shortage};
use crate::web::Call;

/// The part of a body that is in memory, in bytes.
const MEMORY_MAX: usize = 64 << 10;
/// And so much at first.
const MEMORY_MIN: usize = 4 << 10;

/// A body that came whole.
#[derive(Debug)]
pub(crate) struct Body {
    /// All of it, or what is not in the file yet.
    memory: Vec<u8>,
    file: Option<(overlapped::fs::File, Room)>,
    pub(crate) len: u64,
}

/// The input of a script.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) file: File,
    pub(crate) room: Option<Room>,
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoBody {
    TooLarge,
    /// The client broke off, or broke the protocol.
    Broken,
    /// It cannot be stored.
    NoRoom,
    /// The bodies of others take all the room there is.
    Busy,
    /// This process has none left.
    NoDescriptor,
}

/// Reads the body to its end; `None` where the request has none.
pub(crate) fn spool(call: &mut Call<'_>, max: u64, rooms: &Rooms) -> Result<Option<Body>, NoBody> {
    let headers = call.request.headers();
    if !headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(None);
    }
    let mut body = Body { memory: Vec::new(), file: None, len: 0 };
    let mut filled = 0;
    loop {
        if filled == body.memory.len() {
            if filled == MEMORY_MAX {
                body.store(filled, rooms)?;
                filled = 0;
            }
            let more = (2 * body.memory.len()).clamp(MEMORY_MIN, MEMORY_MAX);
            body.memory.resize(more, 0);
        }
        match call.body.read(&mut body.memory[filled..]) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                body.len += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(NoBody::Broken),
        }
        if body.len > max {
            return Err(NoBody::TooLarge);
        }
    }
    body.memory.truncate(filled);
    Ok(Some(body))
}

impl Body {
    /// Moves so many bytes from the memory to the file.
    fn store(&mut self, bytes: usize, rooms: &Rooms) -> Result<(), NoBody> {
        if self.file.is_none() {
            self.file = Some((make().map_err(no_room)?, rooms.room()));
        }
        let Some((file, room)) = &mut self.file else { return Ok(()) };
        if !room.grow(bytes as u64) {
            return Err(NoBody::Busy);
        }
        file.write_all(&self.memory[..bytes]).map_err(no_room)
    }

    /// As a file, at its beginning; `None` where there is nothing in it.
    pub(crate) fn into_input(mut self) -> Result<Option<Input>, NoBody> {
        if self.len == 0 {
            return Ok(None);
        }
        let (mut file, room) = match self.file.take() {
            Some((file, room)) => (file, Some(room)),
            None => (make().map_err(no_room)?, None),
        };
        file.write_all(&self.memory).map_err(no_room)?;
        file.rewind().map_err(no_room)?;
        Ok(Some(Input { file: File::from(file), room }))
    }
}

fn make() -> io::Result<overlapped::fs::File> {
    let make = || unblock(tempfile::tempfile).unwrap_or_else(|error| Err(io::Error::other(error)));
    Ok(retry_at_shortage(make, is_shortage)?.into())
}

fn no_room(error: io::Error) -> NoBody {
    if is_shortage(&error) {
        tracing::error!(%error, "a request's body cannot be stored: raise `ulimit -Hn`");
        return NoBody::NoDescriptor;
    }
    let folder = std::env::temp_dir();
    tracing::error!(
        %error,
        ?folder,
        "a request's body cannot be stored there: make room, or name another folder by TMPDIR"
    );
    NoBody::NoRoom
}

/// The bytes that all bodies in files may have together.
#[derive(Debug, Clone)]
pub(crate) struct Rooms {
    taken: Arc<AtomicU64>,
    max: u64,
}

/// The room that one body takes.
#[derive(Debug)]
pub(crate) struct Room {
    rooms: Rooms,
    bytes: u64,
}

impl Rooms {
    pub(crate) fn new(max: u64) -> Rooms {
        Rooms { taken: Arc::default(), max }
    }

    /// Nothing of it yet.
    fn room(&self) -> Room {
        Room { rooms: self.clone(), bytes: 0 }
    }
}

impl Room {
    fn grow(&mut self, bytes: u64) -> bool {
        let Rooms { taken, max } = &self.rooms;
        let more = |taken: u64| taken.checked_add(bytes).filter(|taken| taken <= max);
        let has_grown = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.bytes += if has_grown { bytes } else { 0 };
        has_grown
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.rooms.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
