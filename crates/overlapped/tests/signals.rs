//! Signals as events. Signals that would end the process are sent to children of this program.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use overlapped::net::{TcpListener, TcpStream};
use overlapped::signal::{
    self, SIGCHLD, SIGINT, SIGTERM, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH, Signals,
};
use overlapped::time::{sleep, timeout};
use overlapped::{JoinError, run, run_until, spawn, yield_now};
use support::ms;

fn raise(signal: i32) {
    // SAFETY: sends a signal to this process, for which a handler is installed.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal) }, 0);
}

/// Starts this program again, for `test`, with its output to be read line by line.
fn start(test: &str) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("OVERLAPPED_TEST_CHILD", "child")
        .stdout(Stdio::piped());
    // A program that a script runs in the background ignores Ctrl-C, and so would its children.
    // SAFETY: signal(2) may be called between fork and exec; nothing else is done.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut child = command.spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Returns the rest of the line that begins with `word`.
fn line(stdout: &mut BufReader<ChildStdout>, word: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "no line with {word}");
        if let Some((_, rest)) = line.split_once(word) {
            return rest.trim().to_owned();
        }
    }
}

fn send(child: &Child, signal: i32) {
    // SAFETY: the child is running or a zombie of this process, so the number is its own.
    assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
}

#[test]
fn ctrl_c_is_an_event_and_operations_in_flight_go_on() {
    const NAME: &str = "ctrl_c_is_an_event_and_operations_in_flight_go_on";
    if support::asked().is_some() {
        return run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let accept = spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                text
            });
            let nap = spawn(|| sleep(ms(300)));
            let mut sleeper = overlapped::process::Command::new("sleep").arg("0.2").spawn();
            let sleeper = spawn(move || sleeper.as_mut().unwrap().wait());
            let told = [(); 3].map(|()| spawn(signal::ctrl_c));
            yield_now();
            println!("READY");
            for waiter in told {
                waiter.join().unwrap().unwrap();
            }
            println!("TOLD");
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(b"after Ctrl-C").unwrap();
            drop(stream);
            nap.join().unwrap();
            assert!(sleeper.join().unwrap().unwrap().success());
            println!("PENDING {}", accept.join().unwrap());
            // Without a listener it has no effect.
            println!("AGAIN");
            sleep(ms(100));
            println!("STILL there");
        })
        .unwrap();
    }
    let (mut child, mut stdout) = start(NAME);
    line(&mut stdout, "READY");
    send(&child, SIGINT);
    line(&mut stdout, "TOLD");
    assert_eq!(line(&mut stdout, "PENDING"), "after Ctrl-C");
    line(&mut stdout, "AGAIN");
    send(&child, SIGINT);
    assert_eq!(line(&mut stdout, "STILL"), "there");
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_a_listener_ctrl_c_ends_the_process() {
    const NAME: &str = "without_a_listener_ctrl_c_ends_the_process";
    if support::asked().is_some() {
        return run(|| {
            println!("READY");
            sleep(Duration::from_secs(60));
        })
        .unwrap();
    }
    let (mut child, mut stdout) = start(NAME);
    line(&mut stdout, "READY");
    send(&child, SIGINT);
    assert_eq!(child.wait().unwrap().signal(), Some(SIGINT));
}

#[test]
fn every_listener_gets_every_signal() {
    let mut outside = Signals::new([SIGUSR1, SIGUSR2]).unwrap();
    let got = Arc::new(AtomicUsize::new(0));
    let count = |got: &Arc<AtomicUsize>| {
        let got = Arc::clone(got);
        move |signal: &std::io::Result<i32>| {
            assert!(signal.is_ok());
            got.fetch_add(1, SeqCst);
        }
    };
    let counts = count(&got);
    let listens = move || outside.by_ref().inspect(counts).take(2).map(Result::unwrap).collect();
    let elsewhere = std::thread::spawn(listens);
    run(|| {
        let listeners = [(); 10].map(|()| {
            let mut signals = Signals::new([SIGUSR1]).unwrap();
            signals.add(SIGUSR2).unwrap();
            let counts = count(&got);
            spawn(move || -> Vec<i32> {
                signals.by_ref().inspect(counts).take(2).map(Result::unwrap).collect()
            })
        });
        yield_now();
        raise(SIGUSR1);
        support::wait_until("all have got the first one", || got.load(SeqCst) == 11);
        raise(SIGUSR2);
        for listener in listeners {
            assert_eq!(listener.join().unwrap(), [SIGUSR1, SIGUSR2]);
        }
    })
    .unwrap();
    let elsewhere: Vec<i32> = elsewhere.join().unwrap();
    assert_eq!(elsewhere, [SIGUSR1, SIGUSR2]);
}

