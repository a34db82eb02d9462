//! Tasklets whose libc calls block them alone.

use std::panic::{Location, resume_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::task::{JoinError, Placed, ScopedTasklet, kill_as_error};
use overlapped::{Config, RunError, SpawnError, Tasklet};

use crate::caller::run_marked;
use crate::options;
use crate::raw::write_stderr;
use crate::trap;

/// The default size, that of a thread: code that is written for threads expects it. Memory is
/// committed as it is used.
const STACK_SIZE: usize = 2 << 20;

/// The size for the first tasklet: a program's first thread has a larger stack, too.
const FIRST_STACK_SIZE: usize = 8 << 20;

/// The place of the call that spawns.
type Origin = &'static Location<'static>;

/// A tasklet to be started, as [`overlapped::Builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until spawn is called"]
pub struct Builder {
    inner: overlapped::Builder,
    stack_size: usize,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// Creates a builder of a tasklet without a name, on a stack of 2 MiB of address space, as
    /// std's threads have, and with thread-locals of its own.
    pub fn new() -> Builder {
        let inner = overlapped::Builder::new().stack_size(STACK_SIZE).own_thread_locals(true);
        Builder { inner, stack_size: STACK_SIZE }
    }

    /// Names the tasklet.
    pub fn name(self, name: impl Into<String>) -> Builder {
        Builder { inner: self.inner.name(name), ..self }
    }

    /// Sets the address space of the stack in bytes.
    pub fn stack_size(self, bytes: usize) -> Builder {
        Builder { inner: self.inner.stack_size(bytes), stack_size: bytes }
    }

    /// Starts the tasklet on behalf of the call at `origin`, as
    /// [`overlapped::Builder::on_behalf_of`].
    pub fn on_behalf_of(self, origin: &'static Location<'static>) -> Builder {
        Builder { inner: self.inner.on_behalf_of(origin), ..self }
    }

    /// Starts the tasklet.
    ///
    /// # Errors
    /// As [`overlapped::Builder::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> Result<Tasklet<T>, SpawnError>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        warn_if_not_installed();
        self.inner.spawn(move || run_body(self.stack_size, f))
    }

    /// Starts a tasklet of a scope.
    ///
    /// # Errors
    /// As [`overlapped::Builder::spawn_scoped`].
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: Scope<'scope, '_>,
        f: F,
    ) -> Result<ScopedTasklet<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        warn_if_not_installed();
        self.inner.spawn_scoped(scope.0, move || run_body(self.stack_size, f))
    }
}

/// Set by the first call of [`install`](crate::install), for good, whether or not it succeeds.
static IS_INSTALL_CALLED: AtomicBool = AtomicBool::new(false);

/// Records that [`install`](crate::install) has been called.
pub(crate) fn record_install_call() {
    IS_INSTALL_CALLED.store(true, Relaxed);
}

/// Writes once to standard error that a tasklet of this crate starts although
/// [`install`](crate::install) has not been called: its calls block the thread, which nothing else
/// would reveal.
#[inline]
fn warn_if_not_installed() {
    if !IS_INSTALL_CALLED.load(Relaxed) {
        warn_not_installed();
    }
}

#[cold]
fn warn_not_installed() {
    static IS_SAID: AtomicBool = AtomicBool::new(false);
    if !IS_SAID.swap(true, Relaxed) {
        write_stderr(
            "overlapped-install: install() has not been called, so calls that wait block the \
             thread and all its tasklets; call overlapped_install::install() first\n",
        );
    }
}

/// Runs a tasklet's closure. Frames of C cannot be unwound, so its calls return kills as errors.
fn run_body<T>(stack_size: usize, f: impl FnOnce() -> T) -> T {
    let _entered = trap::enter(stack_size);
    kill_as_error(|| run_marked(stack_size, f))
}

/// Starts a tasklet whose libc calls block it alone, as [`overlapped::spawn`] starts others.
///
/// # Panics
/// If [`Builder::spawn`] returns an error.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// // SAFETY: nothing in this program takes gettid(2) for its own identity.
/// unsafe { overlapped_install::install() }.unwrap();
/// overlapped_install::run(|| {
///     let begin = Instant::now();
///     let sleep = || std::thread::sleep(Duration::from_millis(50));
///     let tasklets = [(); 20].map(|()| overlapped_install::spawn(sleep));
///     tasklets.into_iter().for_each(|tasklet| tasklet.join().unwrap());
///     assert!(begin.elapsed() < Duration::from_secs(1)); // All at once.
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> Tasklet<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match Builder::new().spawn(f) {
        Ok(tasklet) => tasklet,
        Err(SpawnError::NoScheduler) => outside("spawn"),
        Err(error) => panic!("overlapped_install::spawn: {error}"),
    }
}

/// Panics in a function of this crate that has been called outside a run.
#[cold]
#[track_caller]
fn outside(function: &str) -> ! {
    panic!(
        "overlapped_install::{function}: no scheduler runs on this thread; call this inside \
         overlapped_install::run"
    )
}

/// A scope for tasklets that borrow values which outlive it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'scope, 'env>(&'scope overlapped::task::Scope<'scope, 'env>);

