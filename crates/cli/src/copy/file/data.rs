//! The contents of a file: its parts between holes, copying them, and comparing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{SeekFrom, Stat, copy_file_range, fstat, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};

use crate::copy::problem::{Doing, Problem};

/// Files up to this size are read and written: that takes less time than to have the kernel copy.
const READ_MAX: u64 = 64 << 10;

/// How much is read at a time.
pub(in crate::copy) const BUFFER: usize = 128 << 10;

/// A part of a file that has contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::copy) struct Part {
    pub(in crate::copy) begin: u64,
    pub(in crate::copy) end: u64,
}

/// The part of a file that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::copy) struct Extent {
    /// The length of the file, holes included.
    pub(in crate::copy) length: u64,
    /// Bytes that were not in holes.
    pub(in crate::copy) data: u64,
}

/// The next part at or behind `at`; `None` where nothing but a hole follows. A file that takes as
/// much room as it is long has no holes to look for.
pub(in crate::copy) fn next_part(
    file: BorrowedFd<'_>,
    stat: &Stat,
    at: u64,
) -> Result<Option<Part>, Errno> {
    let size = size(stat);
    if at >= size {
        return Ok(None);
    }
    if (stat.st_blocks as u64).saturating_mul(512) >= size {
        return Ok(Some(Part { begin: at, end: size }));
    }
    let begin = match seek(file, SeekFrom::Data(at)) {
        Ok(begin) => begin,
        Err(Errno::NXIO) => return Ok(None),
        // A file system that knows of no holes.
        Err(Errno::INVAL) => return Ok(Some(Part { begin: at, end: size })),
        Err(errno) => return Err(errno),
    };
    let end = seek(file, SeekFrom::Hole(begin))?.min(size);
    Ok((begin < end).then_some(Part { begin, end }))
}

pub(in crate::copy) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Copies a whole file by plain calls, and says what there was.
pub(in crate::copy) fn copy(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    stat: &Stat,
    buffer: &mut [u8],
    stopped: &AtomicBool,
) -> Result<Extent, Problem> {
    let (mut at, mut data) = (0, 0);
    while let Some(part) = next_part(from, stat, at).map_err(Problem::at(Doing::Read))? {
        at = copy_part(from, to, part, buffer, stopped)?;
        data += at - part.begin;
        if at < part.end {
            return Ok(Extent { length: at, data });
        }
    }
    copy_rest(from, to, stat, Extent { length: at, data }, buffer, stopped)
}

/// Copies what follows the parts that could be told beforehand: a hole, and contents of files that
/// claim to be shorter than they are, as many do in `/proc`. Of a file that grows meanwhile, it is
/// what was there at the beginning.
pub(in crate::copy) fn copy_rest(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    stat: &Stat,
    copied: Extent,
    buffer: &mut [u8],
    stopped: &AtomicBool,
) -> Result<Extent, Problem> {
    let Extent { length: mut at, mut data } = copied;
    if at < size(stat) {
        // Where it has become shorter meanwhile, there is no hole any more.
        let now = fstat(from).map_err(Problem::at(Doing::Read))?;
        at = size(stat).min(size(&now)).max(at);
        ftruncate(to, at).map_err(Problem::at(Doing::Write))?;
    }
    loop {
        let read = read_at(from, buffer, at).map_err(Problem::at(Doing::Read))?;
        if read == 0 || size(&fstat(from).map_err(Problem::at(Doing::Read))?) > size(stat) {
            return Ok(Extent { length: at, data });
        }
        write_all_at(to, &buffer[..read], at)?;
        at += read as u64;
        data += read as u64;
        go_on(stopped)?;
    }
}

/// Ends a job, which nobody can kill, where the user has asked for it.
fn go_on(stopped: &AtomicBool) -> Result<(), Problem> {
    if stopped.load(Relaxed) { Err(Problem::Stopped) } else { Ok(()) }
}

/// Copies a part, and says where it ended: earlier where the file ends earlier.
fn copy_part(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    part: Part,
    buffer: &mut [u8],
    stopped: &AtomicBool,
) -> Result<u64, Problem> {
    let mut at = part.begin;
    if part.end - part.begin > READ_MAX {
        let (mut read_at, mut write_at) = (at, at);
        while at < part.end {
            go_on(stopped)?;
            let left = usize::try_from(part.end - at).unwrap_or(usize::MAX);
            match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), left) {
                Ok(0) => break,
                Ok(copied) => at += copied as u64,
                Err(Errno::INTR) => {}
                // Between these two it must be read and written, which also tells what is wrong.
                Err(_) => break,
            }
        }
    }
    while at < part.end {
        go_on(stopped)?;
        let room = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = read_at(from, &mut buffer[..room], at).map_err(Problem::at(Doing::Read))?;
        if read == 0 {
            break;
        }
        write_all_at(to, &buffer[..read], at)?;
        at += read as u64;
    }
    Ok(at)
}

fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    rustix::io::retry_on_intr(|| pread(file, &mut *buffer, at))
}

fn write_all_at(file: BorrowedFd<'_>, bytes: &[u8], at: u64) -> Result<(), Problem> {
    let mut done = 0;
    while done < bytes.len() {
        match pwrite(file, &bytes[done..], at + done as u64) {
            Ok(0) => {
                return Err(Problem::Call(Doing::Write, io::ErrorKind::WriteZero.into()));
            }
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Problem::at(Doing::Write)(errno)),
        }
    }
    Ok(())
}

/// Reads `part` of both, and finds the first difference. The copy must be `length` bytes long.
pub(in crate::copy) fn compare(
    from: impl AsFd,
    to: impl AsFd,
    part: Part,
    length: u64,
    stopped: &AtomicBool,
) -> Result<(), Problem> {
    let (mut one, mut other) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut at = part.begin;
    while at < part.end {
        go_on(stopped)?;
        let room = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(BUFFER);
        let read =
            read_full(from.as_fd(), &mut one[..room], at).map_err(Problem::at(Doing::Read))?;
        let copy =
            read_full(to.as_fd(), &mut other[..room], at).map_err(Problem::at(Doing::Write))?;
        if one[..read] != other[..copy] || read < room {
            let same = one[..read].iter().zip(&other[..copy]).take_while(|(a, b)| a == b).count();
            return Err(Problem::Differs { at: at + same as u64 });
        }
        at += read as u64;
    }
    let copied = size(&fstat(to).map_err(Problem::at(Doing::Write))?);
    if copied == length { Ok(()) } else { Err(Problem::Differs { at: copied.min(length) }) }
}

/// Fills the buffer unless the file ends.
fn read_full(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    let mut read = 0;
    while read < buffer.len() {
        match read_at(file, &mut buffer[read..], at + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn file(parts: &[(u64, &[u8])], length: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        for (at, bytes) in parts {
            file.write_all_at(bytes, *at).unwrap();
        }
        file.set_len(length).unwrap();
        file
    }

    static GOING_ON: AtomicBool = AtomicBool::new(false);

    fn whole(length: u64) -> Part {
        Part { begin: 0, end: length }
    }

    #[test]
    fn holes_are_kept_and_everything_else_is_copied() {
        let block = vec![7; 1 << 16];
        for (parts, length) in [
            (&[][..], 0),
            (&[][..], 1 << 20),
            (&[(0, &b"x"[..])][..], 1),
            (&[(0, &block[..])], 5 << 20),
            (&[(1 << 20, &block[..])], (1 << 20) + (1 << 16)),
            (&[(0, &block[..]), (3 << 20, &block), (9 << 20, b"end")], 10 << 20),
        ] {
            let (from, to) = (file(parts, length), file(&[], 0));
            let stat = fstat(&from).unwrap();
            let stopped = AtomicBool::new(false);
            let copied = copy(from.as_fd(), to.as_fd(), &stat, &mut vec![0; BUFFER], &stopped);
            let copied = copied.unwrap();
            assert_eq!(copied.length, length);
            let written: u64 = parts.iter().map(|(_, bytes)| bytes.len() as u64).sum();
            // Blocks are whole.
            let blocks = parts.len() as u64 * (64 << 10);
            assert!((written..=written + blocks).contains(&copied.data), "{copied:?}");
            compare(&from, &to, whole(length), length, &stopped).unwrap();
            let copied = fstat(&to).unwrap();
            assert_eq!(copied.st_size, stat.st_size);
            assert!(copied.st_blocks <= stat.st_blocks, "{} blocks", copied.st_blocks);
        }
    }

    #[test]
    fn every_difference_is_found() {
        let one = vec![1; 300_000];
        let from = file(&[(0, &one)], 300_000);
        for at in [0, 1, 131_071, 131_072, 299_999] {
            let to = file(&[(0, &one)], 300_000);
            to.write_all_at(&[2], at).unwrap();
            let found = compare(&from, &to, whole(300_000), 300_000, &GOING_ON);
            assert!(matches!(found, Err(Problem::Differs { at: found }) if found == at));
        }
        let longer = file(&[(0, &one)], 300_001);
        let found = compare(&from, &longer, whole(300_000), 300_000, &GOING_ON);
        assert!(matches!(found, Err(Problem::Differs { at: 300_000 })));
        for length in [0, 150_000, 299_999] {
            let to = file(&[(0, &one[..length as usize])], length);
            let found = compare(&from, &to, whole(300_000), 300_000, &GOING_ON);
            assert!(matches!(found, Err(Problem::Differs { at }) if at == length));
        }
    }
}
