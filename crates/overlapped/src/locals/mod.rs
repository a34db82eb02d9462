//! Thread-locals of a tasklet's own.
//!
//! All code finds its thread-locals by one register, the *thread pointer*. glibc lays out the block
//! that it points to: thread-locals, errno, the values of pthread_setspecific(3), what
//! pthread_self(3) names. `Block` is one more such block on the same thread, and a tasklet that has
//! one runs with the register pointing there: to the code on its stack it is a thread of its own.
//!
//! ```text
//!   hub, other tasklets:  the thread's block ("home")
//!   tasklet A:            home ─run──▶ A's block: its code, the library's calls in it
//!                                      depart ──at_home─▶ home: the switch, the others
//!                                              ◀───────── A's block, after the switch back
//!                         home ◀────── its last destructor has run
//! ```
//!
//! **Where the register is switched.** Rejected: a switch home around each call of the library. The
//! library has hundreds of functions, they call the user's code back, and a kill unwinds out of
//! them, so the panic would be counted on one block and caught on the other. So the register is
//! switched together with the stack: by the tasklet itself, around its departure (`at_home`) and
//! around its whole life (`Block::run`), both in `sched/run/own.rs`. The hub, and tasklets without
//! a block, only ever see the thread's pointer; they pay one branch at each departure.
//!
//! **The compiler may assume** that the pointer does not change while a function runs. That holds
//! for every function but the two in `glibc/pointer.rs` that change it and put it back, and these
//! touch no thread-local: what they call is never inlined into them, nor they into others. A
//! tasklet that comes back from a wait has the block that it left with.
//!
//! **The library's own thread-locals** (above all the scheduler of the calling tasklet) are set in
//! a block when a tasklet begins on it.
//!
//! **A block's life.** glibc allocates it (`_dl_allocate_tls`), and the fields are set that glibc
//! sets for a new thread (`glibc/block.rs`). It is lent to one tasklet after another (`Pool`), each
//! of which finds the thread-locals of a new thread. At its end a thread takes it for its own and
//! dies (`retire.rs`), so that libc frees what it keeps for each thread. libc's own thread-locals
//! live as long as the block: its cache of free memory is used again.
//!
//! **No guesses.** glibc promises nothing about blocks. Its debugger's interface says where most
//! fields are, a thread with a known stack shows the rest (`glibc/layout.rs`), and before the first
//! tasklet gets a block, one is tried out (`glibc/trial.rs`). Anything unexpected is a refusal with
//! a reason (`available`).
//!
//! **State that stays the thread's**: its number (`gettid`, and so the owner of C's recursive,
//! error checking and robust mutexes: two tasklets of a thread are the same owner to them, unless
//! their calls lend the descriptor another number, as overlapped-install does), signal mask and
//! alternate stack, floating-point modes, and what the kernel knows (names, priorities, affinity).
//! pthread_kill(3) with a tasklet's pthread_self reaches its thread. It must not be joined,
//! detached or cancelled, nor call pthread_exit(3). glibc does not list it among its threads. This
//! concerns a library that is opened while the tasklet lives and that has thread-locals in fixed
//! places ("initial-exec"; small ones on Arm, too). In that tasklet these begin with zeros instead
//! of their initial values. Tasklets that begin later see them as they should be.

#[cfg_attr(
    all(
        target_os = "linux",
        target_env = "gnu",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        not(target_feature = "crt-static"),
        not(any(miri, overlapped_loom))
    ),
    path = "glibc/mod.rs"
)]
#[cfg_attr(
    not(all(
        target_os = "linux",
        target_env = "gnu",
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        not(target_feature = "crt-static"),
        not(any(miri, overlapped_loom))
    )),
    path = "absent.rs"
)]
mod imp;

pub(crate) use imp::{Home, Pool, available, run_destructors};
