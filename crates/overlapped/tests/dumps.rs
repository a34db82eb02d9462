//! The reports of a program that hangs: by `OVERLAPPED_STALL` and `OVERLAPPED_DUMP`, without a
//! subscriber, and while its thread is blocked.

mod support;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use overlapped::signal::{SIGQUIT, SIGUSR1, SIGUSR2};
use overlapped::sync::RwLock;
use overlapped::time::sleep;
use overlapped::{Builder, Channel, Config, RunError, Select, run, run_until, spawn, yield_now};
use support::{ms, wait_until};

/// The process of this test's second run, which hangs. Its standard error is read line by line.
struct Hanging {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Hanging {
    fn begin(test: &str, what: &str, variables: &[(&str, &str)]) -> Hanging {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(support::CHILD, what)
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Hanging { child, lines }
    }

    fn said_until(&mut self, until: &[&str]) -> String {
        let mut said = String::new();
        while !until.iter().all(|part| said.contains(part)) {
            let Some(line) = self.lines.next() else { panic!("{until:?} is missing in {said}") };
            writeln!(said, "{}", line.unwrap()).unwrap();
        }
        said
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as libc::pid_t, signal) }, 0);
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[inline(never)]
fn wants_the_lock(lock: &Mutex<u32>) {
    *lock.lock().unwrap() += 1;
}

/// Never returns: the thread is stopped, and with it the holder of the lock.
fn holds_a_std_lock_across_a_wait() {
    let lock = Rc::new(Mutex::new(0));
    let theirs = lock.clone();
    let holds = move || {
        let _guard = theirs.lock().unwrap();
        sleep(ms(20));
    };
    drop(Builder::new().name("holder").spawn(holds));
    yield_now();
    eprintln!("BEGUN");
    drop(Builder::new().name("wants").spawn(move || wants_the_lock(&lock)));
}

#[test]
fn a_variable_turns_reports_on_for_a_program_that_sets_nothing() {
    const NAME: &str = "a_variable_turns_reports_on_for_a_program_that_sets_nothing";
    match support::asked().as_deref() {
        Some("lock") => return run(holds_a_std_lock_across_a_wait).unwrap(),
        Some(_) => {
            return run(|| {
                let (sender, receiver) = mpsc::channel::<u8>();
                std::mem::forget(sender);
                drop(Builder::new().name("receiver").spawn(move || receiver.recv()));
            })
            .unwrap();
        }
        None => {}
    }
    let stall = [("OVERLAPPED_STALL", "100ms")];
    let mut child = Hanging::begin(NAME, "lock", &stall);
    let said = child.said_until(&["'wants' has held its thread", "overlapped::sched::run::body"]);
    assert!(said.contains("wants_the_lock") && said.contains("lock_contended"), "{said}");
    assert!(said.contains(&format!("spawned at {}:", file!())), "{said}");
    let mut child = Hanging::begin(NAME, "channel", &stall);
    let said =
        child.said_until(&["'receiver' has held its thread", "overlapped::sched::run::body"]);
    assert!(said.contains("mpsc"), "{said}");
}

#[test]
fn a_variable_with_a_meaningless_value_is_an_error() {
    const NAME: &str = "a_variable_with_a_meaningless_value_is_an_error";
    if support::asked().is_some() {
        let Err(error) = run(|| ()) else { panic!("it ran") };
        assert!(matches!(error, RunError::Setting(_)));
        return println!("SAID {error}");
    }
    for (variable, value) in
        [("OVERLAPPED_STALL", "soon"), ("OVERLAPPED_DUMP", "never"), ("OVERLAPPED_DUMP", "1")]
    {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture", "--test-threads=1"])
            .env(support::CHILD, "child")
            .env(variable, value)
            .output()
            .unwrap();
        let said = support::said(&child);
        assert!(said.contains(&format!("SAID {variable} is \"{value}\"; it can be ")), "{said}");
    }
    let ended = Config::new().dump_on(libc::SIGKILL).run(|| ());
    assert!(matches!(ended, Err(RunError::Setting(_))), "{ended:?}");
}

