//! The standard streams. Each test starts this program again as a child whose streams it holds:
//! pipes without a reader, terminals that are stopped, descriptors that are closed.

mod support;

use std::fs::File;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use overlapped::io::{stderr, stdin, stdout};
use overlapped::time::sleep;
use overlapped::{Channel, JoinError, run, run_until, spawn, yield_now};
use support::{ms, wait_until};

/// Returns this program as a command, for `test` alone.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("OVERLAPPED_TEST_CHILD", test)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Returns the text behind `mark` in the child's output, which begins with the test harness's own.
fn after<'a>(text: &'a [u8], mark: &str) -> &'a [u8] {
    let at = text.windows(mark.len()).position(|window| window == mark.as_bytes());
    let at = at.unwrap_or_else(|| panic!("no {mark}: {}", String::from_utf8_lossy(text)));
    &text[at + mark.len()..]
}

/// Ends the child's process before the harness writes more.
fn leave() -> ! {
    std::process::exit(0)
}

/// Counts every 5 ms while the rest runs.
fn ticks() -> std::rc::Rc<std::cell::Cell<u32>> {
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let theirs = count.clone();
    spawn(move || {
        loop {
            sleep(ms(5));
            theirs.set(theirs.get() + 1);
        }
    });
    count
}

fn is_nonblocking(fd: i32) -> bool {
    // SAFETY: reads the flags of an open descriptor.
    unsafe { libc::fcntl(fd, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// Opens a pseudo-terminal: the user's side and the program's.
fn terminal() -> (File, File) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: both places are valid; null asks for no name and for default settings.
    unsafe {
        let null = std::ptr::null_mut();
        assert_eq!(libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()), 0);
        for fd in [master, slave] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (File::from_raw_fd(master), File::from_raw_fd(slave))
    }
}

/// Reads from a terminal's user's side until `mark` has come.
fn until(master: &mut File, mark: &str) -> String {
    let (mut text, mut buf) = (String::new(), [0; 4096]);
    while !text.contains(mark) {
        let mut wanted = libc::pollfd { fd: master.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, valid for writes.
        let ready = unsafe { libc::poll(&mut wanted, 1, 60_000) };
        assert_eq!(ready, 1, "waits for {mark:?} after {text:?}");
        let n = master.read(&mut buf).unwrap();
        text.push_str(&String::from_utf8_lossy(&buf[..n]));
    }
    text
}

#[test]
fn reading_standard_input_blocks_only_the_tasklet() {
    const NAME: &str = "reading_standard_input_blocks_only_the_tasklet";
    if support::asked().is_some() {
        run_until(|| {
            let ticks = ticks();
            let mut first = String::new();
            assert_eq!(stdin().read_line(&mut first).unwrap(), 6);
            let lines: Vec<String> = stdin().lines().take(2).map(Result::unwrap).collect();
            let mut rest = String::new();
            stdin().read_to_string(&mut rest).unwrap();
            println!("GOT {first:?} {lines:?} {rest:?}");
            assert!(ticks.get() > 8, "{} ticks", ticks.get());
        })
        .unwrap();
        leave();
    }
    let mut child = again(NAME).stdin(Stdio::piped()).spawn().unwrap();
    let mut theirs = child.stdin.take().unwrap();
    for part in ["fir", "st\nsec", "ond\nthird\nfou", "rth"] {
        std::thread::sleep(ms(150));
        theirs.write_all(part.as_bytes()).unwrap();
    }
    drop(theirs);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    let said = String::from_utf8_lossy(after(&output.stdout, "GOT ")).into_owned();
    assert_eq!(said.trim(), r#""first\n" ["second", "third"] "fourth""#);
}

#[test]
fn writing_to_a_stream_without_a_reader_blocks_only_the_tasklet() {
    const NAME: &str = "writing_to_a_stream_without_a_reader_blocks_only_the_tasklet";
    if support::asked().is_some() {
        run_until(|| {
            let ticks = ticks();
            let errors = spawn(|| stderr().write_all(&vec![b'e'; 300_000]).unwrap());
            stdout().write_all(b"\nMARK\n").unwrap();
            stdout().write_all(&vec![b'o'; 300_000]).unwrap();
            errors.join().unwrap();
            writeln!(stdout(), "\nTICKS {}", ticks.get()).unwrap();
        })
        .unwrap();
        leave();
    }
    let mut child = again(NAME).spawn().unwrap();
    std::thread::sleep(ms(600));
    let mut errors = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        errors.read_to_end(&mut all).unwrap();
        all
    });
    let output = child.wait_with_output().unwrap();
    let errors = reader.join().unwrap();
    assert_eq!(errors.iter().filter(|&&byte| byte == b'e').count(), 300_000);
    let body = after(&output.stdout, "\nMARK\n");
    assert!(body[..300_000].iter().all(|&byte| byte == b'o'));
    let ticks = String::from_utf8_lossy(after(body, "TICKS ")).trim().parse::<u32>().unwrap();
    assert!(ticks > 8, "{ticks} ticks while the pipe was not read for 600 ms");
}

#[test]
fn a_shared_description_keeps_its_mode() {
    const NAME: &str = "a_shared_description_keeps_its_mode";
    if support::asked().is_some() {
        run(|| {
            let mut line = String::new();
            stdin().read_line(&mut line).unwrap();
            writeln!(stdout(), "MODE {}", is_nonblocking(0) || is_nonblocking(1)).unwrap();
            // The user looks at the stopped output for a while.
            stdin().read_line(&mut line).unwrap();
        })
        .unwrap();
        leave();
    }
    let (rx, mut tx) = std::io::pipe().unwrap();
    let ours = rx.try_clone().unwrap();
    let mut child = again(NAME).stdin(rx).spawn().unwrap();
    tx.write_all(b"x\n").unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mode = lines.find_map(|line| Some(line.unwrap().split_once("MODE ")?.1.to_owned()));
    assert_eq!(mode.unwrap(), "false");
    assert!(!is_nonblocking(ours.as_raw_fd()));
    drop(tx);
    assert!(child.wait().unwrap().success());
    let (mut master, slave) = terminal();
    let mut child = on_terminal(NAME, &slave);
    master.write_all(b"x\n").unwrap();
    until(&mut master, "MODE false");
    assert!(!is_nonblocking(slave.as_raw_fd()), "the terminal's other users would notice");
    master.write_all(b"x\n").unwrap();
    assert!(child.wait().unwrap().success());
}

/// Starts the child with its three streams on a terminal, which is its controlling one.
fn on_terminal(test: &str, slave: &File) -> Child {
    let mut command = again(test);
    let stream = || Stdio::from(slave.try_clone().unwrap());
    command.stdin(stream()).stdout(stream()).stderr(stream());
    // SAFETY: both calls are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

#[test]
fn a_terminal_blocks_only_the_tasklet() {
    const NAME: &str = "a_terminal_blocks_only_the_tasklet";
    if support::asked().is_some() {
        run_until(|| {
            let ticks = ticks();
            assert!(stdin().is_terminal() && stdout().is_terminal());
            writeln!(stdout(), "ASK").unwrap();
            let reader = spawn(|| stdin().lines().next().unwrap().unwrap());
            wait_until("neighbours run", || ticks.get() > 10);
            assert!(!reader.is_finished());
            writeln!(stdout(), "TICKED").unwrap();
            let line = reader.join().unwrap();
            writeln!(stderr(), "HEARD {line}").unwrap();
            // The user stops the output (Ctrl-S), and much is to be written.
            assert_eq!(stdin().lines().next().unwrap().unwrap(), "stopped");
            let before = ticks.get();
            let begin = Instant::now();
            for _ in 0..200 {
                writeln!(stdout(), "{:100}", "much").unwrap();
            }
            let took = begin.elapsed().as_millis() as u32;
            let ticked = ticks.get() - before;
            let is_aside = took >= 200 && ticked >= 5;
            writeln!(stdout(), "TOOK {is_aside}: {took} ms, {ticked} ticks").unwrap();
            // A reader that is killed takes no line with it.
            let killed = spawn(|| stdin().lines().next());
            yield_now();
            killed.kill();
            assert!(matches!(killed.join(), Err(JoinError::Killed)));
            writeln!(stdout(), "MORE").unwrap();
            let line = stdin().lines().next().unwrap().unwrap();
            writeln!(stdout(), "LAST {line}").unwrap();
        })
        .unwrap();
        leave();
    }
    let (mut master, slave) = terminal();
    let mut child = on_terminal(NAME, &slave);
    until(&mut master, "TICKED");
    master.write_all(b"an answer\n").unwrap();
    // The text includes the mark's end. Otherwise the end of the program would wait for the output
    // to go on.
    until(&mut master, "HEARD an answer\r\n");
    // SAFETY: stops and starts the output of an open terminal.
    assert_eq!(unsafe { libc::tcflow(slave.as_raw_fd(), libc::TCOOFF) }, 0);
    master.write_all(b"stopped\n").unwrap();
    std::thread::sleep(ms(1_000));
    // SAFETY: as above.
    assert_eq!(unsafe { libc::tcflow(slave.as_raw_fd(), libc::TCOON) }, 0);
    let text = until(&mut master, "MORE");
    assert_eq!(text.matches("much").count(), 200);
    assert!(text.contains("TOOK true"), "{text}");
    master.write_all(b"word\n").unwrap();
    until(&mut master, "LAST word");
    assert!(child.wait().unwrap().success());
}

#[test]
fn output_is_buffered_by_lines_and_written_at_the_exit() {
    const NAME: &str = "output_is_buffered_by_lines_and_written_at_the_exit";
    if support::asked().is_some() {
        run(|| {
            let mut out = stdout();
            write!(out, "\nMARK\nbegun ").unwrap();
            writeln!(stderr(), "FIRST").unwrap();
            // A complete line: its beginning comes out with it. std has a buffer of its own.
            println!("by println");
            writeln!(out, "and ended").unwrap();
            write!(out, "flushed ").unwrap();
            out.flush().unwrap();
            println!("by println");
            write!(out, "at the exit").unwrap();
            // From a tasklet, too.
            leave();
        })
        .unwrap();
    }
    let output = again(NAME).output().unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    let body = String::from_utf8_lossy(after(&output.stdout, "\nMARK\n")).into_owned();
    assert_eq!(body, "by println\nbegun and ended\nflushed by println\nat the exit");
}

#[test]
fn closed_streams_read_as_an_end_and_discard_output() {
    const NAME: &str = "closed_streams_read_as_an_end_and_discard_output";
    if support::asked().is_some() {
        let checked = run(|| {
            // std opens /dev/null for streams that are closed at the start, so they are closed
            // here.
            for fd in 0..3 {
                // SAFETY: no code relies on the streams of this child any more.
                unsafe { libc::close(fd) };
            }
            let mut text = String::new();
            stdin().read_to_string(&mut text).unwrap();
            let written = stdout().write_all(b"gone\n").and_then(|()| stdout().flush());
            text.is_empty() && written.is_ok() && stderr().write(b"gone").unwrap() == 4
        });
        std::process::exit(if checked.unwrap() { 7 } else { 1 });
    }
    let output = again(NAME).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", support::said(&output));
}

#[test]
fn a_reader_that_is_gone_is_an_error_and_no_signal() {
    const NAME: &str = "a_reader_that_is_gone_is_an_error_and_no_signal";
    if support::asked().is_some() {
        // SAFETY: sets a default disposition.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        run(|| {
            // The test's own output begins here, behind the text of the test harness.
            println!("\nMARK");
            let error = loop {
                match stdout().write_all(&[b'\n'; 1000]) {
                    Ok(()) => {}
                    Err(error) => break error,
                }
            };
            writeln!(stderr(), "ERROR {:?}", error.kind()).unwrap();
        })
        .unwrap();
        leave();
    }
    let mut child = again(NAME).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "MARK"));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!(after(&output.stderr, "ERROR "), b"BrokenPipe\n");
    assert!(output.status.success());
}

