//! The suites: one file or folder for each, with its cases and the way they are measured, and here
//! the table of them.
//!
//! A suite decides which work is done and how often. The subject does the work, through a trait of
//! [`crate::traits`], and returns the time that it took; or it serves, and the suite is the load.
//! No suite imports this file.

mod echo;
mod files;
mod http;
mod install;
mod protocols;
mod tasklets;
mod tls;
mod tools;
mod wake;

use crate::harness::child::Report;
use crate::harness::process::{LOAD_CORE, SERVER_CORE};
use crate::names::{Name, Suite};
use crate::subjects;
use clap::ValueEnum as _;

/// Lists the cases of a suite.
pub(crate) fn cases(suite: Suite, quick: bool) -> Vec<&'static str> {
    match suite {
        Suite::Tasklets => tasklets::cases(quick),
        Suite::Echo => echo::CASES.to_vec(),
        Suite::Files => files::CASES.to_vec(),
        Suite::Threads => echo::CASES_ON_TWO.to_vec(),
        Suite::Unix => echo::CASES_UNIX.to_vec(),
        Suite::Datagrams => echo::CASES_DATAGRAMS.to_vec(),
        Suite::Wake => wake::CASES.to_vec(),
        Suite::Http => http::CASES.to_vec(),
        Suite::Tls => tls::CASES.to_vec(),
        Suite::Protocols => protocols::CASES.to_vec(),
        Suite::Tools => tools::CASES.to_vec(),
        Suite::Install => install::CASES.to_vec(),
    }
}

/// Tells whether a measurement of a case gives metrics whose names begin with the case's.
pub(crate) fn has_metrics(suite: Suite) -> bool {
    !matches!(suite, Suite::Tasklets | Suite::Files | Suite::Wake)
}

/// Lists the subjects that take part if none is named.
pub(crate) fn subjects(suite: Suite) -> Vec<Name> {
    use Name::*;
    let all = Name::value_variants().iter().copied();
    match suite {
        Suite::Unix | Suite::Datagrams => {
            vec![OverlappedUring, OverlappedPoll, Tokio, Compio, Monoio, Go]
        }
        Suite::Threads => vec![OverlappedUring, OverlappedPoll, Tokio, May, Go],
        Suite::Wake => vec![OverlappedUring, OverlappedPoll, Tokio, Raw, Go],
        Suite::Http => vec![
            OverlappedUring,
            OverlappedPoll,
            Nginx,
            NginxCached,
            Hyper,
            HyperInline,
            HyperMemory,
            Go,
        ],
        Suite::Tls => vec![OverlappedUring, OverlappedPoll, Hyper, Nginx, Go],
        Suite::Protocols => vec![OverlappedUring, OverlappedPoll, Tokio, Go],
        Suite::Tools => vec![OverlappedUring, OverlappedPoll, Cp, Rsync, Curl, Wget2, Aria2],
        Suite::Install => vec![
            InstallUring,
            InstallPoll,
            OwnUring,
            OverlappedUring,
            OverlappedPoll,
            Threads,
            Go,
            Java,
        ],
        Suite::Files => all.filter(|name| *name != May && *name <= Cp).collect(),
        Suite::Tasklets | Suite::Echo => all.filter(|name| *name < Pread).collect(),
    }
}

/// Tells whether a subject has anything to measure in a case.
pub(crate) fn takes_part(suite: Suite, subject: Name, case: &str) -> bool {
    match suite {
        Suite::Install => install::takes_part(subject, case),
        _ => true,
    }
}

/// Gives the reason if a suite cannot run here at all.
pub(crate) fn obstacle(suite: Suite) -> Option<String> {
    match suite {
        Suite::Http => http::obstacle(),
        _ => None,
    }
}

/// Checks that a subject can run here, and builds what it needs.
pub(crate) fn prepare(suite: Suite, subject: Name) -> Result<(), String> {
    match suite {
        Suite::Tools => tools::prepare(subject),
        Suite::Install => install::prepare(subject),
        _ => subjects::by_name(subject).prepare(),
    }
}

/// Chooses the core of the process that measures a case. `None`: it is not pinned.
pub(crate) fn core(suite: Suite, case: &str) -> Option<usize> {
    match suite {
        Suite::Tasklets => Some(SERVER_CORE),
        Suite::Files => (case != files::ON_ALL_CORES).then_some(SERVER_CORE),
        Suite::Threads | Suite::Wake | Suite::Tools => None,
        Suite::Install if !install::is_load(case) => Some(SERVER_CORE),
        // This process is the load.
        _ => Some(LOAD_CORE),
    }
}

/// Measures a case of a subject, in this process or with this process as the load.
pub(crate) fn measure(
    suite: Suite,
    subject: Name,
    case: &str,
    quick: bool,
) -> Result<Report, String> {
    match suite {
        Suite::Tasklets => tasklets::measure(subject, case, quick),
        Suite::Files => files::measure(subject, case, quick),
        Suite::Echo => echo::measure(subject, case, quick),
        Suite::Threads => echo::measure_on_two(subject, case, quick),
        Suite::Unix => echo::measure_unix(subject, case, quick),
        Suite::Datagrams => echo::measure_datagrams(subject, case, quick),
        Suite::Wake => wake::measure(subject, case, quick),
        Suite::Http => http::measure(subject, case, quick),
        Suite::Tls => tls::measure(subject, case, quick),
        Suite::Protocols => protocols::measure(subject, case, quick),
        Suite::Tools => tools::measure(subject, case, quick),
        Suite::Install => install::measure(subject, case, quick),
    }
}
