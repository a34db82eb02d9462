//! One thread and std's calls, and the program cp: the ways without a runtime.

use crate::error::say;
use crate::material::files::{
    BLOCK_BYTES, Block, RandomBlocks, SMALL_BYTES_MAX, Tree, is_block, is_small,
};
use crate::traits::files::Files;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) struct Pread;
pub(crate) struct Cp;

impl Files for Pread {
    fn random_reads(&self, file: &Path, reads: u64) -> Result<Duration, String> {
        let file = File::open(file).map_err(say)?;
        let blocks = file.metadata().map_err(say)?.len() / BLOCK_BYTES as u64;
        let mut random = RandomBlocks::new(0, blocks);
        let Block(buffer) = &mut Block::new();
        let start = Instant::now();
        for _ in 0..reads {
            let block = random.next();
            let n = file.read_at(buffer, block * BLOCK_BYTES as u64).map_err(say)?;
            assert!(is_block(block, &buffer[..n]));
        }
        Ok(start.elapsed())
    }

    fn small_files(&self, tree: &Tree, files: u64) -> Result<Duration, String> {
        let mut buffer = [0; SMALL_BYTES_MAX];
        let start = Instant::now();
        for number in (0..files).map(|n| n % crate::material::files::TREE_FILES) {
            let mut file = File::open(tree.path(number)).map_err(say)?;
            let bytes = file.metadata().map_err(say)?.len() as usize;
            file.read_exact(&mut buffer[..bytes]).map_err(say)?;
            assert!(is_small(number, &buffer[..bytes]));
        }
        Ok(start.elapsed())
    }

    fn copy_big(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        let start = Instant::now();
        std::fs::copy(from, to).map_err(say)?;
        Ok(start.elapsed())
    }

    fn copy_tree(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        let start = Instant::now();
        copy_folder(from, to).map_err(say)?;
        Ok(start.elapsed())
    }

    fn remark(&self, case: &str) -> Option<&'static str> {
        case.starts_with("copy").then_some("std::fs::copy")
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

impl Cp {
    fn run(flags: &[&str], from: &Path, to: &Path) -> Result<Duration, String> {
        let start = Instant::now();
        let status = Command::new("cp").args(flags).arg(from).arg(to).status();
        let took = start.elapsed();
        match status.map_err(|error| format!("cp: {error}"))? {
            status if status.success() => Ok(took),
            status => Err(format!("cp: {status}")),
        }
    }
}

impl Files for Cp {
    fn copy_big(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        Cp::run(&[], from, to)
    }

    fn copy_tree(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        Cp::run(&["-r"], from, to)
    }

    fn remark(&self, case: &str) -> Option<&'static str> {
        case.starts_with("copy_tree").then_some("cp -r")
    }
}
