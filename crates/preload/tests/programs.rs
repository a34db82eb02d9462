//! Programs whose threads become tasklets without their knowledge.
#![allow(missing_docs)]
mod support;

use std::process::Command;

use support::{Folder, compiled, program, refused, run};

#[test]
fn a_c_program_has_of_tasklets_what_it_has_of_threads() {
    if refused() {
        return;
    }
    let folder = Folder::new("c");
    for flags in [&[][..], &["-fexceptions"][..]] {
        let Some(binary) = compiled(&folder, "threads.c", flags) else { return };
        let mut all = program(&binary);
        if testkit::is_emulated() {
            println!("SKIPPED: fork(2), by an emulator");
            all.arg("childless");
        }
        let ran = run(&folder, all);
        assert_eq!((ran.code, ran.said.as_str()), (Some(0), "ok\n"), "{flags:?}");
        assert!(ran.tasklets.last().unwrap() > &80, "{:?}", ran.tasklets);
        let mut exits = program(&binary);
        exits.arg("exit");
        assert_eq!(run(&folder, exits).code, Some(6));
        let mut leaves = program(&binary);
        leaves.arg("leave");
        assert_eq!(run(&folder, leaves).code, Some(0));
    }
}

#[test]
fn threads_of_python_are_tasklets() {
    const TEXT: &str = "
import queue, socket, threading, time
begin, results = time.monotonic(), queue.Queue()
lock = threading.Lock()
def work(number):
    a, b = socket.socketpair()
    threading.Timer(0.05, a.sendall, [b'x']).start()
    assert b.recv(1) == b'x'
    with lock:
        time.sleep(0.001)
        results.put(number)
threads = [threading.Thread(target=work, args=[number]) for number in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert sorted(results.get() for _ in threads) == list(range(20))
event = threading.Event()
threading.Thread(target=lambda: event.wait(1000), daemon=True).start()
print('ok')
";
    if refused() || is_emulated() {
        return;
    }
    let folder = Folder::new("python");
    let mut python = Command::new("python3");
    python.args(["-c", TEXT]);
    if Command::new("python3").arg("-V").status().is_err() {
        println!("SKIPPED: python3 is missing");
        return;
    }
    let ran = run(&folder, python);
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "ok\n"));
    assert_eq!(ran.tasklets, [41]);
}

#[test]
fn programs_without_threads_are_left_alone() {
    if is_emulated() {
        return;
    }
    let folder = Folder::new("plain");
    let ran = run(&folder, Command::new("true"));
    assert_eq!((ran.code, ran.said.as_str(), ran.tasklets.len()), (Some(0), "", 0));
}

/// Tells whether the programs of this machine are for another processor than the library; prints a
/// line if so.
fn is_emulated() -> bool {
    if testkit::is_emulated() {
        println!("SKIPPED: the programs of this machine are not for the library's processor");
    }
    testkit::is_emulated()
}
