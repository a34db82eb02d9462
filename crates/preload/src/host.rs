//! The host: a thread with the scheduler of all tasklets.

use std::sync::{Mutex, MutexGuard, Once, PoisonError, mpsc};
use std::thread;

use overlapped::sync::Event;
use overlapped::task::{Spawner, shield, spawner};
use overlapped::{Config, RunError};

use crate::end;
use crate::program::LibraryCall;
use crate::report;
use crate::state::{Host, state};

/// Returns the spawner of the host, which the first call starts; `None` if there can be none.
pub(crate) fn host() -> Option<Spawner> {
    let _inside = LibraryCall::begin();
    let mut host = lock(&state().host);
    if let Host::Absent = *host {
        *host = match start() {
            Ok(spawner) => Host::Runs(spawner),
            Err(why) => {
                eprintln!("overlapped-preload: threads stay threads: {why}");
                Host::Refused
            }
        };
    }
    match &*host {
        Host::Runs(spawner) => Some(spawner.clone()),
        Host::Absent | Host::Refused => None,
    }
}

fn lock(host: &Mutex<Host>) -> MutexGuard<'_, Host> {
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> Result<Spawner, String> {
    static ONCE: Once = Once::new();
    // SAFETY: this is for programs under test; the crate names the use of gettid for identity among
    // its limits.
    unsafe { overlapped_install::install() }.map_err(|why| why.to_string())?;
    end::prepare()?;
    ONCE.call_once(|| {
        overlapped_install::preload::set_join_hook(crate::join::join_tasklet);
        report::at_exit();
    });
    let (sender, receiver) = mpsc::channel();
    let builder = thread::Builder::new().name("overlapped-host".into());
    builder.spawn(move || run(&sender)).map_err(|error| error.to_string())?;
    match receiver.recv() {
        Ok(Ok(spawner)) => Ok(spawner),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the host has ended".into()),
    }
}

/// Runs the scheduler until the process ends.
fn run(sender: &mpsc::Sender<Result<Spawner, RunError>>) {
    // Programs have fault handlers of their own.
    let config = Config::new().overflow_report(false);
    let ended = config.run(|| {
        unblock_sigpipe();
        if let Ok(spawner) = spawner() {
            let _ = sender.send(Ok(spawner));
        }
        shield(|| Event::new().wait());
    });
    if let Err(error) = ended {
        let _ = sender.send(Err(error));
    }
}

/// Unblocks SIGPIPE, which the library blocks on its schedulers' threads: a write to a closed pipe
/// then does what it does in the program's threads, and children inherit the same mask.
fn unblock_sigpipe() {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: the set is written before it is read.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}
