//! Helpers that the tests share.
#![allow(dead_code, unused_imports)]

pub(crate) mod c;
mod place;

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) use place::path;

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Skips a test, aloud, where there can be no such tasklets.
pub(crate) fn install() {
    // SAFETY: nothing here takes gettid for its own identity.
    match unsafe { overlapped_install::install() } {
        Ok(_) => {}
        Err(overlapped_install::WhyNot::ThreadLocals(why)) => {
            // Past libtest, which would keep it, and lose it at the exit.
            let mut out = io::stdout();
            writeln!(out, "\nSKIPPED: no thread-locals of a tasklet's own: {why}").unwrap();
            std::process::exit(0);
        }
        Err(error) => panic!("{error}"),
    }
}

/// Runs `f` as a tasklet.
pub(crate) fn within<T>(f: impl FnOnce() -> T) -> T {
    install();
    overlapped_install::run(f).unwrap()
}

/// Twenty times `f`, which takes 100 ms, at once: far less than two seconds.
pub(crate) fn overlap(f: impl Fn(usize) + Copy + 'static) {
    within(|| {
        let begin = Instant::now();
        let all: Vec<_> =
            (0..20).map(|number| overlapped_install::spawn(move || f(number))).collect();
        all.into_iter().for_each(|one| one.join().unwrap());
        let one = {
            let begin = Instant::now();
            f(20);
            begin.elapsed()
        };
        // Each of them alone, one after the other, would have taken twenty times as long.
        assert!(begin.elapsed() < one * 12 + ms(400), "{:?}, one {one:?}", begin.elapsed());
    });
}

/// Counts the turns of neighbours while `f` ran.
pub(crate) fn ticks(f: impl FnOnce()) -> u32 {
    let (count, end) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (theirs, ended) = (count.clone(), end.clone());
    let ticker = overlapped::spawn(move || {
        while !ended.get() {
            theirs.set(theirs.get() + 1);
            overlapped::time::sleep(ms(1));
        }
    });
    f();
    let ticks = count.get();
    end.set(true);
    ticker.join().unwrap();
    ticks
}

pub(crate) fn sleep_program(seconds: &str) -> Command {
    let mut command = Command::new("sleep");
    command.arg(seconds);
    command
}

/// This program, to run again: by Cargo's runner for another processor, if that runs it.
pub(crate) fn again() -> Command {
    let program = std::env::current_exe().unwrap();
    let Some(runner) = foreign("RUNNER") else { return Command::new(program) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(program);
    command
}

/// Cargo's settings for programs for another processor.
fn foreign(what: &str) -> Option<String> {
    let target = cfg!(target_arch = "aarch64").then_some("AARCH64_UNKNOWN_LINUX_GNU")?;
    std::env::var(format!("CARGO_TARGET_{target}_{what}")).ok()
}

/// Tells whether an emulator runs this: it has no seccomp(2), no ptrace(2), and its own threads.
pub(crate) fn is_emulated() -> bool {
    foreign("RUNNER").is_some()
}

/// connect(2), to an IPv4 address.
pub(crate) fn connect(fd: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let SocketAddr::V4(address) = address else { panic!("not IPv4") };
    let name = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: an address, lent for the call.
    let outcome = unsafe {
        libc::connect(fd.as_raw_fd(), (&raw const name).cast(), size_of_val(&name) as u32)
    };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs `f` at once by tasklets of this thread, by a thread, and by tasklets of another scheduler.
pub(crate) fn everywhere(each: usize, f: impl Fn() + Send + Sync + 'static) {
    let f = std::sync::Arc::new(f);
    let (by_thread, by_others) = (f.clone(), f.clone());
    let plain = std::thread::spawn(move || (0..each).for_each(|_| by_thread()));
    let other = std::thread::spawn(move || {
        within(|| {
            let all: Vec<_> = (0..each)
                .map(|_| {
                    let f = by_others.clone();
                    overlapped_install::spawn(move || f())
                })
                .collect();
            all.into_iter().for_each(|one| one.join().unwrap());
        });
    });
    within(|| {
        overlapped_install::scope(|s| (0..each).for_each(|_| drop(s.spawn(|| f()))));
    });
    plain.join().unwrap();
    other.join().unwrap();
}

/// SplitMix64: small, seeded, good enough to pick steps.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// `full` rounds when `OVERLAPPED_TORTURE` is set, else `short` ones.
pub(crate) fn rounds(short: usize, full: usize) -> usize {
    if std::env::var_os("OVERLAPPED_TORTURE").is_some() { full } else { short }
}

/// The one line that a judge reads. No checks is a failure.
pub(crate) fn report(id: &str, checks: usize, figure: &str) {
    assert!(checks > 0, "{id} checked nothing");
    println!("RELIABILITY {id} {checks} {figure}");
}