#[test]
fn a_lock_is_handed_on_in_turn_and_never_stops_the_thread() {
    const NAME: &str = "a_lock_is_handed_on_in_turn_and_never_stops_the_thread";
    if support::asked().is_some() {
        run_until(|| {
            let ticks = ticks();
            let mut lock = stdout().lock();
            // The owner takes it again.
            writeln!(stdout(), "\nMARK").unwrap();
            write!(lock, "a").unwrap();
            let order = Channel::<&str>::new();
            let write = |text: &'static str| {
                let order = order.clone();
                spawn(move || {
                    let mut lock = stdout().lock();
                    order.send(text).unwrap();
                    for _ in 0..3 {
                        write!(lock, "{text}").unwrap();
                        sleep(ms(1));
                    }
                })
            };
            let writers = [write("b"), write("c")];
            yield_now();
            let killed = spawn(|| drop(stdout().lock()));
            let thread = std::thread::spawn(|| write!(stdout().lock(), "d").unwrap());
            wait_until("neighbours run", || ticks.get() > 5);
            killed.kill();
            assert!(matches!(killed.join(), Err(JoinError::Killed)));
            // A caller that may not wait gets an error.
            let refused = spawn(|| overlapped::task::no_switch(|| stdout().write(b"x")));
            let refused = refused.join().unwrap().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::WouldBlock);
            write!(lock, "a").unwrap();
            drop(lock);
            assert_eq!((order.recv(), order.recv()), (Ok("b"), Ok("c")));
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            thread.join().unwrap();
            writeln!(stdout()).unwrap();
        })
        .unwrap();
        leave();
    }
    let output = again(NAME).output().unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    let body = String::from_utf8_lossy(after(&output.stdout, "\nMARK\n")).into_owned();
    assert!(["aabbbcccd\n", "aadbbbccc\n", "aabbbdccc\n"].contains(&body.as_str()), "{body:?}");
}