impl<'scope> Scope<'scope, '_> {
    /// Starts a tasklet that may borrow what outlives the scope.
    ///
    /// # Panics
    /// If [`Builder::spawn_scoped`] returns an error.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> ScopedTasklet<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        match Builder::new().spawn_scoped(self, f) {
            Ok(tasklet) => tasklet,
            Err(SpawnError::NoScheduler) => outside("Scope::spawn"),
            Err(error) => panic!("overlapped_install::Scope::spawn: {error}"),
        }
    }
}

/// Runs `f` with a scope whose tasklets have all ended when it returns, as [`overlapped::scope`].
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(Scope<'scope, 'env>) -> T,
{
    overlapped::scope(|inner| f(Scope(inner)))
}

/// Runs `f` as a tasklet whose libc calls block it alone, on a scheduler of the calling thread's,
/// as [`overlapped::run`].
///
/// # Errors
/// As [`overlapped::run`].
#[track_caller]
pub fn run<T>(f: impl FnOnce() -> T) -> Result<T, RunError> {
    run_with(Config::new(), f)
}

/// Runs `f` as [`run`] does, but kills the tasklets that are left when `f` has ended, as
/// [`overlapped::run_until`]. The calls in which they wait return `ECANCELED`.
///
/// # Errors
/// As [`overlapped::run_until`].
#[track_caller]
pub fn run_until<T>(f: impl FnOnce() -> T) -> Result<T, RunError> {
    run_until_with(Config::new(), f)
}

/// Runs `f` as [`run`] does, with a configuration.
///
/// # Errors
/// As [`Config::run`].
#[track_caller]
pub fn run_with<T>(config: Config, f: impl FnOnce() -> T) -> Result<T, RunError> {
    let at = Location::caller();
    result_of(options::configure(config).run(|| as_first(at, f))?)
}

/// Runs `f` as [`run_until`] does, with a configuration.
///
/// # Errors
/// As [`Config::run_until`].
#[track_caller]
pub fn run_until_with<T>(config: Config, f: impl FnOnce() -> T) -> Result<T, RunError> {
    let at = Location::caller();
    result_of(options::configure(config).run_until(|| as_first(at, f))?)
}

/// Runs `f` as a tasklet of its own, because the first tasklet of a run cannot have thread-locals
/// of its own; `at` is the call that asked for it.
fn as_first<T>(at: Origin, f: impl FnOnce() -> T) -> Result<T, FirstTaskletError> {
    let builder = Builder::new().name("main").stack_size(FIRST_STACK_SIZE).on_behalf_of(at);
    scope(|scope| match builder.spawn_scoped(scope, f) {
        Ok(tasklet) => tasklet.join().map_err(FirstTaskletError::Join),
        Err(error) => Err(FirstTaskletError::Spawn(error)),
    })
}

fn result_of<T>(ended: Result<T, FirstTaskletError>) -> Result<T, RunError> {
    ended.map_err(|error| match error {
        FirstTaskletError::Join(JoinError::Panicked(payload)) => {
            resume_unwind(payload.into_inner())
        }
        FirstTaskletError::Join(JoinError::Deadlock(report)) => RunError::Deadlock(report),
        FirstTaskletError::Join(JoinError::NoStack) => {
            RunError::Stack(std::io::ErrorKind::OutOfMemory.into())
        }
        FirstTaskletError::Join(_) => RunError::Killed,
        FirstTaskletError::Spawn(error) => RunError::Setting(error.into()),
    })
}

/// Starts a tasklet, whose libc calls block it alone, on the scheduler of this run that has the
/// fewest placed tasklets, as [`overlapped::task::place`] starts others.
///
/// # Panics
/// Outside a scheduler, and as [`overlapped::task::place`]. The join returns a panic if there are
/// no thread-locals for the tasklet.
#[track_caller]
pub fn place<F, T>(f: F) -> Placed<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if !overlapped::task::in_tasklet() {
        outside("place");
    }
    let at = Location::caller();
    overlapped::task::place(|| as_placed(at, f))
}

/// Starts a tasklet as [`place`] does, on the scheduler with this index, as
/// [`overlapped::task::place_on`].
///
/// # Errors
/// As [`overlapped::task::place_on`].
#[track_caller]
pub fn place_on<F, T>(scheduler: usize, f: F) -> Result<Placed<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let at = Location::caller();
    overlapped::task::place_on(scheduler, || as_placed(at, f))
}

/// Runs `f` on behalf of a tasklet that was placed by the call `at`. A kill of the placed tasklet
/// reaches `f`, and a panic of `f` reaches the placed tasklet.
fn as_placed<T>(at: Origin, f: impl FnOnce() -> T) -> T {
    scope(|scope| match Builder::new().on_behalf_of(at).spawn_scoped(scope, f) {
        Ok(tasklet) => match tasklet.join() {
            Ok(value) => value,
            Err(JoinError::Panicked(payload)) => resume_unwind(payload.into_inner()),
            Err(error) => panic!("overlapped_install::place: {error}"),
        },
        Err(error) => panic!("overlapped_install::place: {error}"),
    })
}

/// The end of the first tasklet, if it did not return.
enum FirstTaskletError {
    Join(JoinError),
    Spawn(SpawnError),
}
