//! The files that are read and copied.
//!
//! Every block of a big file begins with its own number, and so does every small file, so that a
//! subject that reads something else is noticed.

use crate::error::say;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// The size of one random read.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// The buffer for a block, aligned to a cache line, for the subjects that can choose its address.
/// The kernel copies more slowly to other addresses: at half the speed if the buffer begins a few
/// bytes after the start of a page.
#[repr(align(64))]
pub(crate) struct Block(pub(crate) [u8; BLOCK_BYTES]);

impl Block {
    pub(crate) fn new() -> Block {
        Block([0; BLOCK_BYTES])
    }
}

/// The files of the tree.
pub(crate) const TREE_FILES: u64 = 10_000;
/// The files of each of its folders.
const FILES_IN_A_FOLDER: u64 = 100;
/// The length that no small file exceeds.
pub(crate) const SMALL_BYTES_MAX: usize = 8192;
/// The length of the shortest small file, which has room for its number.
const SMALL_BYTES_MIN: u64 = 64;

/// Returns the folder of all files.
pub(super) fn folder() -> Result<PathBuf, String> {
    super::folder("overlapped-bench-files")
}

/// The folders for copies, which are used in turn.
const SLOTS: usize = 100;
/// The number of inodes in one of ext4's flexible block groups (`flex_bg`), by default: 16 groups
/// of 8,192.
const INODES_IN_A_GROUP: u64 = 16 * 8192;

/// Chooses a path for a copy: in the folder from which no copy has been removed for the longest
/// time.
///
/// ext4 does not reuse deleted inodes for some minutes, and examines all of them for each file that
/// it makes. Near a copy that was just removed, that takes ten times as long. So the folders are in
/// different groups of inodes.
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
    // A run that was interrupted here has left some.
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    fs::create_dir(&beside)?;
    // In a folder with the attribute T, ext4 places every folder by a hash of its name. Other file
    // systems refuse the attribute and do not need it.
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

/// Makes a file of `mebibytes` MiB if it is missing, and reads it into the page cache.
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
    // Written to the disk, so that no write-back disturbs a measurement.
    file.into_inner()?.sync_all()?;
    fs::rename(beside, path)
}

/// Returns bytes that a file system does not take for zeros.
fn noise() -> [u8; BLOCK_BYTES] {
    let mut state = 1u64;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    })
}

/// Checks that the copy has the same length, and the same blocks at offsets spread over it.
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
    /// Makes the tree if it is missing, and reads it into the page cache.
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

    /// Returns the path of one file.
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        let (folder, file) = (number / FILES_IN_A_FOLDER, number % FILES_IN_A_FOLDER);
        self.root.join(format!("d{folder:02}/f{file:02}"))
    }

    /// Returns the length of one file.
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

    /// Checks that every file exists and is complete.
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

/// Tells whether `block` is the block with this `number`.
pub(crate) fn is_block(number: u64, block: &[u8]) -> bool {
    block.len() == BLOCK_BYTES && block.starts_with(&number.to_le_bytes())
}

/// Returns the bytes of a small file.
pub(crate) fn small(number: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        noise().into_iter().cycle().take(Tree::bytes(number) as usize).collect();
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Tells whether `bytes` are those of the small file with this `number`.
pub(crate) fn is_small(number: u64, bytes: &[u8]) -> bool {
    bytes.len() as u64 == Tree::bytes(number) && bytes.starts_with(&number.to_le_bytes())
}

/// Random numbers of blocks, another sequence for each task.
pub(crate) struct RandomBlocks {
    state: u64,
    blocks: u64,
}

impl RandomBlocks {
    pub(crate) fn new(task: usize, blocks: u64) -> RandomBlocks {
        RandomBlocks { state: 0x9e37_79b9_7f4a_7c15 ^ (task as u64 + 1), blocks }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 20) % self.blocks
    }
}
