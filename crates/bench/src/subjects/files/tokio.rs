//! tokio::fs on a current-thread runtime.

use super::{Files, Pair, say, share};
use crate::files::TASKS;
use crate::files::material::{
    BLOCK_BYTES, Places, SMALL_BYTES_MAX, TREE_FILES, Tree, is_block, is_small,
};
use std::io::SeekFrom;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

pub(crate) struct Tokio;

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(say)
}

async fn all_done(tasks: &mut JoinSet<std::io::Result<()>>) -> Result<(), String> {
    while let Some(done) = tasks.join_next().await {
        done.map_err(say)?.map_err(say)?;
    }
    Ok(())
}

impl Files for Tokio {
    fn random_reads(&self, file: &Path, reads: u64) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let mut files = Vec::new();
            for _ in 0..TASKS {
                files.push(File::open(file).await.map_err(say)?);
            }
            let blocks = files[0].metadata().await.map_err(say)?.len() / BLOCK_BYTES as u64;
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for (task, mut file) in files.into_iter().enumerate() {
                tasks.spawn(async move {
                    let mut places = Places::new(task, blocks);
                    let mut buffer = vec![0; BLOCK_BYTES];
                    for _ in 0..share(reads, task) {
                        let block = places.next();
                        file.seek(SeekFrom::Start(block * BLOCK_BYTES as u64)).await?;
                        let n = file.read(&mut buffer).await?;
                        assert!(is_block(block, &buffer[..n]));
                    }
                    Ok(())
                });
            }
            all_done(&mut tasks).await?;
            Ok(start.elapsed())
        })
    }

    fn small_files(&self, tree: &Tree, files: u64) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for task in 0..TASKS as u64 {
                let tree = tree.clone();
                tasks.spawn(async move {
                    let mut buffer = vec![0; SMALL_BYTES_MAX];
                    for number in (task..files).step_by(TASKS).map(|n| n % TREE_FILES) {
                        let mut file = File::open(tree.path(number)).await?;
                        let bytes = file.metadata().await?.len() as usize;
                        file.read_exact(&mut buffer[..bytes]).await?;
                        assert!(is_small(number, &buffer[..bytes]));
                    }
                    Ok(())
                });
            }
            all_done(&mut tasks).await?;
            Ok(start.elapsed())
        })
    }

    fn copy_big(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let start = Instant::now();
            fs::copy(from, to).await.map_err(say)?;
            Ok(start.elapsed())
        })
    }

    fn copy_tree(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        runtime()?.block_on(async {
            let start = Instant::now();
            let files = Arc::new(Mutex::new(folders(from, to).await.map_err(say)?));
            let mut tasks = JoinSet::new();
            for _ in 0..TASKS {
                let files = files.clone();
                tasks.spawn(async move {
                    let next = || files.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    while let Some((from, to)) = next() {
                        fs::copy(from, to).await?;
                    }
                    Ok(())
                });
            }
            all_done(&mut tasks).await?;
            Ok(start.elapsed())
        })
    }

    fn remark(&self, case: &str) -> Option<&'static str> {
        match case {
            "random_read_4k" => Some("tokio::fs::File: seek, read"),
            _ if case.starts_with("copy") => Some("tokio::fs::copy"),
            _ => None,
        }
    }
}

async fn folders(from: &Path, to: &Path) -> std::io::Result<Vec<Pair>> {
    let mut files = Vec::new();
    let mut left = vec![(from.to_path_buf(), to.to_path_buf())];
    while let Some((from, to)) = left.pop() {
        fs::create_dir(&to).await?;
        let mut entries = fs::read_dir(from).await?;
        while let Some(entry) = entries.next_entry().await? {
            let pair = (entry.path(), to.join(entry.file_name()));
            if entry.file_type().await?.is_dir() {
                left.push(pair);
            } else {
                files.push(pair);
            }
        }
    }
    Ok(files)
}
