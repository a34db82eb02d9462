//! Suites in Rust: std's own, and those of published crates.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::suite::{Found, Suite, Verdict, Verdicts};
use super::world::World;
use crate::exec::Progress;
use crate::libtest::{self, End, Test};
use crate::std_tests::scratch::{self, Over};
use crate::std_tests::source;

/// Programs of libtest, with their names.
struct Programs {
    folder: PathBuf,
    tests: Vec<String>,
    by_name: BTreeMap<String, Test>,
}

impl Programs {
    fn of(folder: PathBuf, programs: &[(String, PathBuf)]) -> anyhow::Result<Programs> {
        let mut by_name = BTreeMap::new();
        for (program, path) in programs {
            for test in libtest::tests(path)? {
                by_name.insert(format!("{program}::{}", test.name), test);
            }
        }
        Ok(Programs { folder, tests: by_name.keys().cloned().collect(), by_name })
    }
}

impl Suite for Programs {
    fn tests(&self) -> &[String] {
        &self.tests
    }

    fn run(&self, tests: &[String], on: &World, so_far: &Progress) -> anyhow::Result<Verdicts> {
        let folder = self.folder.join(on.name());
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let chosen: Vec<_> = tests.iter().filter_map(|test| self.by_name.get(test)).collect();
        let chosen: Vec<Test> = chosen.into_iter().cloned().collect();
        let ends = libtest::run(&folder, &chosen, &on.environment(), so_far);
        let verdict = |end| match end {
            End::Passed => Verdict::Passed,
            End::Ignored => Verdict::Skipped,
            End::Failed(why) => Verdict::Failed(why),
        };
        Ok(tests.iter().cloned().zip(ends.into_iter().map(verdict)).collect())
    }
}

/// std itself in std's place, with the private names that its tests use.
const STD: Over = Over {
    folder: "target/suites/std",
    dependency: "",
    shim: include_str!("shim.rs"),
    examples: false,
    takes: |path| {
        let rooms = ["/net/", "/fs/", "/process", "/thread", "/sync/", "/pipe", "pipe_"];
        rooms.iter().any(|room| path.contains(room))
    },
    has_nonpoison: true,
};

/// Finds std's tests of net, fs, process, thread and sync.
pub(super) fn std(root: &Path, _: &'static str) -> anyhow::Result<Found> {
    let Some(library) = source::find(None) else { return Ok(Err(source::REMEDY.to_owned())) };
    let programs = scratch::build(root, &library, &STD)?;
    for program in &programs {
        for (name, why) in program.left_out() {
            println!("not run: {} {name}: {why}", program.name);
        }
    }
    let programs: Vec<_> =
        programs.iter().map(|program| (program.name.clone(), program.path.clone())).collect();
    Ok(Ok(Box::new(Programs::of(root.join("target/suites/std/run"), &programs)?)))
}

/// The published crates, each with the version for which the exclusions are known.
const PUBLISHED: &[(&str, &str)] =
    &[("parking_lot", "0.12.5"), ("crossbeam-channel", "0.5.17"), ("flume", "0.12.0")];

/// Finds the suite of a published crate. Cargo fetches the crate, and a copy of it is built.
pub(super) fn published(root: &Path, name: &'static str) -> anyhow::Result<Found> {
    let known = PUBLISHED.iter().find(|(known, _)| *known == name);
    let (_, version) = known.with_context(|| format!("{name} has no version"))?;
    let folder = root.join("target/suites").join(name);
    let fetched = match fetch(&folder.join("fetch"), name, version) {
        Ok(fetched) => fetched,
        Err(error) => {
            return Ok(Err(format!("{name} {version} cannot be fetched by Cargo: {error:#}")));
        }
    };
    let copy = folder.join("copy");
    copy_folder(&fetched, &copy)?;
    let manifest = fs::read_to_string(fetched.join("Cargo.toml"))?;
    fs::write(copy.join("Cargo.toml"), format!("{manifest}\n[workspace]\n"))?;
    let programs = build(&copy)?;
    Ok(Ok(Box::new(Programs::of(folder.join("run"), &programs)?)))
}

/// Fetches a crate, and returns the folder in which Cargo has put its source.
fn fetch(folder: &Path, name: &str, version: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[workspace]\n[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\n{name} = \"={version}\"\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let metadata = cargo(folder, &["metadata", "--format-version", "1"])?;
    let mark = format!("/{name}-{version}/Cargo.toml\"");
    let end = metadata.find(&mark).context("the crate is not among the dependencies")?;
    let begin = metadata[..end].rfind('"').context("the path has no beginning")? + 1;
    Ok(PathBuf::from(format!("{}/{name}-{version}", &metadata[begin..end])))
}

/// Builds the programs with its tests.
fn build(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let arguments = ["test", "--lib", "--tests", "--no-run", "--message-format", "json"];
    let messages = cargo(folder, &arguments)?;
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.contains("\"executable\":\"")) {
        let of = |key: &str| Some(line.split_once(key)?.1.split('"').next()?.to_owned());
        let path = of("\"executable\":\"").context("a path has no end")?;
        let name = of("\"target\":{\"kind\":[").and_then(|_| line.split_once("\"name\":\""));
        let name = name.and_then(|(_, rest)| rest.split('"').next()).unwrap_or("tests");
        programs.push((name.to_owned(), PathBuf::from(path)));
    }
    if programs.is_empty() {
        bail!("{} has no tests", folder.display());
    }
    Ok(programs)
}

/// The flag by which rustix uses libc's functions instead of system calls of its own, which cannot
/// be interposed. (flume's tests use async-std, and that uses rustix for its epoll.)
const RUSTFLAGS: &str = "--cfg rustix_use_libc";

fn cargo(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(folder).env("RUSTFLAGS", RUSTFLAGS);
    command.env("CARGO_TARGET_DIR", folder.join("target"));
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Copies the files that are missing or differ.
fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else if entry.file_name() != "Cargo.toml" {
            let bytes = fs::read(&from)?;
            if fs::read(&to).ok().as_ref() != Some(&bytes) {
                fs::write(&to, bytes)?;
            }
        }
    }
    Ok(())
}
