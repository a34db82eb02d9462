//! Child processes: the same as std's, but a wait blocks only the tasklet.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use overlapped::process::{ChildStdin, ChildStdout, Command, CommandExt, Stdio};
use overlapped::time::{sleep, timeout};
use overlapped::{JoinError, run, spawn, yield_now};
use support::ms;

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Returns the state letter of a process in procfs; `None` if it is gone.
fn state(id: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Waits until the process is gone or a zombie, as asked.
#[track_caller]
fn becomes(id: u32, wanted: Option<char>) {
    testkit::wait_until("the process ends", || state(id) == wanted);
}

/// Runs one scenario on std's `Command` and on this library's, with the same result.
macro_rules! as_std {
    ($make:expr) => {{
        let theirs = {
            type Command = std::process::Command;
            let make: fn(&mut dyn FnMut(&str) -> Command) -> _ = $make;
            make(&mut |name| Command::new(name))
        };
        let ours = run(|| {
            let make: fn(&mut dyn FnMut(&str) -> Command) -> _ = $make;
            make(&mut |name| Command::new(name))
        });
        assert_eq!(format!("{theirs:?}"), format!("{:?}", ours.unwrap()));
    }};
}

#[test]
fn statuses_outputs_and_errors_are_those_of_std() {
    as_std!(|new| new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).output().unwrap());
    as_std!(|new| new("sh").args(["-c", "kill -9 $$"]).status().unwrap().signal());
    as_std!(|new| new("sh").args(["-c", "exit 7"]).status().unwrap().code());
    as_std!(|new| new("cat").output().unwrap());
    as_std!(|new| new("no such program").spawn().unwrap_err().kind());
    as_std!(|new| new("/").spawn().unwrap_err().kind());
    as_std!(|new| new("true").current_dir("no such folder").spawn().unwrap_err().kind());
    as_std!(|new| new("nul\0inside").spawn().unwrap_err().kind());
    as_std!(|new| {
        let mut command = new("env");
        command.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("B");
        (command.output().unwrap(), format!("{command:?}"))
    });
    as_std!(|new| {
        let mut command = new("pwd");
        command.current_dir("/").arg("-P");
        let asked = format!("{:?}{:?}", command.get_current_dir(), command.get_program());
        (command.output().unwrap(), asked, command.get_args().len(), command.get_envs().len())
    });
    // One command starts several children. The defaults of one call do not affect the next.
    as_std!(|new| {
        let mut command = new("sh");
        command.args(["-c", "cat; echo again"]).stdin(std::process::Stdio::null());
        let first = command.output().unwrap();
        let child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let pipes = (child.stdin.is_some(), child.stdout.is_some(), child.stderr.is_some());
        (first, pipes, child.wait_with_output().unwrap(), command.output().unwrap())
    });
    // A choice for a stream holds for `output`, too.
    as_std!(|new| new("echo").arg("gone").stdout(std::process::Stdio::null()).output().unwrap());
}

#[test]
fn waiting_for_a_child_blocks_only_the_tasklet() {
    run(|| {
        // The child ends when this tasklet has gone on; otherwise it fails after a minute.
        let (rx, tx) = std::io::pipe().unwrap();
        let child = move || {
            let mut cat = Command::new("timeout");
            cat.args(["60", "cat"]).stdin(rx).status().unwrap()
        };
        let child = spawn(child);
        for _ in 0..20 {
            sleep(ms(5));
            assert!(!child.is_finished());
        }
        drop(tx);
        assert!(child.join().unwrap().success());
    })
    .unwrap();
}

