//! tokio::fs on a current-thread runtime.

use super::division::{FOLDERS, TASKS, share};
use crate::error::say;
use crate::material::files::{
    BLOCK_BYTES, RandomBlocks, SMALL_BYTES_MAX, TREE_FILES, Tree, is_block, is_small,
};
use crate::traits::files::Files;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
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
                    let mut random = RandomBlocks::new(task, blocks);
                    let mut buffer = vec![0; BLOCK_BYTES];
                    for _ in 0..share(reads, task) {
                        let block = random.next();
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
            let limits = Arc::new((Semaphore::new(FOLDERS), Arc::new(Semaphore::new(TASKS))));
            copy_folder(limits, from.into(), to.into()).await.map_err(say)?;
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

/// Copies a folder. Each file and each folder in it has a task of its own; `limits` bounds the
/// number of either. The future is boxed, because it contains others of its kind.
fn copy_folder(
    limits: Arc<(Semaphore, Arc<Semaphore>)>,
    from: PathBuf,
    to: PathBuf,
) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> {
    Box::pin(async move {
        let (folders, files) = &*limits;
        let walking = folders.acquire().await.map_err(std::io::Error::other)?;
        fs::create_dir(&to).await?;
        let mut parts = JoinSet::new();
        let mut entries = fs::read_dir(from).await?;
        while let Some(entry) = entries.next_entry().await? {
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if entry.file_type().await?.is_dir() {
                parts.spawn(copy_folder(Arc::clone(&limits), from, to));
            } else {
                let permit = Arc::clone(files).acquire_owned().await;
                parts.spawn(async move {
                    let _permit = permit;
                    fs::copy(from, to).await.map(drop)
                });
            }
        }
        drop(walking);
        while let Some(part) = parts.join_next().await {
            part??;
        }
        Ok(())
    })
}
