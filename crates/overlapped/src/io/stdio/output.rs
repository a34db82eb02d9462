//! Standard output and standard error.

use std::fmt;
use std::io::{self, IoSlice, LineWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind};
use std::process::Stdio;
use std::sync::OnceLock;

use super::lock::{Guard, Locked};
use super::raw::{self, Raw, total_len};
use crate::sys::process::at_exit;
use crate::sys::terminal;

/// The buffered stream, which keeps lines together, and the unbuffered one.
type Output = Locked<LineWriter<Raw>>;
type Errors = Locked<Raw>;

static OUTPUT: OnceLock<Output> = OnceLock::new();

fn output() -> &'static Output {
    OUTPUT.get_or_init(|| {
        at_exit(flush_at_exit);
        Locked::new("standard output", LineWriter::new(Raw::new(libc::STDOUT_FILENO)))
    })
}

fn errors() -> &'static Errors {
    static ERRORS: OnceLock<Errors> = OnceLock::new();
    ERRORS.get_or_init(|| Locked::new("standard error", Raw::new(libc::STDERR_FILENO)))
}

/// Writes the buffer, unless a tasklet or thread is in the middle of writing, as std does. Bytes
/// that come later (from other exit handlers) are not buffered.
extern "C" fn flush_at_exit() {
    raw::begin_exit();
    // An exit handler has no caller that an error could go to.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let guard = OUTPUT.get().and_then(Locked::try_lock);
        if let Some(Ok(mut value)) = guard.as_ref().map(Guard::value) {
            let _ = value.flush();
            *value = LineWriter::with_capacity(0, Raw::new(libc::STDOUT_FILENO));
        }
    }));
}

/// Returns a handle to standard output; the counterpart of `std::io::stdout`.
///
/// It buffers bytes until a line is complete, as std's does, until `flush`, or until the process
/// exits. It has a buffer of its own: complete lines come out in the order in which they and those
/// of `println!` are written. A line that one of the two begins and the other ends does not come
/// out in order. `println!` itself blocks the thread while the other side does not read.
///
/// ```
/// use std::io::Write;
/// overlapped::run(|| {
///     writeln!(overlapped::io::stdout(), "from a tasklet").unwrap();
/// }).unwrap();
/// ```
pub fn stdout() -> Stdout {
    Stdout(())
}

/// Returns a handle to standard error; the counterpart of `std::io::stderr`. It has no buffer.
pub fn stderr() -> Stderr {
    Stderr(())
}

/// Standard output; writing blocks only the calling tasklet. The counterpart of `std::io::Stdout`.
pub struct Stdout(());

/// Standard output, locked. The counterpart of `std::io::StdoutLock`.
pub struct StdoutLock<'a>(Guard<'a, LineWriter<Raw>>);

/// Standard error; writing blocks only the calling tasklet. The counterpart of `std::io::Stderr`.
pub struct Stderr(());

/// Standard error, locked. The counterpart of `std::io::StderrLock`.
pub struct StderrLock<'a>(Guard<'a, Raw>);

/// A panic leaves a stream as it was: buffered bytes are written later, as in std.
impl UnwindSafe for StdoutLock<'_> {}
impl RefUnwindSafe for StdoutLock<'_> {}
impl UnwindSafe for StderrLock<'_> {}
impl RefUnwindSafe for StderrLock<'_> {}

/// The capacity of std's `LineWriter`, the buffer of its standard output.
const KEPT_MAX: usize = 1024;

/// Writes several slices as std does: the lines go out in one call, and the bytes behind them are
/// buffered. `LineWriter` would take the first slice alone, since a `Write` outside std cannot tell
/// it that the stream underneath takes several.
fn write_lines(writer: &mut LineWriter<Raw>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let bytes = |bufs: &[IoSlice<'_>], most| -> Vec<u8> {
        bufs.iter().flat_map(|buf| buf.iter().copied()).take(most).collect()
    };
    let Some(last) = bufs.iter().rposition(|buf| buf.contains(&b'\n')) else {
        if total_len(bufs) < KEPT_MAX {
            return writer.write(&bytes(bufs, KEPT_MAX));
        }
        writer.flush()?;
        return writer.get_mut().write_vectored(bufs);
    };
    writer.flush()?;
    let (lines, tail) = bufs.split_at(last + 1);
    let written = writer.get_mut().write_vectored(lines)?;
    if written < total_len(lines) {
        return Ok(written);
    }
    Ok(written + writer.write(&bytes(tail, KEPT_MAX - 1))?)
}

macro_rules! writer {
    ($handle:ident, $lock:ident, $locked:ident, $vectored:path, $fd:ident) => {
        impl $handle {
            /// Waits for the lock, which blocks only the calling tasklet. Its owner may take it
            /// again.
            ///
            /// # Panics
            /// Inside [`no_switch`](crate::task::no_switch), if it would wait. If it would wait in
            /// an unwinding tasklet, the process is aborted; the writing methods of the handle
            /// return an error instead.
            pub fn lock(&self) -> $lock<'static> {
                $lock($locked().lock())
            }

            fn try_to_lock(&self) -> io::Result<$lock<'static>> {
                Ok($lock($locked().lock_or_refuse()?))
            }

            /// Tells whether the stream is a terminal. std has this in the trait `IsTerminal`,
            /// which is sealed.
            pub fn is_terminal(&self) -> bool {
                terminal::is_terminal(self.as_fd())
            }
        }

        impl Write for $lock<'_> {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.value()?.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                $vectored(&mut *self.0.value()?, bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.0.value()?.flush()
            }
        }

        impl Write for &$handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.try_to_lock()?.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.try_to_lock()?.write_vectored(bufs)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.try_to_lock()?.write_all(buf)
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                self.try_to_lock()?.write_fmt(args)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.try_to_lock()?.flush()
            }
        }

        impl Write for $handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                (&*self).write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(bufs)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                (&*self).write_all(buf)
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                (&*self).write_fmt(args)
            }

            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }
        }

        impl From<$handle> for Stdio {
            /// Duplicates the stream for a child.
            fn from(_: $handle) -> Stdio {
                // SAFETY: as in std, the standard streams are taken to stay open. If one is closed,
                // the duplication fails.
                let fd = unsafe { BorrowedFd::borrow_raw(libc::$fd) };
                fd.try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
            }
        }

        writer!(@descriptor $handle, stringify!($handle), $fd);
        writer!(@descriptor $lock<'_>, stringify!($lock), $fd);
    };
    (@descriptor $ours:ty, $name:expr, $fd:ident) => {
        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                // SAFETY: as in std, the standard streams are taken to stay open.
                unsafe { BorrowedFd::borrow_raw(libc::$fd) }
            }
        }

        impl AsRawFd for $ours {
            fn as_raw_fd(&self) -> RawFd {
                libc::$fd
            }
        }

        impl fmt::Debug for $ours {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    };
}

writer!(Stdout, StdoutLock, output, write_lines, STDOUT_FILENO);
writer!(Stderr, StderrLock, errors, Write::write_vectored, STDERR_FILENO);