#[test]
fn children_run_at_the_same_time_and_leave_no_zombie() {
    let children = support::rounds(50, 500);
    run(|| {
        let begin = Instant::now();
        let tasklets: Vec<_> = (0..children)
            .map(|i| {
                spawn(move || {
                    let mut child = sh("sleep 0.2; exit $0").arg((i % 5).to_string()).spawn();
                    let child = child.as_mut().unwrap();
                    let status = child.wait().unwrap();
                    assert_eq!(status, child.wait().unwrap(), "the same again");
                    assert_eq!(state(child.id()), None, "no zombie");
                    status.code()
                })
            })
            .collect();
        for (i, tasklet) in tasklets.into_iter().enumerate() {
            assert_eq!(tasklet.join().unwrap(), Some((i % 5) as i32));
        }
        assert!(begin.elapsed() < ms(200) * children as u32 / 2, "one after another");
    })
    .unwrap();
}

#[test]
fn a_killed_or_late_waiter_leaves_the_child_to_be_waited_for() {
    run(|| {
        let child = std::rc::Rc::new(std::cell::RefCell::new(sh("read line; exit 5")));
        let child = child.borrow_mut().stdin(Stdio::piped()).spawn().unwrap();
        let child = std::rc::Rc::new(std::cell::RefCell::new(child));
        // Waiting would close the child's input.
        let stdin = child.borrow_mut().stdin.take().unwrap();
        for _ in 0..20 {
            let theirs = child.clone();
            let waiter = spawn(move || theirs.borrow_mut().wait());
            yield_now();
            waiter.kill();
            assert!(matches!(waiter.join(), Err(JoinError::Killed)));
            let late = timeout(ms(1), || child.borrow_mut().wait());
            assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(child.borrow_mut().try_wait().unwrap().is_none());
        }
        drop(stdin);
        assert_eq!(child.borrow_mut().wait().unwrap().code(), Some(5));
        assert_eq!(state(child.borrow().id()), None);
    })
    .unwrap();
}

#[test]
fn a_waiter_killed_as_the_child_ends_loses_no_status() {
    let rounds = support::rounds(60, 2_000);
    let (mut killed, mut ended) = (0, 0);
    run(|| {
        for round in 0..rounds {
            let child = sh("exit 9").spawn().unwrap();
            let child = std::rc::Rc::new(std::cell::RefCell::new(child));
            let theirs = child.clone();
            let waiter = spawn(move || theirs.borrow_mut().wait().unwrap());
            sleep(Duration::from_micros(round as u64 * 97 % 3_000));
            waiter.kill();
            match waiter.join() {
                Ok(status) => {
                    assert_eq!(status.code(), Some(9));
                    ended += 1;
                }
                Err(_) => killed += 1,
            }
            assert_eq!(child.borrow_mut().wait().unwrap().code(), Some(9));
        }
    })
    .unwrap();
    println!("{killed} killed in time, {ended} not");
}

#[test]
fn a_child_that_fills_both_pipes_is_read_to_its_end() {
    let script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; \
                  head -c 1000000 /dev/zero >&2; printf end";
    let check = || {
        let output = sh(script).output().unwrap();
        assert!(output.status.success());
        assert_eq!((output.stdout.len(), output.stderr.len()), (1_000_003, 2_000_000));
        assert!(output.stdout.ends_with(b"\0end"));
    };
    check();
    run(move || {
        check();
        // The ends of the two streams come in either order, long before the end of the child.
        let quiet = sh("exec >&-; sleep 0.05; echo late >&2; exec 2>&-; sleep 0.05; exit 4");
        let mut quiet = quiet;
        let output = quiet.output().unwrap();
        assert_eq!((output.status.code(), &*output.stderr), (Some(4), &b"late\n"[..]));
        let output = sh("exec 2>&-; sleep 0.05; echo late; exit 4").output().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(4), &b"late\n"[..]));
    })
    .unwrap();
}

