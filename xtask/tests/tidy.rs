//! Each rule, with a text that passes and a text that does not, and the repository itself.

use xtask::tidy::table::HEART;
use xtask::tidy::{self, File};

const ROOT: &str = "#![forbid(unsafe_code)]\n";

/// Lists what tidy finds in files that exist in memory only, as `rule path:line`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<File> = files
        .iter()
        .map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() })
        .collect();
    let report = tidy::check(&files);
    assert!(report.checks > 0, "nothing was checked");
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
    assert!(report.checks > 1_000, "hardly anything was checked: {report}");
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
    passes("chan/mod.rs", "use crate::sched::DeadlockReport;\n");
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
    passes("net/tcp.rs", "use std::net::{Ipv4Addr, Shutdown, SocketAddr};\n");
    passes("net/tcp.rs", "use std::net;\nfn f(a: net::SocketAddr) {}\n");
    passes("time.rs", "use std::time::{self, Duration};\nconst A: time::Duration = B;\n");
    passes("task/spawn.rs", "fn f() -> libc::iovec {\n    -libc::O_CLOEXEC\n}\n");
    passes("sync/mod.rs", "fn f() -> ! { std::process::abort() }\n");
    passes("thread/mod.rs", "pub use std::thread::{AccessError, LocalKey, panicking};\n");
    passes("thread/mod.rs", "use std::thread;\nfn f() -> bool { thread::panicking() }\n");
    passes("thread/mod.rs", "use crate::sys::thread;\nfn f() { thread::sleep(a); }\n");
    passes("net/tcp.rs", "use std::os::fd::{AsFd, OwnedFd};\nfn f() { std::os::fd::RawFd::x() }\n");
    passes("fs/mod.rs", "use std::os::unix::{ffi::OsStrExt, fs::FileExt};\n");
    passes("sync/mod.rs", "use std::sync::{self, Arc, OnceLock};\ntype A = sync::Weak<u8>;\n");
}

#[test]
fn calls_past_sys_fail() {
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
    fails("time.rs", "use std::time::SystemTime;\nfn f() { SystemTime::now(); }\n", "calls", 2);
    fails("time.rs", "use std::time::SystemTime as T;\nfn f(a: T) { a.elapsed(); }\n", "calls", 2);
    fails("task/spawn.rs", "fn f(a: &[u8]) {\n    g(&a[..libc::getpid()]);\n}\n", "calls", 2);
    fails("task/spawn.rs", "use libc::{iovec, read};\nfn f() { read(); }\n", "calls", 1);
    fails("task/spawn.rs", "use libc::*;\n", "calls", 1);
    fails("net/mod.rs", "use rustix::net::bind;\n", "calls", 1);
    fails("net/mod.rs", "use rustix::net;\nfn f() { net::bind(a); }\n", "calls", 2);
    fails("net/mod.rs", "fn f() -> socket2::Socket { a }\n", "calls", 1);
    for call in ["Builder::new", "available_parallelism", "current", "park", "sleep", "spawn"] {
        let named = format!("\nfn f() {{ std::thread::{call}(a); }}\n");
        fails("task/spawn.rs", &named, "calls", 2);
        let by_module = format!("use std::thread;\nfn f() {{\n    thread::{call}(a);\n}}\n");
        fails("stack/pool.rs", &by_module, "calls", 3);
    }
    fails("thread/mod.rs", "pub use std::thread::{Result, yield_now};\n", "calls", 1);
    fails("process/mod.rs", "fn f() { std::process::Command::new(a); }\n", "calls", 1);
    fails("process/mod.rs", "use std::process::{ExitStatus, exit};\n", "calls", 1);
    fails("process/mod.rs", "use std::os::unix::process::parent_id;\n", "calls", 1);
    fails("fs/unix.rs", "use std::os::unix::fs::{FileExt, symlink};\n", "calls", 1);
    fails("os.rs", "pub use std::os::wasi::fs::FileExt;\n", "calls", 1);
    fails("os.rs", "use std::os;\nfn f() { os::unix::fs::chroot(a); }\n", "calls", 2);
    fails("sync/mod.rs", "use std::sync::{Arc, Condvar};\n", "calls", 1);
    fails("sync/mod.rs", "use std::sync::{Arc, Mutex};\n", "calls", 1);
    fails("stack/slab.rs", "fn f() -> i32 { libc::ENOMEM }\n", "calls", 1);
    fails("watchdog/mod.rs", "fn f() { libc::pthread_kill(a, b); }\n", "calls", 1);
}

