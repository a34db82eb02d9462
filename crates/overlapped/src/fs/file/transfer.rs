//! A transfer between memory and a file, from the call to the kernel.
//!
//! ```text
//! File::transfer ──▶ what kind of file is it?
//!    a FIFO, a terminal, a device ──▶ through_port
//!    a socket ──▶ as_socket, at the cursor; an error of the port's, at an offset
//!    on a disk ──▶ Facts ──▶ Facts::strategy ──▶ in_place
//!                                                through_port_from_disk
//!                                                at_cursor_offset
//!                                                by_pool
//! ```
//!
//! Transfers on a disk at the cursor take their turn there, in the order of the calls. Transfers at
//! an offset run at the same time.

use std::io::{self, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};

use super::File;
use super::memory::{Memory, Progress};
use super::page_cache::{self, Cached};
use super::strategy::{Facts, Strategy};
use crate::descriptor::{self, State, Turn};
use crate::op::{Net, Op, clamp};
use crate::sys::errno;
use crate::sys::file::nonblocking;
use crate::sys::file::nonblocking::FileKind;
use crate::sys::message::Message;
use crate::task::blocking::begin_disk_call;
use crate::task::wait::{perform, perform_now};

impl File {
    /// Reads or writes, blocking the calling tasklet only. Returns the bytes moved.
    ///
    /// # Safety
    /// Until this returns, the memory is valid for the reads or writes that the transfer makes, and
    /// used by no other code.
    pub(super) unsafe fn transfer(&self, memory: Memory, offset: Option<u64>) -> io::Result<usize> {
        // The same error as pread(2)'s; the ring would take −1 for the cursor.
        if offset.is_some_and(|offset| i64::try_from(offset).is_err()) {
            return Err(errno::invalid_argument());
        }
        // SAFETY: the caller's promise, for each of them.
        unsafe {
            match self.kind()? {
                FileKind::Disk { direct, append } => {
                    let op = memory.op(self.fd.as_raw_fd(), offset);
                    let facts = Facts {
                        direct,
                        append,
                        at_cursor: offset.is_none(),
                        is_read: memory.is_read(),
                        slice_len: memory.slice_len(),
                        call: begin_disk_call(&op),
                    };
                    match facts.strategy() {
                        Strategy::InPlace => self.in_place(&op, offset),
                        Strategy::Port { cache_first } => {
                            self.through_port_from_disk(memory, offset, cache_first)
                        }
                        Strategy::PortAtCursorOffset => self.at_cursor_offset(memory),
                        Strategy::Pool { cache_first } => self.by_pool(memory, offset, cache_first),
                    }
                }
                FileKind::Socket if offset.is_none() => self.as_socket(memory),
                FileKind::Stream | FileKind::Socket => self.through_port(memory, offset),
            }
        }
    }

    fn kind(&self) -> io::Result<FileKind> {
        if let Some(kind) = self.state.kind() {
            return Ok(kind);
        }
        let kind = nonblocking::kind(self.as_fd())?;
        self.state.set_kind(kind);
        Ok(kind)
    }

    /// Takes the turn at the cursor for a transfer without an offset.
    fn turn(&self, offset: Option<u64>) -> io::Result<Option<Turn<&State>>> {
        match offset {
            None => Turn::take(&*self.state).map(Some),
            Some(_) => Ok(None),
        }
    }

    /// # Safety
    /// The same as for [`File::transfer`], for the memory in `op`.
    unsafe fn in_place(&self, op: &Op, offset: Option<u64>) -> io::Result<usize> {
        let _turn = self.turn(offset)?;
        // SAFETY: the caller's promise; the borrow of `self` keeps the descriptor open.
        unsafe { perform_now(op) }
    }

    /// # Safety
    /// The same as for [`File::transfer`].
    unsafe fn through_port(&self, memory: Memory, offset: Option<u64>) -> io::Result<usize> {
        let op = memory.op(self.fd.as_raw_fd(), offset);
        // SAFETY: the caller's promise; the borrow of `self` keeps the descriptor open.
        unsafe { perform(&op, None) }
    }