#[test]
fn a_childs_pipes_block_only_the_tasklet() {
    run(|| {
        let mut child = Command::new("cat");
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let reader = spawn(move || {
            let mut all = Vec::new();
            stdout.read_to_end(&mut all).unwrap();
            all
        });
        yield_now();
        assert!(!reader.is_finished());
        let bytes: Vec<u8> =
            (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        stdin.write_all(&bytes).unwrap();
        (&stdin).write_all(b"end").unwrap();
        drop(stdin);
        let all = reader.join().unwrap();
        assert!(all[..bytes.len()] == bytes && &all[bytes.len()..] == b"end");
        assert!(child.wait().unwrap().success());
    })
    .unwrap();
}

#[test]
fn a_reader_of_a_silent_child_can_be_killed_and_times_out() {
    run(|| {
        let mut child = sh("read line; echo $line");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let late = timeout(ms(2), || stdout.read(&mut [0; 8]));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let stdout = std::rc::Rc::new(std::cell::RefCell::new(stdout));
        let theirs = stdout.clone();
        let reader = spawn(move || theirs.borrow_mut().read(&mut [0; 8]));
        yield_now();
        reader.kill();
        assert!(matches!(reader.join(), Err(JoinError::Killed)));
        child.stdin.as_mut().unwrap().write_all(b"kept\n").unwrap();
        let mut said = String::new();
        stdout.borrow_mut().read_to_string(&mut said).unwrap();
        assert_eq!(said, "kept\n");
        child.wait().unwrap();
    })
    .unwrap();
}

#[test]
fn waiting_closes_the_childs_input() {
    run(|| {
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(timeout(Duration::from_secs(5), || cat.wait()).unwrap().success());
        assert!(cat.stdin.is_none());
    })
    .unwrap();
}

#[test]
fn a_dropped_child_runs_on_as_in_std() {
    run(|| {
        let mut child = sh("read line; exit 3").stdin(Stdio::piped()).spawn().unwrap();
        let (id, stdin) = (child.id(), child.stdin.take().unwrap());
        drop(child);
        sleep(ms(20));
        assert!(matches!(state(id), Some('S' | 'R')), "{:?}", state(id));
        drop(stdin);
        becomes(id, Some('Z')); // no call has waited for it
    })
    .unwrap();
}

#[test]
fn kill_on_drop_leaves_neither_a_process_nor_a_zombie() {
    let spawn_one = || {
        let mut command = Command::new("sleep");
        command.arg("600").kill_on_drop(true);
        command.spawn().unwrap()
    };
    let child = spawn_one();
    let outside = child.id();
    drop(child);
    becomes(outside, None); // outside a scheduler
    run(|| {
        let child = spawn_one();
        let id = child.id();
        drop(child);
        becomes(id, None); // dropped
        let ids = overlapped::Channel::new();
        let sender = ids.clone();
        let waiter = spawn(move || {
            let mut child = spawn_one();
            sender.send(child.id()).unwrap();
            child.wait()
        });
        let id = ids.recv().unwrap();
        yield_now();
        waiter.kill();
        assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        becomes(id, None); // its waiter was killed
        // A child that has been waited for is not killed: its number may be another's.
        let mut ended = Command::new("true").kill_on_drop(true).spawn().unwrap();
        assert!(ended.wait().unwrap().success());
        drop(ended);
    })
    .unwrap();
}

#[test]
fn kill_ends_a_child_and_is_no_error_after_its_end() {
    run(|| {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        child.kill().unwrap();
        assert_eq!(child.try_wait().unwrap().unwrap().signal(), Some(libc::SIGKILL));
    })
    .unwrap();
}

#[test]
fn the_output_of_one_child_is_the_input_of_the_next() {
    run(|| {
        let mut first = sh("sleep 0.1; echo through").stdout(Stdio::piped()).spawn().unwrap();
        // With a pipe in non-blocking mode cat would fail: the resource is not available.
        let second = Command::new("cat").stdin(first.stdout.take().unwrap()).output().unwrap();
        assert_eq!((&*second.stdout, &*second.stderr), (&b"through\n"[..], &b""[..]));
        assert!(second.status.success() && first.wait().unwrap().success());
    })
    .unwrap();
}

#[test]
fn pipes_leave_for_std_and_come_from_there() {
    let mut child = Command::new("cat");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for fd in [stdin.as_raw_fd(), stdout.as_raw_fd()] {
        // SAFETY: reads the flags of an open descriptor.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0, "programs expect streams that block");
    }
    let mut stdin = ChildStdin::from(OwnedFd::from(stdin));
    let mut stdout = std::process::ChildStdout::from(stdout);
    run(|| {
        stdin.write_all(b"xy").unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        let mut stdout = ChildStdout::from(stdout);
        stdout.read_exact(&mut [0]).unwrap();
    })
    .unwrap();
    drop(stdin);
    child.wait().unwrap();
}

#[test]
fn a_connection_can_be_a_childs_streams() {
    use overlapped::net::{TcpListener, TcpStream};
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let go = overlapped::Channel::new();
        let goes = go.clone();
        let client = spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            goes.recv().unwrap();
            stream.write_all(b"to the child").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let (stream, _) = listener.accept().unwrap();
        let mut cat = Command::new("cat");
        let cat = cat.stdin(stream.try_clone().unwrap()).stdout(stream);
        let mut child = cat.spawn().unwrap();
        // cat would fail at once if its input did not block.
        support::wait_until_process_blocked(child.id());
        go.send(()).unwrap();
        assert!(child.wait().unwrap().success());
        // The command holds its streams until it goes.
        *cat = Command::new("true");
        assert_eq!(client.join().unwrap(), "to the child");
    })
    .unwrap();
}

