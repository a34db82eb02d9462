//! Reads both outputs of a child at once, so that neither full pipe can stop the child.
//!
//! The bytes that are there are read without waiting, a piece of each stream in turn. Then the
//! tasklet waits for either, through one descriptor that watches both. After one has ended, the
//! other is simply read. One tasklet makes one wait at a time: a kill or a deadline leaves nothing
//! to be undone.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use super::{ChildStderr, ChildStdout};
use crate::op::{Op, Wait};
use crate::sys::process::AnyReadable;
use crate::task::wait::perform;

/// The bytes that a pipe holds on Linux by default (pipe(7)).
const PIECE: usize = 64 << 10;

/// Reads both streams until their ends, and appends their bytes. After an error, the bytes that
/// came before it are there, too.
pub(super) fn read_both(
    (mut stdout, mut stderr): (Option<ChildStdout>, Option<ChildStderr>),
    (out, err): (&mut Vec<u8>, &mut Vec<u8>),
) -> io::Result<()> {
    if let (Some(first), Some(second)) = (&stdout, &stderr) {
        match until_one_ends((first, out), (second, err))? {
            Ended::Stdout => stdout = None,
            Ended::Stderr => stderr = None,
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

/// The stream that has ended.
enum Ended {
    Stdout,
    Stderr,
}

fn until_one_ends(
    (stdout, out): (&ChildStdout, &mut Vec<u8>),
    (stderr, err): (&ChildStderr, &mut Vec<u8>),
) -> io::Result<Ended> {
    let either = AnyReadable::new()?;
    either.add(stdout.as_fd())?;
    either.add(stderr.as_fd())?;
    let mut piece = vec![0; PIECE];
    loop {
        let op = Op::Wait(Wait::Output { streams: either.as_fd().as_raw_fd() });
        // SAFETY: `either` keeps the descriptor open until this returns; no memory is involved.
        unsafe { perform(&op, None) }?;
        if is_at_end(|buf| stdout.read_now(buf), &mut piece, out)? {
            either.remove(stdout.as_fd())?;
            return Ok(Ended::Stdout);
        }
        if is_at_end(|buf| stderr.read_now(buf), &mut piece, err)? {
            either.remove(stderr.as_fd())?;
            return Ok(Ended::Stderr);
        }
    }
}

/// Appends the bytes that are there to `all`. Tells whether the stream has ended.
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
