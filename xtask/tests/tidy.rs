//! Each rule with a text that passes and one that does not, and the repository itself.

use xtask::tidy::{self, File};

const ROOT: &str = "#![forbid(unsafe_code)]\n";

/// What tidy finds in files that exist in memory only, as `rule path:line`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<File> = files
        .iter()
        .map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() })
        .collect();
    let report = tidy::check(&files);
    assert!(report.checks > 0, "nothing was looked at");
    let line = |f: &tidy::Finding| format!("{} {}:{}", f.rule.name, f.path, f.line);
    report.findings.iter().map(line).collect()
}

fn library(path: &str, text: &str) -> Vec<String> {
    found(&[(&format!("crates/overlapped/src/{path}"), text)])
}

#[track_caller]
fn passes(path: &str, text: &str) {
    assert_eq!(library(path, text), [""; 0], "{text}");
}

#[track_caller]
fn fails(path: &str, text: &str, rule: &str, line: usize) {
    let wanted = format!("{rule} crates/overlapped/src/{path}:{line}");
    assert_eq!(library(path, text), [wanted], "{text}");
}

#[test]
fn the_repository_is_tidy() {
    let report = tidy::check_repository(&xtask::root()).unwrap();
    println!("{report}");
    assert!(report.checks > 1_000, "it looked at next to nothing: {report}");
    assert!(report.passed(), "\n{report}");
}

#[test]
fn a_finding_names_place_rule_reason_and_remedy() {
    let path = "crates/overlapped/src/op/mod.rs".to_owned();
    let report = tidy::check(&[File { path, text: "\nuse crate::task::wait;\n".into() }]);
    let text = report.to_string();
    assert!(text.starts_with("crates/overlapped/src/op/mod.rs:2: [imports] `op` imports `task`"));
    assert!(text.contains("why:    ") && text.contains("remedy: "), "{text}");
}

#[test]
fn imports_downwards_pass() {
    passes("net/tcp.rs", "use crate::{op::Op, task::wait};\nuse super::addr::X;\n");
    passes("net/tcp.rs", "use crate::time::Deadline;\n");
    passes("chan/mod.rs", "use crate::sched::Verdict;\n");
    passes("task/spawn.rs", "use crate::sched::current;\n");
    passes("port/uring/ring.rs", "use super::super::super::op::Op;\n");
    passes("lib.rs", "pub use crate::net::TcpStream;\n");
    passes("op/mod.rs", "//! As `crate::net::X` says.\nconst X: &str = \"crate::net::X\";\n");
    passes("op/mod.rs", "pub(crate) struct A;\npub(in crate::op) struct B;\n");
    passes("chan/mod.rs", "macro_rules! m { () => { $crate::net::f() } }\n");
}

#[test]
fn imports_upwards_and_sideways_fail() {
    fails("op/mod.rs", "\nuse crate::port::Driver;\n", "imports", 2);
    fails("stack/pool.rs", "use super::super::switch::Fiber;\n", "imports", 1);
    fails("chan/mod.rs", "use crate::{\n    task,\n    net::TcpStream,\n};\n", "imports", 3);
    fails("net/tcp.rs", "use crate::sched::Scheduler;\n", "imports", 1);
    fails("sched/run/mod.rs", "fn f() {\n    crate::task::spawn();\n}\n", "imports", 2);
    fails("sched/run/mod.rs", "fn f() {\n    assert!(crate::task::ok());\n}\n", "imports", 2);
    fails("op/table.rs", "mod a {\n    use super::super::super::task::X;\n}\n", "imports", 2);
    fails("task/spawn.rs", "use crate::*;\n", "imports", 1);
}

#[test]
fn an_unknown_room_fails() {
    fails("lounge/mod.rs", "", "imports", 1);
    fails("net/mod.rs", "use crate::lounge::X;\n", "imports", 1);
}