#[test]
fn outside_a_scheduler_the_streams_are_as_stds() {
    const NAME: &str = "outside_a_scheduler_the_streams_are_as_stds";
    if support::asked().is_some() {
        let mut text = String::new();
        stdin().lock().read_to_string(&mut text).unwrap();
        writeln!(stdout().lock(), "\nMARK\n{text}").unwrap();
        write!(stdout(), "kept").unwrap();
        leave();
    }
    let file = tempfile::tempfile().unwrap();
    (&file).write_all(b"from a file").unwrap();
    std::io::Seek::rewind(&mut &file).unwrap();
    let output = again(NAME).stdin(OwnedFd::from(file)).output().unwrap();
    assert_eq!(after(&output.stdout, "\nMARK\n"), b"from a file\nkept");
}

/// Has tasklets ask for the lock of standard output one after another. Returns how many have got
/// it.
fn contenders(count: u32) -> std::rc::Rc<std::cell::Cell<u32>> {
    let got = std::rc::Rc::new(std::cell::Cell::new(0));
    for _ in 0..count {
        let got = got.clone();
        spawn(move || {
            let _lock = stdout().lock();
            got.set(got.get() + 1);
        });
    }
    got
}

#[test]
fn a_lock_that_outlived_its_tasklet_belongs_to_no_other() {
    const NAME: &str = "a_lock_that_outlived_its_tasklet_belongs_to_no_other";
    if support::asked().is_some() {
        // The tasklet has ended, its block is freed, and others are made in its place.
        let mut lock = run_until(|| {
            let as_large = std::rc::Rc::new(0);
            let owner = spawn(move || (as_large, stdout().lock()).1);
            let lock = owner.join().unwrap();
            let got = contenders(50);
            sleep(ms(50));
            assert_eq!(got.get(), 0, "the tasklets of this run are kept out");
            lock
        })
        .unwrap();
        let theirs = std::thread::spawn(|| {
            run(|| {
                let got = contenders(50);
                sleep(ms(50));
                assert_eq!(got.get(), 0, "another thread's tasklets are kept out");
                stdout().lock().write_all(b"last").unwrap();
                got.get()
            })
        });
        let ours = run_until(|| {
            let got = contenders(50);
            sleep(ms(100));
            got.get()
        });
        assert_eq!(ours.unwrap(), 0, "the tasklets of the next run are kept out");
        lock.write_all(b"\nMARK\nfirst ").unwrap();
        drop(lock);
        assert_eq!(theirs.join().unwrap().unwrap(), 50, "a lock that is dropped is free");
        leave();
    }
    let output = again(NAME).output().unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    assert_eq!(after(&output.stdout, "\nMARK\n"), b"first last");
}

