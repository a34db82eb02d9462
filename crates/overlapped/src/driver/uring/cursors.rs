//! Files' cursors that the kernel does not move.
//!
//! A transfer at the cursor may move some bytes and then fail (no room on the disk, the limit on
//! the size of files, a bad sector). It then succeeds, with those bytes. But the kernel moves the
//! cursor only if the last of its attempts did not fail (`kiocb_done` in io_uring/rw.c). The cursor
//! stays where it was, so the next write overwrites those bytes instead of following them: they are
//! lost without an error. The same happens to transfers past the page cache (`O_DIRECT`).
//!
//! So this module records the cursor's position before such a transfer. If the cursor is still
//! there when some bytes have been transferred, this module moves it. No other operation gets the
//! cursor before the transfer's completion is returned.

use std::collections::HashMap;
use std::io::SeekFrom;
use std::os::fd::BorrowedFd;

use crate::op::{Fs, Op, Token};
use crate::sys::descriptor::Raw;
use crate::sys::file::nonblocking::{flags, seek};

/// The transfers in flight that use a cursor.
#[derive(Debug, Default)]
pub(super) struct Cursors(HashMap<Token, Stand>);

#[derive(Debug)]
struct Stand {
    fd: Raw,
    before: u64,
    writes: bool,
}

impl Cursors {
    /// Records the cursor's position, before `op` is submitted.
    #[inline]
    pub(super) fn note(&mut self, token: Token, op: &Op) {
        let Op::Fs(fs) = op else { return };
        let Some((fd, writes)) = at_cursor(fs) else { return };
        // SAFETY: the descriptor is open until the completion, by the submitter's promise.
        let file = unsafe { BorrowedFd::borrow_raw(fd) };
        // Pipes, sockets and terminals have no cursor.
        if let Ok(before) = seek(file, SeekFrom::Current(0)) {
            self.0.insert(token, Stand { fd, before, writes });
        }
    }

    /// Moves the cursor if the kernel has not, after the transfer and before its completion is
    /// handed out.
    #[inline]
    pub(super) fn correct(&mut self, token: Token, result: i32) {
        if !self.0.is_empty()
            && let Some(stand) = self.0.remove(&token)
            && result > 0
        {
            stand.correct(result as u64);
        }
    }
}

impl Stand {
    fn correct(self, moved: u64) {
        let Stand { fd, before, writes } = self;
        // SAFETY: the completion has not been handed out: see `note`.
        let file = unsafe { BorrowedFd::borrow_raw(fd) };
        if seek(file, SeekFrom::Current(0)).is_ok_and(|now| now != before) {
            return;
        }
        // The cursor after an append is at the file's end.
        let appends = writes && flags(file).is_ok_and(|flags| flags & libc::O_APPEND != 0);
        let to = if appends { SeekFrom::End(0) } else { SeekFrom::Start(before + moved) };
        // A seek on a file whose position could be read does not fail.
        let _ = seek(file, to);
    }
}

/// Returns the descriptor of a transfer at its file's cursor, and whether it writes. (Splices move
/// the cursor themselves.)
#[inline]
fn at_cursor(fs: &Fs) -> Option<(Raw, bool)> {
    match *fs {
        Fs::Read { fd, offset, .. } | Fs::ReadVectored { fd, offset, .. } => {
            offset.is_none().then_some((fd, false))
        }
        Fs::Write { fd, offset, .. } | Fs::WriteVectored { fd, offset, .. } => {
            offset.is_none().then_some((fd, true))
        }
        Fs::Splice { .. }
        | Fs::Sync { .. }
        | Fs::SetLen { .. }
        | Fs::Open { .. }
        | Fs::OpenCached { .. }
        | Fs::Stat { .. }
        | Fs::Rename { .. }
        | Fs::Unlink { .. }
        | Fs::MakeDir { .. }
        | Fs::Link { .. }
        | Fs::Symlink { .. } => None,
    }
}
