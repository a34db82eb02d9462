//! Standard input.

use std::cell::RefMut;
use std::fmt;
use std::io::{self, BufRead, BufReader, IoSliceMut, Lines, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::OnceLock;

use super::lock::{Guard, Locked};
use super::raw::Raw;
use crate::sys::terminal;

/// The capacity of std's buffer.
const BUFFER: usize = 8 << 10;

fn input() -> &'static Locked<BufReader<Raw>> {
    static INPUT: OnceLock<Locked<BufReader<Raw>>> = OnceLock::new();
    INPUT.get_or_init(|| {
        let raw = Raw::new(libc::STDIN_FILENO);
        Locked::new("standard input", BufReader::with_capacity(BUFFER, raw))
    })
}

/// Returns a handle to standard input; the counterpart of `std::io::stdin`.
///
/// It has a buffer of its own: bytes that `std::io::stdin` has read ahead are not seen here, and
/// vice versa. A program uses one of the two.
///
/// ```no_run
/// overlapped::run(|| {
///     for line in overlapped::io::stdin().lines() {
///         println!("{}", line.unwrap().to_uppercase());
///     }
/// }).unwrap();
/// ```
pub fn stdin() -> Stdin {
    Stdin(())
}

/// Standard input; reading blocks only the calling tasklet. The counterpart of `std::io::Stdin`.
pub struct Stdin(());

/// Standard input, locked: [`BufRead`]. The counterpart of `std::io::StdinLock`.
pub struct StdinLock<'a> {
    /// Dropped before the lock.
    value: RefMut<'a, BufReader<Raw>>,
    _guard: Guard<'a, BufReader<Raw>>,
}

// SAFETY: a shared reference gives access to the descriptor's number alone, not to the value.
unsafe impl Sync for StdinLock<'_> {}
/// A panic leaves the stream as it was, as in std.
impl UnwindSafe for StdinLock<'_> {}
impl RefUnwindSafe for StdinLock<'_> {}

impl Stdin {
    /// Waits for the lock, which blocks only the calling tasklet.
    ///
    /// # Panics
    /// If the caller has the lock already, and inside [`no_switch`](crate::task::no_switch) if it
    /// would wait. If it would wait in an unwinding tasklet, the process is aborted.
    pub fn lock(&self) -> StdinLock<'static> {
        let guard = input().lock();
        let value = guard.value();
        StdinLock { value: value.expect("the caller has no lock of it yet"), _guard: guard }
    }

    /// Appends one line, with its end, to `buf`.
    ///
    /// # Errors
    /// As [`BufRead::read_line`].
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// Returns the lines, without their ends.
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }

    /// Tells whether the stream is a terminal. std has this in the trait `IsTerminal`, which is
    /// sealed.
    pub fn is_terminal(&self) -> bool {
        terminal::is_terminal(self.as_fd())
    }
}

impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.lock().read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

impl Read for Stdin {
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

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.value.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.value.read_vectored(bufs)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.value.read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.value.read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.value.read_exact(buf)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.value.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.value.consume(n);
    }
}

macro_rules! descriptors {
    ($($ours:ty, $name:literal);*) => {$(
        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                // SAFETY: as in std, the standard streams are taken to stay open.
                unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
            }
        }

        impl AsRawFd for $ours {
            fn as_raw_fd(&self) -> RawFd {
                libc::STDIN_FILENO
            }
        }

        impl fmt::Debug for $ours {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    )*};
}

descriptors!(Stdin, "Stdin"; StdinLock<'_>, "StdinLock");
