//! Parts of files.
//!
//! A small one is read and sent together with the bytes around it. A large one is moved by
//! sendfile(2), which does not wait for the client (the socket is non-blocking) but would for a
//! disk, and all sessions with it. So each stretch is made sure to be in the page cache first: its
//! last page is asked for without waiting, and where that fails a pool thread reads all of it.
//! What was there a moment ago is not asked for again: a page that was used stays for longer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};

use overlapped::net::wait_writable;
use overlapped::task::{unblock, yield_now};
use overlapped::time::{Duration, Instant, timeout};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use rustix::net::SendFlags;

use super::End;
use super::outbox::{FULL, Out, broken, stuck};

/// What is read rather than moved.
const SMALL: u64 = 32 << 10;
/// What is moved at a time.
const STRETCH: u64 = 512 << 10;

/// A stretch that was in the page cache is taken to be there for so long.
const SEEN_FOR: Duration = Duration::from_millis(100);
/// How many of them are remembered.
const SEEN_MAX: usize = 16;

/// What one thread has lately seen in the page cache.
#[derive(Debug, Default)]
pub(crate) struct Seen(RefCell<VecDeque<Stretch>>);

#[derive(Debug)]
struct Stretch {
    /// Weak, so that it is closed when nobody sends it, and its address is not used again.
    file: Weak<File>,
    at: u64,
    len: u64,
    until: Instant,
}

impl Seen {
    fn holds(&self, file: &Arc<File>, at: u64, len: u64) -> bool {
        let seen = self.0.borrow();
        let known = seen.iter().find(|seen| seen.begins(file, at));
        known.is_some_and(|seen| seen.len >= len && Instant::now() < seen.until)
    }

    fn note(&self, file: &Arc<File>, at: u64, len: u64) {
        let mut seen = self.0.borrow_mut();
        seen.retain(|seen| !seen.begins(file, at));
        seen.truncate(SEEN_MAX - 1);
        let (file, until) = (Arc::downgrade(file), Instant::now() + SEEN_FOR);
        seen.push_front(Stretch { file, at, len, until });
    }
}

impl Stretch {
    fn begins(&self, file: &Arc<File>, at: u64) -> bool {
        self.at == at && self.file.as_ptr() == Arc::as_ptr(file)
    }
}

/// Sends `len` bytes of `file` from `offset` on.
pub(super) fn send(out: &mut Out<'_>, file: &Arc<File>, offset: u64, len: u64) -> Result<(), End> {
    if len <= SMALL {
        return read(out, file, offset, len);
    }
    let mut at = offset;
    let end = offset.saturating_add(len);
    while at < end && !out.connection.is_secret() {
        let stretch = STRETCH.min(end - at);
        fetch(&out.connection.venue().worker.seen, file, at, stretch)?;
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
    let sent = out.connection.socket().send_at_once(out.ready, SendFlags::MORE);
    out.connection.venue().counts.bytes_out.add(sent as u64);
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
fn fetch(seen: &Seen, file: &Arc<File>, at: u64, len: u64) -> Result<(), End> {
    if seen.holds(file, at, len) {
        return Ok(());
    }
    let is_cached = |at| read_cached(file, &mut [0], at) == 1;
    if !is_cached(at) || !is_cached(at + len - 1) {
        let file = Arc::clone(file);
        in_pool(move || file.read_exact_at(&mut vec![0; len as usize], at))?;
    }
    seen.note(file, at, len);
    Ok(())
}

/// On a pool thread. What fails there is a file that is shorter than was promised, or a disk.
fn in_pool<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, End> {
    match unblock(read) {
        Ok(read) => read.map_err(End::Broken),
        Err(error) => Err(End::Broken(io::Error::other(error))),
    }
}

/// Moves a stretch to the socket; where it ends. `None`: the kernel does not.
fn transfer(out: &mut Out<'_>, file: &File, at: u64, len: u64) -> Result<Option<u64>, End> {
    let socket = out.connection.socket();
    let (mut offset, end) = (at, at + len);
    let mut begin = Instant::now();
    while offset < end {
        let left = (end - offset) as usize;
        match rustix::fs::sendfile(socket, file, Some(&mut offset), left) {
            Ok(0) => return Err(broken("a file is shorter than it was")),
            Ok(sent) => {
                out.pace.note(sent, begin);
                begin = Instant::now();
                out.connection.venue().counts.bytes_out.add(sent as u64);
            }
            Err(Errno::AGAIN) => {
                timeout(out.pace.left(), || wait_writable(socket)).map_err(stuck)?;
            }
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::NOSYS) if offset == at => return Ok(None),
            Err(error) => return Err(End::Failed(error.into())),
        }
    }
    Ok(Some(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_known_from_its_beginning_as_far_as_it_was_seen_and_not_for_long() {
        let seen = Seen::default();
        let [one, other] = [(); 2].map(|()| Arc::new(tempfile::tempfile().unwrap()));
        let noted = Instant::now();
        seen.note(&one, 0, 1000);
        let is_known = seen.holds(&one, 0, 1000);
        assert!(is_known || noted.elapsed() >= SEEN_FOR, "a moment ago");
        assert!(!seen.holds(&one, 0, 1001) && !seen.holds(&one, 1, 10));
        assert!(!seen.holds(&other, 0, 10));
        std::thread::sleep(SEEN_FOR);
        assert!(!seen.holds(&one, 0, 1000), "too long ago");
    }

    #[test]
    fn few_stretches_are_remembered_and_no_file_is_kept_open_by_that() {
        let seen = Seen::default();
        let file = Arc::new(tempfile::tempfile().unwrap());
        for at in 0..100 {
            seen.note(&file, at, 10);
        }
        assert_eq!(seen.0.borrow().len(), SEEN_MAX);
        assert_eq!(Arc::strong_count(&file), 1);
    }
}