    /// # Safety
    /// The same as for [`File::transfer`].
    unsafe fn through_port_from_disk(
        &self,
        memory: Memory,
        offset: Option<u64>,
        cache_first: bool,
    ) -> io::Result<usize> {
        let turn = self.turn(offset)?;
        let mut progress = Progress::new(memory, offset);
        if cache_first {
            // SAFETY: the caller's promise; the memory is one slice to be written to.
            let read = unsafe { page_cache::read(self.fd.as_raw_fd(), &mut progress) }?;
            if read == Cached::All {
                return Ok(progress.done);
            }
        }
        // SAFETY: the caller's promise.
        let rest = |left: &mut Progress| unsafe { self.through_port(left.memory, left.offset) };
        let rest = match turn {
            Some(turn) => turn.during(|| progress.step(rest)),
            None => progress.step(rest),
        };
        progress.end(rest)
    }

    /// # Safety
    /// The same as for [`File::transfer`].
    unsafe fn at_cursor_offset(&self, memory: Memory) -> io::Result<usize> {
        let turn = Turn::take(&*self.state)?;
        let at = nonblocking::seek(self.as_fd(), SeekFrom::Current(0))?;
        // SAFETY: the caller's promise.
        let done = turn.during(|| unsafe { self.through_port(memory, Some(at)) })?;
        nonblocking::seek(self.as_fd(), SeekFrom::Start(at + done as u64))?;
        Ok(done)
    }

    /// Receives or sends: write(2) on a socket would raise SIGPIPE.
    ///
    /// # Safety
    /// The same as for [`File::transfer`].
    unsafe fn as_socket(&self, memory: Memory) -> io::Result<usize> {
        let (fd, nonblocking) = (self.fd.as_raw_fd(), false);
        // SAFETY: the caller's promise, here and below.
        unsafe {
            match memory {
                Memory::Into(buf, len) => {
                    let (len, peek) = (clamp(len), false);
                    self.receive(Net::Recv { fd, buf, len, peek, nonblocking })
                }
                Memory::From(buf, len) => {
                    self.send(Net::Send { fd, buf, len: clamp(len), nonblocking })
                }
                Memory::IntoSlices(slices, count) | Memory::FromSlices(slices, count) => {
                    self.as_message(slices, count, memory.is_read())
                }
            }
        }
    }

    /// # Safety
    /// The same as for [`File::transfer`], for these slices.
    unsafe fn as_message(
        &self,
        slices: *const libc::iovec,
        count: usize,
        is_read: bool,
    ) -> io::Result<usize> {
        // SAFETY: the slices are valid, by the caller's promise.
        let all = unsafe { std::slice::from_raw_parts(slices, count) };
        // readv(2) and writev(2), which std calls, answer this at once; the others would wait.
        if all.iter().all(|slice| slice.iov_len == 0) {
            return Ok(0);
        }
        let (fd, nonblocking) = (self.fd.as_raw_fd(), false);
        let mut message = Message::over(slices.cast_mut(), count);
        let message = &raw mut message;
        // SAFETY: the caller's promise; the header lies in this frame until both return.
        unsafe {
            if is_read {
                let message = message.cast();
                self.receive(Net::RecvMsg { fd, message, peek: false, nonblocking })
            } else {
                let message = message.cast_const().cast();
                self.send(Net::SendMsg { fd, message, nonblocking })
            }
        }
    }

    /// # Safety
    /// The same as for [`perform`], for the memory in `op`, whose descriptor is this file's.
    unsafe fn receive(&self, op: Net) -> io::Result<usize> {
        // SAFETY: the caller's promise; the borrow of `self` keeps the descriptor open.
        unsafe { perform(&Op::Net(op), None) }
    }

    /// # Safety
    /// The same as for [`perform`], for the memory in `op`, whose descriptor is this file's.
    unsafe fn send(&self, op: Net) -> io::Result<usize> {
        // SAFETY: as above.
        unsafe { descriptor::send(self.as_fd(), &Op::Net(op), None) }
    }
}
