//! The files that are read, copied, downloaded and served, and the certificate of the TLS servers.
//!
//! All are made once, in folders beside this program, and kept between runs. Those that take long
//! are written under another name and renamed at the end, so that an interrupted run leaves no
//! part of one. Suites and subjects both use them, so this room stands below both.

pub(crate) mod certificate;
pub(crate) mod downloads;
pub(crate) mod files;
pub(crate) mod site;

use crate::error::say;
use std::path::PathBuf;

/// Makes a folder beside this program, if it is missing.
fn folder(name: &str) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(say)?;
    let folder = program.with_file_name(name);
    std::fs::create_dir_all(&folder).map_err(say)?;
    Ok(folder)
}
