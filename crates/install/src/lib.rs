//! Unmodified std code, and the crates built on it, block only the calling tasklet.
//!
//! ```no_run
//! // SAFETY: nothing in this program takes gettid(2) for its own identity.
//! unsafe { overlapped_install::install() }?;
//! overlapped_install::run(|| {
//!     let listener = std::net::TcpListener::bind("127.0.0.1:7007")?;
//!     for stream in listener.incoming() {
//!         let mut stream = stream?;
//!         // std::thread::spawn(move || {
//!         overlapped_install::spawn(move || {
//!             std::io::copy(&mut stream.try_clone()?, &mut stream)
//!         });
//!     }
//!     std::io::Result::Ok(())
//! })??;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How
//!
//! std, and every crate that waits, does so by functions of libc: recv, poll, nanosleep, futexes
//! through syscall. This crate defines functions of those names. The linker prefers them to libc's,
//! for std, for other crates, and for shared libraries in the process.
//!
//! ```text
//! std::net::TcpStream::read ─▶ recv (here) ─┬─ a thread, another tasklet ─▶ the same system call
//!                                           │
//!                                           └─ a tasklet started through this crate
//!                                                 attempt: MSG_DONTWAIT ─▶ done, or an error
//!                                                    │ EAGAIN, but the socket is a blocking one
//!                                                 wait in the library: others run ─▶ attempt
//! ```
//!
//! **Three switches.** Linking the crate takes the symbols. [`install`] makes them act. They act
//! only for tasklets that were started by [`spawn`], [`scope`], [`run`], [`place`] and [`Builder`].
//! For every other caller they do what libc would have done: the same system call, with the same
//! result and errno.
//!
//! **Try first.** A call that finds what it needs costs the one system call that it costs anyway.
//! With io_uring, and with other tasklets that are ready to run, it costs less: the tries go to the
//! kernel in one batch, and the other tasklets run meanwhile. Only a call that would have blocked
//! the thread reads the descriptor's flags and limits. These belong to the program: the crate never
//! changes `O_NONBLOCK`, and `SO_RCVTIMEO` ends a call with EAGAIN as ever.
//!
//! **Fairness.** A tasklet whose calls find everything ready would never wait. Each 128th such call
//! in a row lets other tasklets run.
//!
//! **Kills and deadlines** become errors: `ECANCELED` after [`kill`](overlapped::Tasklet::kill),
//! `ETIMEDOUT` at the deadline of a [`timeout`](overlapped::time::timeout). Nothing is unwound
//! through frames of C. Locks, joins and similar calls have no such error, and wait on.
//!
//! **Locks** may be held across waits: a wait for a std `Mutex`, `Condvar`, `Once` or for a lock of
//! C's blocks only the tasklet, which a tasklet of any thread, or a plain thread, wakes. Each
//! tasklet is an owner of its own, of recursive mutexes for instance. A tasklet that unwinds waits
//! as well. If all tasklets wait for locks, and the process has no other threads, that is a
//! deadlock: [`run`] returns a report that lists them. Such a wait cannot be unwound, so the
//! process ends with the report if the first tasklet is among them. (A wait for a semaphore of C's
//! is never a deadlock: a signal handler may post it.)
//!
//! **Calls that cannot be tried** (getaddrinfo, system, pthread_join) go to a thread of the
//! library's pool, with copies of what they work on. So do connect and accept if the port is not
//! io_uring, and other calls that may wait for ever: these run on threads that a kill interrupts.
//!
//! **Signal handlers** of the program end calls with EINTR if they would have done so in a thread:
//! see signal(7). A handler runs on a thread, and ends the calls of all tasklets of that thread,
//! and of no other. The handler's own calls go to libc. A handler may be left by siglongjmp(3),
//! unless it interrupted a call that waits, or the scheduler: then the process ends with a message.
//!
//! **Thread-locals.** Such a tasklet has thread-locals of its own, as a thread has: std's parker
//! and `thread::current()`, errno, panic counts, what crates keep in `thread_local!`. So channels,
//! parks, and locks of other crates treat it as a thread.
//!
//! # Kill and timeout
//!
//! A call that waits returns an error, `ECANCELED` or `ETIMEDOUT`; a sleep returns early. A call
//! that need not wait goes on as ever. docs/install.md has a table of the calls, and explains the
//! following in full:
//!
//! **Loops that ignore errors** go on after a kill, a thousand times a second at most. End such a
//! loop by passing the error on, or by asking [`is_killed`](overlapped::task::is_killed):
//!
//! ```
//! use std::{net::TcpListener, thread::sleep, time::Duration};
//! use overlapped::task::is_killed;
//!
//! // SAFETY: nothing in this program takes gettid(2) for its own identity.
//! unsafe { overlapped_install::install() }.unwrap();
//! overlapped_install::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:0").unwrap();
//!     let server = overlapped_install::spawn(move || {
//!         for stream in listener.incoming() {
//!             drop(stream?); // Not incoming().flatten(), which would go on for ever.
//!         }
//!         std::io::Result::Ok(())
//!     });
//!     let clock = overlapped_install::spawn(|| {
//!         while !is_killed() {
//!             sleep(Duration::from_secs(60));
//!         }
//!         "stopped"
//!     });
//!     sleep(Duration::from_millis(10));
//!     server.kill();
//!     clock.kill();
//!     // A join gives what the closure has returned.
//!     let error = server.join().unwrap().unwrap_err();
//!     assert_eq!(error.raw_os_error(), Some(125)); // ECANCELED.
//!     assert_eq!(clock.join().unwrap(), "stopped");
//! })
//! .unwrap();
//! ```
//!
//! **Locks, channels and joins of threads** wait on, so a timeout over them does nothing. Put it
//! over the join of a tasklet that makes the call:
//!
//! ```
//! use std::{sync::mpsc, time::Duration};
//! use overlapped::time::timeout;
//! use overlapped_install::JoinError;
//!
//! // SAFETY: nothing in this program takes gettid(2) for its own identity.
//! unsafe { overlapped_install::install() }.unwrap();
//! overlapped_install::run(|| {
//!     let (sender, receiver) = mpsc::channel::<u8>();
//!     let call = overlapped_install::spawn(move || receiver.recv());
//!     let joined = timeout(Duration::from_millis(10), || call.join());
//!     assert!(matches!(joined, Err(JoinError::TimedOut)));
//!     drop(sender); // Else the call would wait on, and the run for it.
//! })
//! .unwrap();
//! ```
//!
//! **Some calls of std panic** at an error that they consider impossible: `Command::output` while
//! it reads, a `Command::spawn` that forks, `println!` on a full pipe. A
//! [`shield`](overlapped::task::shield) keeps kills from them, but no deadlines:
//!
//! ```
//! use std::{process::Command, thread::sleep, time::Duration};
//! use overlapped::task::{is_killed, shield};
//!
//! // SAFETY: nothing in this program takes gettid(2) for its own identity.
//! unsafe { overlapped_install::install() }.unwrap();
//! overlapped_install::run(|| {
//!     let tasklet = overlapped_install::spawn(|| {
//!         let mut command = Command::new("sh");
//!         let output = shield(|| command.args(["-c", "sleep 0.1; echo done"]).output());
//!         (output.unwrap().stdout, is_killed())
//!     });
//!     sleep(Duration::from_millis(10));
//!     tasklet.kill();
//!     assert_eq!(tasklet.join().unwrap(), (b"done\n".to_vec(), true));
//! })
//! .unwrap();
//! ```
//!
//! # Limits
//!
//! - A descriptor that has neither a try without waiting nor readiness blocks the thread.
//! - The kernel's number of a thread (gettid) names the thread, not the tasklet: see [`install`].
//! - Inside [`no_switch`](overlapped::task::no_switch) a call blocks the thread. If it waits for a
//!   lock that another tasklet of the thread holds, both stop for good; a line on standard error
//!   says so.
//! - Mutexes of C's with a priority ceiling return `ENOTSUP` in such tasklets. Robust ones, and
//!   recursive or error-checking ones that inherit priorities or that several processes share, are
//!   locked by a thread of the tasklet's own: the kernel must know their owner.
//! - Signal handlers may call sem_post(3). They must not wake by futex(2) while tasklets wait.
//! - Linux with glibc, on x86-64 and 64-bit Arm, linked dynamically.
//!
//! # What cannot be taken over
//!
//! Code that makes system calls by its own instructions calls no function of libc: rustix with its
//! default backend, the runtime of Go, libc itself inside `system`, and inside stdio that writes. A
//! call that waits there blocks the thread.
//!
//! - [`report`] lists which symbols are this crate's, how often each has waited, and which objects
//!   in the process have such instructions. `overlapped doctor --install PROGRAM` examines a
//!   program before it is started.
//! - With a limit ([`Options::stall_limit`], or `OVERLAPPED_STALL=20ms` in the environment) it
//!   lists the calls that have pinned their thread for longer, with backtraces.
//! - With [`Options::trap_raw_calls`], or `OVERLAPPED_TRAP=on`, it lists the waiting calls that
//!   tasklets have made past libc's functions, with the place of each.

mod caller;
mod duplicates;
mod errors;
mod futex;
mod hooks;
mod install;
mod next;
mod options;
mod pool;
#[doc(hidden)]
pub mod preload;
mod query;
mod raw;
mod remainder;
mod report;
mod self_test;
mod slices;
mod spawn;
mod symbols;
mod table;
mod takeover;
mod timespec;
mod trap;
mod wait;
mod why_not;

pub use install::{Installed, install, install_with};
pub use options::Options;
pub use overlapped::task::{JoinError, Placed, ScopedTasklet};
pub use overlapped::{Config, RunError, SpawnError, Tasklet};
pub use report::{ObjectReport, Pinned, Report, SymbolReport, report};
pub use spawn::{Builder, Scope, scope, spawn};
pub use spawn::{place, place_on, run, run_until, run_until_with, run_with};
pub use trap::RawCall;
pub use why_not::WhyNot;
