//! Signal handlers, installed by each function that can.
#![allow(missing_docs)]
mod support;

use std::ffi::c_int;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use libc::sighandler_t;
use support::{WAITS, ms, run_in_tasklet, thread_number, until_blocked};

type Installer = unsafe extern "C" fn(c_int, sighandler_t) -> sighandler_t;

unsafe extern "C" {
    fn bsd_signal(signal: c_int, handler: sighandler_t) -> sighandler_t;
    fn ssignal(signal: c_int, handler: sighandler_t) -> sighandler_t;
    fn sysv_signal(signal: c_int, handler: sighandler_t) -> sighandler_t;
    fn __sysv_signal(signal: c_int, handler: sighandler_t) -> sighandler_t;
    fn sigset(signal: c_int, handler: sighandler_t) -> sighandler_t;
    fn __sigaction(signal: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> c_int;
}

/// Installs a handler by sigaction(2) without flags, by glibc's other name.
unsafe extern "C" fn by_sigaction(signal: c_int, handler: sighandler_t) -> sighandler_t {
    // SAFETY: zeros are a valid action; the caller's handler.
    unsafe {
        let (mut new, mut old): (libc::sigaction, libc::sigaction) = std::mem::zeroed();
        new.sa_sigaction = handler;
        match __sigaction(signal, &new, &mut old) {
            0 => old.sa_sigaction,
            _ => libc::SIG_ERR,
        }
    }
}

/// The functions, each with the flags that it gives a handler, as far as they matter here.
const INSTALLERS: &[(&str, Installer, c_int)] = &[
    ("signal", libc::signal, libc::SA_RESTART),
    ("bsd_signal", bsd_signal, libc::SA_RESTART),
    ("ssignal", ssignal, libc::SA_RESTART),
    ("sysv_signal", sysv_signal, libc::SA_RESETHAND),
    ("__sysv_signal", __sysv_signal, libc::SA_RESETHAND),
    ("sigset", sigset, 0),
    ("__sigaction", by_sigaction, 0),
];

const SIG_HOLD: sighandler_t = 2;

/// The lock that lets one test run at a time, since the handlers belong to the process.
static ONE: Mutex<()> = Mutex::new(());

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn first(_: c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

extern "C" fn second(_: c_int) {
    HANDLED.fetch_add(100, SeqCst);
}

fn address(handler: extern "C" fn(c_int)) -> sighandler_t {
    handler as *const () as usize
}

/// Returns the handler that sigaction(2) reports, and its flags.
fn now(signal: c_int) -> (sighandler_t, c_int) {
    // SAFETY: zeros are a valid action, and a place for one.
    let now = unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, null(), &mut now), 0);
        now
    };
    (now.sa_sigaction, now.sa_flags & (libc::SA_RESTART | libc::SA_RESETHAND))
}

/// Sends the calling thread a signal once it waits. Calls `then` later: a call that the signal ends
/// has ended by then.
fn send_soon(signal: c_int, then: impl FnOnce() + Send + 'static) {
    let thread = thread_number();
    thread::spawn(move || {
        until_blocked(thread, WAITS);
        let process = std::process::id() as libc::c_long;
        // SAFETY: a thread of this process that waits.
        assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) }, 0);
        thread::sleep(ms(60));
        then();
    });
}

/// Returns the outcomes of poll(2) without descriptors, and of recv(2), after a handler has run.
fn outcomes(signal: c_int, install: impl Fn()) -> Vec<String> {
    let outcome = |outcome: isize| match outcome {
        -1 => io::Error::last_os_error().to_string(),
        outcome => outcome.to_string(),
    };
    install();
    send_soon(signal, || ());
    // SAFETY: no descriptors.
    let polled = outcome(unsafe { libc::poll(null_mut(), 0, 2_000) } as isize);
    install();
    let (a, b) = UnixStream::pair().unwrap();
    send_soon(signal, move || drop(io::Write::write(&mut &a, b"x")));
    let mut room = [0u8; 1];
    // SAFETY: a byte of room.
    let received = outcome(unsafe { libc::recv(b.as_raw_fd(), room.as_mut_ptr().cast(), 1, 0) });
    vec![polled, received]
}

#[test]
fn a_handler_ends_calls_whatever_installed_it() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    support::install();
    for &(name, installer, flags) in INSTALLERS {
        let install = move || {
            // SAFETY: a handler that counts.
            assert_ne!(unsafe { installer(libc::SIGUSR1, address(first)) }, libc::SIG_ERR);
        };
        let before = HANDLED.load(SeqCst);
        let on_thread = thread::spawn(move || outcomes(libc::SIGUSR1, install)).join().unwrap();
        let in_tasklet = thread::spawn(move || run_in_tasklet(|| outcomes(libc::SIGUSR1, install)))
            .join()
            .unwrap();
        assert_eq!(HANDLED.load(SeqCst), before + 4, "{name}");
        let interrupted = io::Error::from_raw_os_error(libc::EINTR).to_string();
        let restarts = flags & libc::SA_RESTART != 0;
        let received = if restarts { "1".to_owned() } else { interrupted.clone() };
        assert_eq!(on_thread, [interrupted, received], "{name}");
        assert_eq!(in_tasklet, on_thread, "{name}");
    }
}

#[test]
fn a_query_for_the_handler_returns_the_programs() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    support::install();
    let signal = libc::SIGUSR2;
    // SAFETY: handlers that count.
    unsafe {
        for &(name, installer, flags) in INSTALLERS {
            assert_ne!(installer(signal, address(first)), libc::SIG_ERR, "{name}");
            assert_eq!(now(signal), (address(first), flags), "{name}");
            for &(other, by_other, flags) in INSTALLERS {
                assert_eq!(by_other(signal, address(second)), address(first), "{name} {other}");
                assert_eq!(now(signal), (address(second), flags), "{name} {other}");
                assert_eq!(installer(signal, address(first)), address(second), "{name} {other}");
            }
            assert_eq!(installer(signal, libc::SIG_IGN), address(first), "{name}");
            assert_eq!(now(signal).0, libc::SIG_IGN, "{name}");
            assert_eq!(installer(signal, libc::SIG_DFL), libc::SIG_IGN, "{name}");
            assert_eq!(installer(libc::SIGKILL, address(first)), libc::SIG_ERR, "{name}");
        }
        assert_eq!(sigset(signal, address(first)), libc::SIG_DFL);
        assert_eq!(sigset(signal, SIG_HOLD), address(first));
        assert_eq!(now(signal).0, address(first));
        assert_eq!(sigset(signal, address(second)), SIG_HOLD);
        assert_eq!(now(signal), (address(second), 0));
    }
}
