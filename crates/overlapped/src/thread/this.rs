//! The calling tasklet as std's `Thread`: its number, its name, its token.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::lock::{Mutex, MutexGuard};
use crate::task::waiter::{self, Waker, Woken};
use crate::task::{self, CannotWait};
use crate::time;

/// `std::thread::Thread`: a handle to a tasklet, or to a plain thread, for any thread.
#[derive(Clone)]
pub struct Thread(Target);

#[derive(Clone)]
enum Target {
    Tasklet(Arc<Identity>),
    Plain(std::thread::Thread),
}

/// `std::thread::ThreadId`: unique among all tasklets and threads of the process, for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId(Id);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Id {
    Tasklet(u64),
    Plain(std::thread::ThreadId),
}

/// The identity by which other threads know a tasklet. It stays with the tasklet to its very end.
pub(super) struct Identity {
    id: u64,
    name: Option<String>,
    token: Mutex<Token>,
}

/// std's token: it is there or not.
#[derive(Default)]
struct Token {
    is_there: bool,
    waker: Option<Waker>,
}

/// The next tasklet's number. A tasklet gets one at the first use.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Identity {
    pub(super) fn new(name: Option<String>) -> Arc<Identity> {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Identity { id, name, token: Mutex::default() })
    }

    /// Makes the calling tasklet known by this identity from now on.
    pub(super) fn assume(self: Arc<Identity>) {
        task::identity(|_| self);
    }

    /// Returns the identity of the calling tasklet.
    fn here() -> Option<Arc<Identity>> {
        let identity = task::identity(|name| {
            // The first tasklet has the identity of the thread that called `run`.
            let thread = || crate::sys::thread::current().name().map(str::to_owned);
            Identity::new(name.or_else(|| thread().filter(|_| task::is_first())))
        })?;
        Some(
            identity
                .downcast()
                .unwrap_or_else(|_| unreachable!("only this module makes identities")),
        )
    }

    fn token(&self) -> MutexGuard<'_, Token> {
        self.token.lock()
    }

    fn unpark(&self) {
        let mut token = self.token();
        token.is_there = true;
        let waker = token.waker.take();
        drop(token);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the token and takes it.
    fn park(&self, until: u64) {
        if std::mem::take(&mut self.token().is_there) {
            return;
        }
        let (wait, waker) = match waiter::prepare() {
            Ok(prepared) => prepared,
            Err(CannotWait::Unwinding) => return,
            Err(reason) => panic!("park {}", reason.message()),
        };
        let mut token = self.token();
        if std::mem::take(&mut token.is_there) {
            return;
        }
        token.waker = Some(waker);
        drop(token);
        let woken = wait.park("unpark", until);
        let mut token = self.token();
        token.waker = None;
        if woken == Woken::Killed {
            drop(token);
            waiter::leave();
        }
        token.is_there = false;
    }
}

impl Thread {
    pub(super) fn of(identity: Arc<Identity>) -> Thread {
        Thread(Target::Tasklet(identity))
    }

    /// Makes the token available, if it is not, which ends one [`park`], now or later.
    pub fn unpark(&self) {
        match &self.0 {
            Target::Tasklet(identity) => identity.unpark(),
            Target::Plain(thread) => thread.unpark(),
        }
    }

    /// Its number.
    pub fn id(&self) -> ThreadId {
        ThreadId(match &self.0 {
            Target::Tasklet(identity) => Id::Tasklet(identity.id),
            Target::Plain(thread) => Id::Plain(thread.id()),
        })
    }

    /// Its name.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Target::Tasklet(identity) => identity.name.as_deref(),
            Target::Plain(thread) => thread.name(),
        }
    }
}

/// Returns the calling tasklet; outside a scheduler, the thread.
#[must_use]
pub fn current() -> Thread {
    Thread(match Identity::here() {
        Some(identity) => Target::Tasklet(identity),
        None => Target::Plain(crate::sys::thread::current()),
    })
}

/// Blocks the calling tasklet until its token is there, and takes it, as `std::thread::park` does.
/// Outside a scheduler it blocks the thread. It may return without a token.
///
/// A deadline of [`timeout`](crate::time::timeout) does not end the wait. While unwinding it
/// returns at once.
///
/// # Panics
/// If it would have to wait inside [`no_switch`](crate::task::no_switch).
///
/// ```
/// use overlapped::thread;
///
/// overlapped::run(|| {
///     let sleeper = thread::spawn(thread::park);
///     sleeper.thread().unpark();
///     sleeper.join().unwrap();
/// }).unwrap();
/// ```
pub fn park() {
    match Identity::here() {
        Some(identity) => identity.park(waiter::NEVER),
        None => crate::sys::thread::park(),
    }
}

/// Parks as [`park`] does, for `dur` at most. A deadline ends it early, as it ends
/// [`sleep`](super::sleep).
///
/// # Panics
/// As [`park`].
pub fn park_timeout(dur: Duration) {
    match Identity::here() {
        Some(identity) => identity.park(time::deadline_in(dur).min(waiter::deadline())),
        None => crate::sys::thread::park_timeout(dur),
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Thread");
        text.field("id", &self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ThreadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Id::Tasklet(id) => f.debug_tuple("ThreadId").field(&id).finish(),
            Id::Plain(id) => id.fmt(f),
        }
    }
}
