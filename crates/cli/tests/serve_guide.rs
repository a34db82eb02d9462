//! The guide and the annotated file match the program.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{PROGRAM, run, text};

fn document(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../docs", name].iter().collect();
    fs::read_to_string(path).unwrap()
}

/// Creates the files that the commands name.
fn create_named_files(folder: &Path) {
    for name in ["site", "other", "scripts"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    for name in ["index.html", "404.html"] {
        fs::write(folder.join("site").join(name), name).unwrap();
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("site.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(folder.join("site.key"), key.serialize_pem()).unwrap();
    // `htpasswd -nbB -C 4 alice secret`
    let users = "alice:$2y$04$HYgepmxyB1jUFd8UadZTyuyiJWpTgAtgcL2n4cPeBbabrllo6GJ1C\n";
    fs::write(folder.join("users.htpasswd"), users).unwrap();
}

/// Splits a line into words, as a shell does with double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for char in line.chars() {
        match char {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            char => words.last_mut().unwrap().push(char),
        }
    }
    words
}

#[test]
fn every_command_of_the_guide_would_start() {
    let folder = tempfile::tempdir().unwrap();
    create_named_files(folder.path());
    let guide = document("serve.md");
    let blocks = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut checked = 0;
    for line in blocks.flat_map(str::lines).filter(|line| line.starts_with("overlapped serve ")) {
        let mut arguments = words(line).split_off(2);
        // The named ports may be in use.
        match arguments.iter().position(|word| word == "--listen") {
            Some(at) if arguments[at + 1].starts_with("unix:") => {}
            Some(at) => arguments[at + 1] = "127.0.0.1:0".to_owned(),
            None => arguments.extend(["--listen", "127.0.0.1:0"].map(str::to_owned)),
        }
        let output = Command::new(PROGRAM)
            .args(["serve", "--check"])
            .args(&arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}\n{}", text(&output).1);
        checked += 1;
    }
    let sections = guide.matches("\n## ").count();
    assert!(checked >= sections && sections > 0, "{checked} commands in {sections} sections");
}

#[test]
fn every_flag_is_a_key_of_the_annotated_file() {
    let (help, _) = text(&run(&["serve", "http", "--help"]));
    let example = document("serve.toml");
    let flags = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    let mut found = 0;
    for flag in flags.map(|rest| rest.split([' ', '=']).next().unwrap()) {
        // Not keys of the server, or spelled differently there.
        if ["port", "help", "check", "tls-cert", "tls-key"].contains(&flag) {
            continue;
        }
        let is_key = |line: &str| {
            let line = line.trim_start_matches(['#', ' ']);
            line.strip_prefix(flag).is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        assert!(example.lines().any(is_key), "docs/serve.toml does not show {flag}");
        found += 1;
    }
    assert!(found > 20, "{found}: {help}");
}
