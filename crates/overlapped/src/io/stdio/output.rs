//! Standard output and standard error.

use std::fmt;
use std::io::{self, LineWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Stdio;
use std::sync::OnceLock;

use super::lock::{Guard, Locked};
use super::raw::{self, Raw};
use crate::port::host::process::at_exit;
use crate::port::host::terminal;
use crate::task::Refusal;

/// What both write through: lines are kept together, or nothing is kept.
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

/// Writes what is kept, unless somebody is in the middle of writing, as std does. What comes later
/// (other exit handlers) is not kept.
extern "C" fn flush_at_exit() {
    raw::note_exit();
    // Nobody could be told.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let guard = OUTPUT.get().and_then(Locked::try_lock);
        if let Some(Ok(mut value)) = guard.as_ref().map(Guard::value) {
            let _ = value.flush();
            *value = LineWriter::with_capacity(0, Raw::new(libc::STDOUT_FILENO));
        }
    }));
}

/// A handle to standard output; the counterpart of `std::io::stdout`.
///
/// It keeps what is written until a line is whole, as std's does, until `flush`, or until the
/// process exits. It has a buffer of its own: whole lines come out in the order in which they and
/// those of `println!` are written; a line that is begun by the one and ended by the other does
/// not. `println!` itself blocks the thread where nobody reads.
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

/// A handle to standard error; the counterpart of `std::io::stderr`. Nothing is kept.
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

/// The error of a write that would wait for the lock, where the caller may not.
fn refused(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, refusal.reason())
}

macro_rules! writer {
    ($handle:ident, $lock:ident, $locked:ident, $fd:ident) => {
        impl $handle {
            /// Waits for the lock, which blocks only the calling tasklet. Whoever has it may take
            /// it again.
            ///
            /// # Panics
            /// Inside [`no_switch`](crate::task::no_switch), if it would wait. If it would wait in
            /// an unwinding tasklet, the process is aborted; the writing methods of the handle
            /// return an error instead.
            pub fn lock(&self) -> $lock<'static> {
                $lock($locked().lock())
            }

            fn try_to_lock(&self) -> io::Result<$lock<'static>> {
                $locked().lock_or_refuse().map($lock).map_err(refused)
            }

            /// Whether it is a terminal. std has this in the trait `IsTerminal`, which is sealed.
            pub fn is_terminal(&self) -> bool {
                terminal::is_terminal(self.as_fd())
            }
        }

        impl Write for $lock<'_> {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.value()?.write(buf)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.0.value()?.flush()
            }
        }

        impl Write for &$handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.try_to_lock()?.write(buf)
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
            /// The stream itself, for a child.
            fn from(_: $handle) -> Stdio {
                // SAFETY: as std takes it, too: the standard streams stay open. The duplicate is
                // made from what is there, or fails.
                let fd = unsafe { BorrowedFd::borrow_raw(libc::$fd) };
                fd.try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from)
            }
        }

        writer!(@descriptor $handle, $fd);
        writer!(@descriptor $lock<'_>, $fd);
    };
    (@descriptor $ours:ty, $fd:ident) => {
        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                // SAFETY: as std takes it, too: the standard streams stay open.
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
                f.write_str(stringify!($ours))
            }
        }
    };
}

writer!(Stdout, StdoutLock, output, STDOUT_FILENO);
writer!(Stderr, StderrLock, errors, STDERR_FILENO);