#[test]
fn a_signal_that_came_before_a_wait_is_kept() {
    run(|| {
        let mut signals = Signals::new([SIGWINCH, SIGURG]).unwrap();
        assert_eq!(signals.try_recv(), None);
        raise(SIGURG);
        raise(SIGWINCH);
        raise(SIGWINCH);
        sleep(ms(5));
        let mut both = [signals.recv().unwrap(), signals.recv().unwrap()];
        both.sort_unstable();
        assert_eq!(both, [SIGURG, SIGWINCH]);
        assert_eq!(signals.try_recv(), None, "two of a kind are one");
        let late = timeout(ms(5), || signals.recv());
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    })
    .unwrap();
}

#[test]
fn no_signal_is_lost_to_a_kill() {
    const NAME: &str = "no_signal_is_lost_to_a_kill";
    if support::asked().is_none() {
        // Alone in its process: other tests raise this signal, too.
        let output = support::child(NAME, "alone");
        assert!(output.status.success(), "{}", support::said(&output));
        return;
    }
    let rounds = support::rounds(300, 20_000);
    let (mut before, mut after) = (0, 0);
    run(|| {
        let signals = Signals::new([SIGUSR1]).unwrap();
        let signals = std::rc::Rc::new(std::cell::RefCell::new(signals));
        for round in 0..rounds {
            let theirs = signals.clone();
            let waiter = spawn(move || theirs.borrow_mut().recv());
            yield_now();
            let pause = Duration::from_micros(round as u64 * 13 % 150);
            let thread = std::thread::spawn(move || {
                std::thread::sleep(pause);
                raise(SIGUSR1);
            });
            if round % 2 == 0 {
                sleep(Duration::from_micros(100));
                waiter.kill();
            }
            match waiter.join() {
                Ok(signal) => {
                    assert_eq!(signal.unwrap(), SIGUSR1);
                    before += 1;
                }
                Err(JoinError::Killed) => {
                    let waited = timeout(Duration::from_secs(5), || signals.borrow_mut().recv());
                    assert_eq!(waited.unwrap(), SIGUSR1);
                    after += 1;
                }
                Err(error) => panic!("{error}"),
            }
            thread.join().unwrap();
            assert_eq!(signals.borrow_mut().try_recv(), None);
        }
    })
    .unwrap();
    println!("{before} before the kill, {after} after it");
}

