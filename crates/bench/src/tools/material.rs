//! The small files that are downloaded: those of the tree's sizes, in one folder.

use crate::files::material::{folder, is_small, small};
use crate::subjects::say;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder that is served, and the first so many of its files.
pub(super) struct Downloads {
    folder: PathBuf,
    names: Vec<String>,
}

/// Files in the folder.
const FILES: usize = 10_000;

impl Downloads {
    /// Makes the folder if it is missing.
    pub(super) fn made(count: usize) -> Result<Downloads, String> {
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

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Tells whether every file has come, and whole.
    pub(super) fn check(&self, into: &Path) -> Result<(), String> {
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
