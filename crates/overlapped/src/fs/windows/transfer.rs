//! Reads, writes and seeks.
//!
//! A transfer takes its turn at the file. Jobs move the bytes, at most [`PIECE`] each, by memory of
//! their own; the turn goes with the job and comes back with its result. After the first job of a
//! transfer its bytes must be returned, so a kill waits for the end of the others.
//!
//! As in std, a vectored transfer moves the first slice that is not empty.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::windows::fs::FileExt;
use std::sync::Arc;

use super::File;
use crate::descriptor::{State, Turn};
use crate::fs::AlignedBuf;
use crate::fs::aligned::{keep_memory, take_memory};
use crate::sys::errno;
use crate::sys::file;
use crate::sys::file::Handle;
use crate::sys::file::nonblocking::{FileKind, kind};
use crate::task::blocking::{on_interruptible_thread, on_pool};
use crate::task::{in_tasklet, shield};

/// The maximum number of bytes that one job moves.
const PIECE: usize = 64 << 10;

/// The bytes that one job moves, with its memory. The turn ends with the job, unless the job's
/// caller takes it back.
struct Piece {
    memory: AlignedBuf,
    len: usize,
    offset: Option<u64>,
    is_read: bool,
    turn: Turn<Arc<State>>,
}

impl Piece {
    fn perform(&mut self, handle: &Handle) -> io::Result<usize> {
        let memory = &mut self.memory[..self.len];
        match self.is_read {
            true => file::read(handle, memory, self.offset),
            false => file::write(handle, memory, self.offset),
        }
    }

    /// Makes a job perform it. Returns it with the bytes moved.
    fn by_job(mut self, handle: Arc<Handle>, kind: FileKind) -> io::Result<(usize, Piece)> {
        let what = if self.is_read { "read" } else { "write" };
        if kind != FileKind::Stream {
            return on_pool(what, move |_| Ok((self.perform(&handle)?, self)));
        }
        let moved = on_interruptible_thread(what, move |interruptible| {
            let mut result = Ok(0);
            let code = interruptible.call(|| {
                result = self.perform(&handle);
                if result.is_ok() { 0 } else { -1 }
            });
            match result {
                Ok(0) if code < 0 => Err(errno::error(-code)),
                result => Ok((result?, self)),
            }
        });
        moved.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))
    }
}

/// The most bytes that one transfer appends.
const APPENDED_MAX: usize = 1 << 20;

/// The caller's memory.
enum Memory<'a> {
    Into(&'a mut [u8]),
    From(&'a [u8]),
    /// A read appends to it, up to [`APPENDED_MAX`].
    Append(&'a mut Vec<u8>),
}

impl Memory<'_> {
    fn len(&self) -> usize {
        match self {
            Memory::Into(buf) => buf.len(),
            Memory::From(buf) => buf.len(),
            Memory::Append(_) => APPENDED_MAX,
        }
    }

    /// Copies what a job has read behind the first `done` bytes.
    fn copy_from(&mut self, done: usize, read: &[u8]) {
        match self {
            Memory::Into(buf) => buf[done..done + read.len()].copy_from_slice(read),
            Memory::Append(buf) => buf.extend_from_slice(read),
            Memory::From(_) => {}
        }
    }
}

impl File {
    fn kind(&self) -> FileKind {
        self.state.kind().unwrap_or_else(|| {
            let kind = kind(&*self.handle);
            self.state.set_kind(kind);
            kind
        })
    }

    fn read_into(&self, buf: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
        self.transfer(Memory::Into(buf), offset)
    }

    fn write_from(&self, buf: &[u8], offset: Option<u64>) -> io::Result<usize> {
        self.transfer(Memory::From(buf), offset)
    }

    /// Reads from the cursor to the end, and appends to `buf`.
    pub(super) fn append_to(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        if in_tasklet() && self.kind() != FileKind::Stream {
            let expected = self.call("a file's length", |handle| file::bytes_left(handle))?;
            buf.try_reserve(expected)?;
        }
        while self.transfer(Memory::Append(buf), None)? > 0 {}
        Ok(buf.len() - before)
    }

    /// Reads or writes, at the cursor or at an offset. Returns the bytes moved.
    fn transfer(&self, mut memory: Memory<'_>, offset: Option<u64>) -> io::Result<usize> {
        // Windows takes −1 for the file's end, and −2 for the cursor.
        if offset.is_some_and(|offset| i64::try_from(offset).is_err()) {
            return Err(errno::invalid_argument());
        }
        let mut turn = Turn::take(Arc::clone(&self.state))?;
        if !in_tasklet() {
            return match memory {
                Memory::Into(buf) => file::read(&self.handle, buf, offset),
                Memory::From(buf) => file::write(&self.handle, buf, offset),
                Memory::Append(buf) => file::read_to_end(&self.handle, buf),
            };
        }
        let kind = self.kind();
        let mut done = 0;
        loop {
            let at = offset.map(|offset| offset.wrapping_add(done as u64));
            let step = || self.one_piece(&mut memory, done, at, kind, turn);
            let (count, back) = match if done > 0 { shield(step) } else { step() } {
                // The next call meets it.
                Err(_) if done > 0 => return Ok(done),
                result => result?,
            };
            done += count;
            if count < PIECE || done == memory.len() || kind == FileKind::Stream {
                return Ok(done);
            }
            turn = back;
        }
    }

    /// Moves the bytes behind the first `done` ones, up to a piece. Returns the bytes moved.
    fn one_piece(
        &self,
        memory: &mut Memory<'_>,
        done: usize,
        offset: Option<u64>,
        kind: FileKind,
        turn: Turn<Arc<State>>,
    ) -> io::Result<(usize, Turn<Arc<State>>)> {
        let len = PIECE.min(memory.len() - done);
        let is_read = !matches!(memory, Memory::From(_));
        let mut piece = Piece { memory: take_memory(len), len, offset, is_read, turn };
        if let Memory::From(buf) = memory {
            piece.memory[..len].copy_from_slice(&buf[done..done + len]);
        }
        let (count, piece) = piece.by_job(Arc::clone(&self.handle), kind)?;
        memory.copy_from(done, &piece.memory[..count]);
        keep_memory(piece.memory);
        Ok((count, piece.turn))
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_into(buf, None)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.append_to(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let result = self.append_to(&mut bytes);
        match String::from_utf8(bytes) {
            Ok(text) => buf.push_str(&text),
            Err(_) => {
                let text = "stream did not contain valid UTF-8";
                return result.and(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
            }
        }
        result
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_from(buf, None)
    }

    /// Does nothing, as in std, since a file has no buffer. [`File::sync_all`] waits for the disk.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    /// Waits for its turn at the cursor, then moves it.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if let SeekFrom::End(_) = to {
            // A server may have to be asked for the file's length.
            return self.call("a seek", move |handle| file::seek(handle, to));
        }
        let _turn = Turn::take(&*self.state)?;
        file::seek(&self.handle, to)
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_into(buf, None)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.append_to(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_from(buf, None)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        (&*self).seek(to)
    }
}

/// The cursor is behind the bytes afterwards, as in std.
impl FileExt for File {
    fn seek_read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_into(buf, Some(offset))
    }

    fn seek_write(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.write_from(buf, Some(offset))
    }
}
