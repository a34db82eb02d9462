//! compio::fs: buffers are given away and returned. It neither copies files nor reads folders.

use super::division::{COPY_BYTES, TASKS, folders_by_std, share};
use crate::error::say;
use crate::material::files::{
    BLOCK_BYTES, RandomBlocks, SMALL_BYTES_MAX, TREE_FILES, Tree, is_block, is_small,
};
use crate::traits::files::Files;
use compio::BufResult;
use compio::fs::{File, OpenOptions};
use compio::io::{AsyncReadAt, AsyncWriteAtExt};
use compio::runtime::{JoinHandle, Runtime, spawn};
use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) struct Compio;

async fn all_done(tasks: Vec<JoinHandle<std::io::Result<()>>>) -> Result<(), String> {
    for task in tasks {
        task.await.map_err(|_| "a task ended early")?.map_err(say)?;
    }
    Ok(())
}

impl Files for Compio {
    fn random_reads(&self, file: &Path, reads: u64) -> Result<Duration, String> {
        Runtime::new().map_err(say)?.block_on(async {
            let file = File::open(file).await.map_err(say)?;
            let blocks = file.metadata().await.map_err(say)?.len() / BLOCK_BYTES as u64;
            let start = Instant::now();
            let tasks = (0..TASKS).map(|task| {
                let file = file.clone();
                spawn(async move {
                    let mut random = RandomBlocks::new(task, blocks);
                    let mut buffer = Vec::with_capacity(BLOCK_BYTES);
                    for _ in 0..share(reads, task) {
                        let block = random.next();
                        buffer.clear();
                        let read = file.read_at(buffer, block * BLOCK_BYTES as u64).await;
                        let BufResult(result, filled) = read;
                        result?;
                        assert!(is_block(block, &filled));
                        buffer = filled;
                    }
                    Ok(())
                })
            });
            all_done(tasks.collect()).await?;
            Ok(start.elapsed())
        })
    }

    fn small_files(&self, tree: &Tree, files: u64) -> Result<Duration, String> {
        Runtime::new().map_err(say)?.block_on(async {
            let start = Instant::now();
            let tasks = (0..TASKS as u64).map(|task| {
                let tree = tree.clone();
                spawn(async move {
                    let mut buffer = Vec::with_capacity(SMALL_BYTES_MAX);
                    for number in (task..files).step_by(TASKS).map(|n| n % TREE_FILES) {
                        let file = File::open(tree.path(number)).await?;
                        assert_eq!(file.metadata().await?.len(), Tree::bytes(number));
                        buffer.clear();
                        let BufResult(result, filled) = file.read_at(buffer, 0).await;
                        result?;
                        assert!(is_small(number, &filled));
                        buffer = filled;
                        file.close().await?;
                    }
                    Ok(())
                })
            });
            all_done(tasks.collect()).await?;
            Ok(start.elapsed())
        })
    }

    fn copy_big(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        Runtime::new().map_err(say)?.block_on(async {
            let start = Instant::now();
            copy(from, to, Vec::with_capacity(COPY_BYTES)).await.map_err(say)?;
            Ok(start.elapsed())
        })
    }

    fn copy_tree(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        Runtime::new().map_err(say)?.block_on(async {
            let start = Instant::now();
            let mut files = Vec::new();
            folders_by_std(from, to, &mut files).map_err(say)?;
            let files = Rc::new(RefCell::new(files));
            let tasks = (0..TASKS).map(|_| {
                let files = files.clone();
                spawn(async move {
                    let mut buffer = Vec::with_capacity(COPY_BYTES);
                    let next = || files.borrow_mut().pop();
                    while let Some((from, to)) = next() {
                        buffer = copy(&from, &to, buffer).await?;
                    }
                    Ok(())
                })
            });
            all_done(tasks.collect()).await?;
            Ok(start.elapsed())
        })
    }

    fn remark(&self, case: &str) -> Option<&'static str> {
        match case {
            "copy_big" => Some("read_at and write_all_at, 256 KiB"),
            _ if case.starts_with("copy_tree") => {
                Some("folders by std, files by read_at and write_all_at")
            }
            _ => None,
        }
    }
}

async fn copy(from: &Path, to: &Path, mut buffer: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let source = File::open(from).await?;
    let mode = source.metadata().await?.permissions().mode();
    let mut options = OpenOptions::new();
    let mut target =
        options.write(true).create(true).truncate(true).mode(mode & 0o777).open(to).await?;
    let mut at = 0;
    loop {
        buffer.clear();
        let BufResult(result, filled) = source.read_at(buffer, at).await;
        let n = result? as u64;
        if n == 0 {
            source.close().await?;
            target.close().await?;
            return Ok(filled);
        }
        let BufResult(result, emptied) = target.write_all_at(filled, at).await;
        result?;
        buffer = emptied;
        at += n;
    }
}