#[test]
fn tests_may_import_and_call_anything() {
    passes("op/mod.rs", "#[cfg(test)]\nmod tests {\n    use crate::task::X;\n}\n");
    passes(
        "op/mod.rs",
        "#[cfg(all(test, not(loom)))]\nuse {crate::task::X, std::fs};\nfn f() {}\n",
    );
    passes("op/mod.rs", "#[cfg(test)]\nfn f<A, B>(a: A, b: B) { libc::read(); }\n");
    passes("op/mod.rs", "struct A {\n    #[cfg(test)]\n    a: crate::task::X,\n    b: u8,\n}\n");
    fails("op/mod.rs", "#[cfg(not(test))]\nuse crate::task::X;\n", "imports", 2);
    fails("op/mod.rs", "#[cfg(any(test, unix))]\nuse crate::task::X;\n", "imports", 2);
    fails("op/mod.rs", "#[cfg(test)]\nmod a {}\nuse crate::task::X;\n", "imports", 3);
    let inside = ("crates/overlapped/src/op/judge.rs", "use crate::task::X;\n");
    let tests_only = ("crates/overlapped/src/op/mod.rs", "#[cfg(test)]\nmod judge;\n");
    assert_eq!(found(&[tests_only, inside]), [""; 0]);
    let always = ("crates/overlapped/src/op/mod.rs", "mod judge;\n");
    assert_eq!(found(&[always, inside]), ["imports crates/overlapped/src/op/judge.rs:1"]);
}

#[test]
fn names_that_do_nothing_by_themselves_pass() {
    passes("net/tcp.rs", "use std::net::{Ipv4Addr, Shutdown, SocketAddr, ToSocketAddrs};\n");
    passes("net/tcp.rs", "use std::net;\nfn f(a: net::SocketAddr) {}\n");
    passes("time.rs", "use std::time::{self, Duration, Instant};\nconst A: time::Duration = B;\n");
    passes("task/spawn.rs", "fn f() -> libc::c_int {\n    -libc::ECANCELED\n}\n");
    passes("fs/mod.rs", "use rustix::io;\nfn f(e: io::Errno) -> bool { e == io::Errno::AGAIN }\n");
    passes("sync/mod.rs", "fn f() -> ! { std::process::abort() }\n");
}

#[test]
fn calls_past_the_port_fail() {
    fails(
        "net/tcp.rs",
        "use std::net::TcpStream;\nfn f() { TcpStream::connect(a); }\n",
        "calls",
        1,
    );
    fails(
        "net/tcp.rs",
        "use std::net as n;\nfn f() {\n    n::TcpStream::connect(a);\n}\n",
        "calls",
        3,
    );
    fails("fs/mod.rs", "fn f() {\n    std::fs::read(a);\n}\n", "calls", 2);
    fails("fs/mod.rs", "use std::{io, fs::File};\n", "calls", 1);
    fails("time.rs", "fn f() {\n    std::time::Instant::now();\n}\n", "calls", 2);
    fails("time.rs", "use std::time::Instant;\nfn f() { Instant::now(); }\n", "calls", 2);
    fails("time.rs", "use std::time::Instant;\nfn f(a: Instant) { a.elapsed(); }\n", "calls", 2);
    fails("task/spawn.rs", "fn f(a: &[u8]) {\n    g(&a[..libc::getpid()]);\n}\n", "calls", 2);
    fails("task/spawn.rs", "use libc::{c_int, read};\nfn f() { read(); }\n", "calls", 1);
    fails("task/spawn.rs", "use libc::*;\n", "calls", 1);
    fails("net/mod.rs", "use rustix::net::bind;\n", "calls", 1);
    fails("net/mod.rs", "use rustix::net;\nfn f() { net::bind(a); }\n", "calls", 2);
    fails("net/mod.rs", "fn f() -> socket2::Socket { a }\n", "calls", 1);
}

#[test]
fn the_port_stacks_and_conversions_may_call() {
    for path in ["port/control.rs", "stack/pool.rs", "net/convert.rs", "op/addr.rs"] {
        passes(path, "use std::fs::File;\nfn f() { libc::getpid(); }\n");
    }
    assert_eq!(found(&[("crates/serve/src/drain.rs", "use std::fs::File;\n")]), [""; 0]);
}

