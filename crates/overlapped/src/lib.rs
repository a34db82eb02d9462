//! Ordinary blocking Rust with overlapped I/O: a call blocks only its own tasklet, while the kernel
//! completes the operation.
//!
//! **The first hazard:** tasklets share their thread, and each time one waits, others run there. So
//! **an initialiser of a `thread_local!` must not wait**: std would drop the value that another
//! tasklet has made meanwhile, under its references. The compiler cannot see this. Put the
//! initialiser inside [`task::no_switch`], where a call that would wait returns an error. There are
//! more such [hazards](#hazards). A tasklet can have thread-locals
//! [of its own](Builder::own_thread_locals).
//!
//! `docs/guide.md` in the repository leads from a blocking program to ten thousand tasklets.
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use overlapped::net::TcpListener;
//!
//! overlapped::run(|| {
//!     let listener = TcpListener::bind("127.0.0.1:7007")?;
//!     for stream in listener.incoming() {
//!         let mut stream = stream?;
//!         overlapped::spawn(move || {
//!             let mut buf = [0; 4096];
//!             while let Ok(n @ 1..) = stream.read(&mut buf) {
//!                 if stream.write_all(&buf[..n]).is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//!     std::io::Result::Ok(())
//! })
//! .unwrap()
//! .unwrap();
//! ```
//!
//! # The map
//!
//! | module | contents |
//! |---|---|
//! | [`run`], [`run_until`], [`Config`] | the way in: a scheduler on this thread |
//! | [`task`] | tasklets: [`spawn`], [`scope`], groups, join, kill, shield, locals, dumps |
//! | [`chan`] | [`Channel`]: sender and receiver meet, as in Stackless Python; [`Select`] |
//! | [`sync`] | locks, `Event`, `mpsc`, `mpmc`, `broadcast`, `watch`, `oneshot`: across threads |
//! | [`thread`] | `std::thread` on tasklets |
//! | [`time`] | `sleep`, `timeout`, intervals on the port's clock |
//! | [`net`] | `TcpListener`, `TcpStream`, `UdpSocket`: std's methods, blocking the tasklet only |
//! | [`fs`] | `File`, `OpenOptions`, `read`, `copy`, `read_dir` …: std's names |
//! | [`io`] | `pipe`, `stdin`, `stdout`, `stderr`: std's names, blocking the tasklet only |
//! | [`process`] | `Command`, `Child`: std's child processes |
//! | [`signal`] | `ctrl_c`, and any signal as a stream |
//! | [`os`] | parts that only some systems have, under std's paths: Unix sockets |
//! | [`port`] | the completion port itself, usable without tasklets |
//!
#![doc = include_str!("hazards.md")]
//!
//! # Four laws
//!
//! 1. **Terminal completion first.** A call that waits on an operation does not return or unwind,
//!    and its stack is not freed, before that operation's last completion has been reaped. Kills
//!    and timeouts only *request* a cancel, and a cancel decides nothing: if the operation ends
//!    other than cancelled, the call returns that result. No received byte is ever lost to a race.
//!    *(tests: `p1_…`, `p2_…`, `p3_…` in `tests/net_dangers.rs`; for the pool's threads:
//!    `tests/fs_kills.rs`)*
//! 2. **A tasklet never changes thread.** A stack stays where it first ran, so there are no data
//!    races between tasklets and no stale addresses of thread-locals. But all tasklets of a thread
//!    share its thread-locals, unless they [have their own](Builder::own_thread_locals): see the
//!    hazards. *(tests: `s11_…` in `tests/tasklets.rs`, `s18_…` in `tests/hazards.rs`)*
//! 3. **The port reaps, the scheduler runs.** Completions go to the ready queue first; user code
//!    runs after, and never on the scheduler's own stack. *(tests: `s6_…` in `tests/kill.rs`,
//!    `s15_…` in `tests/hub_dangers.rs`, `p14_…` in `tests/endurance.rs`)*
//! 4. **Everything has a limit**: operations in flight, tasklets, stacks. At a limit there is an
//!    error value or back-pressure, never silent loss. *(tests: `s3_…` in `tests/stacks.rs`,
//!    `p5_…` in the driver's unit tests)*
//!
//! # What stops the thread
//!
//! A tasklet stops all tasklets of its thread if it computes for long, calls something that blocks
//! the thread, or waits for a lock of std that another tasklet holds. In the last case it stops
//! them for good, since the lock's holder is one of them. So hold no lock of std across a wait (a
//! tasklet that waits for a lock of `overlapped::sync` lets others run), and put foreign blocking
//! calls into [`task::unblock`]. Long computations go there, too, or call [`yield_now`] now and
//! then.
//!
//! **A program that hangs** can be examined as it is. With `OVERLAPPED_STALL=1s` in its environment
//! it reports every tasklet that holds its thread for longer, with a backtrace, and a `run` that
//! waits for tasklets which its first one has left behind. With `OVERLAPPED_DUMP=quit`, Ctrl-\\
//! shows all tasklets and what they wait for, also while their thread is blocked. Both write to
//! standard error. In code: [`Config::stall_limit`], [`Config::dump_on`], [`task::dump`].
//!
//! # Outside a scheduler
//!
//! Every call does what std's does: it blocks the thread. [`spawn`] panics there,
//! [`Builder::spawn`] returns [`SpawnError::NoScheduler`], and a channel operation that would wait
//! is a deadlock at once. Code on other runtimes reaches this one through [`task::unblock`]
//! (blocking code, on a pool thread), [`net::wait_readable`] (any descriptor) and [`Remote`] (from
//! other threads). tokio inside a tasklet blocks the whole thread: give it a thread of its own.
//!
//! After fork(2) the child sees no scheduler: it is outside, whichever tasklet called fork, and may
//! begin a run of its own. The parent's tasklets are parked for good there. The child should end by
//! exec or exit: if the tasklet that forked comes to its end, the child is aborted.

#![cfg_attr(
    windows,
    allow(
        unreachable_pub,
        unused_imports,
        reason = "processes, signals and the public port are not there yet"
    )
)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "some parts are used only by the ring and by Linux's caches")
)]

pub mod chan;
pub mod fs;
#[cfg(unix)]
pub mod io;
pub mod net;
pub mod os;
#[cfg(unix)]
pub mod port;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod signal;
pub mod sync;
pub mod task;
pub mod thread;
pub mod time;

mod descriptor;
mod driver;
mod foreign;
mod locals;
mod offload;
mod op;
#[cfg(unix)]
mod pipe;
mod sched;
mod spin;
mod stack;
mod switch;
mod sys;
mod watchdog;

pub use chan::{Channel, Handover, RecvError, Select, SendError};
pub use task::{
    Builder, Config, JoinError, Remote, RunError, SpawnError, Tasklet, current, run, run_until,
    scope, spawn, yield_now,
};

/// The README's examples, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The examples of the crate's own README, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct CrateReadme;

/// The guide's examples, compiled and run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;
