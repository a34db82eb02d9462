//! The contents of a file: ranges between holes, copying, and comparing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{SeekFrom, Stat, copy_file_range, fstat, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};

use crate::copy::problem::{Problem, Step};

/// The largest file that is read and written, which is faster than a copy by the kernel.
const READ_MAX: u64 = 64 << 10;

/// Bytes that are read at a time.
pub(in crate::copy) const BUFFER: usize = 128 << 10;

/// A range of a file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::copy) struct DataRange {
    pub(in crate::copy) begin: u64,
    pub(in crate::copy) end: u64,
}

/// The extent of a file that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::copy) struct Extent {
    /// The length of the file, holes included.
    pub(in crate::copy) length: u64,
    /// Bytes outside of holes.
    pub(in crate::copy) data: u64,
}

/// Returns the next range with data at or after `at`; `None` if only a hole follows. A file that
/// occupies as much space as its length has no holes to search for.
pub(in crate::copy) fn next_range(
    file: BorrowedFd<'_>,
    stat: &Stat,
    at: u64,
) -> Result<Option<DataRange>, Errno> {
    let size = size(stat);
    if at >= size {
        return Ok(None);
    }
    if (stat.st_blocks as u64).saturating_mul(512) >= size {
        return Ok(Some(DataRange { begin: at, end: size }));
    }
    let begin = match seek(file, SeekFrom::Data(at)) {
        Ok(begin) => begin,
        Err(Errno::NXIO) => return Ok(None),
        // A file system without holes.
        Err(Errno::INVAL) => return Ok(Some(DataRange { begin: at, end: size })),
        Err(errno) => return Err(errno),
    };
    let end = seek(file, SeekFrom::Hole(begin))?.min(size);
    Ok((begin < end).then_some(DataRange { begin, end }))
}

pub(in crate::copy) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Copies a whole file by plain calls, and returns its extent.
pub(in crate::copy) fn copy(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    stat: &Stat,
    buffer: &mut [u8],
    stopped: &AtomicBool,
) -> Result<Extent, Problem> {
    let (mut at, mut data) = (0, 0);
    while let Some(range) = next_range(from, stat, at).map_err(Problem::at(Step::Read))? {
        at = copy_range(from, to, range, buffer, stopped)?;
        data += at - range.begin;
        if at < range.end {
            return Ok(Extent { length: at, data });
        }
    }
    copy_rest(from, to, stat, Extent { length: at, data }, buffer, stopped)
}

/// Copies what follows the known ranges: a hole, and contents of files that are longer than stated,
/// as many are in `/proc`. If a file grows meanwhile, the copy has the length of the beginning.
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
        // If it has become shorter meanwhile, there is no hole any more.
        let now = fstat(from).map_err(Problem::at(Step::Read))?;
        at = size(stat).min(size(&now)).max(at);
        ftruncate(to, at).map_err(Problem::at(Step::Write))?;
    }
    loop {
        let read = read_at(from, buffer, at).map_err(Problem::at(Step::Read))?;
        if read == 0 || size(&fstat(from).map_err(Problem::at(Step::Read))?) > size(stat) {
            return Ok(Extent { length: at, data });
        }
        write_all_at(to, &buffer[..read], at)?;
        at += read as u64;
        data += read as u64;
        check_stopped(stopped)?;
    }
}

/// Ends a job, which cannot be killed, if the run was stopped.
fn check_stopped(stopped: &AtomicBool) -> Result<(), Problem> {
    if stopped.load(Relaxed) { Err(Problem::Stopped) } else { Ok(()) }
}

/// Copies a range, and returns where it ended: earlier if the file ends earlier.
fn copy_range(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    range: DataRange,
    buffer: &mut [u8],
    stopped: &AtomicBool,
) -> Result<u64, Problem> {
    let mut at = range.begin;
    if range.end - range.begin > READ_MAX {
        let (mut read_at, mut write_at) = (at, at);
        while at < range.end {
            check_stopped(stopped)?;
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), left) {
                Ok(0) => break,
                Ok(copied) => at += copied as u64,
                Err(Errno::INTR) => {}
                // Between these two, data must be read and written, which also reports errors.
                Err(_) => break,
            }
        }
    }
    while at < range.end {
        check_stopped(stopped)?;
        let room = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = read_at(from, &mut buffer[..room], at).map_err(Problem::at(Step::Read))?;
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
                return Err(Problem::Call(Step::Write, io::ErrorKind::WriteZero.into()));
            }
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Problem::at(Step::Write)(errno)),
        }
    }
    Ok(())
}

/// Compares a range of both files, and reports the first difference. The copy must have `length`
/// bytes.
pub(in crate::copy) fn compare(
    from: impl AsFd,
    to: impl AsFd,
    range: DataRange,
    length: u64,
    stopped: &AtomicBool,
) -> Result<(), Problem> {
    let (mut one, mut other) = (vec![0; BUFFER], vec![0; BUFFER]);
    let mut at = range.begin;
    while at < range.end {
        check_stopped(stopped)?;
        let room = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(BUFFER);
        let read =
            read_full(from.as_fd(), &mut one[..room], at).map_err(Problem::at(Step::Read))?;
        let copy =
            read_full(to.as_fd(), &mut other[..room], at).map_err(Problem::at(Step::Write))?;
        if one[..read] != other[..copy] || read < room {
            let same = one[..read].iter().zip(&other[..copy]).take_while(|(a, b)| a == b).count();
            return Err(Problem::Differs { at: at + same as u64 });
        }
        at += read as u64;
    }
    let copied = size(&fstat(to).map_err(Problem::at(Step::Write))?);
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

    static RUNNING: AtomicBool = AtomicBool::new(false);

    fn whole(length: u64) -> DataRange {
        DataRange { begin: 0, end: length }
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
            // Holes consist of whole blocks.
            let blocks = parts.len() as u64 * (64 << 10);
            assert!((written..=written + blocks).contains(&copied.data), "{copied:?}");
            compare(&from, &to, whole(length), length, &stopped).unwrap();
            let copied = fstat(&to).unwrap();
            assert_eq!(copied.st_size, stat.st_size);
            assert!(copied.st_blocks <= stat.st_blocks, "{} blocks", copied.st_blocks);
        }
    }

    #[test]
    fn every_difference_is_detected() {
        let one = vec![1; 300_000];
        let from = file(&[(0, &one)], 300_000);
        for at in [0, 1, 131_071, 131_072, 299_999] {
            let to = file(&[(0, &one)], 300_000);
            to.write_all_at(&[2], at).unwrap();
            let found = compare(&from, &to, whole(300_000), 300_000, &RUNNING);
            assert!(matches!(found, Err(Problem::Differs { at: found }) if found == at));
        }
        let longer = file(&[(0, &one)], 300_001);
        let found = compare(&from, &longer, whole(300_000), 300_000, &RUNNING);
        assert!(matches!(found, Err(Problem::Differs { at: 300_000 })));
        for length in [0, 150_000, 299_999] {
            let to = file(&[(0, &one[..length as usize])], length);
            let found = compare(&from, &to, whole(300_000), 300_000, &RUNNING);
            assert!(matches!(found, Err(Problem::Differs { at }) if at == length));
        }
    }
}
