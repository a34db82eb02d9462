//! The small files that are downloaded: of the same sizes as those of the tree, in one folder.

use super::files::{folder, is_small, small};
use crate::error::say;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is served, and the names of the first of its files.
pub(crate) struct Downloads {
    folder: PathBuf,
    names: Vec<String>,
}

/// The files in the folder.
const FILES: usize = 10_000;

impl Downloads {
    /// Makes the folder if it is missing, and names its first `count` files.
    pub(crate) fn made(count: usize) -> Result<Downloads, String> {
        let path = folder()?.join("downloads");
        if !path.exists() {
            let beside = path.with_extension("part");
            fs::create_dir_all(&beside).map_err(say)?;
            for number in 0..FILES {
                fs::write(beside.join(name(number)), small(number as u64)).map_err(say)?;
            }
            fs::rename(&beside, &path).map_err(say)?;
        }
        Ok(Downloads { folder: path, names: (0..count).map(name).collect() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Checks that every file has arrived, and is complete.
    pub(crate) fn check(&self, into: &Path) -> Result<(), String> {
        for (number, name) in self.names.iter().enumerate() {
            let bytes = fs::read(into.join(name)).map_err(|error| format!("{name}: {error}"))?;
            if !is_small(number as u64, &bytes) {
                return Err(format!("{name} differs"));
            }
        }
        Ok(())
    }
}

fn name(number: usize) -> String {
    format!("file-{number:05}.bin")
}
