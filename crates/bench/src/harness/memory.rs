//! The memory of this process, from `/proc/self`.

/// Resident memory and page tables, in KiB, and the number of mappings, which is always that of
/// the whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) rss_kib: f64,
    pub(crate) page_tables_kib: f64,
    pub(crate) mappings: usize,
}

impl Memory {
    /// What this process holds now.
    pub(crate) fn now() -> Memory {
        Memory::of(std::process::id())
    }

    /// What a process holds now.
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

    /// What was added since `before`; the mappings are those of now.
    pub(crate) fn since(self, before: Memory) -> Memory {
        Memory {
            rss_kib: self.rss_kib - before.rss_kib,
            page_tables_kib: self.page_tables_kib - before.page_tables_kib,
            mappings: self.mappings,
        }
    }
}

/// What the machine can still give, in KiB.
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
