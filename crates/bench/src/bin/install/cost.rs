//! Costs of std's calls: the same code in threads and in tasklets.

use std::cell::UnsafeCell;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// The kind of task that runs the code.
pub(crate) trait World {
    type Handle;
    fn spawn(f: impl FnOnce() + Send + 'static) -> Self::Handle;
    fn join(handle: Self::Handle);
}

pub(crate) struct Threads;

impl World for Threads {
    type Handle = thread::JoinHandle<()>;

    fn spawn(f: impl FnOnce() + Send + 'static) -> Self::Handle {
        thread::spawn(f)
    }

    fn join(handle: Self::Handle) {
        handle.join().expect("a thread panicked");
    }
}

pub(crate) struct Tasklets;

impl World for Tasklets {
    type Handle = overlapped_install::Tasklet<()>;

    fn spawn(f: impl FnOnce() + Send + 'static) -> Self::Handle {
        overlapped_install::spawn(f)
    }

    fn join(handle: Self::Handle) {
        handle.join().expect("a tasklet panicked");
    }
}

/// Measures a case: nanoseconds for `n` times, or KiB for each of `n` at a time.
pub(crate) fn measure<W: World>(case: &str, n: u64) -> Result<f64, String> {
    let took = match case {
        "spawn_join" => spawn_join::<W>(n),
        "yield" => yields::<W>(n),
        "channel" => channel::<W>(n),
        "sleep" => sleeps(n),
        "pair_ready" => pair_ready(n),
        "pair_waits" => pair_waits::<W>(n),
        "lock" => locks(n),
        "semaphore" => semaphores::<W>(n),
        "parked" => return parked::<W>(n),
        _ => return Err(format!("no case {case}")),
    };
    Ok(took.as_nanos() as f64)
}

fn spawn_join<W: World>(n: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..n {
        W::join(W::spawn(|| ()));
    }
    start.elapsed()
}

/// Times `n` yields of two tasks in turn.
fn yields<W: World>(n: u64) -> Duration {
    let start = Instant::now();
    let yields = move || (0..n / 2).for_each(|_| thread::yield_now());
    let both = [W::spawn(yields), W::spawn(yields)];
    both.into_iter().for_each(W::join);
    start.elapsed()
}

fn channel<W: World>(n: u64) -> Duration {
    let (there, arrived) = mpsc::channel::<u64>();
    let (back, returned) = mpsc::channel::<u64>();
    let answering = W::spawn(move || {
        arrived.into_iter().take_while(|value| back.send(value + 1).is_ok()).for_each(drop);
    });
    let start = Instant::now();
    for value in 0..n {
        there.send(value).expect("a receiver");
        assert_eq!(returned.recv(), Ok(value + 1));
    }
    let took = start.elapsed();
    drop(there);
    W::join(answering);
    took
}

fn sleeps(n: u64) -> Duration {
    let start = Instant::now();
    (0..n).for_each(|_| thread::sleep(Duration::from_micros(1)));
    start.elapsed()
}

/// Times bytes that one task writes and reads itself.
fn pair_ready(n: u64) -> Duration {
    let (mut a, mut b) = UnixStream::pair().expect("a pair");
    let start = Instant::now();
    for _ in 0..n {
        a.write_all(&[1]).expect("a write");
        b.read_exact(&mut [0]).expect("a read");
    }
    start.elapsed()
}

/// Times bytes that go to another task and back.
fn pair_waits<W: World>(n: u64) -> Duration {
    let (mut a, mut b) = UnixStream::pair().expect("a pair");
    let answering = W::spawn(move || {
        let mut byte = [0];
        while b.read_exact(&mut byte).is_ok() && b.write_all(&byte).is_ok() {}
    });
    let start = Instant::now();
    for _ in 0..n {
        a.write_all(&[1]).expect("a write");
        a.read_exact(&mut [0]).expect("a read");
    }
    let took = start.elapsed();
    drop(a);
    W::join(answering);
    took
}

fn locks(n: u64) -> Duration {
    let lock = Mutex::new(0_u64);
    let start = Instant::now();
    for _ in 0..n {
        *std::hint::black_box(&lock).lock().expect("a lock") += 1;
    }
    start.elapsed()
}

/// A semaphore of libc.
struct Semaphore(UnsafeCell<libc::sem_t>);

// SAFETY: sem_wait and sem_post may be called by any number of threads at the same time.
unsafe impl Sync for Semaphore {}
// SAFETY: a semaphore belongs to no thread. It is moved only before its first use, which does no
// harm, as glibc keeps no address in it; then it lies in an `Arc`.
unsafe impl Send for Semaphore {}

impl Semaphore {
    fn new() -> Semaphore {
        let mut made = MaybeUninit::uninit();
        // SAFETY: the pointer is to a live local, and sem_init fills it in: it fails only for a
        // value that is too large, or where semaphores between processes are not supported.
        unsafe {
            libc::sem_init(made.as_mut_ptr(), 0, 0);
            Semaphore(UnsafeCell::new(made.assume_init()))
        }
    }

    fn wait(&self) {
        // SAFETY: the semaphore is initialised and does not move.
        unsafe { libc::sem_wait(self.0.get()) };
    }

    fn post(&self) {
        // SAFETY: the semaphore is initialised and does not move.
        unsafe { libc::sem_post(self.0.get()) };
    }
}

/// Times two semaphores: a post to another task, and a post back.
fn semaphores<W: World>(n: u64) -> Duration {
    let both = Arc::new([Semaphore::new(), Semaphore::new()]);
    let theirs = Arc::clone(&both);
    let answering = W::spawn(move || {
        for _ in 0..n {
            theirs[0].wait();
            theirs[1].post();
        }
    });
    let start = Instant::now();
    for _ in 0..n {
        both[0].post();
        both[1].wait();
    }
    let took = start.elapsed();
    W::join(answering);
    took
}

/// Measures the resident memory and page tables that each of `n` waiting tasks adds.
fn parked<W: World>(n: u64) -> Result<f64, String> {
    let gate = Arc::new((Mutex::new((0, false)), Condvar::new()));
    let wait = |gate: &(Mutex<(u64, bool)>, Condvar)| {
        let mut state = gate.0.lock().expect("a lock");
        state.0 += 1;
        drop(gate.1.wait_while(state, |state| !state.1).expect("a lock"));
    };
    let before = memory()?;
    let all: Vec<_> = (0..n)
        .map(|_| {
            let gate = gate.clone();
            W::spawn(move || wait(&gate))
        })
        .collect();
    while gate.0.lock().expect("a lock").0 < n {
        thread::sleep(Duration::from_millis(1));
    }
    let added = memory()? - before;
    gate.0.lock().expect("a lock").1 = true;
    gate.1.notify_all();
    all.into_iter().for_each(W::join);
    Ok(added / n as f64)
}

/// Reads the resident memory and page tables of this process, in KiB.
fn memory() -> Result<f64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    Ok(field("VmRSS:").unwrap_or(0.0) + field("VmPTE:").unwrap_or(0.0))
}
