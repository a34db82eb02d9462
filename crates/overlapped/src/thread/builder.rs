//! Spawns of tasklets as std spawns threads.

use std::io;

use super::handle::{JoinHandle, joined};
use super::this::Identity;
use crate::task;

/// Runs `f` in a new tasklet of the caller's scheduler: `std::thread::spawn`. Neither the closure
/// nor its result need be `Send`; with a result that is not, the handle is not either.
///
/// # Panics
/// If [`Builder::spawn`] returns an error, as it does outside a scheduler.
///
/// ```
/// overlapped::run(|| {
///     let handle = overlapped::thread::spawn(|| "done");
///     assert_eq!(handle.join().unwrap(), "done");
/// }).unwrap();
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match Builder::new().spawn(f) {
        Ok(handle) => handle,
        Err(error) => panic!("overlapped::thread::spawn: {error}"),
    }
}

/// The configuration of a tasklet, as `std::thread::Builder`: its name and its stack size.
#[must_use = "must eventually spawn the thread"]
#[derive(Debug, Default)]
pub struct Builder {
    pub(super) name: Option<String>,
    stack_size: Option<usize>,
}

/// The minimum size of a stack behind a guard: std asks the system for no less, either.
const STACK_MIN: usize = 16 * 1024;

impl Builder {
    /// Makes a builder of a tasklet without a name, on a stack of the scheduler's default size.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the tasklet, for [`Thread::name`](super::Thread::name), dumps, deadlock reports and
    /// overflow reports.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// Sets the minimum usable size of its stack, in bytes. Its guard is added, and the sum is
    /// rounded up to a power of two; memory is committed page by page as it is used. Default: the
    /// scheduler's ([`Config::stack_size`](crate::Config::stack_size)).
    pub fn stack_size(mut self, size: usize) -> Builder {
        self.stack_size = Some(size);
        self
    }

    /// Spawns the tasklet.
    ///
    /// # Errors
    /// `Unsupported` outside a scheduler; `QuotaExceeded` beyond `Config::tasklets_max`;
    /// `OutOfMemory` for a stack of more than 1 TiB.
    ///
    /// # Panics
    /// If the name has a zero byte in it, as std does.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let identity = Identity::new(self.name.clone());
        Ok(joined(f, identity, self.settings())?)
    }

    pub(super) fn settings(self) -> task::Builder {
        let mut settings = task::Builder::new();
        if let Some(name) = self.name {
            assert!(!name.contains('\0'), "thread name may not contain interior null bytes");
            settings = settings.name(name);
        }
        match self.stack_size {
            Some(size) => {
                settings.stack_size(size.max(STACK_MIN).saturating_add(task::STACK_OVERHEAD))
            }
            None => settings,
        }
    }
}