#[test]
fn rooms_of_calls_and_conversions_may_call() {
    for path in ["sys/control.rs", "locals/pool.rs", "fs/file/convert.rs"] {
        passes(path, "use std::fs::File;\nfn f() { libc::getpid(); }\n");
    }
    assert_eq!(found(&[("crates/ureq/src/drain.rs", "use std::fs::File;\n")]), [""; 0]);
}

#[test]
fn protocols_do_no_io_and_read_no_clock() {
    let path = "crates/wire/src/http/mod.rs";
    let found_in = |text: &str| found(&[(path, text)]);
    for text in [
        "use std::fs::File;\nuse std::sync::Arc;\nstruct Part(Arc<File>);\n",
        "use std::time::{SystemTime, UNIX_EPOCH};\nfn f(now: SystemTime) -> SystemTime { now }\n",
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
    assert_eq!(found(&[("crates/bench/src/error.rs", block)]), [""; 0]);
    assert_eq!(found(&[("crates/install/src/raw.rs", block)]), [""; 0]);
    assert_eq!(found(&[("crates/ureq/src/a.rs", block)]), ["unsafe crates/ureq/src/a.rs:2"]);
    assert_eq!(found(&[("crates/serve/tests/a.rs", block)]), ["unsafe crates/serve/tests/a.rs:2"]);
    let text = "// unsafe\nconst A: &str = \"unsafe\";\n";
    assert_eq!(found(&[("crates/ureq/src/a.rs", text)]), [""; 0]);
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
    for (path, max) in HEART {
        let path = path.strip_prefix("crates/overlapped/src/").unwrap();
        passes(path, &text(*max));
        fails(path, &text(max + 1), "sizes", 1);
    }
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
    assert_eq!(check("crates/ureq/src", 20), [""; 0]);
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
        fails("net/mod.rs", &format!("\n/// Made in {path}.\nconst A: u8 = 0;\n"), "words", 2);
        passes("net/mod.rs", &format!("#[cfg(test)]\nconst A: &str = \"{path}\";\n"));
        assert_eq!(found(&[("crates/cli/tests/a.rs", &format!("// {path}\n"))]), [""; 0]);
        let inside = format!("https://example.org{path} and $HOME{path} and .{path}\n");
        assert_eq!(found(&[("README.md", &inside)]), [""; 0]);
    }
}

#[test]
fn hosts_of_registries_stand_nowhere() {
    let host = ["index.crates", "io"].join(".");
    assert_eq!(found(&[(".ci/run", &format!("curl {host}\n"))]), ["words .ci/run:1"]);
    assert_eq!(found(&[("README.md", "See docs.rs and crates.io.\n")]), [""; 0]);
}

/// A file of the server, in a room of any name.
fn serve(path: &str) -> String {
    format!("crates/serve/src/{path}")
}

#[test]
fn rooms_of_other_crates_have_directions_too() {
    let check = |path: &str, text: &str| found(&[(path, text)]);
    let zen = "crates/wire/src/zen.rs";
    assert_eq!(check(zen, "use crate::protocol::Next;\nuse crate::reply::Reply;\n"), [""; 0]);
    assert_eq!(check(zen, "use crate::line::Line;\n"), [format!("imports {zen}:1")]);
    let reply = "crates/wire/src/reply.rs";
    assert_eq!(check(reply, "use crate::protocol::Next;\n"), [format!("imports {reply}:1")]);
    let lounge = serve("lounge.rs");
    assert_eq!(check(&lounge, ""), [format!("imports {lounge}:1")]);
}