#[test]
fn protocols_do_no_io_and_read_no_clock() {
    let path = "crates/wire/src/http/mod.rs";
    let found_in = |text: &str| found(&[(path, text)]);
    for text in [
        "use std::fs::File;\nuse std::sync::Arc;\nstruct Part(Arc<File>);\n",
        "use std::time::{Duration, SystemTime};\nfn f(now: SystemTime) -> SystemTime { now }\n",
        "use std::io::{self, Read};\nfn f() -> io::Empty { io::empty() }\n",
        "//! As `std::net::TcpStream` does.\nconst A: &str = \"std::env::args\";\n",
        "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
    ] {
        assert_eq!(found_in(text), [""; 0], "{text}");
    }
    for text in [
        "use std::net::TcpStream;\n",
        "use std::process::Command;\n",
        "use std::time::Instant;\n",
        "use std::fs::read;\n",
        "use std::os::fd::AsRawFd;\n",
        "fn f() { std::time::SystemTime::now(); }\n",
        "fn f() { std::fs::File::open(a); }\n",
        "fn f() { std::thread::sleep(a); }\n",
        "fn f() { std::env::var(a); }\n",
        "fn f() { overlapped::time::now(); }\n",
        "use libc::c_int;\n",
    ] {
        assert_eq!(found_in(text), [format!("no-io {path}:1")], "{text}");
    }
    let text = "use std::time::SystemTime;\nfn f(a: SystemTime) {\n    a.elapsed();\n}\n";
    assert_eq!(found_in(text), [format!("no-io {path}:3")]);
    assert_eq!(found(&[("crates/wire/tests/a.rs", "use std::process::Command;\n")]), [""; 0]);
}

#[test]
fn unsafe_stands_in_the_library_only() {
    let block = "fn f() {\n    unsafe { g() }\n}\n";
    passes("op/table.rs", block);
    assert_eq!(found(&[("crates/bench/src/raw.rs", block)]), [""; 0]);
    assert_eq!(found(&[("crates/install/src/raw.rs", block)]), [""; 0]);
    assert_eq!(found(&[("crates/serve/src/a.rs", block)]), ["unsafe crates/serve/src/a.rs:2"]);
    assert_eq!(found(&[("crates/serve/tests/a.rs", block)]), ["unsafe crates/serve/tests/a.rs:2"]);
    let text = "// unsafe\nconst A: &str = \"unsafe\";\n";
    assert_eq!(found(&[("crates/serve/src/a.rs", text)]), [""; 0]);
}

#[test]
fn crate_roots_forbid_unsafe() {
    for path in ["crates/serve/src/lib.rs", "crates/cli/src/main.rs", "crates/a/src/bin/b.rs"] {
        assert_eq!(found(&[(path, "//! A crate.\n")]), [format!("unsafe {path}:1")]);
        assert_eq!(found(&[(path, ROOT)]), [""; 0]);
    }
    passes("lib.rs", "//! The library.\n");
}

#[test]
fn corosensei_stays_in_its_rooms() {
    passes("switch/mod.rs", "use corosensei::Coroutine;\n");
    passes("stack/mod.rs", "impl corosensei::stack::Stack for A {}\n");
    fails("sched/run/mod.rs", "use corosensei::Coroutine;\n", "corosensei", 1);
    fails("switch/mod.rs", "fn f() {\n    c.force_unwind();\n}\n", "corosensei", 2);
    fails("switch/mod.rs", "#[cfg(test)]\nfn f() { c.force_reset(); }\n", "corosensei", 2);
}

#[test]
fn files_have_a_size_without_comments_blank_lines_and_tests() {
    let lines = |count: usize| "const A: u8 = 0;\n".repeat(count);
    let rest = "// Comment.\n/// Documentation.\n\n/* More. */\n".repeat(500);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(500));
    let text = |count: usize| format!("{}{rest}{tests}", lines(count)).replace("/// D", "// D");
    passes("net/a.rs", &text(400));
    fails("net/a.rs", &text(401), "sizes", 1);
    passes("task/wait.rs", &text(150));
    fails("task/wait.rs", &text(151), "sizes", 1);
    passes("sched/run/mod.rs", &text(250));
    fails("sched/run/mod.rs", &text(251), "sizes", 1);
    assert_eq!(found(&[("crates/overlapped/tests/a.rs", &text(1_000))]), [""; 0]);
    let documented = "/// Says.\n///\n/// More.\nconst A: u8 = 0;\n".repeat(400);
    passes("net/a.rs", &documented);
}

