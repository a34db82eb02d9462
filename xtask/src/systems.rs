//! Checks that the crates compile for other systems. It uses Debian's compiler, whose sources of
//! std are a package, so that std can be compiled for each system along with the crates.
//!
//! | target | packages |
//! |---|---|
//! | macOS and FreeBSD, Linux on 64-bit Arm | the library, wire, serve |
//! | Windows | the library, as far as it is there; wire, which is tied to no system |
//!
//! Only Rust is checked: the C of some dependencies is "compiled" by true(1).

use std::path::Path;
use std::time::Duration;

use crate::exec::{self, Invocation};
use crate::folders;

/// Debian's compiler.
const RUSTC: &str = "/usr/bin/rustc";

/// The program that makes import libraries for Windows; compiling std calls it.
const DLLTOOL: &str = "x86_64-w64-mingw32-dlltool";

/// The packages that are checked, with their targets.
const CHECKED: [(&[&str], &[&str]); 2] = [
    (
        &["overlapped", "overlapped-wire", "overlapped-serve"],
        &["x86_64-unknown-freebsd", "aarch64-apple-darwin", "aarch64-unknown-linux-gnu"],
    ),
    (&["overlapped", "overlapped-wire"], &["x86_64-pc-windows-gnu"]),
];

/// The limit of one check. std and all dependencies are compiled for each target.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The outcome of all checks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Systems {
    /// Everything compiles; the text counts the targets.
    Compile(String),
    /// The reason of the first crate that does not compile.
    Fail(String),
    /// The remedy for a program that is missing.
    Missing(String),
}

/// Checks the crates for all targets, in a target folder of their own, since compilers cannot share
/// their results.
pub(crate) fn check(root: &Path) -> anyhow::Result<Systems> {
    if !Invocation::new(RUSTC, "--version").probe()
        || !Invocation::new(DLLTOOL, "--version").probe()
        || !has_sources()
    {
        let remedy = "Debian's compiler, or what it needs for Windows, is missing: \
                      `apt install rustc-web rust-web-src binutils-mingw-w64-x86-64`";
        return Ok(Systems::Missing(remedy.to_owned()));
    }
    let folder = folders::target(root).join("systems");
    for (packages, targets) in CHECKED {
        let mut cargo = Invocation::cargo("check -Zbuild-std=std,panic_unwind")
            .env("RUSTC", RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", &folder.to_string_lossy());
        for package in packages {
            cargo = cargo.arg("-p").arg(package);
        }
        for target in targets {
            let variable = target.replace('-', "_");
            cargo = cargo.arg("--target").arg(target);
            cargo = cargo.env(&format!("CC_{variable}"), "true");
            cargo = cargo.env(&format!("AR_{variable}"), "true");
        }
        println!("$ {cargo}");
        if let Some(reason) = exec::run(root, &cargo, LIMIT)?.failure {
            return Ok(Systems::Fail(format!("{}: {reason}", targets.join(", "))));
        }
    }
    let targets: usize = CHECKED.iter().map(|(_, targets)| targets.len()).sum();
    Ok(Systems::Compile(format!("{targets} targets")))
}

/// Tells whether the sources of std are where Debian's compiler looks for them.
fn has_sources() -> bool {
    let Ok(output) = std::process::Command::new(RUSTC).args(["--print", "sysroot"]).output() else {
        return false;
    };
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Path::new(&sysroot).join("lib/rustlib/src/rust/library/std").is_dir()
}
