//! The switch: after [`install`], this crate's functions act for marked tasklets.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, MutexGuard, Once, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use overlapped::{RunError, SpawnError};

use crate::caller::ON;
use crate::options::Options;
use crate::spawn::{Builder, run, spawn};
use crate::symbols::Symbol;
use crate::table;

/// The proof that [`install`] has been called.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Installed;

/// The reason why [`install`] has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyNot {
    /// The process finds other functions than this crate's by these names: those of a library that
    /// was loaded before the program (`LD_PRELOAD`), or libc's, if this crate is a part of a shared
    /// library.
    Symbols(Vec<&'static str>),
    /// The program is linked statically, so no function in it is found by name. There this crate
    /// replaces no function, and the program has libc's.
    Static,
    /// A tasklet cannot have
    /// [thread-locals of its own](overlapped::Builder::own_thread_locals) here, for this reason.
    ThreadLocals(&'static str),
    /// Such a tasklet cannot run here; the text says why.
    Run(String),
    /// A call that should have blocked its tasklet has blocked the thread, or returned a wrong
    /// result; the text says which.
    SelfTest(&'static str),
    /// Raw calls were to be [trapped](Options::trap_raw_calls), and cannot be here; the text gives
    /// the reason and the remedy.
    Trap(String),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyNot::Symbols(names) => {
                write!(f, "other functions than overlapped-install's are called by the names ")?;
                f.write_str(&names.join(", "))?;
                f.write_str(
                    "; report() lists their owners: start the program without LD_PRELOAD, and \
                     link it dynamically",
                )
            }
            WhyNot::Static => f.write_str(
                "the program is linked statically, so no function of libc's can be taken over: \
                 link it dynamically, with glibc (without -Ctarget-feature=+crt-static)",
            ),
            WhyNot::ThreadLocals(why) => write!(f, "no thread-locals of a tasklet's own: {why}"),
            WhyNot::Run(why) => write!(f, "no tasklet can run: {why}"),
            WhyNot::SelfTest(what) => write!(f, "the self-test failed: {what}"),
            WhyNot::Trap(why) => write!(f, "raw calls cannot be trapped: {why}"),
        }
    }
}

impl std::error::Error for WhyNot {}

/// Switches on: libc calls of tasklets that are started through this crate block only the tasklet.
/// Nothing changes for threads and other tasklets. A second call changes nothing and costs almost
/// nothing.
///
/// It checks that the whole process finds this crate's functions, and tests a few of them, in a
/// thread of its own.
///
/// # Errors
/// [`WhyNot`] lists the reasons. After an error everything is as before.
///
/// # Safety
/// The caller promises that no code which such a tasklet runs takes the *number of its thread*
/// (gettid(2)) for its own identity across a call that waits. Safe Rust cannot distinguish tasklets
/// of one thread from the thread by that number, but C code can be written to: a self-made lock
/// that is re-entrant by gettid lets another tasklet in. (This crate handles C's recursive pthread
/// mutexes.)
pub unsafe fn install() -> Result<Installed, WhyNot> {
    if ON.load(Relaxed) {
        return Ok(Installed);
    }
    // SAFETY: the caller's promise.
    unsafe { install_with(&Options::new()) }
}

/// Does what [`install`] does, with options for debugging. They take effect at a later call, too,
/// for tasklets that begin after it.
///
/// # Errors
/// As [`install`]; [`WhyNot::Trap`].
///
/// # Safety
/// As [`install`].
pub unsafe fn install_with(options: &Options) -> Result<Installed, WhyNot> {
    IS_CALLED.store(true, Relaxed);
    if cfg!(target_feature = "crt-static") {
        return Err(WhyNot::Static);
    }
    options.apply()?;
    take_over()
}

/// Set by the first call of [`install`], for good, whether or not it succeeds.
static IS_CALLED: AtomicBool = AtomicBool::new(false);

/// Writes once to standard error that a tasklet of this crate starts although [`install`] has not
/// been called: its calls block the thread, which nothing else would reveal.
#[inline]
pub(crate) fn warn_if_not_installed() {
    if !IS_CALLED.load(Relaxed) {
        warn_not_installed();
    }
}

#[cold]
fn warn_not_installed() {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    if !IS_SAID.swap(true, Relaxed) {
        crate::trap::write_stderr(
            "overlapped-install: install() has not been called, so calls that wait block the \
             thread and all its tasklets; call overlapped_install::install() first\n",
        );
    }
}

