//! A hand-written echo loop over io_uring: one thread, one ring, one operation in flight per
//! connection, which is either a receive or a send.
//!
//! A connection's buffer has a box of its own in a list that only grows, so it does not move while
//! the kernel uses it. The process runs until it is killed.

use crate::error::say;
use crate::subjects::endpoint::{ADDRESS, BUFFER_BYTES, announce};
use io_uring::{IoUring, opcode, squeue, types};
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

/// `IORING_RECVSEND_POLL_FIRST`: a receive waits for data instead of trying first, since a peer
/// that answers each message has hardly sent yet.
const POLL_FIRST: u16 = 1;
const ENTRIES: u32 = 4096;
/// The user data of the accept. That of a connection is its index.
const ACCEPT: u64 = u64::MAX;

struct Connection {
    /// `None` once the peer has closed. The index is not used again.
    stream: Option<TcpStream>,
    buffer: Box<[u8; BUFFER_BYTES]>,
    /// The part of the buffer that still has to be sent; empty during a receive.
    unsent: std::ops::Range<usize>,
}

impl Connection {
    fn receive(&mut self, fd: i32, index: usize) -> squeue::Entry {
        opcode::Recv::new(types::Fd(fd), self.buffer.as_mut_ptr(), BUFFER_BYTES as u32)
            .ioprio(POLL_FIRST)
            .build()
            .user_data(index as u64)
    }

    fn send(&self, fd: i32, index: usize) -> squeue::Entry {
        let rest = &self.buffer[self.unsent.clone()];
        opcode::Send::new(types::Fd(fd), rest.as_ptr(), rest.len() as u32)
            .flags(libc::MSG_NOSIGNAL)
            .build()
            .user_data(index as u64)
    }

    /// Returns the operation that follows a completion. `None`: the connection has ended.
    fn next(&mut self, result: i32, index: usize) -> Option<squeue::Entry> {
        let fd = self.stream.as_ref()?.as_raw_fd();
        let moved = usize::try_from(result).ok().filter(|moved| *moved > 0)?;
        if self.unsent.is_empty() {
            self.unsent = 0..moved;
        } else {
            self.unsent.start += moved;
        }
        if self.unsent.is_empty() {
            Some(self.receive(fd, index))
        } else {
            Some(self.send(fd, index))
        }
    }
}

pub(super) fn serve() -> Result<(), String> {
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(ENTRIES)
        .map_err(say)?;
    let listener = TcpListener::bind(ADDRESS).map_err(say)?;
    announce(listener.local_addr().map_err(say)?);
    let accept = || {
        opcode::Accept::new(
            types::Fd(listener.as_raw_fd()),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
        .flags(libc::SOCK_CLOEXEC)
        .build()
        .user_data(ACCEPT)
    };
    // Never freed: after an error the ring is closed with operations in flight, which does not wait
    // for them. The process then ends.
    let mut connections: ManuallyDrop<Vec<Connection>> = ManuallyDrop::new(Vec::new());
    let mut completions = Vec::new();
    push(&mut ring, &accept())?;
    loop {
        ring.submit_and_wait(1).map_err(say)?;
        completions.extend(ring.completion().map(|entry| (entry.user_data(), entry.result())));
        for (token, result) in completions.drain(..) {
            if token == ACCEPT {
                let index = connections.len();
                connections.push(connection(result)?);
                let next = connections[index].receive(result, index);
                push(&mut ring, &next)?;
                push(&mut ring, &accept())?;
                continue;
            }
            let index = token as usize;
            match connections[index].next(result, index) {
                Some(next) => push(&mut ring, &next)?,
                None => connections[index].stream = None,
            }
        }
    }
}

fn connection(fd: i32) -> Result<Connection, String> {
    if fd < 0 {
        return Err(format!("accept: {}", std::io::Error::from_raw_os_error(-fd)));
    }
    // SAFETY: the accept has just returned this descriptor, and nothing else owns it.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    stream.set_nodelay(true).map_err(say)?;
    Ok(Connection { stream: Some(stream), buffer: Box::new([0; BUFFER_BYTES]), unsent: 0..0 })
}

fn push(ring: &mut IoUring, entry: &squeue::Entry) -> Result<(), String> {
    // SAFETY: the buffer belongs to a connection that is never freed, in a box that does not move.
    // The connection has one operation in flight, and only its completion leads to the next one, so
    // that nothing else uses the buffer meanwhile.
    while unsafe { ring.submission().push(entry) }.is_err() {
        ring.submit().map_err(say)?;
    }
    Ok(())
}