#[test]
fn a_child_starts_with_signals_as_std_leaves_them() {
    // A scheduler's thread blocks SIGPIPE; a program that inherits this never ends in a pipe.
    // (A shell would not do here: it empties the mask itself.)
    let mut theirs = std::process::Command::new("grep");
    let theirs = theirs.args(["^SigBlk", "/proc/self/status"]).output().unwrap();
    assert_eq!(&*theirs.stdout, b"SigBlk:\t0000000000000000\n");
    run(|| {
        // A signal that a write has left pending must not be delivered.
        let (rx, tx) = std::io::pipe().unwrap();
        drop(rx);
        let written = ChildStdin::from(OwnedFd::from(tx)).write(b"x");
        assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut grep = Command::new("grep");
        grep.args(["^SigBlk", "/proc/self/status"]);
        assert_eq!(grep.output().unwrap(), theirs);
        // SAFETY: does nothing.
        unsafe { grep.pre_exec(|| Ok(())) };
        assert_eq!(grep.output().unwrap(), theirs);
        let endless = sh("yes | head -n 1").output().unwrap();
        assert_eq!(&*endless.stdout, b"y\n");
    })
    .unwrap();
}

#[test]
fn unix_extensions_have_the_effect_of_std_s() {
    run(|| {
        let mut command = sh("echo $0");
        let mut named = Command::new("sh");
        named.arg0("another-name").args(["-c", "tr '\\0' ' ' < /proc/$$/cmdline"]);
        let said = String::from_utf8(named.output().unwrap().stdout).unwrap();
        assert!(said.starts_with("another-name "), "{said}");
        // SAFETY: setenv is not called; only an error is made, without allocation.
        unsafe {
            command.pre_exec(|| Err(std::io::Error::from_raw_os_error(libc::EXDEV)));
        }
        assert_eq!(command.spawn().unwrap_err().raw_os_error(), Some(libc::EXDEV));
        let mut group = sh("ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat");
        let child = group.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let id = child.id().to_string();
        let said = child.wait_with_output().unwrap().stdout;
        assert_eq!(String::from_utf8(said).unwrap().trim(), id);
        // SAFETY: getuid and getgid have no conditions.
        let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
        assert!(Command::new("true").uid(uid).gid(gid).status().unwrap().success());
    })
    .unwrap();
}

