//! Adds an operation to a copy of the library and lets the compiler list the files that lack an arm
//! for it. The list is compared with the one in CONTRIBUTING.md: only those files need an arm for a
//! new operation.
//!
//! One variant is added at a time, to each type of operations. The copy lies below `target` and
//! shares its builds, so that only the library is checked again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::exec::{self, Invocation};
use crate::folders;
use crate::tidy::table::{LIBRARY, OPERATIONS};

/// The document that has the list.
const DOCUMENT: &str = "CONTRIBUTING.md";
/// The line before the list.
const MARK: &str = "<!-- cargo xtask new-op: type, then the files that lack an arm -->";

/// The name of the added variant.
const VARIANT: &str = "AddedByXtask";

/// The folders from which the library is built.
const PARTS: [&str; 3] = ["crates/overlapped", "crates/testkit", "examples"];

/// The limit of one check.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The files that lack an arm, as paths below the library's `src`, by the type of operations.
type Lists = BTreeMap<String, BTreeSet<String>>;

/// Compares the lists, and tells whether they are the same.
///
/// # Errors
///
/// The copy cannot be made, the compiler lists nothing, or the document has no list.
pub fn run(root: &Path) -> anyhow::Result<bool> {
    let copy = folders::target(root).join("new-op");
    copy_parts(root, &copy)?;
    let mut found = Lists::new();
    for (name, _) in OPERATIONS {
        found.insert((*name).to_owned(), lacking(root, &copy, name)?);
    }
    let document = fs::read_to_string(root.join(DOCUMENT)).context(DOCUMENT)?;
    let listed = read(&document)?;
    let holds = listed == found;
    let files: usize = found.values().map(BTreeSet::len).sum();
    if holds {
        println!("new-op: {files} files, as in {DOCUMENT}");
    } else {
        println!(
            "the list in {DOCUMENT} differs from the compiler's, which is:\n\n{}",
            write(&found)
        );
    }
    Ok(holds)
}

/// Copies the folders and documents from which the library is built.
fn copy_parts(root: &Path, copy: &Path) -> anyhow::Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    for part in PARTS {
        copy_folder(&root.join(part), &copy.join(part)).context(part)?;
    }
    // These documents are part of the library's documentation.
    for document in ["README.md", "docs/guide.md"] {
        fs::create_dir_all(copy.join("docs"))?;
        fs::copy(root.join(document), copy.join(document)).context(document)?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    fs::write(copy.join("Cargo.toml"), with_members(&manifest)?)?;
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_dir() => copy_folder(&entry.path(), &target)?,
            kind if kind.is_file() => drop(fs::copy(entry.path(), target)?),
            _ => {}
        }
    }
    Ok(())
}

/// Leaves only the library and its testkit in a manifest of the workspace.
fn with_members(manifest: &str) -> anyhow::Result<String> {
    let is_list = |line: &&str| line.starts_with("members =") || line.starts_with("default-");
    if manifest.lines().filter(is_list).count() != 2 {
        bail!("Cargo.toml has no members, or no default-members, on a line of their own");
    }
    let line = |line: &str| match line {
        line if line.starts_with("members =") => {
            "members = [\"crates/overlapped\", \"crates/testkit\"]\n".to_owned()
        }
        line if line.starts_with("default-") => String::new(),
        line => format!("{line}\n"),
    };
    Ok(manifest.lines().map(line).collect())
}

/// Adds a variant to the type `name` in the copy, and lists the files that the compiler names.
fn lacking(root: &Path, copy: &Path, name: &str) -> anyhow::Result<BTreeSet<String>> {
    let (path, text) = definition(&copy.join(LIBRARY).join("op"), name)?
        .with_context(|| format!("no file of op/ defines `enum {name}`"))?;
    fs::write(&path, with_variant(&text, name))?;
    let target = folders::target(root);
    let check = Invocation::cargo("check -p overlapped --lib --message-format short")
        .env("CARGO_TARGET_DIR", &target.to_string_lossy());
    println!("$ {check} # with `{name}::{VARIANT}`");
    let ran = exec::run_quietly(copy, &check, LIMIT)?;
    fs::write(&path, text)?;
    let files: BTreeSet<String> = ran.lines.iter().filter_map(|line| named(line)).collect();
    if files.is_empty() {
        ran.lines.iter().for_each(|line| println!("{line}"));
        bail!("the compiler names no file that lacks an arm for `{name}::{VARIANT}`");
    }
    files.iter().for_each(|file| println!("{name}: {file}"));
    Ok(files)
}