#[test]
fn a_signal_shows_every_tasklet_also_while_the_thread_is_blocked() {
    const NAME: &str = "a_signal_shows_every_tasklet_also_while_the_thread_is_blocked";
    if support::asked().is_some() {
        return run(|| {
            let channel = Channel::<u8>::named("jobs");
            let waits = move || drop(channel.recv());
            drop(Builder::new().name("waits").spawn(waits));
            spawn(|| sleep(ms(3_600_000)));
            let lock = Rc::new(RwLock::new(0));
            let reads = lock.clone();
            drop(spawn(move || {
                let _held = lock.write().unwrap();
                sleep(ms(3_600_000));
            }));
            drop(spawn(move || drop(reads.read())));
            drop(spawn(|| {
                let (a, b) = (Channel::<u8>::named("a"), Channel::<u8>::new());
                drop(Select::new().recv(&a, drop).recv(&b, drop).wait_timeout(ms(3_600_000)));
            }));
            holds_a_std_lock_across_a_wait();
        })
        .unwrap();
    }
    let mut child = Hanging::begin(NAME, "child", &[("OVERLAPPED_DUMP", "usr1")]);
    child.said_until(&["BEGUN"]);
    // The tasklet does not ask for the lock at once.
    support::wait_until_process_blocked(child.child.id());
    for _ in 0..2 {
        child.signal(SIGUSR1);
        let said = child.said_until(&["runs here:", "overlapped::sched::run::body"]);
        assert!(said.contains("overlapped: 7 tasklets on thread '"), "{said}");
        for part in [
            "'waits': receiving from channel 'jobs' for ",
            "tasklet 3: sleeping for ",
            "an RwLock to read that tasklet 4 has locked for ",
            "selecting: receiving from channel 'a' or receiving from channel 0x",
            "'holder': sleeping for ",
            "'wants': running, spawned at ",
            "wants_the_lock",
        ] {
            assert!(said.contains(part), "{part:?} is missing in {said}");
        }
        let lines = said.lines().filter(|line| line.starts_with("  tasklet "));
        let from_here = lines.filter(|line| line.contains(file!())).count();
        assert_eq!(from_here, 7, "{said}");
    }
}

#[test]
fn a_signal_shows_tasklets_that_only_wait_and_they_go_on() {
    const NAME: &str = "a_signal_shows_tasklets_that_only_wait_and_they_go_on";
    if support::asked().is_some() {
        let listener = || overlapped::net::TcpListener::bind("127.0.0.1:0").unwrap().accept();
        let begun = Arc::new(AtomicBool::new(false));
        return Config::new()
            .threads(2)
            .dump_on(SIGQUIT)
            .dump_on(SIGUSR1)
            .run_until(move || {
                let theirs = begun.clone();
                let there = overlapped::task::place_on(1, move || {
                    theirs.store(true, Relaxed);
                    listener()
                });
                wait_until("it has begun", || begun.load(Relaxed));
                let waits = overlapped::task::place_on(1, support::wait_until_others_wait);
                waits.unwrap().join().unwrap();
                drop(Builder::new().name("server").spawn(listener));
                let mut enough = overlapped::signal::Signals::new([SIGUSR2]).unwrap();
                support::wait_until_others_wait();
                eprintln!("BEGUN");
                enough.recv().unwrap();
                eprintln!("WENT ON");
                drop(there.unwrap());
            })
            .unwrap();
    }
    let mut child = Hanging::begin(NAME, "child", &[]);
    child.said_until(&["BEGUN"]);
    child.signal(SIGQUIT);
    // Either thread may be the first.
    child.said_until(&["on thread 'overlapped-1'", "'server': accept on descriptor "]);
    child.signal(SIGUSR2);
    child.said_until(&["WENT ON"]);
    let mut rest = String::new();
    while let Some(Ok(line)) = child.lines.next() {
        rest.push_str(&line);
    }
    assert!(child.child.wait().unwrap().success(), "{rest}");
}

