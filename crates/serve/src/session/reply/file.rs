//! Parts of files.
//!
//! A small part is read and sent together with the bytes around it. A large one is sent by
//! sendfile(2). That never waits for the client, because the socket is non-blocking, but it would
//! wait for a disk, and with it all sessions of the thread. So each stretch is brought into the
//! page cache first: its first and last byte are read without waiting, and if that fails, a pool
//! thread reads all of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use overlapped::task::{unblock, yield_now};
use rustix::net::SendFlags;

use super::output::Output;
use crate::session::End;
use crate::session::buffers::FULL;

/// The maximum size in bytes of a part that is read instead of sent by sendfile(2).
const SMALL: u64 = 32 << 10;
/// The number of bytes that one sendfile(2) is asked for.
const STRETCH: u64 = 512 << 10;

/// Lets the kernel delay a segment until more bytes follow; only Linux can.
#[cfg(target_os = "linux")]
const MORE_FOLLOWS: SendFlags = SendFlags::MORE;
#[cfg(not(target_os = "linux"))]
const MORE_FOLLOWS: SendFlags = SendFlags::empty();

/// Sends `len` bytes of `file` from `offset` on.
pub(super) fn send(
    output: &mut Output<'_>,
    file: &Arc<File>,
    offset: u64,
    len: u64,
) -> Result<(), End> {
    if len <= SMALL {
        return read(output, file, offset, len);
    }
    let mut at = offset;
    let end = offset.saturating_add(len);
    while at < end && !output.connection.is_encrypted() {
        let stretch = STRETCH.min(end - at);
        fetch(file, at, stretch)?;
        flush_before_file(output)?;
        at = match transfer(output, file, at, stretch)? {
            Some(at) => at,
            // sendfile(2) does not support this file: some file systems only have reads.
            None => break,
        };
        yield_now();
    }
    while at < end {
        let piece = SMALL.min(end - at);
        read(output, file, at, piece)?;
        at += piece;
    }
    Ok(())
}

/// Sends the bytes that are ready, and tells the kernel that more follow: so a head shares a packet
/// with its file, and the client is not woken for the head alone.
fn flush_before_file(output: &mut Output<'_>) -> Result<(), End> {
    let sent = output.connection.socket().send_nonblocking(output.ready, MORE_FOLLOWS);
    output.connection.add_sent(sent);
    output.ready.drain(..sent);
    // The ordinary way sends the rest: it waits, or returns the error.
    output.flush()
}

/// Appends `len` bytes of the file to those that are ready.
fn read(output: &mut Output<'_>, file: &Arc<File>, offset: u64, len: u64) -> Result<(), End> {
    let begin = output.ready.len();
    output.ready.resize(begin + len as usize, 0);
    let memory = &mut output.ready[begin..];
    let cached = read_cached(file, memory, offset);
    if cached < memory.len() {
        let (file, rest) = (Arc::clone(file), memory.len() - cached);
        let rest = in_pool(move || {
            let mut rest = vec![0; rest];
            file.read_exact_at(&mut rest, offset + cached as u64).map(|()| rest)
        })?;
        memory[cached..].copy_from_slice(&rest);
    }
    if output.ready.len() >= FULL {
        output.flush()?;
    }
    Ok(())
}

/// Reads as much as is in the page cache; returns how many bytes.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, memory: &mut [u8], offset: u64) -> usize {
    use rustix::io::{ReadWriteFlags, preadv2};

    let slice = &mut [io::IoSliceMut::new(memory)];
    preadv2(file, slice, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

/// Reads nothing: this system cannot tell what is in its page cache.
#[cfg(not(target_os = "linux"))]
fn read_cached(_: &File, _: &mut [u8], _: u64) -> usize {
    0
}

/// Brings a stretch into the page cache, as far as that is possible.
fn fetch(file: &Arc<File>, at: u64, len: u64) -> Result<(), End> {
    if read_cached(file, &mut [0], at) == 1 && read_cached(file, &mut [0], at + len - 1) == 1 {
        return Ok(());
    }
    let file = Arc::clone(file);
    in_pool(move || file.read_exact_at(&mut vec![0; len as usize], at))
}

/// Reads on a pool thread. A failure there is a file that is shorter than promised, or a disk.
fn in_pool<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, End> {
    match unblock(read) {
        Ok(read) => read.map_err(End::broken_reply),
        Err(error) => Err(End::broken_reply(io::Error::other(error))),
    }
}

/// Sends a stretch by sendfile(2); returns where it ends, or `None` if that is not supported.
#[cfg(target_os = "linux")]
fn transfer(output: &mut Output<'_>, file: &File, at: u64, len: u64) -> Result<Option<u64>, End> {
    use rustix::io::Errno;

    let socket = output.connection.socket();
    let (mut offset, end) = (at, at + len);
    while offset < end {
        let left = (end - offset) as usize;
        match rustix::fs::sendfile(socket, file, Some(&mut offset), left) {
            Ok(0) => {
                let error = io::Error::other("a file is shorter than it was");
                return Err(End::broken_reply(error));
            }
            Ok(sent) => {
                socket.add_sent(sent);
                output.connection.add_sent(sent);
            }
            Err(Errno::AGAIN) => {
                socket.wait_writable(&mut output.rate).map_err(End::from_write)?;
            }
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::NOSYS) if offset == at => return Ok(None),
            Err(error) => return Err(End::Failed(error.into())),
        }
    }
    Ok(Some(offset))
}

/// Sends nothing: other systems' sendfile(2) differs, and files are read instead.
#[cfg(not(target_os = "linux"))]
fn transfer(_: &mut Output<'_>, _: &File, _: u64, _: u64) -> Result<Option<u64>, End> {
    Ok(None)
}
