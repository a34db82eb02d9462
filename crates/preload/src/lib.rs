//! A test bench, not a product: loaded into a program by `LD_PRELOAD`, it makes tasklets of the
//! threads that the program starts.
//!
//! ```text
//! LD_PRELOAD=target/debug/liboverlapped_preload.so python3 -m test test_queue
//! ```
//!
//! So test suites that others wrote for threads run on `overlapped-install`'s functions unchanged;
//! `cargo xtask suites` does that. A program that works with threads need not work so: see the
//! limits below.
//!
//! # How
//!
//! ```text
//! main thread ─▶ pthread_create ─┐                       ┌─ host: a thread with a scheduler ─────┐
//! a tasklet   ─▶ pthread_create ─┼─ program's? ── yes ──▶│ tasklet: its own thread-locals        │
//! the library ─▶ pthread_create ─┘      └─ no: a thread  │   enter ─▶ start(argument) ─▶ leave   │
//!                                                        │   destructors of thread-locals        │
//! pthread_join ◀──────────────────── value ──────────────│   the last of them wakes the joiner,  │
//!                                                        │   and keeps the block until joined    │
//!                                                        └───────────────────────────────────────┘
//! ```
//!
//! The first thread that the program starts calls [`install`](overlapped_install::install) and
//! starts the host (`host`); all later ones become tasklets there. **The main thread stays a
//! thread**: the table of `overlapped-install` connects its waits with tasklets, as those of any
//! thread. Threads of the library's own (the pool, the host) stay threads, too: `program` tells
//! them apart.
//!
//! A tasklet's `pthread_t` is the address of its thread-locals, as pthread_self(3) returns it
//! there. The library reuses such blocks, so a block stays with its tasklet until the tasklet has
//! been joined (`end`).
//!
//! | function | with a tasklet |
//! |---|---|
//! | pthread_create | name, size of the stack, detached or not are taken; see below for the rest |
//! | pthread_join, _timedjoin_np, _tryjoin_np, _clockjoin_np, pthread_detach | as for threads |
//! | pthread_exit | unwinds as libc does: handlers of pthread_cleanup_push(3), destructors of C++ |
//! | pthread_setname_np, pthread_getname_np | a name of its own |
//! | pthread_getattr_np | the tasklet's stack |
//! | pthread_equal, pthread_once, pthread_key_create … | libc's, unchanged |
//! | pthread_kill, pthread_sigmask, gettid, priorities, affinity, processor time | the host's |
//! | pthread_cancel | refused with ENOSYS: its waits are no cancellation points |
//!
//! These threads stay threads: those whose attributes name a stack or a scheduling policy, those of
//! C11's thrd_create(3), and all if `install` refuses (standard error then says why).
//!
//! After fork(2) the child has one thread, and a host of its own as soon as it starts another. A
//! tasklet that forked is that thread. As with threads, its end ends no other thread, and the
//! process ends with its last thread (except those of thrd_create(3), which are not counted).
//!
//! # Limits
//!
//! Tasklets are not pre-empted: one that spins until another tasklet has done something, without a
//! call that waits, stops all tasklets. The host's thread number, signal mask and processor time
//! are those of all tasklets.
//!
//! `OVERLAPPED_PRELOAD_REPORT` is a path: each process that had tasklets appends a line there when
//! it ends, `<pid> <tasklets> <threads> <waits>`.

#![cfg(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

mod cleanup;
mod create;
mod end;
mod enter;
mod host;
mod join;
mod key;
mod name;
mod next;
mod own;
mod program;
mod record;
mod report;
mod state;