fn take_over() -> Result<Installed, WhyNot> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    if ON.load(Relaxed) {
        return Ok(Installed);
    }
    let _one: MutexGuard<'_, ()> = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if ON.load(Relaxed) {
        return Ok(Installed);
    }
    let others = Symbol::ALL.iter().filter(|symbol| !symbol.is_ours());
    let others: Vec<_> = others.map(|symbol| symbol.name()).collect();
    if !others.is_empty() {
        return Err(WhyNot::Symbols(others));
    }
    static FORKS: Once = Once::new();
    FORKS.call_once(|| {
        // SAFETY: the function stays loaded, and may be called in a child of fork. If there is no
        // memory to register it, children behave as they would without it.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    ON.store(true, Relaxed);
    let tested = thread::Builder::new().name("install-test".into()).spawn(self_test);
    let tested = match tested.map(thread::JoinHandle::join) {
        Ok(Ok(tested)) => tested,
        Ok(Err(_)) => Err(WhyNot::SelfTest("it panicked")),
        Err(error) => Err(WhyNot::Run(error.to_string())),
    };
    match tested {
        Ok(()) => {
            crate::hooks::learn_pointer_guard();
            crate::hooks::adopt_handlers();
        }
        Err(_) => ON.store(false, Relaxed),
    }
    tested.map(|()| Installed)
}

/// Forgets the parent's tasklets in a child of fork(2).
extern "C" fn in_child() {
    table::forget_all();
    crate::trap::forget();
    crate::duplicates::close_in_child();
}

/// Tests waits of the commonest kinds. Another tasklet must end each: if one blocked the thread, it
/// would do so for good, or until its own limit.
fn self_test() -> Result<(), WhyNot> {
    let failed = |error: RunError| WhyNot::Run(error.to_string());
    match overlapped::run(|| Builder::new().spawn(|| ()).map(drop)).map_err(failed)? {
        Ok(()) => {}
        Err(SpawnError::OwnThreadLocals(why)) => return Err(WhyNot::ThreadLocals(why)),
        Err(error) => return Err(WhyNot::Run(error.to_string())),
    }
    if crate::hooks::flags_offset().is_none() {
        return Err(WhyNot::SelfTest("the layout of glibc's condition variables is unknown"));
    }
    let tests = [sleeps, locks, parks, sockets];
    run(|| tests.iter().try_for_each(|test| test())).map_err(failed)?.map_err(WhyNot::SelfTest)
}

/// Tests parks of two tasklets of one thread. std parks by a word in a thread-local.
fn parks() -> Result<(), &'static str> {
    let begin = Instant::now();
    let handles = [(); 2].map(|()| {
        let (sender, receiver) = mpsc::channel();
        let tasklet = spawn(move || {
            let _ = sender.send(thread::current());
            thread::park_timeout(Duration::from_secs(5));
        });
        (tasklet, receiver)
    });
    for (tasklet, receiver) in handles {
        let handle = receiver.recv().map_err(|_| "a tasklet did not run")?;
        handle.unpark();
        tasklet.join().map_err(|_| "a tasklet did not end")?;
    }
    let was_quick = begin.elapsed() < Duration::from_secs(5);
    if was_quick { Ok(()) } else { Err("a parked tasklet was not woken") }
}

fn sleeps() -> Result<(), &'static str> {
    static TICKS: AtomicU32 = AtomicU32::new(0);
    TICKS.store(0, Relaxed);
    let ticker = spawn(|| TICKS.fetch_add(1, Relaxed));
    thread::sleep(Duration::from_millis(1));
    let ticks = TICKS.load(Relaxed);
    ticker.join().map_err(|_| "a tasklet did not end")?;
    if ticks == 1 { Ok(()) } else { Err("a sleep blocked the thread") }
}

fn locks() -> Result<(), &'static str> {
    static LOCK: Mutex<u32> = Mutex::new(0);
    let lock = || LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    *lock() = 0;
    let add = move || {
        let mut value = lock();
        let before = *value;
        thread::sleep(Duration::from_micros(100));
        *value = before + 1;
    };
    let both = [spawn(add), spawn(add)];
    for one in both {
        one.join().map_err(|_| "a tasklet did not end")?;
    }
    if *lock() == 2 { Ok(()) } else { Err("a Mutex had two owners at a time") }
}

fn sockets() -> Result<(), &'static str> {
    let (mut here, mut there) = UnixStream::pair().map_err(|_| "socketpair failed")?;
    // The limit ends the read if it blocks the thread.
    let limit = Some(Duration::from_secs(5));
    here.set_read_timeout(limit).map_err(|_| "a socket takes no time limit")?;
    let other = spawn(move || there.write_all(b"x"));
    here.read_exact(&mut [0]).map_err(|_| "a read blocked the thread")?;
    match other.join() {
        Ok(Ok(())) => Ok(()),
        _ => Err("a write failed"),
    }
}
