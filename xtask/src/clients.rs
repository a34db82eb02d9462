//! Builds the program of `crates/install/clients`, which is not in the workspace, and replaces this
//! process by it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::exec::Invocation;
use crate::port::Port;

/// The folder of the program, from the root.
const FOLDER: &str = "crates/install/clients";

/// Builds the program, and returns its path.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let target = root.join("target/clients");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("build").current_dir(root.join(FOLDER));
    cargo.env("CARGO_TARGET_DIR", &target);
    if Invocation::new("pkg-config", "--exists openssl").probe() {
        cargo.args(["--features", "native-tls"]);
    } else {
        println!("SKIPPED native-tls: Debian's package libssl-dev is not installed");
    }
    if !cargo.status().context("cargo")?.success() {
        bail!("{FOLDER} does not build");
    }
    Ok(target.join("debug/overlapped-install-clients"))
}

/// Runs all rows, or those of `names`. Returns only if the program cannot be run: it replaces this
/// process, so that an interrupt reaches the program itself, which stops its servers.
pub fn run(root: &Path, names: &[String], port: Option<Port>) -> anyhow::Result<bool> {
    let mut program = Command::new(build(root)?);
    program.args(names).arg("--docs").arg(root.join("docs/install.md"));
    if let Some(port) = port {
        program.env("OVERLAPPED_PORT", port.name());
    }
    Err(program.exec().into())
}
