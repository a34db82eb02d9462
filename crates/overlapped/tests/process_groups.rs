//! Children that have started others: the end of the whole group, and the output before it.

mod support;

use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use overlapped::os::unix::process::{ChildExt, CommandExt};
use overlapped::process::{Child, Command, PartialOutput};
use overlapped::time::timeout;
use overlapped::{JoinError, run, run_until, signal, spawn, yield_now};

const FOR_EVER: Duration = Duration::from_secs(60);

/// Tells whether the process runs: it exists and is not a zombie.
fn runs(id: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { return false };
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    !matches!(after_name.trim_start().chars().next(), Some('Z' | 'X') | None)
}

/// Waits for the end of a process.
#[track_caller]
fn ends(id: u32) {
    testkit::wait_until("the process has ended", || !runs(id));
}

/// A shell in a group of its own. It starts a process in the background, prints its number, and
/// then runs `last`.
fn family(last: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("sleep 600 >&- & echo $!; {last}")]);
    shell.stdout(Stdio::piped()).process_group(0);
    shell
}

/// Reads the number that a [`family`] prints.
fn grandchild(child: &mut Child) -> u32 {
    let mut said = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let id = said.trim().parse().unwrap();
    assert!(runs(id));
    id
}

fn kill(id: u32) {
    // SAFETY: the caller knows that the process runs, and no other code ends it.
    unsafe { libc::kill(id.cast_signed(), libc::SIGKILL) };
}

#[test]
fn kill_on_drop_ends_a_group_that_the_child_leads() {
    run(|| {
        let mut child = family("sleep 600").kill_on_drop(true).spawn().unwrap();
        let (id, grandchild) = (child.id(), grandchild(&mut child));
        drop(child);
        // Dropped.
        ends(id);
        ends(grandchild);
        let ids = overlapped::Channel::new();
        let sender = ids.clone();
        let waiter = spawn(move || {
            let mut child = family("sleep 600").kill_on_drop(true).spawn().unwrap();
            sender.send(self::grandchild(&mut child)).unwrap();
            child.wait()
        });
        let grandchild = ids.recv().unwrap();
        yield_now();
        waiter.kill();
        assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        ends(grandchild); // its waiter was killed
    })
    .unwrap();
    let mut child = family("sleep 600").kill_on_drop(true).spawn().unwrap();
    let grandchild = grandchild(&mut child);
    drop(child);
    ends(grandchild); // outside a scheduler
}

#[test]
fn kill_on_drop_ends_a_group_whose_leader_has_ended_and_was_not_waited_for() {
    run(|| {
        let mut child = family("exit").kill_on_drop(true).spawn().unwrap();
        let grandchild = grandchild(&mut child);
        ends(child.id()); // a zombie now
        drop(child);
        ends(grandchild);
    })
    .unwrap();
}

#[test]
fn kill_on_drop_of_a_child_without_a_group_ends_the_child_alone() {
    run(|| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 >&- & echo $!; exec sleep 600"]);
        let mut child = shell.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let (id, grandchild) = (child.id(), grandchild(&mut child));
        drop(child);
        ends(id);
        assert!(runs(grandchild));
        kill(grandchild);
    })
    .unwrap();
}

#[test]
fn a_group_is_killed_before_its_leader_is_released_and_never_after() {
    run(|| {
        let mut child = family("sleep 600").spawn().unwrap();
        let grandchild = grandchild(&mut child);
        child.kill_process_group().unwrap();
        ends(grandchild);
        assert!(!child.wait().unwrap().success());
        child.kill_process_group().unwrap();

        let mut child = family("exit").kill_on_drop(true).spawn().unwrap();
        let grandchild = self::grandchild(&mut child);
        assert!(child.wait().unwrap().success());
        child.kill_process_group().unwrap();
        drop(child);
        assert!(runs(grandchild), "its group's number may be another's by now");
        kill(grandchild);

        let mut none = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
        let error = none.kill_process_group().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "it leads no group");
    })
    .unwrap();
}

#[test]
fn output_that_meets_a_deadline_returns_the_bytes_read() {
    run(|| {
        // The time that a shell needs to write two lines is unknown on a busy machine.
        let mut patience = Duration::from_millis(100);
        loop {
            let mut slow = Command::new("sh");
            slow.args(["-c", "echo out; echo errors >&2; sleep 600"]);
            slow.process_group(0).kill_on_drop(true);
            let error = timeout(patience, || slow.output()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.to_string().contains("deadline"), "{error}");
            let partial = error.downcast::<PartialOutput>().unwrap();
            let source = partial.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
            assert_eq!(source.kind(), ErrorKind::TimedOut);
            if (&partial.stdout[..], &partial.stderr[..]) == (b"out\n", b"errors\n") {
                return;
            }
            assert!(patience < FOR_EVER, "{partial:?}");
            patience *= 2;
        }
    })
    .unwrap();
}

#[test]
fn one_stream_and_the_wait_for_the_end_return_the_bytes_read_too() {
    run(|| {
        let mut patience = Duration::from_millis(100);
        loop {
            let mut slow = Command::new("sh");
            // Its output ends, but the process goes on.
            slow.args(["-c", "echo out; exec >&-; exec sleep 600"]).kill_on_drop(true);
            let child = slow.stdout(Stdio::piped()).spawn().unwrap();
            let error = timeout(patience, || child.wait_with_output()).unwrap_err();
            let partial = error.downcast::<PartialOutput>().unwrap();
            assert!(partial.stderr.is_empty());
            if partial.stdout == b"out\n" {
                return;
            }
            assert!(patience < FOR_EVER, "{partial:?}");
            patience *= 2;
        }
    })
    .unwrap();
}

/// The example of the documents: Ctrl-C ends the tasklets, and their children's groups with them.
fn jobs() {
    run_until(|| {
        let mut interrupts = signal::Signals::new([signal::SIGINT]).unwrap();
        for _ in 0..3 {
            spawn(|| {
                let mut child = family("sleep 600").kill_on_drop(true).spawn().unwrap();
                println!("grandchild {}", grandchild(&mut child));
                child.wait()
            });
        }
        interrupts.recv().unwrap();
    })
    .unwrap();
}

#[test]
fn ctrl_c_ends_all_that_children_have_started() {
    if support::asked().is_some() {
        return jobs();
    }
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    program.args(["ctrl_c_ends_all_that_children_have_started", "--exact", "--nocapture"]);
    program.env(support::CHILD, "jobs").stdout(Stdio::piped());
    // SAFETY: signal(2) may be called between fork and exec; nothing else is done.
    unsafe {
        program.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut program = program.spawn().unwrap();
    let mut said = BufReader::new(program.stdout.take().unwrap());
    let mut grandchildren = Vec::new();
    while grandchildren.len() < 3 {
        let mut line = String::new();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ends too early");
        if let Some((_, id)) = line.split_once("grandchild ") {
            grandchildren.push(id.trim().parse().unwrap());
        }
    }
    // SAFETY: the program is running or a zombie of this process, so the number is its own.
    assert_eq!(unsafe { libc::kill(program.id().cast_signed(), libc::SIGINT) }, 0);
    said.read_to_string(&mut String::new()).unwrap();
    assert!(program.wait().unwrap().success());
    grandchildren.into_iter().for_each(ends);
}
