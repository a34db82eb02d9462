//! The files that are read and copied, made once beside this program and kept between runs.
//!
//! Every block of a big file begins with its own number, every small file with its own: a subject
//! that reads something else is found out.

use crate::subjects::say;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// What one random read asks for.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Where a block is read to, by whoever may say where its memory begins: at a cache line. The
/// kernel copies more slowly to elsewhere, half as fast to a few bytes behind a page's beginning.
#[repr(align(64))]
pub(crate) struct Block(pub(crate) [u8; BLOCK_BYTES]);

impl Block {
    pub(crate) fn new() -> Block {
        Block([0; BLOCK_BYTES])
    }
}
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

/// Where copies go, in turn.
const SLOTS: usize = 100;
/// Inodes of a flexible group of groups in ext4, as it is usually made.
const INODES_IN_A_GROUP: u64 = 16 * 8192;

/// A name for a copy: in the folder where none has been removed for the longest time.
///
/// ext4 leaves alone, for some minutes, inodes that were just deleted, and looks at all of them
/// for each file it makes: near a copy just removed that takes ten times as long. So there are
/// folders in different groups of inodes.
pub(crate) fn target() -> Result<PathBuf, String> {
    let copies = folder()?.join("copies");
    if !copies.exists() {
        make_slots(&copies).map_err(say)?;
    }
    let mut oldest: Option<(SystemTime, PathBuf)> = None;
    for slot in fs::read_dir(&copies).map_err(say)?.flatten() {
        let used = slot.metadata().and_then(|found| found.modified()).map_err(say)?;
        if oldest.as_ref().is_none_or(|(earlier, _)| used < *earlier) {
            oldest = Some((used, slot.path()));
        }
    }
    let (_, slot) = oldest.ok_or("no folder for copies")?;
    Ok(slot.join("copy"))
}

fn make_slots(copies: &Path) -> std::io::Result<()> {
    let beside = copies.with_extension("part");
    fs::create_dir(&beside)?;
    // In a folder with the attribute T, ext4 places every folder by a hash of its name. Other file
    // systems refuse it, and need no such thing.
    let _ = Command::new("chattr").arg("+T").arg(&beside).stderr(Stdio::null()).status();
    let mut groups = HashSet::new();
    for name in 0..10 * SLOTS {
        let slot = beside.join(name.to_string());
        fs::create_dir(&slot)?;
        if !groups.insert(fs::metadata(&slot)?.ino() / INODES_IN_A_GROUP) && groups.len() > 1 {
            fs::remove_dir(&slot)?;
        } else if groups.len() == SLOTS {
            break;
        }
    }
    fs::rename(beside, copies)
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
        for number in 0..TREE_FILES {
            let path = self.path(number);
            if number % FILES_IN_A_FOLDER == 0 {
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
            }
            fs::write(path, small(number))?;
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

/// The bytes of a small file.
pub(crate) fn small(number: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        noise().into_iter().cycle().take(Tree::bytes(number) as usize).collect();
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
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