#[test]
fn functions_have_a_size_unless_they_are_one_exhaustive_match() {
    let body = |count: usize| "    g();\n\n    // Why.\n".repeat(count);
    passes("net/a.rs", &format!("fn f() {{\n{}}}\n", body(68)));
    fails("net/a.rs", &format!("\nfn f() {{\n{}}}\n", body(69)), "sizes", 2);
    let arms = |rest: &str| {
        let arms: String = (0..80).map(|arm| format!("    A{arm} => g(),\n")).collect();
        format!("fn f() {{\n    match a.b(&c) {{\n{arms}{rest}    }}\n}}\n")
    };
    passes("net/a.rs", &arms("    Some(_) => g(),\n"));
    fails("net/a.rs", &arms("    _ => g(),\n"), "sizes", 1);
    fails("net/a.rs", &arms("").replace("match", "g();\n    match"), "sizes", 1);
}

#[test]
fn lines_have_at_most_a_hundred_columns() {
    passes("net/a.rs", &format!("// {}\n", "ä".repeat(97)));
    fails("net/a.rs", &format!("// {}\n", "ä".repeat(98)), "sizes", 1);
}

#[test]
fn folders_have_at_most_eight_files_besides_the_front() {
    let paths = |folder: &str, count: usize| -> Vec<String> {
        let files = (0..count).map(|file| format!("{folder}/f{file}.rs"));
        files.chain([format!("{folder}/mod.rs")]).collect()
    };
    let check = |folder: &str, count: usize| {
        let paths = paths(folder, count);
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
        found(&files)
    };
    assert_eq!(check("crates/overlapped/src/net", 8), [""; 0]);
    assert_eq!(check("crates/overlapped/src/net", 9), ["sizes crates/overlapped/src/net:1"]);
    assert_eq!(check("crates/overlapped/tests", 20), [""; 0]);
    assert_eq!(check("crates/serve/src", 20), [""; 0]);
}

#[test]
fn the_heart_may_not_move_away_from_its_limit() {
    let files = [("crates/overlapped/src/task/mod.rs", "")];
    assert_eq!(found(&files), ["broken crates/overlapped/src/task/wait.rs:1"]);
    passes("task/wait.rs", "");
}

#[test]
fn machine_paths_stand_in_tests_only() {
    for path in ["/home/me/a", "/root/a", "/work/a", "/tmp/a"] {
        assert_eq!(found(&[("README.md", &format!("run `{path}`\n"))]), ["words README.md:1"]);
        fails("net/mod.rs", &format!("\n/// In {path}.\nconst A: u8 = 0;\n"), "words", 2);
        passes("net/mod.rs", &format!("#[cfg(test)]\nconst A: &str = \"{path}\";\n"));
        assert_eq!(found(&[("crates/cli/tests/a.rs", &format!("// {path}\n"))]), [""; 0]);
        let inside = format!("https://example.org{path} and $HOME{path} and .{path}\n");
        assert_eq!(found(&[("README.md", &inside)]), [""; 0]);
    }
}

#[test]
fn hosts_of_registries_and_talk_stand_nowhere() {
    let host = ["index.crates", "io"].join(".");
    let talk = ["as dis", "cussed"].concat();
    assert_eq!(found(&[(".ci/run", &format!("curl {host}\n"))]), ["words .ci/run:1"]);
    assert_eq!(found(&[("README.md", &format!("Done {talk}.\n"))]), ["words README.md:1"]);
    assert_eq!(found(&[("README.md", "See docs.rs and crates.io; claudere.\n")]), [""; 0]);
}

#[test]
fn what_is_not_rust_is_told() {
    fails("net/a.rs", "fn f() {\n    )\n}\n", "broken", 2);
}
