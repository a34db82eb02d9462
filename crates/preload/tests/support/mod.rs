//! Helpers that run programs under the library.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use testkit::foreign;

/// Returns the library's path; Cargo builds it beside the tests.
pub(crate) fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let library = program.parent().unwrap().join("liboverlapped_preload.so");
    assert!(library.is_file(), "{library:?} is missing");
    library
}

/// A temporary folder, removed at its end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let name = format!("overlapped-preload-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Tells whether tasklets cannot have thread-locals of their own here; prints a line if so.
pub(crate) fn refused() -> bool {
    let tried = overlapped::run(|| {
        overlapped::Builder::new().own_thread_locals(true).spawn(|| ()).map(drop)
    });
    match tried.unwrap() {
        Err(overlapped::SpawnError::OwnThreadLocals(why)) => {
            println!("SKIPPED: no thread-locals of a tasklet's own: {why}");
            true
        }
        other => {
            other.unwrap();
            false
        }
    }
}

/// Compiles a C or C++ program of this folder. Prints a line and returns `None` if there is no
/// compiler.
pub(crate) fn compiled(folder: &Folder, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
    let program = folder.0.join(format!("{name}{}.out", flags.concat()));
    let compiler = match (foreign("LINKER"), name.ends_with(".cpp")) {
        (None, false) => "cc".to_owned(),
        (None, true) => "c++".to_owned(),
        (Some(linker), false) => linker,
        (Some(linker), true) => linker.replace("gcc", "g++"),
    };
    let mut command = Command::new(&compiler);
    command.args(["-O1", "-pthread", "-o"]).arg(&program).arg(source).args(flags);
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "{name} does not compile");
            Some(program)
        }
        Err(error) => {
            println!("SKIPPED: {compiler} is missing: {error}");
            None
        }
    }
}

/// Makes a command for a program, by Cargo's runner for another processor if that runs the test.
pub(crate) fn program(path: &Path) -> Command {
    let Some(runner) = foreign("RUNNER") else { return Command::new(path) };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(path);
    command
}

/// The end of a program: its code or the signal that ended it, its output on both streams, and the
/// number of its threads that were tasklets, by processes in the order of their ends.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) said: String,
    pub(crate) tasklets: Vec<u64>,
}

/// Makes a command for a program with an argument.
pub(crate) fn with(path: &Path, argument: &str) -> Command {
    let mut command = program(path);
    command.arg(argument);
    command
}

/// Runs a program under the library.
pub(crate) fn run(folder: &Folder, command: Command) -> Ran {
    run_after(folder, None, command)
}

/// Runs a program as [`run`] does, with another library before it.
pub(crate) fn run_after(folder: &Folder, other: Option<&Path>, mut command: Command) -> Ran {
    let mut libraries = library().display().to_string();
    if let Some(other) = other {
        libraries = format!("{}:{libraries}", other.display());
    }
    match foreign("RUNNER") {
        None => command.env("LD_PRELOAD", libraries),
        // The emulator sets the variable for the program, not for itself.
        Some(_) => command.env("QEMU_SET_ENV", format!("LD_PRELOAD={libraries}")),
    };
    run_as_is(folder, command)
}

/// Runs a program without the library, on threads.
pub(crate) fn run_as_is(folder: &Folder, mut command: Command) -> Ran {
    let report = folder.0.join("report");
    let _ = std::fs::remove_file(&report);
    command.env("OVERLAPPED_PRELOAD_REPORT", &report);
    let (mut output, input) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(input.try_clone().unwrap()).stderr(input);
    let child = command.spawn().unwrap();
    drop(command);
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        output.read_to_end(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    });
    let status = end_of(child);
    let said = reader.join().unwrap();
    let lines = std::fs::read_to_string(&report).unwrap_or_default();
    let tasklets = |line: &str| line.split(' ').nth(1).unwrap().parse().unwrap();
    let (code, signal) = (status.code(), status.signal());
    Ran { code, signal, said, tasklets: lines.lines().map(tasklets).collect() }
}

fn end_of(mut child: Child) -> ExitStatus {
    const LIMIT: Duration = Duration::from_secs(120);
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if begin.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("no end after {LIMIT:?}: {:?}", child.wait());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
