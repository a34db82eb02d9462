//! Parts of files.
//!
//! A small one is read and sent together with the bytes around it. A large one is moved by
//! sendfile(2), which does not wait for the client (the socket is non-blocking) but would for a
//! disk, and all sessions with it. So each stretch is made sure to be in the page cache first: its
//! last page is asked for without waiting, and where that fails a pool thread reads all of it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use overlapped::task::{unblock, yield_now};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::net::SendFlags;

use super::End;
use super::outbox::{FULL, Out, broken, stuck};

/// What is read rather than moved.
const SMALL: u64 = 32 << 10;
/// What is moved at a time.
const STRETCH: u64 = 512 << 10;

/// Sends `len` bytes of `file` from `offset` on.
pub(super) fn send(out: &mut Out<'_>, file: &Arc<File>, offset: u64, len: u64) -> Result<(), End> {
    if len <= SMALL {
        return read(out, file, offset, len);
    }
    let mut at = offset;
    let end = offset.saturating_add(len);
    while at < end && !out.connection.is_secret() {
        let stretch = STRETCH.min(end - at);
        fetch(file, at, stretch)?;
        announce(out)?;
        at = match transfer(out, file, at, stretch)? {
            Some(at) => at,
            // A file that the kernel does not move: some file systems have only reads.
            None => break,
        };
        yield_now();
    }
    while at < end {
        let piece = SMALL.min(end - at);
        read(out, file, at, piece)?;
        at += piece;
    }
    Ok(())
}

/// Sends what is ready. The kernel is told that more follows: a head shares a packet with its file,
/// and the client is not woken for it alone.
fn announce(out: &mut Out<'_>) -> Result<(), End> {
    // What cannot be sent now, or not at all, is sent in the usual way, which waits or says why.
    let sent = out.connection.raw().send_at_once(out.ready, SendFlags::MORE);
    out.connection.add_sent(sent);
    out.ready.drain(..sent);
    out.flush()
}

/// Appends `len` bytes to what is ready.
fn read(out: &mut Out<'_>, file: &Arc<File>, offset: u64, len: u64) -> Result<(), End> {
    let begin = out.ready.len();
    out.ready.resize(begin + len as usize, 0);
    let memory = &mut out.ready[begin..];
    let cached = read_cached(file, memory, offset);
    if cached < memory.len() {
        let (file, rest) = (Arc::clone(file), memory.len() - cached);
        let rest = in_pool(move || {
            let mut rest = vec![0; rest];
            file.read_exact_at(&mut rest, offset + cached as u64).map(|()| rest)
        })?;
        memory[cached..].copy_from_slice(&rest);
    }
    if out.ready.len() >= FULL {
        out.flush()?;
    }
    Ok(())
}

/// As much of it as is in the page cache.
fn read_cached(file: &File, memory: &mut [u8], offset: u64) -> usize {
    let slice = &mut [IoSliceMut::new(memory)];
    preadv2(file, slice, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

/// Sees to it that a stretch is in the page cache, as far as one can.
fn fetch(file: &Arc<File>, at: u64, len: u64) -> Result<(), End> {
    if read_cached(file, &mut [0], at) == 1 && read_cached(file, &mut [0], at + len - 1) == 1 {
        return Ok(());
    }
    let file = Arc::clone(file);
    in_pool(move || file.read_exact_at(&mut vec![0; len as usize], at))
}

/// On a pool thread. What fails there is a file that is shorter than was promised, or a disk.
fn in_pool<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, End> {
    match unblock(read) {
        Ok(read) => read.map_err(End::broken),
        Err(error) => Err(End::broken(io::Error::other(error))),
    }
}

/// Moves a stretch to the socket; where it ends. `None`: the kernel does not.
fn transfer(out: &mut Out<'_>, file: &File, at: u64, len: u64) -> Result<Option<u64>, End> {
    let socket = out.connection.socket();
    let (mut offset, end) = (at, at + len);
    while offset < end {
        let left = (end - offset) as usize;
        match rustix::fs::sendfile(socket, file, Some(&mut offset), left) {
            Ok(0) => return Err(broken("a file is shorter than it was")),
            Ok(sent) => {
                out.connection.link().add_sent(sent);
                out.connection.add_sent(sent);
            }
            Err(Errno::AGAIN) => {
                out.connection.raw().await_room(&mut out.pace).map_err(stuck)?;
            }
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::NOSYS) if offset == at => return Ok(None),
            Err(error) => return Err(End::Failed(error.into())),
        }
    }
    Ok(Some(offset))
}
