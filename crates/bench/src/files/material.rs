//! The files that are read and copied, made once beside this program and kept between runs.
//!
//! Every block of a big file begins with its own number, every small file with its own: a subject
//! that reads something else is found out.

use crate::subjects::say;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// What one random read asks for.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// Files of the tree, and how many of them share a folder.
pub(crate) const TREE_FILES: u64 = 10_000;
const FILES_IN_A_FOLDER: u64 = 100;
/// No small file is longer.
pub(crate) const SMALL_BYTES_MAX: usize = 8192;
/// No small file is shorter: its number is in it.
const SMALL_BYTES_MIN: u64 = 64;

/// The folder beside this program.
pub(crate) fn folder() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(say)?;
    let folder = program.with_file_name("overlapped-bench-files");
    fs::create_dir_all(&folder).map_err(say)?;
    Ok(folder)
}

/// A name for a copy, new each time.
///
/// ext4 searches long for inodes that were not deleted a minute ago, and creating files near a copy
/// just removed takes ten times as long. In a folder with the attribute T every folder is placed in
/// another group of inodes, by a hash of its name.
pub(crate) fn target() -> Result<PathBuf, String> {
    let copies = folder()?.join("copies");
    if !copies.exists() {
        fs::create_dir(&copies).map_err(say)?;
        // Refused by other file systems, which need it not.
        let _ = Command::new("chattr").arg("+T").arg(&copies).stderr(Stdio::null()).status();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(say)?;
    Ok(copies.join(format!("{}-{}", std::process::id(), now.as_nanos())))
}

/// A file of so many MiB, in the page cache.
pub(crate) fn big(mebibytes: u64) -> Result<PathBuf, String> {
    let bytes = mebibytes << 20;
    let path = folder()?.join(format!("file-{mebibytes}m"));
    if !fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
        write_big(&path, bytes).map_err(say)?;
    }
    let mut file = File::open(&path).map_err(say)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer).map_err(say)? > 0 {}
    Ok(path)
}

fn write_big(path: &Path, bytes: u64) -> std::io::Result<()> {
    let beside = path.with_extension("part");
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&beside)?);
    let mut block = noise();
    for number in 0..bytes / BLOCK_BYTES as u64 {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block)?;
    }
    // On the disk, so that no write-back disturbs what is measured.
    file.into_inner()?.sync_all()?;
    fs::rename(beside, path)
}

/// Bytes that a file system does not take for zeros.
fn noise() -> [u8; BLOCK_BYTES] {
    let mut state = 1u64;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
}

/// Whether the copy has the same length and, in places spread over it, the same blocks.
pub(crate) fn check_big(from: &Path, to: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileExt;
    let (from, to) = (File::open(from).map_err(say)?, File::open(to).map_err(say)?);
    let bytes = from.metadata().map_err(say)?.len();
    if to.metadata().map_err(say)?.len() != bytes {
        return Err("the copy has another length".into());
    }
    let (mut expected, mut found) = ([0; BLOCK_BYTES], [0; BLOCK_BYTES]);
    for at in (0..bytes).step_by(61 * BLOCK_BYTES) {
        from.read_exact_at(&mut expected, at).map_err(say)?;
        to.read_exact_at(&mut found, at).map_err(say)?;
        if expected != found {
            return Err(format!("the copy differs at byte {at}"));
        }
    }
    Ok(())
}

/// A tree of small files.
#[derive(Clone)]
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
}

impl Tree {
    /// The tree that is copied and read, in the page cache.
    pub(crate) fn made() -> Result<Tree, String> {
        let tree = Tree { root: folder()?.join("tree") };
        if !tree.root.exists() {
            let beside = Tree { root: folder()?.join("tree-part") };
            beside.write().map_err(say)?;
            fs::rename(&beside.root, &tree.root).map_err(say)?;
        }
        tree.check()?;
        Ok(tree)
    }

    /// The path of one file.
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        let (folder, file) = (number / FILES_IN_A_FOLDER, number % FILES_IN_A_FOLDER);
        self.root.join(format!("d{folder:02}/f{file:02}"))
    }

    /// The length of one file.
    pub(crate) fn bytes(number: u64) -> u64 {
        let range = SMALL_BYTES_MAX as u64 - SMALL_BYTES_MIN;
        SMALL_BYTES_MIN + number * 37 % range
    }

    fn write(&self) -> std::io::Result<()> {
        let noise: Vec<u8> = noise().into_iter().cycle().take(SMALL_BYTES_MAX).collect();
        for number in 0..TREE_FILES {
            let path = self.path(number);
            if number % FILES_IN_A_FOLDER == 0 {
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
            }
            let mut bytes = noise[..Tree::bytes(number) as usize].to_vec();
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// Whether every file is there and whole.
    pub(crate) fn check(&self) -> Result<(), String> {
        for number in 0..TREE_FILES {
            let path = self.path(number);
            let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            if !is_small(number, &bytes) {
                return Err(format!("{} differs", path.display()));
            }
        }
        Ok(())
    }
}

/// Whether these are the bytes of that block.
pub(crate) fn is_block(number: u64, block: &[u8]) -> bool {
    block.len() == BLOCK_BYTES && block.starts_with(&number.to_le_bytes())
}

/// Whether these are the bytes of that small file.
pub(crate) fn is_small(number: u64, bytes: &[u8]) -> bool {
    bytes.len() as u64 == Tree::bytes(number) && bytes.starts_with(&number.to_le_bytes())
}

/// Numbers of blocks at random, another sequence for each task.
pub(crate) struct Places {
    state: u64,
    blocks: u64,
}

impl Places {
    pub(crate) fn new(task: usize, blocks: u64) -> Places {
        Places { state: 0x9e37_79b9_7f4a_7c15 ^ (task as u64 + 1), blocks }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 20) % self.blocks
    }
}
