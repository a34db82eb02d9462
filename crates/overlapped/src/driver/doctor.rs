//! The doctor's report: the facilities of this machine that a port uses, and remedies for those
//! that are missing.

use std::fmt;
#[cfg(unix)]
use std::io;

#[cfg(unix)]
use rustix::process::{Resource, getrlimit};

use super::choose::from_environment;
#[cfg(target_os = "linux")]
use super::choose::{DISABLED, explain};
#[cfg(target_os = "linux")]
use super::uring::{Ring, USED};
use crate::driver::{Driver, PortConfig};
use crate::locals;

/// The findings of [`report`], line by line. `Display` prints it for people.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// The backend that a port with [`PortChoice::Auto`](super::PortChoice::Auto) uses here:
    /// `"uring"`, `"poll"`, or `"none"`.
    pub port: &'static str,
    /// The findings, in reading order.
    pub findings: Vec<Finding>,
}

/// One line of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The facility that was examined.
    pub subject: String,
    /// Its state.
    pub value: String,
    /// The remedy, if something is missing.
    pub remedy: Option<String>,
}

impl Report {
    fn add(&mut self, subject: &str, value: impl fmt::Display, remedy: Option<&str>) {
        self.findings.push(Finding {
            subject: subject.to_owned(),
            value: value.to_string(),
            remedy: remedy.map(str::to_owned),
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { subject, value, remedy } in &self.findings {
            writeln!(f, "{subject:<24} {value}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "{:<24} → {remedy}", "")?;
            }
        }
        Ok(())
    }
}

/// Examines this machine. Opens a port and closes it again; changes nothing.
pub fn report() -> Report {
    let mut report = Report { port: "none", findings: Vec::new() };
    add_port(&mut report);
    add_kernel(&mut report);
    #[cfg(target_os = "linux")]
    add_uring(&mut report);
    #[cfg(unix)]
    add_limits(&mut report);
    #[cfg(unix)]
    add_guards(&mut report);
    add_locals(&mut report);
    report
}

fn add_port(report: &mut Report) {
    if let Err(error) = from_environment() {
        report.add("port", error, Some("unset OVERLAPPED_PORT, or set it to one of these"));
        return;
    }
    match Driver::open(&PortConfig::default()) {
        Ok(driver) => {
            report.port = driver.name();
            report.add("port", driver.name(), None);
        }
        Err(error) => report.add("port", error, None),
    }
}

fn add_kernel(report: &mut Report) {
    let Ok(release) = std::fs::read_to_string("/proc/sys/kernel/osrelease") else {
        return;
    };
    let release = release.trim();
    let remedy = older_than(release, (6, 13)).then_some(
        "everything works on 6.1; 6.13 and later have cheap guard regions for tasklets' stacks",
    );
    report.add("kernel", release, remedy);
}

/// Tells whether `release` is clearly below `version`.
fn older_than(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < version,
        _ => false,
    }
}

#[cfg(target_os = "linux")]
fn add_uring(report: &mut Report) {
    if let Ok(disabled) = std::fs::read_to_string(DISABLED) {
        report.add("io_uring_disabled", disabled.trim(), None);
    }
    let ring = match Ring::open(&PortConfig::default()) {
        Ok(ring) => ring,
        Err(error) => {
            // The first sentence says what happened, and the rest what to do.
            let text = explain(&error);
            let (what, remedy) = text.split_once("Remedy: ").unwrap_or((&text, ""));
            report.add("io_uring", what.trim(), Some(remedy).filter(|text| !text.is_empty()));
            return;
        }
    };
    let params = ring.params();
    let sizes =
        format!("yes, {} entries, {} completions", params.sq_entries(), params.cq_entries());
    report.add("io_uring", sizes, None);
    let features = [
        (params.is_feature_no_iowait(), "NO_IOWAIT", "Linux 6.15: idle is not shown as iowait"),
        (params.is_feature_recvsend_bundle(), "RECVSEND_BUNDLE", "Linux 6.10"),
        (params.is_feature_min_timeout(), "MIN_TIMEOUT", "Linux 6.12"),
    ];
    for (there, name, remedy) in features {
        let value = if there { "yes" } else { "no" };
        report.add(&format!("io_uring {name}"), value, (!there).then_some(remedy));
    }
    let missing: Vec<&str> =
        USED.into_iter().filter(|&(code, _)| ring.missing().has(code)).map(|op| op.1).collect();
    if missing.is_empty() {
        report.add("io_uring operations", format!("all {}", USED.len()), None);
    } else {
        let value = format!("missing: {}", missing.join(", "));
        report.add(
            "io_uring operations",
            value,
            Some("done by readiness until the kernel has them"),
        );
    }
}

#[cfg(unix)]
fn add_limits(report: &mut Report) {
    let limit = |resource| {
        let limit = getrlimit(resource);
        let text = |value: Option<u64>| value.map_or("unlimited".to_owned(), |n| n.to_string());
        (format!("soft {}, hard {}", text(limit.current), text(limit.maximum)), limit)
    };
    let (text, files) = limit(Resource::Nofile);
    let few = files.current.is_some_and(|soft| soft < 4096);
    report.add("open files", text, few.then_some("`ulimit -n` with more: one per connection"));
    let (text, _) = limit(Resource::Memlock);
    report.add("locked memory", text, None);
    if let Ok(maps) = std::fs::read_to_string("/proc/sys/vm/max_map_count") {
        report.add("vm.max_map_count", maps.trim(), None);
    }
    if let Ok(backlog) = std::fs::read_to_string("/proc/sys/net/core/somaxconn") {
        report.add("net.core.somaxconn", backlog.trim(), None);
    }
}

#[cfg(unix)]
fn add_guards(report: &mut Report) {
    match guard_regions() {
        Ok(()) => report.add("guard regions", "yes", None),
        Err(error) => report.add(
            "guard regions",
            format!("no ({error})"),
            Some(
                "Linux 6.13 or later; until then a guarded stack costs two mappings: raise \
                 vm.max_map_count for more than about 30,000",
            ),
        ),
    }
}

fn add_locals(report: &mut Report) {
    match locals::available() {
        Ok(()) => report.add("own thread-locals", "yes", None),
        Err(why) => report.add(
            "own thread-locals",
            format!("no ({why})"),
            Some("Builder::own_thread_locals is refused; all else works"),
        ),
    }
}

/// Tells whether `MADV_GUARD_INSTALL` works here.
#[cfg(unix)]
fn guard_regions() -> io::Result<()> {
    const MADV_GUARD_INSTALL: libc::c_int = 102;
    // The largest page size of any machine; madvise wants whole pages.
    const LENGTH: usize = 64 << 10;
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh private mapping at an address of the kernel's choice touches nothing of
    // ours; it is advised about and unmapped whole, and never accessed.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), LENGTH, protection, flags, -1, 0);
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let advised = libc::madvise(memory, LENGTH, MADV_GUARD_INSTALL);
        let result = if advised == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
        libc::munmap(memory, LENGTH);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_a_port_and_has_a_line_for_every_subject() {
        let report = report();
        assert!(["uring", "poll"].contains(&report.port), "{report}");
        let text = report.to_string();
        for subject in
            ["port", "kernel", "io_uring", "open files", "guard regions", "own thread-locals"]
        {
            assert!(text.contains(subject), "{subject} is missing in:\n{text}");
        }
    }

    #[test]
    fn kernel_releases_are_compared_as_numbers() {
        assert!(older_than("6.9.1-generic", (6, 13)));
        assert!(!older_than("6.13.0", (6, 13)));
        assert!(!older_than("10.0", (6, 13)));
        assert!(!older_than("unknown", (6, 13)));
    }
}