#[test]
fn a_name_that_the_root_re_exports_is_one_of_its_room() {
    let root = ("crates/wire/src/lib.rs", &*format!("{ROOT}pub use line::Line;\n"));
    let own = ("crates/wire/src/lib.rs", &*format!("{ROOT}pub struct Line;\n"));
    let zen = ("crates/wire/src/zen.rs", "use crate::Line;\n");
    assert_eq!(found(&[root, zen]), ["imports crates/wire/src/zen.rs:1"]);
    assert_eq!(found(&[own, zen]), ["imports crates/wire/src/zen.rs:1"]);
    let root = ("crates/wire/src/lib.rs", &*format!("{ROOT}pub use protocol::Next;\n"));
    let zen = ("crates/wire/src/zen.rs", "use crate::Next;\n");
    assert_eq!(found(&[root, zen]), [""; 0]);
}

/// The circles in a crate of these files.
fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let root = [("crates/a/src/lib.rs".to_owned(), ROOT.to_owned())];
    let rest =
        files.iter().map(|(path, text)| (format!("crates/a/src/{path}"), (*text).to_owned()));
    let files: Vec<(String, String)> = root.into_iter().chain(rest).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    found(&files)
}

#[test]
fn files_that_import_each_other_are_a_circle() {
    let one = ("a.rs", "use crate::b::B;\npub struct A;\n");
    let two = ("b.rs", "pub struct B;\n\nfn f(a: super::a::A) {}\n");
    let wanted = ["circles crates/a/src/a.rs:1", "circles crates/a/src/b.rs:3"];
    assert_eq!(circles(&[one, two]), wanted);
    assert_eq!(circles(&[one, ("b.rs", "pub struct B;\n")]), [""; 0]);
    let long = [
        ("a.rs", "use crate::b::B;\npub struct A;\n"),
        ("b.rs", "use crate::c;\npub struct B(c::C);\n"),
        ("c/mod.rs", "mod d;\npub(crate) use d::C;\n"),
        ("c/d.rs", "pub struct C(crate::a::A);\n"),
        ("e.rs", "use crate::{a::A, b::B, c::C};\n"),
    ];
    assert_eq!(
        circles(&long),
        [
            "circles crates/a/src/a.rs:1",
            "circles crates/a/src/b.rs:2",
            "circles crates/a/src/c/d.rs:1"
        ]
    );
}

#[test]
fn a_front_that_hands_names_on_is_in_no_circle() {
    let front = ("c/mod.rs", "mod d;\nmod e;\npub use d::D;\npub use e::*;\n");
    let below = [("c/d.rs", "use super::E;\npub struct D(E);\n"), ("c/e.rs", "pub struct E;\n")];
    assert_eq!(circles(&[front, below[0], below[1]]), [""; 0]);
    // A name that the front defines leads to the front, and a use of what is below it leads down.
    let uses = "mod d;\nmod e;\npub use d::D;\npub use e::E;\npub struct F(D);\n";
    let back = ("c/d.rs", "use super::F;\npub struct D(Box<F>);\n");
    let wanted = ["circles crates/a/src/c/d.rs:1", "circles crates/a/src/c/mod.rs:3"];
    assert_eq!(circles(&[("c/mod.rs", uses), back, below[1]]), wanted);
    // Without a use of it, the front is only above.
    let owns = "mod d;\npub use d::D;\npub struct F;\n";
    assert_eq!(circles(&[("c/mod.rs", owns), back]), [""; 0]);
}

#[test]
fn tests_make_no_circle() {
    let one = ("a.rs", "use crate::b::B;\npub struct A;\n");
    let two = ("b.rs", "pub struct B;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}\n");
    assert_eq!(circles(&[one, two]), [""; 0]);
}

