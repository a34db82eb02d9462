//! overlapped::fs, once for each port: code as with std::fs, in tasklets.

use super::division::{FOLDERS, TASKS, share};
use crate::error::say;
use crate::material::files::{
    BLOCK_BYTES, Block, RandomBlocks, SMALL_BYTES_MAX, TREE_FILES, Tree, is_block, is_small,
};
use crate::traits::files::Files;
use ::overlapped::fs::{self, File};
use ::overlapped::port::PortChoice;
use ::overlapped::sync::Semaphore;
use ::overlapped::task::Scope;
use ::overlapped::{Config, scope};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) struct Overlapped {
    pub(crate) port: PortChoice,
}

impl Overlapped {
    /// Runs the tasks, and returns the time that they took.
    fn tasks(&self, task: impl Fn(usize) -> std::io::Result<()>) -> Result<Duration, String> {
        self.run(|| {
            let start = Instant::now();
            tasks(task)?;
            Ok(start.elapsed())
        })
    }

    fn run<T>(&self, f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        Config::new().port(self.port).run(f).map_err(say)?
    }
}

impl Files for Overlapped {
    fn random_reads(&self, file: &Path, reads: u64) -> Result<Duration, String> {
        let file = File::open(file).map_err(say)?;
        let blocks = file.metadata().map_err(say)?.len() / BLOCK_BYTES as u64;
        self.tasks(|task| {
            let mut random = RandomBlocks::new(task, blocks);
            let Block(buffer) = &mut Block::new();
            for _ in 0..share(reads, task) {
                let block = random.next();
                let n = file.read_at(buffer, block * BLOCK_BYTES as u64)?;
                assert!(is_block(block, &buffer[..n]));
            }
            Ok(())
        })
    }

    fn small_files(&self, tree: &Tree, files: u64) -> Result<Duration, String> {
        self.tasks(|task| {
            let mut buffer = [0; SMALL_BYTES_MAX];
            for number in (task as u64..files).step_by(TASKS).map(|n| n % TREE_FILES) {
                let mut file = File::open(tree.path(number))?;
                let bytes = file.metadata()?.len() as usize;
                file.read_exact(&mut buffer[..bytes])?;
                assert!(is_small(number, &buffer[..bytes]));
            }
            Ok(())
        })
    }

    fn copy_big(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        self.run(|| {
            let start = Instant::now();
            fs::copy(from, to).map_err(say)?;
            Ok(start.elapsed())
        })
    }

    fn copy_tree(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        self.run(|| {
            let start = Instant::now();
            let limits = &(Semaphore::new(FOLDERS), Semaphore::new(TASKS));
            scope(|scope| copy_folder(scope, limits, from.into(), to.into())).map_err(say)?;
            Ok(start.elapsed())
        })
    }

    fn remark(&self, case: &str) -> Option<&'static str> {
        case.starts_with("copy").then_some("overlapped::fs::copy")
    }
}

fn tasks(task: impl Fn(usize) -> std::io::Result<()>) -> Result<(), String> {
    let task = &task;
    scope(|scope| {
        let all: Vec<_> = (0..TASKS).map(|n| scope.spawn(move || task(n))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(say)?.map_err(say))
    })
}

/// Copies a folder. Each file and each folder in it has a tasklet of its own; `limits` bounds the
/// number of either.
fn copy_folder<'scope>(
    scope: &'scope Scope<'scope, '_>,
    limits: &'scope (Semaphore, Semaphore),
    from: PathBuf,
    to: PathBuf,
) -> std::io::Result<()> {
    let (folders, files) = limits;
    let walking = folders.acquire();
    fs::create_dir(&to)?;
    let mut parts = Vec::new();
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        parts.push(if entry.file_type()?.is_dir() {
            scope.spawn(move || copy_folder(scope, limits, from, to))
        } else {
            let permit = files.acquire();
            scope.spawn(move || {
                let _permit = permit;
                fs::copy(from, to).map(drop)
            })
        });
    }
    drop(walking);
    parts.into_iter().try_for_each(|part| part.join().map_err(std::io::Error::other)?)
}
