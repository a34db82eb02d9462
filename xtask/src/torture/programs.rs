//! The programs that have tests of a case, so that no others are built for it.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::exec::Invocation;

/// The crates with danger tests. Documentation has none.
const CRATES: [(&str, &str); 5] = [
    ("overlapped", "overlapped"),
    ("install", "overlapped-install"),
    ("wire", "overlapped-wire"),
    ("serve", "overlapped-serve"),
    ("cli", "overlapped-cli"),
];

/// Makes the invocation of all programs with a test whose name begins with `filter`.
pub(super) fn invocation(root: &Path, filter: &str) -> anyhow::Result<Invocation> {
    let mut command = Invocation::cargo("test --release");
    let (mut found, mut is_in_source) = (false, false);
    let begins = format!("fn {filter}");
    for (folder, package) in CRATES {
        let folder = root.join("crates").join(folder);
        let mut programs = Vec::new();
        for entry in entries(&folder.join("tests"))? {
            let path = entry.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let is_program = path.is_file() || path.join("main.rs").exists();
            if is_program && contains(&path, &begins)? {
                programs.push(name);
            }
        }
        let here = contains(&folder.join("src"), &begins)?;
        if here || !programs.is_empty() {
            command = command.arg("-p").arg(package);
        }
        for program in &programs {
            command = command.arg("--test").arg(program);
        }
        found |= here || !programs.is_empty();
        is_in_source |= here;
    }
    ensure!(found, "no crate has a test that begins with {filter}");
    Ok(if is_in_source { command.arg("--lib").arg("--bins") } else { command })
}

fn entries(folder: &Path) -> anyhow::Result<Vec<fs::DirEntry>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(folder).and_then(Iterator::collect);
    listed.with_context(|| format!("reading {}", folder.display()))
}

/// Tells whether a file, or one in a folder, contains a text.
fn contains(path: &Path, text: &str) -> anyhow::Result<bool> {
    if path.is_dir() {
        for entry in entries(path)? {
            if contains(&entry.path(), text)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let source = path.extension().is_some_and(|ending| ending == "rs");
    let read = || fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    Ok(source && read()?.contains(text))
}
