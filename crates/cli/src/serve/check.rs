//! `serve --check`: the faults that a start would find, all at once, without listening.
//!
//! An address that is held by a server of the same file is no fault: the file is checked before
//! that server is restarted (SIGUSR2), and its successor takes the address over.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::bail;
use overlapped_serve::{Address, Listen, Tls};
use rustix::fs::Access;

use super::config::Source;
use super::faults::Faults;
use super::listen::BoundAddresses;
use super::options::server::Process;
use super::plan::{PreparedServer, ServerPlan};
use crate::print;

/// Checks, and says what there is, or every fault.
pub(super) fn check(
    process: &Process,
    source: &Source,
    plan: Vec<ServerPlan>,
    mut faults: Faults,
) -> anyhow::Result<ExitCode> {
    let ready: Vec<PreparedServer> =
        plan.into_iter().filter_map(|plan| plan.prepare(&mut faults)).collect();
    let Faults { mut faults, warnings, notes } = faults;
    faults.extend(warnings);
    let said = notes.iter().map(|note| format!("{note}\n")).collect();
    let mut check = Check { source, bound: BoundAddresses::default(), said, faults };
    ready.iter().for_each(|ready| check.server(ready));
    if let Some(on) = &process.metrics {
        check.address(on, source.location("metrics", None));
    }
    if let Some(log) = &process.access_log {
        check.log(log);
    }
    if !check.faults.is_empty() {
        bail!("{}", check.faults.join("\noverlapped: "));
    }
    let what = match source {
        Source::File { file, .. } => file.path().display().to_string(),
        Source::Flags => "the flags".to_owned(),
    };
    print(format_args!("{what}: good\n{}", check.said))?;
    Ok(ExitCode::SUCCESS)
}

struct Check<'a> {
    source: &'a Source,
    bound: BoundAddresses,
    /// Notes that are printed where there are no faults.
    said: String,
    faults: Vec<String>,
}

impl Check<'_> {
    fn server(&mut self, ready: &PreparedServer) {
        let addresses = ready.addresses();
        for (at, on) in addresses.iter().enumerate() {
            self.address(on, ready.address_location(at));
        }
        for (location, pair) in ready.certificates() {
            let valid = Tls::from_files([pair]).and_then(|tls| tls.check(SystemTime::now()));
            let fault = valid.err().map(|error| format!("{location}: {error}"));
            // `prepare` has said what cannot be read.
            self.faults.extend(fault.filter(|fault| !self.faults.contains(fault)));
        }
        self.said += &format!("{} on {}\n", ready.name().text(), addresses.join(", "));
    }

    fn address(&mut self, on: &str, location: String) {
        let mut result = Listen::on(on).check();
        if result.is_err()
            && let Some((address, process)) = self.predecessor(on)
        {
            self.said += &format!(
                "{location}: {on} is held by process {process}, which runs this file: its successor \
                 (SIGUSR2) can take it over, a second server cannot\n"
            );
            result = Ok(Some(address));
        }
        if let Err(fault) = self.bound.enter(on, location, result) {
            self.faults.push(format!("{fault:#}"));
        }
    }

    /// A process that runs the same file and listens on `on`.
    fn predecessor(&self, on: &str) -> Option<(Address, u32)> {
        use std::net::ToSocketAddrs;
        let Source::File { file, .. } = self.source else { return None };
        let file = file.path().canonicalize().ok()?;
        let addresses: Vec<Address> = match on.strip_prefix("unix:") {
            Some(path) => vec![Address::Unix(path.into())],
            None => on.to_socket_addrs().ok()?.map(Address::Tcp).collect(),
        };
        addresses.into_iter().find_map(|address| {
            let process = address.holders().into_iter().find(|&process| runs(process, &file))?;
            Some((address, process))
        })
    }

    /// The log is opened by a start, and made where it is missing; a check makes none.
    fn log(&mut self, log: &Path) {
        if log.as_os_str() == "-" {
            return;
        }
        let location = self.source.location("access-log", None);
        let parent = log.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let fault = if log.is_dir() {
            "it is a folder".to_owned()
        } else if log.exists() {
            match rustix::fs::access(log, Access::WRITE_OK) {
                Ok(()) => return,
                Err(error) => format!("{error}. This user must be allowed to write to it"),
            }
        } else {
            match rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK) {
                Ok(()) => return,
                Err(error) => format!(
                    "{error}. Its folder must exist, and this user must be allowed to write there"
                ),
            }
        };
        self.faults
            .push(format!("{location}: cannot write the access log {}: {fault}", log.display()));
    }
}

/// Tells whether a process was started with this configuration file.
fn runs(process: u32, file: &Path) -> bool {
    let of = |what: &str| format!("/proc/{process}/{what}");
    let (Ok(line), Ok(folder)) = (fs::read(of("cmdline")), fs::read_link(of("cwd"))) else {
        return false;
    };
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split('\0').collect();
    let behind = words.windows(2).filter(|pair| pair[0] == "--config").map(|pair| pair[1]);
    let joined = words.iter().filter_map(|word| word.strip_prefix("--config="));
    behind.chain(joined).any(|path| folder.join(path).canonicalize().is_ok_and(|path| path == file))
}
