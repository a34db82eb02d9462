//! Scenarios that are compiled three times: with std's types in threads, with ours in tasklets, and
//! with ours in plain threads. The three logs of results (values, error kinds and raw errors) are
//! compared.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::io;
use std::time::Duration;

#[cfg(unix)]
pub(crate) use self::unix as system;
#[cfg(windows)]
pub(crate) use self::windows as system;
#[allow(unused_imports, reason = "every test program uses a part of it")]
pub(crate) use system::{until_arrived, until_bytes};
pub(crate) use testkit::ms;

use crate::support;

/// Questions of the scenarios to Unix.
#[cfg(unix)]
#[allow(unused_imports, reason = "every test program uses a part of it")]
pub(crate) mod unix {
    use std::os::fd::AsFd;
    pub(crate) use std::os::fd::{AsRawFd, OwnedFd as OwnedSocket};
    pub(crate) use std::os::unix::net;

    pub(crate) use overlapped::os::unix::net as ours;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    /// Waits until a socket has bytes, an end or an error.
    pub(crate) fn until_arrived(socket: &impl AsFd) {
        let mut asked = [PollFd::new(socket, PollFlags::IN | PollFlags::RDHUP)];
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(poll(&mut asked, Some(&limit)), Ok(1), "nothing arrives");
    }

    /// Waits until a socket has `count` bytes to read.
    pub(crate) fn until_bytes(socket: &impl AsFd, count: u64) {
        let there = || rustix::io::ioctl_fionread(socket).unwrap();
        crate::support::wait_until_with(std::thread::sleep, "the bytes arrive", || {
            there() >= count
        });
    }

    /// Returns the number of a socket, as `Debug` writes it.
    pub(crate) fn number(socket: &impl AsRawFd) -> String {
        format!("fd: {}", socket.as_raw_fd())
    }
}

/// Questions of the scenarios to Windows. There are no sockets of the Unix family: std's
/// other sockets stand for them, and no scenario uses them.
#[cfg(windows)]
#[allow(unused_imports, reason = "every test program uses a part of it")]
pub(crate) mod windows {
    use std::io::ErrorKind;
    use std::mem::MaybeUninit;
    pub(crate) use std::os::windows::io::OwnedSocket;
    use std::os::windows::io::{AsRawSocket, AsSocket};

    pub(crate) use overlapped::net as ours;
    use socket2::SockRef;
    pub(crate) use std::net;

    /// Waits until a socket has bytes, an end or an error.
    pub(crate) fn until_arrived(socket: &impl AsSocket) {
        until_bytes(socket, 1);
    }

    /// Waits until a socket has `count` bytes to read, or an end or an error.
    pub(crate) fn until_bytes(socket: &impl AsSocket, count: u64) {
        let mut room = vec![MaybeUninit::uninit(); count as usize];
        crate::support::wait_until_with(std::thread::sleep, "the bytes arrive", || {
            match SockRef::from(socket).peek(&mut room) {
                Ok(0) => true,
                Ok(there) => there as u64 >= count,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            }
        });
    }

    /// Returns the number of a socket, as `Debug` writes it.
    pub(crate) fn number(socket: &impl AsRawSocket) -> String {
        format!("socket: {}", socket.as_raw_socket())
    }
}

/// The log of results, one line per call.
#[derive(Default)]
pub(crate) struct Log(Vec<String>);

impl Log {
    pub(crate) fn note(&mut self, what: &str, result: io::Result<impl std::fmt::Debug>) {
        self.0.push(match result {
            Ok(value) => format!("{what}: {value:?}"),
            Err(error) => format!("{what}: {:?} {:?}", error.kind(), error.raw_os_error()),
        });
    }

    pub(crate) fn text(&self) -> String {
        self.0.join("\n")
    }
}

/// Returns a function that waits until the calling thread is blocked.
pub(crate) fn until_thread_waits() -> impl FnOnce() + Send + 'static {
    let caller = support::thread_number();
    move || support::wait_until_blocked(caller)
}

/// Returns a function for another tasklet: it waits until all others wait, the one that called this
/// among them.
pub(crate) fn until_tasklet_waits() -> impl FnOnce() + 'static {
    support::wait_until_others_wait
}

type Run = (&'static str, fn(&mut Log));

pub(crate) fn compare(name: &str, runs: [Run; 3]) {
    let logs = runs.map(|(place, scenario)| {
        let (done, wait) = std::sync::mpsc::channel();
        let run = move || {
            let mut log = Log::default();
            if place == "tasklets" {
                overlapped::run(|| scenario(&mut log)).unwrap();
            } else {
                scenario(&mut log);
            }
            let _ = done.send(log.0);
        };
        std::thread::spawn(run);
        let log = wait.recv_timeout(Duration::from_secs(20));
        (place, log.unwrap_or_else(|_| panic!("{name}: {place} hangs or panicked")))
    });
    assert!(!logs[0].1.is_empty(), "{name} compares nothing");
    for (place, log) in &logs[1..] {
        let pairs = log.iter().zip(&logs[0].1);
        let wrong: Vec<_> = pairs.filter(|(ours, theirs)| ours != theirs).take(5).collect();
        assert!(wrong.is_empty(), "{name}: {place} (left) against std (right): {wrong:#?}");
        assert_eq!(log.len(), logs[0].1.len(), "{name}: {place} (left) against std (right)");
    }
}

/// The scenarios of one test program. In each of them, `net`, `unix`, `spawn` and `sleep` are std's
/// or ours. What they spawn calls the function that `until_caller_waits` returns, to wait until the
/// scenario is blocked. The items in `with` are compiled beside them.
#[allow(unused_macros, reason = "not every test program has such scenarios")]
macro_rules! scenarios {
    (with { $($with:tt)* } $($name:ident |$log:ident| $body:block)*) => {
        scenarios!(@in in_std,
            (std::net, $crate::against_std::system::net, std::thread::spawn, std::thread::sleep,
                $crate::against_std::until_thread_waits),
            { $($with)* } $($name $log $body)*);
        scenarios!(@in in_tasklets,
            (overlapped::net, $crate::against_std::system::ours, overlapped::spawn,
                overlapped::time::sleep, $crate::against_std::until_tasklet_waits),
            { $($with)* } $($name $log $body)*);
        scenarios!(@in outside,
            (overlapped::net, $crate::against_std::system::ours, std::thread::spawn,
                std::thread::sleep, $crate::against_std::until_thread_waits),
            { $($with)* } $($name $log $body)*);
        $(#[test] fn $name() {
            $crate::against_std::compare(stringify!($name), [("std", in_std::$name),
                ("tasklets", in_tasklets::$name), ("threads", outside::$name)]);
        })*
    };
    (@in $module:ident, ($net:path, $unix:path, $spawn:path, $sleep:path, $waits:path),
        { $($with:tt)* } $($name:ident $log:ident $body:block)*) => {
        #[allow(unused_imports)]
        mod $module {
            use super::*;
            use $net as net;
            use $unix as unix;
            use $spawn as spawn;
            use $sleep as sleep;
            use $waits as until_caller_waits;
            $($with)*
            $(pub(super) fn $name($log: &mut Log) $body)*
        }
    };
}