#[test]
fn a_lock_is_released_wherever_its_guard_is_dropped() {
    const NAME: &str = "a_lock_is_released_wherever_its_guard_is_dropped";
    if support::asked().is_some() {
        thread_local! {
            static KEPT: std::cell::RefCell<Vec<overlapped::io::StdoutLock<'static>>> =
                const { std::cell::RefCell::new(Vec::new()) };
        }
        run(|| {
            let channel = Channel::new();
            let inner = channel.clone();
            let sender = spawn(move || {
                inner.send(stdout().lock()).unwrap();
                stdout().lock()
            });
            // In another tasklet, while its owner lives, and after it has ended.
            let first = channel.recv().unwrap();
            let second = sender.join().unwrap();
            let got = contenders(1);
            yield_now();
            drop(first);
            yield_now();
            assert_eq!(got.get(), 0);
            drop(second);
            stdout().lock().flush().unwrap();
            assert_eq!(got.get(), 1);
            // Dropped with the thread's values, after the run.
            std::thread::spawn(|| run(|| KEPT.with_borrow_mut(|kept| kept.push(stdout().lock()))))
                .join()
                .unwrap()
                .unwrap();
            stdout().lock().write_all(b"\nMARK\nfree").unwrap();
        })
        .unwrap();
        leave();
    }
    let output = again(NAME).output().unwrap();
    assert!(output.status.success(), "{}", support::said(&output));
    assert_eq!(after(&output.stdout, "\nMARK\n"), b"free");
}

