//! The files that are served over HTTP.

use super::folder;
use crate::error::say;
use std::fs;
use std::path::PathBuf;

/// The names of the files, and their sizes.
const FILES: [(&str, usize); 2] = [("1k", 1024), ("64k", 64 * 1024)];

/// The names alone.
pub(crate) const NAMES: [&str; 2] = [FILES[0].0, FILES[1].0];

/// A folder of files.
pub(crate) struct Site {
    folder: PathBuf,
}

impl Site {
    /// Makes the files that are missing.
    pub(crate) fn made() -> Result<Site, String> {
        let folder = folder("overlapped-bench-site")?;
        for (name, bytes) in FILES {
            let path = folder.join(format!("{name}.html"));
            if fs::metadata(&path).map_or(0, |found| found.len()) != bytes as u64 {
                fs::write(&path, text(name, bytes)).map_err(say)?;
            }
        }
        Ok(Site { folder })
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> String {
        self.folder.to_string_lossy().into_owned()
    }

    /// Returns the content of a file, without a look at the folder.
    pub(crate) fn body(&self, name: &str) -> Result<Vec<u8>, String> {
        let found = FILES.iter().find(|(known, _)| *known == name);
        let (name, bytes) = found.ok_or_else(|| format!("no file {name}"))?;
        Ok(text(name, *bytes))
    }
}

/// Returns the target of a request for a file.
pub(crate) fn target(name: &str) -> String {
    format!("/{name}.html")
}

/// Returns lines that differ, cut off at the length.
fn text(name: &str, bytes: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line: u32| format!("<p>{name}, line {line}</p>\n").into_bytes());
    lines.take(bytes).collect()
}
