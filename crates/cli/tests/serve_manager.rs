//! `serve` under a service manager: its notifications, and Unix sockets with permissions.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{PROGRAM, Server, Signal, install, run, text};

/// A manager's socket, and a program that is given it.
fn manager(folder: &Path) -> (UnixDatagram, std::path::PathBuf) {
    let at = folder.join("notify");
    let socket = UnixDatagram::bind(&at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let script = folder.join("serve");
    let text = format!("#!/bin/sh\nNOTIFY_SOCKET={} exec {PROGRAM} \"$@\"\n", at.display());
    install(&script, &text);
    (socket, script)
}

fn results(socket: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = socket.recv(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

#[test]
fn a_service_manager_is_notified_of_readiness_reloads_and_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, program) = manager(folder.path());
    let server = Server::serve_by(&program, "auto", &["echo", "--listen", "127.0.0.1:0"]);
    assert_eq!(results(&socket), "READY=1");
    server.signal(Signal::HUP);
    let reloading = results(&socket);
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(micros.parse::<u64>().unwrap() > 0);
    assert_eq!(results(&socket), "READY=1");
    server.stop(Signal::TERM);
    assert_eq!(results(&socket), "STOPPING=1");
}

#[test]
fn a_service_manager_is_notified_of_the_new_process() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, program) = manager(folder.path());
    let mut server = Server::serve_by(&program, "auto", &["echo", "--listen", "127.0.0.1:0"]);
    assert_eq!(results(&socket), "READY=1");
    server.signal(Signal::USR2);
    let mut both = [results(&socket), results(&socket)];
    both.sort();
    assert_eq!(both[1], "READY=1");
    let process: i32 = both[0].strip_prefix("MAINPID=").expect(&both[0]).parse().unwrap();
    assert_ne!(process, server.id() as i32);
    assert!(server.end().success());
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, Signal::TERM).unwrap();
    assert_eq!(results(&socket), "STOPPING=1", "only the new process's stop is the service's");
}

#[test]
fn a_unix_socket_has_its_mode_and_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let me = fs::metadata(folder.path()).unwrap();
    let is_root = me.uid() == 0;
    // As an ordinary user, to the same user.
    let owner =
        if is_root { "12345:54321".to_owned() } else { format!("{}:{}", me.uid(), me.gid()) };
    for mode in ["600", "0666", "660"] {
        let arguments = ["echo", "--listen", "127.0.0.1:0", "--listen", &unix];
        let rights = ["--socket-mode", mode, "--socket-owner", &owner];
        let server = Server::serve("auto", &[&arguments[..], &rights].concat());
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o7777, u32::from_str_radix(mode, 8).unwrap(), "{mode}");
        assert_eq!(format!("{}:{}", found.uid(), found.gid()), owner);
        server.stop(Signal::TERM);
        assert!(!path.exists());
    }
    if !is_root {
        println!("SKIPPED: sockets of other users, which only root can make");
    }
    let file = folder.path().join("serve.toml");
    let described = format!(
        "[[server]]\nprotocol = 'echo'\nlisten = ['127.0.0.1:0', '{unix}']\nsocket-mode = '640'\n\
         socket-owner = '{owner}'\n"
    );
    fs::write(&file, described).unwrap();
    let server = Server::serve("auto", &["--config", file.to_str().unwrap()]);
    assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o7777, 0o640);
    server.stop(Signal::TERM);
}

#[test]
fn names_of_users_are_resolved_and_faults_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", folder.path().join("socket").display());
    let check = |arguments: &[&str]| {
        let output = run(&[&["serve", "--check", "echo"], arguments].concat());
        (output.status.success(), text(&output).1)
    };
    let (ok, stderr) = check(&["--listen", &unix, "--socket-owner", "root:root"]);
    assert!(ok, "{stderr}");
    for (arguments, says) in [
        (&["--listen", &unix, "--socket-owner", "nobody-of-this-name"][..], "has no user"),
        (&["--listen", &unix, "--socket-owner", ":no-group-of-this-name"], "has no group"),
        (&["--listen", &unix, "--socket-mode", "888"], "octal"),
        (&["--listen", &unix, "--socket-mode", "7777"], "octal"),
        (&["--listen", "127.0.0.1:0", "--socket-mode", "660"], "unix:"),
    ] {
        let (ok, stderr) = check(arguments);
        assert!(!ok && stderr.contains(says), "{arguments:?}: {stderr}");
    }
}

/// The image's command is valid for the program.
#[test]
fn the_containers_command_starts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Containerfile");
    let file = fs::read_to_string(path).unwrap();
    let words = |instruction: &str| -> Vec<String> {
        let line = file.lines().rev().find_map(|line| line.strip_prefix(instruction)).unwrap();
        let list = line.trim().trim_matches(['[', ']']);
        list.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect()
    };
    let site = tempfile::tempdir().unwrap();
    let mut arguments = words("ENTRYPOINT ").split_off(1);
    assert_eq!(arguments[0], "serve");
    arguments.extend(words("CMD "));
    arguments.insert(1, "--check".to_owned());
    for word in &mut arguments {
        if word == "/srv" {
            *word = site.path().to_str().unwrap().to_owned();
        } else if word.starts_with("0.0.0.0:") {
            *word = "127.0.0.1:0".to_owned();
        }
    }
    let output = Command::new(PROGRAM).args(&arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output).1);
    assert!(file.contains("\nUSER "), "not as root");
}
