//! The switch: after [`install`], this crate's functions act for marked tasklets.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use crate::caller::ON;
use crate::options::Options;
use crate::self_test::self_test;
use crate::spawn::record_install_call;
use crate::symbols::Symbol;
use crate::why_not::WhyNot;
use crate::{table, takeover};

/// The proof that [`install`] has been called.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Installed;

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
/// (gettid(2)) for its own identity across a call that waits. Safe Rust is sound without that
/// number, but C code may depend on it: a self-made lock that is re-entrant by gettid lets another
/// tasklet in. (This crate handles C's recursive pthread mutexes.)
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
    record_install_call();
    if cfg!(target_feature = "crt-static") {
        return Err(WhyNot::Static);
    }
    options.apply()?;
    take_over()
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
    let others = Symbol::ALL.iter().filter(|symbol| !takeover::is_ours(**symbol));
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