#[test]
fn a_run_that_waits_for_a_forgotten_server_says_so_once() {
    const NAME: &str = "a_run_that_waits_for_a_forgotten_server_says_so_once";
    match support::asked().as_deref() {
        Some("forgotten") => {
            return run(|| {
                let listener = overlapped::net::TcpListener::bind("127.0.0.1:0").unwrap();
                drop(Builder::new().name("server").spawn(move || listener.accept()));
                spawn(|| {
                    sleep(ms(1_500));
                    std::process::exit(0);
                });
            })
            .unwrap();
        }
        Some(_) => {
            run(|| sleep(ms(300))).unwrap();
            return run_until(|| {
                spawn(|| sleep(ms(3_600_000)));
                sleep(ms(300));
            })
            .unwrap();
        }
        None => {}
    }
    let said = |what| {
        let mut child = Hanging::begin(NAME, what, &[("OVERLAPPED_STALL", "100ms")]);
        let mut said = String::new();
        while let Some(Ok(line)) = child.lines.next() {
            writeln!(said, "{line}").unwrap();
        }
        said
    };
    let forgotten = said("forgotten");
    assert_eq!(forgotten.matches("run: the first tasklet ended").count(), 1, "{forgotten}");
    for part in ["'server': accept on descriptor ", "run_until ends them", "2 on its thread"] {
        assert!(forgotten.contains(part), "{part:?} is missing in {forgotten}");
    }
    let ended = said("ended");
    assert!(!ended.contains("the first tasklet ended"), "{ended}");
}

/// The lists and the control blocks change while the dump reads them.
#[test]
fn dumps_at_any_instruction_do_no_harm() {
    const NAME: &str = "dumps_at_any_instruction_do_no_harm";
    if support::asked().is_some() {
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let length = ms(support::rounds(2_500, 120_000) as u64);
        Config::new()
            .dump_on(SIGUSR1)
            .run(|| {
                let asks = std::thread::spawn(move || {
                    let mut asked = 0_u32;
                    while !stop.load(Relaxed) {
                        // SAFETY: sends a signal to this process, which has a handler for it.
                        unsafe { libc::kill(libc::getpid(), SIGUSR1) };
                        std::thread::sleep(Duration::from_micros(200));
                        asked += 1;
                    }
                    asked
                });
                let begin = Instant::now();
                let mut round = 0;
                while begin.elapsed() < length {
                    round += 1;
                    let (channel, lock) = (Channel::named("busy"), Rc::new(RwLock::new(0)));
                    let (a, b, c) = (channel.clone(), channel.clone(), channel.clone());
                    let receives = Builder::new()
                        .name(format!("round {round}"))
                        .spawn(move || Select::new().recv(&a, drop).wait_timeout(ms(1_000)));
                    let mine = lock.clone();
                    let locks = spawn(move || {
                        let _held = mine.write();
                        yield_now();
                        b.send(1)
                    });
                    let reads = spawn(move || drop(lock.read()));
                    let killed = spawn(move || c.recv());
                    yield_now();
                    killed.kill();
                    drop((receives.unwrap().join(), locks.join(), killed.join()));
                    reads.join().unwrap();
                    if round % 50 == 0 {
                        sleep(Duration::from_micros(100));
                    }
                }
                over.store(true, Relaxed);
                println!("SURVIVED {}", asks.join().unwrap());
            })
            .unwrap();
        return;
    }
    let begin = Instant::now();
    let mut attempts = 0;
    let (output, count) = loop {
        let output = support::child(NAME, "child");
        let said = String::from_utf8_lossy(&output.stderr);
        let count = said.matches("tasklets on thread").count();
        assert!(output.status.success(), "{} after {count} dumps", output.status);
        assert!(support::said(&output).contains("SURVIVED"));
        attempts += 1;
        // A busy machine may leave the dump's thread no time.
        if count > 0 || attempts == 5 {
            break (output, count);
        }
    };
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{count} dumps in {:?}, {attempts} attempts", begin.elapsed());
    assert!(count > 0, "not tested: nothing was shown");
    for line in said.lines().filter(|line| line.starts_with("  tasklet ")) {
        let is_whole = line.contains(", spawned at ") || line.ends_with(" runs here:");
        assert!(is_whole, "{line:?}");
    }
}
