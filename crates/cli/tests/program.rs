//! Other output of the program: errors with their remedies, the doctor, the tour.

mod common;

use std::net::TcpListener;
use std::process::Command;

use common::{PROGRAM, on_each_port, run, text};

#[test]
fn a_port_in_use_is_reported_with_its_owner_and_the_remedy() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = held.local_addr().unwrap().to_string();
    let output = run(&["serve", "echo", "--listen", &addr]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout, "");
    assert!(stderr.contains(&format!("cannot listen on {addr}")), "{stderr}");
    assert!(stderr.contains(&format!("(process {})", std::process::id())), "{stderr}");
    assert!(stderr.contains("ss -ltnp"), "{stderr}");
    assert!(stderr.contains("--listen"), "{stderr}");
}

#[test]
fn an_invalid_address_is_reported_with_an_example() {
    let output = run(&["serve", "echo", "--listen", "nonsense"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).1.contains("host:port, such as 127.0.0.1:7007"));
}

#[test]
fn a_tcp_port_given_as_completion_port_is_explained() {
    let output = run(&["serve", "http", ".", "--port", "8080"]);
    let (_, message) = text(&output);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("--listen 127.0.0.1:8080"), "{message}");
}

#[test]
fn a_missing_folder_is_the_only_fault_reported() {
    let output = run(&["serve", "http", "no/such/folder", "--listen", "127.0.0.1:0"]);
    let (_, message) = text(&output);
    assert!(message.contains("no/such/folder") && !message.contains("index.html"), "{message}");
}

#[test]
fn a_limit_of_zero_is_refused() {
    for arguments in [["--max-connections", "0"], ["--idle-timeout", "0s"]] {
        let output = run(&[&["serve", "echo"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_doctor_names_the_port_in_use() {
    on_each_port(|port| {
        let mut doctor = Command::new(PROGRAM);
        let output = doctor.arg("doctor").env("OVERLAPPED_PORT", port).output().unwrap();
        let (stdout, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stdout.lines().any(|line| line.split_whitespace().eq(["port", port])), "{stdout}");
        for subject in ["kernel", "io_uring", "open files", "guard regions"] {
            assert!(stdout.contains(subject), "{subject} is missing in\n{stdout}");
        }
        let verdict = if port == "uring" { "Good: " } else { "Warning: " };
        assert!(stdout.lines().last().unwrap().starts_with(verdict), "{stdout}");
    });
}

#[test]
fn the_doctor_reports_what_unmodified_code_can_do() {
    let (stdout, stderr) = text(&run(&["doctor", "--install"]));
    assert!(stdout.contains("own thread-locals") && stdout.contains("traps for raw calls"));
    assert_eq!(stderr, "");
    let program = std::env::current_exe().unwrap();
    let output = run(&["doctor", "--install", program.to_str().unwrap()]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("linked dynamically, by") && stdout.contains(" recv "), "{stdout}");
    assert!(stdout.contains("libc's inner calls are not replaced"), "{stdout}");
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    for (path, says) in [
        (script.path().to_str().unwrap(), "is a script: name the program that runs it: /bin/sh"),
        ("no/such/program", "cannot open no/such/program"),
        (".", "is not a file"),
    ] {
        let output = run(&["doctor", "--install", path]);
        let (_, stderr) = text(&output);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn the_doctor_lists_functions_that_block_the_thread() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let program = "#include <stdio.h>\nint main(void) { int n = 0; \
                   if (scanf(\"%d\", &n) == 1) fwrite(&n, 1, sizeof n, stdout); return 0; }";
    std::fs::write(path("a.c"), program).unwrap();
    let mut compiler = Command::new("cc");
    let built = compiler.arg("-o").arg(path("a")).arg(path("a.c")).output();
    if !built.is_ok_and(|output| output.status.success()) {
        return println!("SKIPPED: no C compiler");
    }
    let output = run(&["doctor", "--install", path("a").to_str().unwrap()]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let line = stdout.lines().find(|line| line.starts_with("calls that stall"));
    assert!(line.is_some_and(|line| line.contains("fwrite") && line.contains("scanf")), "{stdout}");
    assert!(stdout.contains("→ make such calls inside overlapped::task::unblock"), "{stdout}");
    let verdict = stdout.lines().last().unwrap();
    assert!(verdict.contains("A file does not show"), "{stdout}");
}

#[test]
fn the_doctor_refuses_a_static_program_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.c"), "int main(void) { return 0; }").unwrap();
    let mut compiler = Command::new("cc");
    let built = compiler.args(["-static", "-o"]).arg(path("a")).arg(path("a.c")).output();
    if !built.is_ok_and(|output| output.status.success()) {
        return println!("SKIPPED: no C compiler that links statically");
    }
    let output = run(&["doctor", "--install", path("a").to_str().unwrap()]);
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stdout.contains("Bad: it is linked statically"), "{stdout}");
}

#[test]
fn a_closed_pipe_ends_the_doctor_silently() {
    let script = format!("{PROGRAM} doctor | true; echo ${{PIPESTATUS[0]}}");
    let Ok(output) = Command::new("bash").args(["-c", &script]).output() else {
        println!("SKIPPED: the check with bash, which is not installed");
        return;
    };
    assert_eq!(text(&output), ("0\n".to_owned(), String::new()), "exit code and no complaint");
}

#[test]
fn the_tour_has_a_line_for_every_step() {
    on_each_port(|port| {
        let mut tour = Command::new(PROGRAM);
        tour.args(["tour", "--quick"]).env("OVERLAPPED_PORT", port);
        let output = tour.output().unwrap();
        let (stdout, stderr) = text(&output);
        assert!(output.status.success(), "{stderr}");
        for (step, result) in [
            ("port", port),
            ("echo", "every byte compared"),
            ("waiting tasklets", "KiB each"),
            ("spawn and join", " ns"),
            ("channel round trip", " ns"),
            ("yield", " ns"),
            ("kill", "the tasklet was killed"),
            ("deadlock", "deadlock: 3 waiting"),
        ] {
            let line = stdout.lines().find(|line| line.starts_with(step));
            assert!(line.is_some_and(|line| line.contains(result)), "{step} in\n{stdout}");
        }
    });
}

#[test]
fn without_a_subcommand_the_tour_runs() {
    if cfg!(debug_assertions) {
        let (stdout, stderr) = text(&run(&[]));
        assert!(stdout.contains("every byte compared"), "{stdout}{stderr}");
    } else {
        println!("SKIPPED: the whole tour, which takes its time in a release build");
    }
}

#[test]
fn with_few_descriptors_the_tour_reports_what_it_left_out() {
    let script = format!("ulimit -n 64 && exec {PROGRAM} tour --quick");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("LIMITED to 20 clients"), "{stdout}");
}

#[test]
fn the_help_names_every_subcommand() {
    let (stdout, _) = text(&run(&["--help"]));
    for word in ["get", "serve", "doctor", "tour", "OVERLAPPED_PORT", "RUST_LOG"] {
        assert!(stdout.contains(word), "{word} is missing in\n{stdout}");
    }
}
