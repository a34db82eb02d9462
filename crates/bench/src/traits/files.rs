//! Files that are read and copied.

use crate::error::ABSENT;
use crate::material::files::Tree;
use std::path::Path;
use std::time::Duration;

/// A library with files.
pub(crate) trait Files {
    /// Reads `reads` blocks at random offsets of one file.
    fn random_reads(&self, _file: &Path, _reads: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Opens, stats, reads and closes `files` files of the tree, which begins again at its end.
    fn small_files(&self, _tree: &Tree, _files: u64) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Copies one file.
    fn copy_big(&self, _from: &Path, _to: &Path) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Copies a tree.
    fn copy_tree(&self, _from: &Path, _to: &Path) -> Result<Duration, String> {
        Err(ABSENT.into())
    }

    /// Names the calls that do it, where there is a choice.
    fn remark(&self, _case: &str) -> Option<&'static str> {
        None
    }
}
