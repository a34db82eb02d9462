//! Options for debugging, by the program or by the environment.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use overlapped::Config;

use crate::install::WhyNot;
use crate::report::{QUIET, note};
use crate::trap;

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
    /// Nothing is looked for but what the environment says.
    pub fn new() -> Options {
        Options::default()
    }

    /// Finds calls and computations of tasklets that pin their thread for longer than `limit`, in
    /// runs that begin from now on: counted, the longest with a backtrace in
    /// [`Report::pinned`](crate::Report::pinned), each in the log as it happens. It sets
    /// [`Config::stall_limit`], which says what that costs.
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
    /// their own: counted by place in [`Report::raw_calls`](crate::Report::raw_calls), the first
    /// from each place on standard error with a backtrace. The calls themselves go on as ever.
    ///
    /// For debugging: while a tasklet runs, or a thread or program that one has started, each
    /// system call that may wait is reported by seccomp(2) to a thread of this crate, which takes
    /// tens of microseconds. There is no way back for the process. A program that outlives it finds
    /// its waiting calls missing (`ENOSYS`). It needs Linux 5.5; without root it sets
    /// `PR_SET_NO_NEW_PRIVS`.
    pub fn trap_raw_calls(mut self, traps: bool) -> Options {
        self.traps = traps;
        self
    }

    /// Makes them take effect, with what the environment says.
    pub(crate) fn apply(&self) -> Result<(), WhyNot> {
        if let Some(limit) = self.stall_limit {
            *limit_of_all() = Some(limit);
        }
        if self.is_quiet {
            QUIET.store(true, Relaxed);
        }
        if self.traps || asked_by_environment()? {
            trap::start().map_err(WhyNot::Trap)?;
        }
        if !self.traps && trap::is_on() {
            trap::say(
                "overlapped-install: OVERLAPPED_TRAP is on, which is for debugging: each system \
                 call that may wait takes tens of microseconds more\n",
            );
        }
        Ok(())
    }
}

fn limit_of_all() -> std::sync::MutexGuard<'static, Option<Duration>> {
    static LIMIT: Mutex<Option<Duration>> = Mutex::new(None);
    LIMIT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says whether `OVERLAPPED_TRAP` asks for traps.
fn asked_by_environment() -> Result<bool, WhyNot> {
    match std::env::var_os("OVERLAPPED_TRAP").as_deref().map(|value| value.to_str()) {
        None | Some(Some("" | "off")) => Ok(false),
        Some(Some("on")) => Ok(true),
        Some(_) => Err(WhyNot::Trap("OVERLAPPED_TRAP can be `on` or `off`".into())),
    }
}

/// A run's configuration with what has been asked for.
pub(crate) fn applied_to(config: Config) -> Config {
    let config = config.on_stall(note);
    let config = if trap::is_on() { config.shown(true) } else { config };
    match *limit_of_all() {
        Some(limit) => config.stall_limit(limit),
        None => config,
    }
}
