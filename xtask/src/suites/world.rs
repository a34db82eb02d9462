//! Threads, or tasklets in their place, and the environment in which a suite's programs have them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;

use crate::exec::{self, Invocation};
use crate::folders;
use crate::libtest::Environment;
use crate::port::Port;

/// The limit for the build of the library that is preloaded.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The kind of task that a suite runs on.
pub(super) struct World {
    /// The library of tasklets, or `None` for threads.
    preload: Option<Preload>,
}

struct Preload {
    library: PathBuf,
    report: PathBuf,
    port: Option<Port>,
}

impl World {
    pub(super) fn threads() -> World {
        World { preload: None }
    }

    /// Builds the library that is preloaded.
    pub(super) fn tasklets(root: &Path, port: Option<Port>) -> anyhow::Result<World> {
        let build = Invocation::cargo("build -p overlapped-preload");
        println!("$ {build}");
        if let Some(reason) = exec::run(root, &build, LIMIT)?.failure {
            bail!("overlapped-preload cannot be built: {reason}");
        }
        let target = folders::target(root);
        let folder = target.join("suites");
        std::fs::create_dir_all(&folder)?;
        let library = target.join("debug/liboverlapped_preload.so");
        let report = folder.join(format!("report-{}.txt", port.map_or("any", Port::name)));
        Ok(World { preload: Some(Preload { library, report, port }) })
    }

    #[cfg(test)]
    pub(super) fn fake(folder: &Path) -> World {
        let (library, report) = (folder.join("none"), folder.join("report"));
        World { preload: Some(Preload { library, report, port: None }) }
    }

    pub(super) fn is_tasklets(&self) -> bool {
        self.preload.is_some()
    }

    pub(super) fn name(&self) -> &'static str {
        if self.is_tasklets() { "tasklets" } else { "threads" }
    }

    pub(super) fn environment(&self) -> Environment {
        let Some(Preload { library, report, port }) = &self.preload else { return Vec::new() };
        let mut variables = vec![
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("OVERLAPPED_PRELOAD_REPORT".to_owned(), report.display().to_string()),
        ];
        variables.extend(port.map(|port| ("OVERLAPPED_PORT".to_owned(), port.name().to_owned())));
        variables
    }

    /// Begins to count tasklets.
    pub(super) fn begin_count(&self) -> anyhow::Result<()> {
        if let Some(Preload { report, .. }) = &self.preload {
            std::fs::write(report, "")?;
        }
        Ok(())
    }

    /// Returns the number of threads that were tasklets, in all programs that have ended since.
    pub(super) fn count(&self) -> anyhow::Result<u64> {
        let Some(Preload { report, .. }) = &self.preload else { return Ok(0) };
        let text = std::fs::read_to_string(report)?;
        let of = |line: &str| line.split(' ').nth(1).and_then(|number| number.parse::<u64>().ok());
        Ok(text.lines().filter_map(of).sum())
    }
}
