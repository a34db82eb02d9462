//! The choice of a backend: by code, by `OVERLAPPED_PORT`, or by trying, in this order.
//!
//! Containers often forbid io_uring. Then the readiness backend does the same work with more system
//! calls, and a warning gives the reason and the remedy, once per process. If the program chose
//! io_uring by name, the refusal is an error with the same text.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::foreign::quietly;

/// The backend that a port uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PortChoice {
    /// The backend that the environment variable `OVERLAPPED_PORT` names (`uring` or `poll`); if it
    /// is not set, the best one that works here.
    #[default]
    Auto,
    /// io_uring, or an error. Needs Linux 6.1 or later.
    Uring,
    /// Readiness (epoll and the like).
    Poll,
}

/// The settings with which a driver is opened.
#[derive(Debug, Clone)]
pub(crate) struct PortConfig {
    pub(crate) choice: PortChoice,
    /// Room for entries that one system call submits.
    pub(crate) entries: u32,
    /// Room for completions between two waits. More than that is slower, but none is lost.
    pub(crate) cq_entries: u32,
    /// Ring opcodes to treat as missing.
    #[cfg(target_os = "linux")]
    pub(crate) without: Opcodes,
}

/// A set of the ring's opcodes.
#[cfg(target_os = "linux")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Opcodes(u64);

#[cfg(target_os = "linux")]
impl Opcodes {
    pub(super) fn with(self, code: u8) -> Opcodes {
        Opcodes(self.0 | 1 << code)
    }

    pub(super) fn has(self, code: u8) -> bool {
        self.0 & 1 << code != 0
    }
}

impl Default for PortConfig {
    fn default() -> PortConfig {
        PortConfig {
            choice: PortChoice::Auto,
            entries: 256,
            cq_entries: 4096,
            #[cfg(target_os = "linux")]
            without: Opcodes::default(),
        }
    }
}

impl PortConfig {
    /// Makes the default sizes with `choice`.
    pub(crate) fn new(choice: PortChoice) -> PortConfig {
        PortConfig { choice, ..PortConfig::default() }
    }
}

const VARIABLE: &str = "OVERLAPPED_PORT";

/// Reads the choice from the environment.
pub(super) fn from_environment() -> io::Result<PortChoice> {
    match std::env::var_os(VARIABLE) {
        None => Ok(PortChoice::Auto),
        Some(value) => parse(&value.to_string_lossy()),
    }
}

fn parse(value: &str) -> io::Result<PortChoice> {
    match value {
        "" => Ok(PortChoice::Auto),
        "uring" => Ok(PortChoice::Uring),
        "poll" => Ok(PortChoice::Poll),
        other => {
            let text = format!("{VARIABLE} is {other:?}; it can be `uring` or `poll`");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

/// Reports that io_uring was `refused`, with the reason and the remedy: by an error if nothing else
/// is allowed; otherwise by one warning to the user's subscriber, and readiness takes its place.
///
/// # Errors
/// The refusal, if `choice` allows io_uring only.
pub(super) fn explain_refusal(choice: PortChoice, refused: &io::Error) -> io::Result<()> {
    let why = explain(refused);
    if choice == PortChoice::Uring {
        return Err(io::Error::new(refused.kind(), why));
    }
    static WARNED: AtomicBool = AtomicBool::new(false);
    warn_once(&WARNED, || {
        tracing::warn!("{why} Going on with readiness; {VARIABLE}=poll accepts that silently.");
    });
    Ok(())
}

/// Calls `warn`, which warns the user's subscriber, the first time only. It does not use `Once`,
/// because the subscriber may open a port itself, wait, or panic.
fn warn_once(warned: &AtomicBool, warn: impl FnOnce()) {
    if !warned.swap(true, Ordering::Relaxed) {
        quietly(warn);
    }
}

/// The sysctl that forbids io_uring, if this kernel has it.
pub(super) const DISABLED: &str = "/proc/sys/kernel/io_uring_disabled";

/// Says in sentences why io_uring was refused and what to do about it.
pub(super) fn explain(error: &io::Error) -> String {
    explain_with(error, std::fs::read_to_string(DISABLED).ok().as_deref())
}

fn explain_with(error: &io::Error, disabled: Option<&str>) -> String {
    #[cfg(not(unix))]
    let (reason, _) = ("Remedy: Linux 6.1 or later.", disabled);
    #[cfg(unix)]
    let reason = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => match disabled.map(str::trim) {
            Some("2") => {
                "kernel.io_uring_disabled is 2. Remedy: `sysctl kernel.io_uring_disabled=0`."
            }
            Some("1") => {
                "kernel.io_uring_disabled is 1, and this process has neither CAP_SYS_ADMIN nor \
                 the group kernel.io_uring_group. Remedy: join that group, or \
                 `sysctl kernel.io_uring_disabled=0`."
            }
            _ => {
                "a seccomp filter forbids it, as container runtimes do by default. Remedy: a \
                 profile that allows io_uring_setup, io_uring_enter and io_uring_register."
            }
        },
        Some(libc::ENOSYS) => {
            "this kernel has none, or a seccomp filter hides it. Remedy: Linux 6.1 or later with \
             CONFIG_IO_URING."
        }
        Some(libc::EINVAL) => "this kernel is too old. Remedy: Linux 6.1 or later.",
        Some(libc::ENOMEM) => {
            "no memory is left for a ring. Remedy: raise the limit on locked memory \
             (`ulimit -l`) or the memory limit of the cgroup."
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "no descriptor is left. Remedy: raise the limit on open files (`ulimit -n`)."
        }
        _ if error.kind() == io::ErrorKind::Unsupported => "Remedy: Linux 6.1 or later.",
        _ => "the reason is not known to this program.",
    };
    format!("io_uring cannot be used ({error}): {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_of_the_variable_is_a_clear_error() {
        assert_eq!(parse("uring").unwrap(), PortChoice::Uring);
        assert_eq!(parse("poll").unwrap(), PortChoice::Poll);
        assert_eq!(parse("").unwrap(), PortChoice::Auto);
        let error = parse("epoll").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("`uring` or `poll`"), "{error}");
    }

    #[test]
    fn a_subscriber_that_gets_the_warning_may_open_a_port_and_panic() {
        let (said, mut told) = (AtomicBool::new(false), 0);
        warn_once(&said, || {
            warn_once(&said, || unreachable!("it has been said"));
            told += 1;
            std::panic::resume_unwind(Box::new("the subscriber's own fault"));
        });
        warn_once(&said, || unreachable!("it has been said"));
        assert_eq!(told, 1);
    }

    #[test]
    fn every_refusal_names_its_remedy() {
        let text = |errno, sysctl| explain_with(&io::Error::from_raw_os_error(errno), sysctl);
        assert!(text(libc::EPERM, Some("2\n")).contains("sysctl kernel.io_uring_disabled=0"));
        assert!(text(libc::EPERM, Some("1\n")).contains("io_uring_group"));
        assert!(text(libc::EPERM, Some("0\n")).contains("seccomp"));
        assert!(text(libc::EPERM, None).contains("seccomp"));
        assert!(text(libc::ENOSYS, None).contains("6.1"));
        assert!(text(libc::ENOMEM, None).contains("ulimit -l"));
    }
}
