//! std's traits for reading, writing and seeking.

use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::File;
use super::memory::Memory;
use crate::descriptor::Turn;
use crate::sys::file::nonblocking;

impl File {
    fn read_into(&self, buf: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
        // SAFETY: `buf` is borrowed for this call.
        unsafe { self.transfer(Memory::Into(buf.as_mut_ptr(), buf.len()), offset) }
    }

    fn write_from(&self, buf: &[u8], offset: Option<u64>) -> io::Result<usize> {
        // SAFETY: `buf` is borrowed for this call.
        unsafe { self.transfer(Memory::From(buf.as_ptr(), buf.len()), offset) }
    }

    /// Reads from the cursor to the end, and appends to `buf`.
    pub(in crate::fs) fn append_to(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        let expected = self.bytes_left();
        buf.try_reserve(expected).map_err(io::Error::from)?;
        loop {
            let room = buf.spare_capacity_mut();
            if room.is_empty() {
                // The file has probably ended where it was expected to: then `buf` need not grow.
                let mut probe = [0; 32];
                let count = self.read_into(&mut probe, None)?;
                if count == 0 {
                    break;
                }
                buf.try_reserve(count).map_err(io::Error::from)?;
                buf.extend_from_slice(&probe[..count]);
                buf.try_reserve(probe.len()).map_err(io::Error::from)?;
                continue;
            }
            let memory = Memory::Into(room.as_mut_ptr().cast(), room.len());
            // SAFETY: the room is borrowed until the next use of `buf`.
            let count = unsafe { self.transfer(memory, None) }?;
            if count == 0 {
                break;
            }
            // SAFETY: the transfer has written `count` bytes behind the length.
            unsafe { buf.set_len(buf.len() + count) };
        }
        Ok(buf.len() - before)
    }

    /// Returns the bytes from the cursor to the end, 0 if that is unknown: the room to reserve.
    fn bytes_left(&self) -> usize {
        let size = nonblocking::stat_of(self.as_fd()).map_or(0, |stat| stat.size);
        let at = nonblocking::seek(self.as_fd(), SeekFrom::Current(0)).unwrap_or(0);
        usize::try_from(size.saturating_sub(at)).unwrap_or(0)
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_into(buf, None)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        // SAFETY: `bufs` are borrowed for this call; std promises that they have the layout of
        // iovecs.
        unsafe { self.transfer(Memory::IntoSlices(bufs.as_ptr().cast(), bufs.len()), None) }
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.append_to(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let result = self.append_to(&mut bytes);
        match String::from_utf8(bytes) {
            Ok(text) if buf.is_empty() => *buf = text,
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

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: as in `read_vectored`.
        unsafe { self.transfer(Memory::FromSlices(bufs.as_ptr().cast(), bufs.len()), None) }
    }

    /// Does nothing, as in std, since a file has no buffer. [`File::sync_all`] waits for the disk.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    /// Waits for its turn at the cursor, then moves it.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let _turn = Turn::take(&*self.state)?;
        nonblocking::seek(self.as_fd(), to)
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
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

/// Many of these calls may be in flight on one file. The cursor stays where it is.
impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_into(buf, Some(offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.write_from(buf, Some(offset))
    }
}
