//! Reading a child's two streams at once, so that neither full pipe can stop the child.
//!
//! Whatever is there is read without waiting, a piece of each stream in turn; then the tasklet
//! waits for either, through a descriptor that stands for both. When one has ended, the other is
//! simply read. One tasklet, one wait at a time: a kill or a deadline needs nothing undone.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::{ChildStderr, ChildStdout};
use crate::op::{Op, Wait};
use crate::sys::process::Either;
use crate::task::wait::perform;

/// What a pipe holds on Linux, if nobody has changed it (pipe(7)).
const PIECE: usize = 64 << 10;

/// Appends everything that comes out of both streams until their ends; what was there before an
/// error, too.
pub(super) fn gather(
    (mut stdout, mut stderr): (Option<ChildStdout>, Option<ChildStderr>),
    (out, err): (&mut Vec<u8>, &mut Vec<u8>),
) -> io::Result<()> {
    if let (Some(first), Some(second)) = (&stdout, &stderr) {
        let which = until_one_ends((first, out), (second, err))?;
        match which {
            Which::Stdout => stdout = None,
            Which::Stderr => stderr = None,
        }
    }
    if let Some(mut stdout) = stdout {
        stdout.read_to_end(out)?;
    }
    if let Some(mut stderr) = stderr {
        stderr.read_to_end(err)?;
    }
    Ok(())
}

/// Which of them has ended.
enum Which {
    Stdout,
    Stderr,
}

fn until_one_ends(
    (stdout, out): (&ChildStdout, &mut Vec<u8>),
    (stderr, err): (&ChildStderr, &mut Vec<u8>),
) -> io::Result<Which> {
    let either = Either::new()?;
    either.add(stdout.as_fd())?;
    either.add(stderr.as_fd())?;
    let mut piece = vec![0; PIECE];
    loop {
        let op = Op::Wait(Wait::Output { streams: either.as_fd().as_raw_fd() });
        // SAFETY: `either` keeps the descriptor open until this returns; no memory is involved.
        unsafe { perform(&op, None) }?;
        if is_at_end(|buf| stdout.read_now(buf), &mut piece, out)? {
            either.remove(stdout.as_fd())?;
            return Ok(Which::Stdout);
        }
        if is_at_end(|buf| stderr.read_now(buf), &mut piece, err)? {
            either.remove(stderr.as_fd())?;
            return Ok(Which::Stderr);
        }
    }
}

/// Appends what is there to `all`; whether that was the end.
fn is_at_end(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    piece: &mut [u8],
    all: &mut Vec<u8>,
) -> io::Result<bool> {
    match read(piece) {
        Ok(0) => Ok(true),
        Ok(n) => {
            all.extend_from_slice(&piece[..n]);
            Ok(false)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Blocks the calling tasklet until a process has ended.
pub(super) fn wait_for_end(process: BorrowedFd<'_>) -> io::Result<()> {
    let op = Op::Wait(Wait::ProcessEnd { process: process.as_raw_fd() });
    // SAFETY: the borrow keeps the descriptor open until this returns; no memory is involved.
    unsafe { perform(&op, None) }.map(drop)
}
