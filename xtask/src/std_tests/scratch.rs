//! The crate of the tests, which is written each time, and compiled until only items that compile
//! are left.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, bail};

use super::items::{self, Item};
use super::{examples, source};

/// The most rounds of compiling. Each leaves out the items of its errors.
const ROUNDS_MAX: usize = 40;

/// The library that stands for std, and the choice of std's tests that run over it.
pub(crate) struct Over {
    /// The folder of the crate, from the root.
    pub(crate) folder: &'static str,
    /// A line of its manifest.
    pub(crate) dependency: &'static str,
    pub(crate) shim: &'static str,
    /// Includes the examples of the documentation.
    pub(crate) examples: bool,
    /// The files with tests that are taken.
    pub(crate) takes: fn(&str) -> bool,
    /// The library has std's locks without poison.
    pub(crate) has_nonpoison: bool,
}

const HELPERS: &str = include_str!("helpers.rs");

impl Over {
    fn manifest(&self) -> String {
        let dependency = self.dependency;
        format!(
            r#"[workspace]

[package]
name = "std_shim"
version = "0.0.0"
edition = "2024"
publish = false

[dependencies]
{dependency}
libc = "0.2"

[profile.release]
opt-level = 1
debug-assertions = true
overflow-checks = true
"#
        )
    }
}

/// A test program that is made of a file of std.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    items: Vec<Item>,
    features: Vec<String>,
    /// The lines of each item in the file that was written last.
    lines: Vec<Range<usize>>,
    /// The program, once it has been built.
    pub(crate) path: PathBuf,
}

impl Program {
    /// Lists the tests and examples that are left out, with the reasons.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.items.iter().map(|item| (item.counted(), item.dropped.as_deref()));
        pairs.filter_map(|(name, why)| Some((name?, why?)))
    }

    /// Counts the examples that are compiled and not run.
    pub(super) fn compiled(&self) -> usize {
        let is_compiled =
            |item: &&Item| matches!(item.role, items::Role::Compiled(_)) && item.dropped.is_none();
        self.items.iter().filter(is_compiled).count()
    }

    fn text(&mut self) -> String {
        let mut text = "#![allow(warnings)]\n".to_owned();
        if !self.features.is_empty() {
            let _ = writeln!(text, "#![feature({})]", self.features.join(", "));
        }
        text.push_str("extern crate alloc;\n");
        self.lines.clear();
        for item in &self.items {
            let begin = text.lines().count() + 1;
            if item.dropped.is_none() {
                text.push_str(&item.text);
            }
            text.push('\n');
            self.lines.push(begin..text.lines().count() + 1);
        }
        text
    }

    /// Changes the program so that `error` does not come again, and tells whether it could.
    fn resolve(&mut self, error: &CompilerError) -> bool {
        if let Some(name) = quoted_after(&error.text, "unknown feature ") {
            let before = self.features.len();
            self.features.retain(|known| known != name);
            return self.features.len() < before;
        }
        if let Some(name) = quoted_after(&error.text, "unstable library feature ") {
            let is_new = !self.features.iter().any(|known| known == name);
            if is_new {
                self.features.push(name.to_owned());
            }
            return is_new;
        }
        let at = self.lines.iter().position(|lines| lines.contains(&error.line));
        let Some(item) = at.map(|at| &mut self.items[at]) else { return false };
        if item.dropped.is_some() || item.role == items::Role::Bracket {
            return false;
        }
        item.dropped = Some(error.text.clone());
        true
    }
}

/// Finds the word in backticks that follows `mark`.
fn quoted_after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark)?.1.strip_prefix('`')?.split('`').next()
}

/// Writes and builds all programs.
pub(crate) fn build(root: &Path, library: &Path, over: &Over) -> anyhow::Result<Vec<Program>> {
    let folder = root.join(over.folder);
    let tests = folder.join("tests");
    std::fs::create_dir_all(&tests)?;
    std::fs::create_dir_all(folder.join("src"))?;
    write(&folder.join("Cargo.toml"), &over.manifest())?;
    write(&folder.join("Cargo.lock"), &std::fs::read_to_string(root.join("Cargo.lock"))?)?;
    write(&folder.join("src/lib.rs"), &format!("{}\n{HELPERS}", over.shim))?;
    let mut programs = programs(library, over)?;
    for entry in std::fs::read_dir(&tests)? {
        let path = entry?.path();
        let is_known = |program: &Program| path.ends_with(format!("{}.rs", program.name));
        if !programs.iter().any(is_known) {
            std::fs::remove_file(path)?;
        }
    }
    for round in 1.. {
        for program in &mut programs {
            write(&tests.join(format!("{}.rs", program.name)), &program.text())?;
        }
        let output = cargo(&folder, &["check", "--release", "--tests", "--keep-going"])?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let errors: Vec<CompilerError> = stderr.lines().filter_map(CompilerError::read).collect();
        println!("std-tests: round {round} of compiling, {} errors", errors.len());
        if output.status.success() {
            break;
        }
        let mut any = false;
        for error in &errors {
            let program = programs.iter_mut().find(|program| program.name == error.program);
            any |= program.is_some_and(|program| program.resolve(error));
        }
        if !any || round == ROUNDS_MAX {
            bail!("std's tests cannot be compiled:\n{stderr}");
        }
    }
    let output = cargo(&folder, &["test", "--release", "--tests", "--no-run"])?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("std's tests cannot be built:\n{stderr}");
    }
    for program in &mut programs {
        let mark = format!("tests/{}.rs (", program.name);
        let path = stderr.split(&mark).nth(1).and_then(|rest| rest.split(')').next());
        program.path = folder.join(path.with_context(|| format!("no program {}", program.name))?);
    }
    Ok(programs)
}

