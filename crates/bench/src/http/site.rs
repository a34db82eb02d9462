//! The files that are served, made once beside this program and kept between runs.

use crate::subjects::say;
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
    /// Makes what is missing.
    pub(crate) fn made() -> Result<Site, String> {
        let program = std::env::current_exe().map_err(say)?;
        let folder = program.with_file_name("overlapped-bench-site");
        fs::create_dir_all(&folder).map_err(say)?;
        for (name, bytes) in FILES {
            let path = folder.join(format!("{name}.html"));
            if fs::metadata(&path).map_or(0, |found| found.len()) != bytes as u64 {
                fs::write(&path, text(name, bytes)).map_err(say)?;
            }
        }
        Ok(Site { folder })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> String {
        self.folder.to_string_lossy().into_owned()
    }

    /// What a file holds, said apart from the folder.
    pub(crate) fn body(&self, name: &str) -> Result<Vec<u8>, String> {
        let found = FILES.iter().find(|(known, _)| *known == name);
        let (name, bytes) = found.ok_or_else(|| format!("no file {name}"))?;
        Ok(text(name, *bytes))
    }
}

/// The path of a file as a client asks for it.
pub(crate) fn target(name: &str) -> String {
    format!("/{name}.html")
}

/// Lines that differ, cut at the length.
fn text(name: &str, bytes: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line: u32| format!("<p>{name}, line {line}</p>\n").into_bytes());
    lines.take(bytes).collect()
}