#[test]
fn exec_replaces_the_program_and_returns_only_errors() {
    const NAME: &str = "exec_replaces_the_program_and_returns_only_errors";
    if support::asked().is_some() {
        run(|| {
            let error = Command::new("no such program").exec();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            // The mask is as it was: a write to a closed pipe is still no signal.
            // SAFETY: sets a default disposition.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let (rx, tx) = std::io::pipe().unwrap();
            drop(rx);
            let written = ChildStdin::from(OwnedFd::from(tx)).write(b"x");
            assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
            let error = Command::new("grep").args(["^SigBlk", "/proc/self/status"]).exec();
            panic!("{error}");
        })
        .unwrap();
    }
    let output = support::child(NAME, "exec");
    assert!(output.status.success(), "{}", support::said(&output));
    assert!(
        support::said(&output).contains("SigBlk:\t0000000000000000"),
        "{}",
        support::said(&output)
    );
}

#[test]
fn a_wait_while_unwinding_makes_one_attempt() {
    struct Waits(overlapped::process::Child, std::rc::Rc<std::cell::Cell<Option<ErrorKind>>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.1.set(self.0.wait().err().map(|error| error.kind()));
            self.0.kill().unwrap();
        }
    }
    run(|| {
        let seen = std::rc::Rc::new(std::cell::Cell::new(None));
        let child = Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
        let waits = Waits(child, seen.clone());
        let begin = Instant::now();
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _waits = waits;
            support::quiet_panic(())
        }));
        assert!(unwound.is_err());
        assert_eq!(seen.get(), Some(ErrorKind::WouldBlock));
        assert!(begin.elapsed() < support::within(Duration::from_secs(5)));
    })
    .unwrap();
}

#[test]
fn no_descriptor_stays_open_after_outputs() {
    run(|| {
        drop(Command::new("true").output());
        let probe = || std::fs::File::open("/dev/null").unwrap().as_raw_fd();
        // The lowest free number moves if a descriptor stays open. Other tests open and close, too,
        // so one round in which it did not move is enough; a leak would move it in all.
        let stays = (0..20).any(|_| {
            let before = probe();
            for _ in 0..10 {
                assert!(Command::new("true").output().unwrap().status.success());
            }
            probe() <= before
        });
        assert!(stays, "descriptors stay open");
    })
    .unwrap();
}

#[test]
fn where_pidfds_are_refused_a_pool_thread_waits() {
    const NAME: &str = "where_pidfds_are_refused_a_pool_thread_waits";
    if support::asked().is_some() {
        return run(|| {
            let (rx, tx) = std::io::pipe().unwrap();
            let cat = spawn(move || Command::new("cat").stdin(rx).status().unwrap());
            for _ in 0..5 {
                sleep(ms(5));
                assert!(!cat.is_finished());
            }
            drop(tx);
            assert!(cat.join().unwrap().success());
            let mut child = sh("read line; exit 6").stdin(Stdio::piped()).spawn().unwrap();
            let stdin = child.stdin.take();
            let late = timeout(ms(5), || child.wait());
            assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
            drop(stdin);
            assert_eq!(child.wait().unwrap().code(), Some(6));
            println!("WAITED");
        })
        .unwrap();
    }
    let me = std::env::current_exe().unwrap();
    let output = std::process::Command::new("strace")
        .args(["-f", "--seccomp-bpf", "-qq", "-e", "trace=pidfd_open"])
        .args(["-e", "inject=pidfd_open:error=ENOSYS"])
        .arg(me)
        .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
        .env("OVERLAPPED_TEST_CHILD", "refused")
        .output();
    let Ok(output) = output else {
        println!("SKIPPED: strace is not installed, so the wait without pidfds was not checked");
        return;
    };
    let said = support::said(&output);
    if said.contains("PTRACE") && !said.contains("pidfd_open(") {
        println!("SKIPPED: this process may not trace: {}", said.lines().next().unwrap_or(""));
        return;
    }
    assert!(said.matches("(INJECTED)").count() >= 2, "not tested: nothing was refused:\n{said}");
    assert!(output.status.success() && said.contains("WAITED"), "{said}");
}