/// Writes a file only if it changes, so that nothing is compiled twice.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    match std::fs::read_to_string(path) {
        Ok(old) if old == text => Ok(()),
        _ => std::fs::write(path, text),
    }
}

fn cargo(folder: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).args(["--message-format", "short"]).current_dir(folder);
    // std's tests use unstable features.
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", folder.join("target"));
    command.env_remove("RUSTFLAGS").env("CARGO_TERM_COLOR", "never");
    Ok(command.output()?)
}

/// An error of the compiler.
struct CompilerError {
    program: String,
    line: usize,
    text: String,
}

impl CompilerError {
    /// Reads `tests/name.rs:line:column: error[…]: text`.
    fn read(line: &str) -> Option<CompilerError> {
        let (place, text) = line.split_once(": error")?;
        let mut place = place.strip_prefix("tests/")?.split(':');
        let program = place.next()?.strip_suffix(".rs")?.to_owned();
        let text = text.split_once(": ").map_or(text, |(_, text)| text).to_owned();
        Some(CompilerError { program, line: place.next()?.parse().ok()?, text })
    }
}

fn programs(library: &Path, over: &Over) -> anyhow::Result<Vec<Program>> {
    let mut programs = Vec::new();
    let read = |path: &Path| {
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
    };
    for (path, parent) in source::TESTS.iter().filter(|(path, _)| (over.takes)(path)) {
        let text = read(&library.join(path))?;
        let (items, features) = items::parse(&text, parent, over.has_nonpoison)?;
        programs.push(Program::of(name_of(path), items, features));
    }
    let documents = if over.examples { source::DOCUMENTS } else { &[] };
    for document in documents {
        for path in rust_files(&library.join(document))? {
            let (items, features) = examples::parse(&read(&path)?);
            let below = path.strip_prefix(library).unwrap_or(&path).to_string_lossy();
            if !items.is_empty() {
                let name = format!("examples_{}", name_of(&below));
                programs.push(Program::of(name, items, features));
            }
        }
    }
    Ok(programs)
}

impl Program {
    fn of(name: String, items: Vec<Item>, mut features: Vec<String>) -> Program {
        features.sort();
        features.dedup();
        Program { name, items, features, lines: Vec::new(), path: PathBuf::new() }
    }
}

fn name_of(path: &str) -> String {
    let short = path.trim_start_matches("std/").trim_start_matches("src/");
    short.trim_end_matches(".rs").trim_end_matches("/tests").replace('/', "_")
}

fn rust_files(place: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if place.is_file() {
        return Ok(vec![place.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::std_tests::items::Role;

    #[test]
    fn an_error_leaves_out_the_item_in_which_it_is() {
        let test = |name: &str| Item::of(format!("fn {name}()\n{{}}"), Role::Test(name.to_owned()));
        let mut program = Program::of("p".to_owned(), vec![test("a"), test("b")], Vec::new());
        let text = program.text();
        let line = text.lines().position(|line| line == "fn b()").unwrap() + 1;
        let stderr = format!("tests/p.rs:{line}:3: error[E0425]: cannot find `x`");
        assert!(program.resolve(&CompilerError::read(&stderr).unwrap()));
        assert_eq!(program.left_out().collect::<Vec<_>>(), [("b", "cannot find `x`")]);
        let stderr = "tests/p.rs:1:1: error[E0658]: use of unstable library feature `f`";
        assert!(program.resolve(&CompilerError::read(stderr).unwrap()));
        assert!(program.text().contains("#![feature(f)]"));
        let stderr = "tests/p.rs:2:1: error[E0635]: unknown feature `f`";
        assert!(program.resolve(&CompilerError::read(stderr).unwrap()));
        assert!(!program.text().contains("feature"));
    }
}