#[test]
fn a_signal_that_cannot_be_waited_for_is_an_error() {
    for signal in [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, 0, -1, 1_000_000] {
        let error = Signals::new([SIGUSR1, signal]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{signal}");
    }
    assert_eq!(signal::name(SIGTERM), Some("SIGTERM"));
    assert_eq!(signal::name(1_000_000), None);
}

#[test]
fn listeners_come_and_go() {
    run_until(|| {
        for _ in 0..100 {
            let waiter = spawn(|| Signals::new([SIGCHLD]).unwrap().recv());
            yield_now();
            waiter.kill();
            assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        }
        // The last of 101 listeners still gets its signal.
        let mut signals = Signals::new([SIGCHLD]).unwrap();
        raise(SIGCHLD);
        assert_eq!(signals.recv().unwrap(), SIGCHLD);
    })
    .unwrap();
}

#[test]
fn a_handler_ends_the_waits_that_are_inside_interruptible_and_no_others() {
    use overlapped::signal::{Restart, interrupt_waits, interruptible};
    use overlapped::task::UnblockError;
    use overlapped::time::try_sleep;
    const HOUR: Duration = Duration::from_secs(3600);
    fn kind<T>(ended: std::io::Result<T>) -> Option<ErrorKind> {
        ended.map_err(|error| error.kind()).err()
    }
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accept = spawn(move || kind(interruptible(Restart::Yes, || listener.accept())));
        let nap = spawn(|| kind(interruptible(Restart::No, || try_sleep(HOUR))));
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        let job = spawn(move || {
            let ended =
                interruptible(Restart::Yes, || overlapped::task::unblock(move || rx.recv()));
            matches!(ended, Err(UnblockError::Interrupted))
        });
        let deaf = spawn(|| kind(try_sleep(ms(200))));
        // A signal that came meanwhile ends the second wait, if it has not ended the first.
        let is_second = std::rc::Rc::new(std::cell::Cell::new(false));
        let says = is_second.clone();
        let twice = spawn(move || {
            kind(interruptible(Restart::Yes, || {
                drop(try_sleep(ms(1)));
                says.set(true);
                try_sleep(HOUR)
            }))
        });
        support::wait_until("the second wait begins", || is_second.get());
        support::wait_until_others_wait();
        interrupt_waits(Restart::Yes);
        assert_eq!(nap.join().unwrap(), Some(ErrorKind::Interrupted));
        sleep(ms(5));
        assert!(!accept.is_finished() && !job.is_finished() && !twice.is_finished());
        interrupt_waits(Restart::No);
        assert_eq!(accept.join().unwrap(), Some(ErrorKind::Interrupted));
        assert_eq!(twice.join().unwrap(), Some(ErrorKind::Interrupted));
        assert!(job.join().unwrap());
        assert_eq!(deaf.join().unwrap(), None, "a wait outside");
        drop((tx, TcpStream::connect(address)));
        // Signals that came before do not count.
        interrupt_waits(Restart::No);
        assert_eq!(kind(interruptible(Restart::No, || try_sleep(ms(5)))), None);
    })
    .unwrap();
    // Without a scheduler there are no waits to end.
    interrupt_waits(Restart::No);
}

#[test]
fn handlers_of_many_threads_interrupt_their_own() {
    use overlapped::signal::{Restart, interrupt_waits, interruptible};
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..20 {
                    run(|| {
                        let waiter = spawn(|| {
                            interruptible(Restart::No, || {
                                overlapped::time::try_sleep(Duration::from_secs(3600))
                            })
                        });
                        yield_now();
                        interrupt_waits(Restart::Yes);
                        assert_eq!(
                            waiter.join().unwrap().unwrap_err().kind(),
                            ErrorKind::Interrupted
                        );
                    })
                    .unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn an_interruptible_wait_is_ended_by_handlers_and_not_by_deadlines() {
    use overlapped::signal::{Restart, interrupt_waits, interruptible};
    use overlapped::sync::Event;
    const HOUR: Duration = Duration::from_secs(3600);
    run(|| {
        let wait = |limit| {
            spawn(move || {
                let ended =
                    interruptible(Restart::No, || Event::new().wait_interruptible("a test", limit));
                ended.unwrap_err().kind()
            })
        };
        let waiters = [wait(None), wait(Some(HOUR))];
        let set = std::rc::Rc::new(Event::new());
        let theirs = set.clone();
        let deaf = spawn(move || {
            timeout(ms(1), || {
                let is_early = interruptible(Restart::Yes, || {
                    theirs.wait_interruptible("a test", Some(ms(20))).unwrap()
                });
                (is_early, theirs.wait_interruptible("a test", None).unwrap())
            })
        });
        support::wait_until_others_wait();
        interrupt_waits(Restart::Yes);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), ErrorKind::Interrupted);
        }
        sleep(ms(60));
        assert!(!deaf.is_finished());
        set.set();
        assert_eq!(deaf.join().unwrap(), (false, true));
    })
    .unwrap();
}

#[test]
fn a_request_is_answered_before_the_scheduler_sleeps() {
    use overlapped::signal::{answer_requests, request, scheduler_number};
    use overlapped::sync::Event;
    static SET: Event = Event::new();
    assert!(answer_requests(|| SET.set()) && !answer_requests(|| ()));
    assert!(!request() && scheduler_number().is_none(), "outside");
    let numbers = [(); 2].map(|()| {
        run(|| {
            for _ in 0..100 {
                SET.clear();
                assert!(request());
                // This wait is woken by no other event.
                SET.wait();
            }
            scheduler_number().unwrap()
        })
        .unwrap()
    });
    assert_ne!(numbers[0], numbers[1]);
}
