//! Runs `examples/scale-out`.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testkit::{is_torture, report, rounds};

use common::{PROGRAM, has_client, on_each_port, python, text};

fn example(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../examples/scale-out", name].iter().collect()
}

/// Tells whether HAProxy is installed. Debian has it where only root's path leads.
fn has_haproxy() -> bool {
    PathBuf::from("/usr/sbin/haproxy").exists() || has_client("haproxy")
}

/// Returns the number after a word.
fn number(message: &str, word: &str) -> usize {
    let (_, rest) =
        message.split_once(word).unwrap_or_else(|| panic!("{word:?} is not in {message}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn h15_a_rolling_restart_behind_a_balancer_fails_no_request() {
    on_each_port(|port| {
        if !has_haproxy() || !has_client("python3") {
            return;
        }
        let rounds = rounds(1, 20).to_string();
        let lame_duck = "1.5";
        let mut restart = Command::new("python3");
        restart.arg(example("rolling_restart.py")).env("OVERLAPPED_PORT", port);
        restart.args(["--program", PROGRAM, "--rounds", &rounds, "--lame-duck", lame_duck]);
        let output = restart.stdin(Stdio::null()).output().unwrap();
        let (message, stderr) = text(&output);
        assert!(output.status.success(), "{message}{stderr}");
        let (requests, failed) = (number(&message, "\nrequests "), number(&message, "failed "));
        let (restarts, again) =
            (number(&message, "\nrestarts "), number(&message, "the balancer "));
        assert_eq!((failed, restarts % 3), (0, 0), "{message}");
        assert!(requests > 0 && restarts > 0, "void: {message}");
        // A refused request goes to another instance. None is refused if the balancer has noticed
        // the stop in time, which is not certain on a busy machine.
        assert!(again == 0 || !is_torture(), "{message}");
        let figure = format!(
            "{port}: requests, {restarts} restarts behind HAProxy, 0 failed, {again} sent again by \
             it"
        );
        report("H15", requests, &figure);
    });
}

#[test]
fn without_the_program_the_rolling_restart_names_the_remedy() {
    if !has_client("python3") {
        return;
    }
    let mut restart = Command::new("python3");
    restart.arg(example("rolling_restart.py")).args(["--program", "/nowhere/overlapped"]);
    let output = restart.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).1.contains("cargo build --release"), "{output:?}");
}

#[test]
fn haproxy_accepts_the_configuration() {
    if !has_haproxy() {
        return;
    }
    let mut check = Command::new("sh");
    check.args(["-c", r#"PATH="$PATH:/usr/sbin" exec haproxy -c -f "$1""#, "sh"]);
    let output = check.arg(example("haproxy.cfg")).output().unwrap();
    let (message, stderr) = text(&output);
    assert!(output.status.success(), "{message}{stderr}");
    assert!(!(message + &stderr).to_lowercase().contains("warning"), "{output:?}");
}

#[test]
fn kubernetes_gives_a_pod_more_time_than_it_takes() {
    let manifest = fs::read_to_string(example("kubernetes.yaml")).unwrap();
    let lame_duck = number(&manifest, "--lame-duck=");
    let drain = number(&manifest, "--drain=");
    assert!(number(&manifest, "terminationGracePeriodSeconds: ") >= lame_duck + drain + 5);
    let noticed = number(&manifest, "periodSeconds: ") * number(&manifest, "failureThreshold: ");
    assert!(lame_duck > 2 * noticed);
    let path = example("kubernetes.yaml").display().to_string();
    if let Some(kinds) = python("kubernetes.py", &[path, PROGRAM.to_owned()]) {
        if kinds.starts_with("SKIPPED") {
            return print!("{kinds}");
        }
        assert_eq!(kinds, "Deployment Service PodDisruptionBudget\n");
    }
}