#[test]
fn a_stream_that_is_being_written_to_is_an_error_for_its_owner() {
    const NAME: &str = "a_stream_that_is_being_written_to_is_an_error_for_its_owner";
    if support::asked().is_some() {
        run_until(|| {
            // The guard is given to another tasklet, which waits in a write to a full pipe.
            let mut lock = stderr().lock();
            let writer = spawn(move || lock.write_all(&vec![b'e'; 300_000]));
            yield_now();
            let error = stderr().write(b"x").unwrap_err();
            writeln!(stdout(), "\nMARK\n{:?}", error.kind()).unwrap();
            stdout().flush().unwrap();
            writer.join().unwrap().unwrap();
        })
        .unwrap();
        leave();
    }
    let mut child = again(NAME).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap() == "MARK");
    let kind = lines.next().map(Result::unwrap);
    let output = child.wait_with_output().unwrap();
    assert_eq!(kind.as_deref(), Some("ResourceBusy"), "{}", support::said(&output));
    assert!(output.status.success());
}

#[test]
fn a_wait_for_a_lock_while_unwinding_names_the_tasklet_and_the_remedy() {
    const NAME: &str = "a_wait_for_a_lock_while_unwinding_names_the_tasklet_and_the_remedy";
    struct Writes;
    impl Drop for Writes {
        fn drop(&mut self) {
            // The handle returns an error; its lock ends the process.
            let error = stdout().write(b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            let _ = stdout().lock();
        }
    }
    if support::asked().is_some() {
        run(|| {
            let _lock = stdout().lock();
            let victim = overlapped::Builder::new().name("victim").spawn(|| {
                let _writes = Writes;
                overlapped::task::pause();
            });
            yield_now();
            victim.as_ref().unwrap().kill();
            drop(victim.unwrap().join());
        })
        .unwrap();
        leave();
    }
    let output = again(NAME).output().unwrap();
    let said = support::said(&output);
    let text = "overlapped: tasklet 2 'victim' is unwinding and would have to wait for the lock of \
                standard output, which another caller holds";
    assert!(said.contains(text) && said.contains("Write by the handle instead"), "{said}");
}
