//! The memory of the machine and of this process, read from Linux's /proc.

use std::fs;

/// Returns the bytes available without swapping: the machine's, or the cgroup's if that is less.
pub(super) fn available() -> Option<u64> {
    let machine = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    Some(machine.min(cgroup_left().unwrap_or(u64::MAX)))
}

/// Returns the bytes that the innermost visible cgroup still allows; `None` without a limit.
fn cgroup_left() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = number("/sys/fs/cgroup/memory.max")?;
    Some(limit.saturating_sub(number("/sys/fs/cgroup/memory.current")?))
}

/// Returns this process's resident bytes, with the page tables that they need.
pub(super) fn own() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(field(&status, "VmRSS:")? + field(&status, "VmPTE:")?)
}

/// Returns the number of this process's mappings; `vm.max_map_count` allows 65,530 by default.
pub(super) fn mappings() -> Option<usize> {
    Some(fs::read_to_string("/proc/self/maps").ok()?.lines().count())
}

/// Returns the value of a line such as `VmRSS:     1234 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_in_kib() {
        let status = "VmPeak:\t  9 kB\nVmRSS:\t    1234 kB\nThreads:\t1\n";
        assert_eq!(field(status, "VmRSS:"), Some(1234 * 1024));
        assert_eq!(field(status, "VmSwap:"), None);
        assert_eq!(field(status, "Threads:"), None);
    }
}
