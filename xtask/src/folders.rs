//! The root of the repository, and the folder of builds.

use std::path::{Path, PathBuf};

/// Returns the repository's root, as Cargo names it at run time: clones may share one target
/// folder, and with it a program that another clone has compiled.
pub fn root() -> PathBuf {
    let own = std::env::var("CARGO_MANIFEST_DIR");
    let own = own.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&own).parent().expect("xtask lies in the root").to_path_buf()
}

/// Returns the folder in which Cargo puts its builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into)
}
