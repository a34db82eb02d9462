//! The pool and the faults. A case that kills a process happens in a child: the test binary run
//! again, with [`CASE`] in its environment.

use std::process::{Command, Output};

mod faults;
mod pool;

const CASE: &str = "OVERLAPPED_STACK_TEST_CASE";

/// Returns the case for which this process is the child.
fn case() -> Option<String> {
    std::env::var(CASE).ok()
}

/// Runs `test` of `module` again as a child with this case.
fn child(module: &str, test: &str, case: &str) -> Output {
    let module = module.split_once("::").expect("a module of this crate").1;
    let name = format!("{module}::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(CASE, case);
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("running 1 test"), "no such test: {name}\n{stdout}");
    output
}
