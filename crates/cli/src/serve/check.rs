//! `serve --check`: reports all faults that a start would find, without listening.
//!
//! An address in use by a server of the same file is no fault: users check the file before they
//! restart that server (SIGUSR2), and the new process takes the address over.

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
use crate::stdout::print;

/// Checks the plans, and prints the servers, or returns every fault.
pub(super) fn check(
    process: &Process,
    source: &Source,
    plans: Vec<ServerPlan>,
    mut faults: Faults,
) -> anyhow::Result<ExitCode> {
    let prepared: Vec<PreparedServer> =
        plans.into_iter().filter_map(|plan| plan.prepare(&mut faults)).collect();
    let Faults { mut faults, warnings, notes } = faults;
    faults.extend(warnings);
    let report = notes.iter().map(|note| format!("{note}\n")).collect();
    let mut check = Check { source, bound: BoundAddresses::default(), report, faults };
    prepared.iter().for_each(|prepared| check.server(prepared));
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
    print(format_args!("{what}: good\n{}", check.report))?;
    Ok(ExitCode::SUCCESS)
}

struct Check<'a> {
    source: &'a Source,
    bound: BoundAddresses,
    /// Lines that are printed if there are no faults.
    report: String,
    faults: Vec<String>,
}

impl Check<'_> {
    fn server(&mut self, prepared: &PreparedServer) {
        let addresses = prepared.addresses();
        for (at, on) in addresses.iter().enumerate() {
            self.address(on, prepared.address_location(at));
        }
        for (location, pair) in prepared.certificates() {
            let valid = Tls::from_files([pair]).and_then(|tls| tls.check(SystemTime::now()));
            let fault = valid.err().map(|error| format!("{location}: {error}"));
            // `prepare` has reported files that cannot be read.
            self.faults.extend(fault.filter(|fault| !self.faults.contains(fault)));
        }
        self.report += &format!("{} on {}\n", prepared.name().text(), addresses.join(", "));
    }

    fn address(&mut self, on: &str, location: String) {
        let mut result = Listen::on(on).check();
        if result.is_err()
            && let Some((address, process)) = self.running_server(on)
        {
            self.report += &format!(
                "{location}: {on} is in use by process {process}, which runs this file: a hot \
                 restart (SIGUSR2) takes it over, a second server cannot\n"
            );
            result = Ok(Some(address));
        }
        if let Err(fault) = self.bound.enter(on, location, result) {
            self.faults.push(format!("{fault:#}"));
        }
    }

    /// Finds a process that runs the same file and listens on `on`.
    fn running_server(&self, on: &str) -> Option<(Address, u32)> {
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

    /// Checks that a start could open the log or create it; a check creates none.
    fn log(&mut self, log: &Path) {
        if log.as_os_str() == "-" {
            return;
        }
        let location = self.source.location("access-log", None);
        let parent = log.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let fault = if log.is_dir() {
            "it is a folder, not a file".to_owned()
        } else if log.exists() {
            match rustix::fs::access(log, Access::WRITE_OK) {
                Ok(()) => return,
                Err(error) => format!("{error}. This user must be allowed to write to it"),
            }
        } else {
            match rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK) {
                Ok(()) => return,
                Err(error) => format!(
                    "{error}. Its folder must exist, and this user must be allowed to write to it"
                ),
            }
        };
        self.faults
            .push(format!("{location}: cannot write the access log {}: {fault}", log.display()));
    }
}

/// Tells whether a process was started with this configuration file.
fn runs(process: u32, file: &Path) -> bool {
    let path = |what: &str| format!("/proc/{process}/{what}");
    let (Ok(line), Ok(folder)) = (fs::read(path("cmdline")), fs::read_link(path("cwd"))) else {
        return false;
    };
    let line = String::from_utf8_lossy(&line);
    let words: Vec<&str> = line.split('\0').collect();
    let separate = words.windows(2).filter(|pair| pair[0] == "--config").map(|pair| pair[1]);
    let joined = words.iter().filter_map(|word| word.strip_prefix("--config="));
    separate
        .chain(joined)
        .any(|path| folder.join(path).canonicalize().is_ok_and(|path| path == file))
}
