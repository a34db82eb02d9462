//! The memory of a process, from `/proc`.

/// Resident memory and page tables, in KiB, and the number of mappings, which is always that of
/// the whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) rss_kib: f64,
    pub(crate) page_tables_kib: f64,
    pub(crate) mappings: usize,
}

impl Memory {
    /// Reads the memory of this process.
    pub(crate) fn now() -> Memory {
        Memory::of(std::process::id())
    }

    /// Reads the memory of a process.
    pub(crate) fn of(process: u32) -> Memory {
        let read = |file| std::fs::read_to_string(format!("/proc/{process}/{file}"));
        let status = read("status").unwrap_or_default();
        let maps = read("maps").unwrap_or_default();
        Memory {
            rss_kib: field_kib(&status, "VmRSS:"),
            page_tables_kib: field_kib(&status, "VmPTE:"),
            mappings: maps.lines().count(),
        }
    }

    /// Returns what was added since `before`. The number of mappings is the present one.
    pub(crate) fn since(self, before: Memory) -> Memory {
        Memory {
            rss_kib: self.rss_kib - before.rss_kib,
            page_tables_kib: self.page_tables_kib - before.page_tables_kib,
            mappings: self.mappings,
        }
    }
}

/// Memory before the tasks are spawned, for the difference once all are parked.
pub(crate) struct Parking {
    before: Memory,
}

impl Parking {
    pub(crate) fn begin() -> Parking {
        Parking { before: Memory::now() }
    }

    /// Returns what the tasks have added, once all are parked.
    pub(crate) fn added(&self) -> Memory {
        Memory::now().since(self.before)
    }
}

/// Reads the memory that the machine still has available, in KiB.
pub(crate) fn available_kib() -> f64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    field_kib(&meminfo, "MemAvailable:")
}

fn field_kib(text: &str, name: &str) -> f64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0)
}