/// Finds the file below `folder` that defines the type.
fn definition(folder: &Path, name: &str) -> anyhow::Result<Option<(PathBuf, String)>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = definition(&path, name)? {
                return Ok(Some(found));
            }
            continue;
        }
        let text = fs::read_to_string(&path)?;
        if text.contains(&begin(name)) {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

/// Writes the beginning of a type's definition.
fn begin(name: &str) -> String {
    format!("enum {name} {{\n")
}

fn with_variant(text: &str, name: &str) -> String {
    text.replace(&begin(name), &format!("{}    /// Added.\n    {VARIANT},\n", begin(name)))
}

/// Reads the file's path below the library's `src` from a message about a match that lacks an arm
/// (E0004).
fn named(line: &str) -> Option<String> {
    if !line.contains("error[E0004]") {
        return None;
    }
    let path = line.split(':').next()?;
    let (_, file) = path.split_once("overlapped/src/")?;
    Some(file.to_owned())
}

/// Reads the lists from the document: the lines after the mark until an empty line, each with a
/// type.
fn read(document: &str) -> anyhow::Result<Lists> {
    let (_, rest) = document.split_once(MARK).with_context(|| format!("no line `{MARK}`"))?;
    let lines = rest.lines().skip(1).take_while(|line| !line.is_empty());
    let mut lists = Lists::new();
    for line in lines.filter(|line| !line.starts_with("```")) {
        let mut words = line.split_whitespace();
        let name = words.next().context("a line without a type")?;
        lists.entry(name.to_owned()).or_default().extend(words.map(str::to_owned));
    }
    Ok(lists)
}

fn write(lists: &Lists) -> String {
    let mut text = format!("{MARK}\n```text\n");
    for (name, files) in lists {
        for file in files {
            text += &format!("{name:<4} {file}\n");
        }
    }
    text + "```\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_is_written() {
        let files = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let lists = Lists::from([
            ("Fs".to_owned(), files(&["driver/a.rs", "op/mod.rs"])),
            ("Net".to_owned(), files(&["driver/b.rs"])),
        ]);
        let document = format!("Before.\n\n{}\nAfter.\n", write(&lists));
        assert_eq!(read(&document).unwrap(), lists);
        assert!(read("Before.\n").is_err());
    }

    #[test]
    fn files_are_read_from_messages_of_the_compiler() {
        let line = "crates/overlapped/src/driver/a.rs:5:9: error[E0004]: non-exhaustive patterns";
        assert_eq!(named(line).as_deref(), Some("driver/a.rs"));
        assert_eq!(named(&line.replace("E0004", "E0308")), None);
    }

    #[test]
    fn a_variant_is_added_only_to_the_named_type() {
        let text = "enum Op {\n    A,\n}\nenum Ops {\n    A,\n}\n";
        let added =
            "enum Op {\n    /// Added.\n    AddedByXtask,\n    A,\n}\nenum Ops {\n    A,\n}\n";
        assert_eq!(with_variant(text, "Op"), added);
    }

    #[test]
    fn other_members_are_left_out() {
        let manifest = "[workspace]\nmembers = [\"a\"]\ndefault-members = [\"b\"]\n[lints]\n";
        let wanted =
            "[workspace]\nmembers = [\"crates/overlapped\", \"crates/testkit\"]\n[lints]\n";
        assert_eq!(with_members(manifest).unwrap(), wanted);
        assert!(with_members("[workspace]\n").is_err());
    }
}
