//! Options for debugging, by the program or by the environment.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use overlapped::Config;

use crate::raw::write_stderr;
use crate::report::{QUIET, record_stall};
use crate::trap;
use crate::why_not::WhyNot;

/// The diagnoses that [`install_with`](crate::install_with) was asked for.
///
/// | | environment | |
/// |---|---|---|
/// | [`stall_limit`](Self::stall_limit) | `OVERLAPPED_STALL=20ms` | what pins its thread |
/// | [`trap_raw_calls`](Self::trap_raw_calls) | `OVERLAPPED_TRAP=on` | calls past libc |
///
/// ```
/// use std::time::Duration;
///
/// let options = overlapped_install::Options::new().stall_limit(Duration::from_millis(20));
/// // SAFETY: nothing in this program takes gettid(2) for its own identity.
/// unsafe { overlapped_install::install_with(&options) }.unwrap();
/// overlapped_install::run(|| { /* … */ }).unwrap();
/// println!("{}", overlapped_install::report());
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "options do nothing until install_with is called"]
pub struct Options {
    stall_limit: Option<Duration>,
    is_quiet: bool,
    traps: bool,
}

impl Options {
    /// Creates options that ask for no diagnosis. The environment may still ask for some.
    pub fn new() -> Options {
        Options::default()
    }

    /// Finds calls and computations of tasklets that pin their thread for longer than `limit`, in
    /// runs that begin from now on. They are counted; the longest are in
    /// [`Report::pinned`](crate::Report::pinned) with a backtrace; each is logged as it happens.
    /// This sets [`Config::stall_limit`], which says what it costs.
    pub fn stall_limit(mut self, limit: Duration) -> Options {
        self.stall_limit = Some(limit);
        self
    }

    /// Keeps stalls out of the log.
    pub fn quiet(mut self) -> Options {
        self.is_quiet = true;
        self
    }

    /// Finds calls that may wait and that tasklets make past libc's functions, by instructions of
    /// their own. [`Report::raw_calls`](crate::Report::raw_calls) counts them by place; the first
    /// from each place goes to standard error with a backtrace. The calls themselves go on as ever.
    ///
    /// Use it for debugging only. While a tasklet runs, or a thread or program that it has started,
    /// seccomp(2) reports each system call that may wait to a thread of this crate, which takes
    /// tens of microseconds. The process cannot switch this off again. A program that outlives the
    /// process finds its waiting calls missing (`ENOSYS`). It needs Linux 5.5; without root it sets
    /// `PR_SET_NO_NEW_PRIVS`.
    pub fn trap_raw_calls(mut self, traps: bool) -> Options {
        self.traps = traps;
        self
    }

    /// Makes the options take effect, together with those of the environment.
    pub(crate) fn apply(&self) -> Result<(), WhyNot> {
        if let Some(limit) = self.stall_limit {
            *global_limit() = Some(limit);
        }
        if self.is_quiet {
            QUIET.store(true, Relaxed);
        }
        if self.traps || is_trap_requested()? {
            trap::start().map_err(WhyNot::Trap)?;
        }
        if !self.traps && trap::is_on() {
            write_stderr(
                "overlapped-install: OVERLAPPED_TRAP is on, which is for debugging: each system \
                 call that may wait takes tens of microseconds more\n",
            );
        }
        Ok(())
    }
}

fn global_limit() -> std::sync::MutexGuard<'static, Option<Duration>> {
    static LIMIT: Mutex<Option<Duration>> = Mutex::new(None);
    LIMIT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells whether `OVERLAPPED_TRAP` asks for traps.
fn is_trap_requested() -> Result<bool, WhyNot> {
    match std::env::var_os("OVERLAPPED_TRAP").as_deref().map(|value| value.to_str()) {
        None | Some(Some("" | "off")) => Ok(false),
        Some(Some("on")) => Ok(true),
        Some(_) => Err(WhyNot::Trap("OVERLAPPED_TRAP can be `on` or `off`".into())),
    }
}

/// Adds the options to a run's configuration.
pub(crate) fn configure(config: Config) -> Config {
    let config = config.on_stall(record_stall);
    let config = if trap::is_on() { config.shown(true) } else { config };
    match *global_limit() {
        Some(limit) => config.stall_limit(limit),
        None => config,
    }
}