#[test]
fn no_arm_catches_the_rest_of_the_operations() {
    let arms = |arms: &str| {
        let arms = arms.replace('/', "\n");
        format!("fn f(op: Op) {{\nmatch op {{\n{arms}\n}}\n}}\n")
    };
    for text in [
        "Op::Net(net) => g(net),/Op::Fs(fs) => h(fs),",
        "Op::Net(Net::Recv { fd, .. }) => fd,/Op::Net(net) => net.fd(),/Op::Fs(fs) => fs.fd(),",
        "Op::Ready { .. } if a => 1,/Op::Ready { .. } | Op::Net(Net::Send { .. }) => 2,",
        "Some(1) => a,/_ => b,",
        "Op::Ready { interest } => match interest { Interest::Readable => 1, _ => 2 },",
    ] {
        passes("task/wait.rs", &arms(text));
    }
    for text in [
        "Op::Net(net) => g(net),/_ => b,",
        "Op::Net(net) => { g(net) }/other => b,",
        "Op::Net(net) => g::<A, B>(net),/Op::Fs(_) => b,",
        "Op::Ready { .. } => g,/Op::Net(..) | Op::Fs(fs) => b,",
        "Net::Send { .. } => g,/_ => b,",
        "Op::Net(Net::Send { .. }) => g,/Op::Net(Net::Recv { .. } | _) => b,",
    ] {
        fails("task/wait.rs", &arms(text), "catch-all", 4);
    }
    let guarded = arms("Op::Net(net) => g(net),/_ if a => b,/Op::Fs(fs) => c,");
    passes("task/wait.rs", &guarded);
    assert_eq!(found(&[(&serve("web/a.rs"), &arms("Op::Net(net) => a,/_ => b,"))]), [""; 0]);
}

#[test]
fn files_that_are_named_exist() {
    let names = |text: &str| found(&[("docs/a.md", text), ("crates/a/src/b/c.rs", "")]);
    for text in ["see crates/a/src/b/c.rs.", "`b/c.rs:12`", "[c](../crates/a/src/b/c.rs)", "a.md"] {
        assert_eq!(names(text), [""; 0], "{text}");
    }
    for text in ["https://docs.rs/a.rs", "`case_*.rs`", "docs.rs", "crates/<name>/src/x.rs"] {
        assert_eq!(names(text), [""; 0], "{text}");
    }
    for text in ["crates/a/src/c.rs", "`b/d.rs`", "[c](../b/c.md)", "/c/c.rs"] {
        assert_eq!(names(text), ["places docs/a.md:1"], "{text}");
    }
    passes("net/a.rs", "/// As `net/a.rs` has it.\nconst A: &str = \"// z.rs\";\n");
    fails("net/a.rs", "const A: u8 = 0; // z.rs\n", "places", 1);
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    let path = "crates/a/tests/b.rs";
    let begins = |text: &str| found(&[(path, text)]);
    for text in
        ["/// Reads it.\n/// What it reads is kept.\n", "// How it works.\n", "//! Order.\n"]
    {
        assert_eq!(begins(&format!("{text}const A: u8 = 0;\n")), [""; 0], "{text}");
    }
    for text in ["/// What it reads.\n", "//! How it works.\n", "/// Whether it is there.\n"] {
        let wanted = [format!("first-words {path}:1")];
        assert_eq!(begins(&format!("{text}const A: u8 = 0;\n")), wanted, "{text}");
    }
}

#[test]
fn rows_of_the_table_that_nothing_uses_are_findings() {
    let table = ("xtask/src/tidy/table.rs", "    (\"zen\", &[\"protocol\", \"reply\"]),\n");
    let unused = |files: &[(&str, &str)]| {
        let files = [&[table], files].concat();
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect();
        let report = tidy::check(&files);
        let unused = report.findings.into_iter().filter(|finding| finding.rule.name == "unused");
        unused.map(|finding| (finding.what, finding.line)).collect::<Vec<_>>()
    };
    let row = "nothing uses `crates/wire/src/zen → reply` of ROOMS".to_owned();
    let name = "nothing uses `std::net::IpAddr` of FOREIGN_TO_WIRE".to_owned();
    let found = unused(&[("crates/wire/src/zen.rs", "use crate::protocol::Next;\n")]);
    assert!(found.contains(&(row.clone(), 1)), "{found:?}");
    assert!(found.iter().any(|(what, _)| *what == name), "{found:?}");
    let text = "use crate::reply::Reply;\nuse std::net::IpAddr;\n";
    let found = unused(&[("crates/wire/src/zen.rs", text)]);
    assert!(!found.iter().any(|(what, _)| *what == row || *what == name), "{found:?}");
}

#[test]
fn a_file_that_is_not_rust_is_a_finding() {
    fails("net/a.rs", "fn f() {\n    )\n}\n", "broken", 2);
}
