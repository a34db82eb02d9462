//! Dangers that need a process of their own: P8, P9, P12. Each test starts this test program again,
//! with an environment variable that names the child's role.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::net::{TcpListener, TcpStream, wait_readable, wait_writable};
use overlapped::time::{sleep, timeout};
use overlapped::{Config, JoinError, run, run_until, spawn, yield_now};
use support::{ms, rounds};

const PART: &str = "OVERLAPPED_TEST_PART";

/// Tells whether this process has the role `part`.
fn plays(part: &str) -> bool {
    std::env::var(PART).is_ok_and(|value| value == part)
}

/// Returns this program as a command for one test, under `command` (such as strace with its
/// arguments) or plain.
fn part(command: &[&str], part: &str, test: &str) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut line: Vec<String> = command.iter().map(|word| word.to_string()).collect();
    line.extend(
        [me.to_str().unwrap(), test, "--exact", "--nocapture", "--test-threads=1"]
            .map(String::from),
    );
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env(PART, part);
    command
}

/// Asserts the child's success, and returns its figures.
fn figure(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{text}\n{errors}", output.status);
    let line = text.lines().find_map(|line| line.split("FIGURE ").nth(1));
    line.unwrap_or_else(|| panic!("the child checked nothing:\n{text}\n{errors}")).to_owned()
}

fn cpu_time() -> Duration {
    // SAFETY: a zeroed rusage is valid and is overwritten.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &mut usage), 0);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1_000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[test]
fn p8_without_descriptors_accept_fails_loses_no_client_and_recovers() {
    const NAME: &str = "p8_without_descriptors_accept_fails_loses_no_client_and_recovers";
    let (clients, hold) = (rounds(200, 1_000), Duration::from_secs(rounds(1, 5) as u64));
    if !plays("emfile") {
        overlapped::port::raise_fd_limit().unwrap();
        let mut server = part(&[], "emfile", NAME)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let is_port =
            |line: String| line.split("PORT ").nth(1).map(|port| port.parse::<u16>().unwrap());
        let port = lines.by_ref().find_map(|line| is_port(line.unwrap()));
        let port = port.expect("the child listens");
        let streams: Vec<_> = (0..clients)
            .map(|i| {
                let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.write_all(format!("{i:05}").as_bytes()).unwrap();
                stream
            })
            .collect();
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        let mut output = server.wait_with_output().unwrap();
        output.stdout = rest.join("\n").into_bytes();
        drop(streams);
        println!("RELIABILITY P8 {clients} {}", figure(&output));
        return;
    }
    // SAFETY: a zeroed limit is valid, and both calls get a valid one.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = 64;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    let (starved, cpu, recovered) = run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        println!("\nPORT {}", listener.local_addr().unwrap().port());
        let mut held = Vec::new();
        let (mut starved, mut seen) = (0usize, std::collections::HashSet::new());
        // Accepts as many as there are descriptors, and holds them.
        let error = loop {
            match timeout(Duration::from_secs(5), || listener.accept()) {
                Ok((stream, _)) => held.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        let (begin, cpu) = (Instant::now(), cpu_time());
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let listener = listener.clone();
                spawn(move || {
                    let mut failed = 0usize;
                    while begin.elapsed() < hold {
                        assert_eq!(
                            listener.accept().unwrap_err().raw_os_error(),
                            Some(libc::EMFILE)
                        );
                        failed += 1;
                        sleep(ms(50));
                    }
                    failed
                })
            })
            .collect();
        waiting.into_iter().for_each(|tasklet| starved += tasklet.join().unwrap());
        let cpu = (cpu_time() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let mut recovered = None;
        while seen.len() < clients {
            for mut stream in held.drain(..) {
                let mut name = [0; 5];
                timeout(Duration::from_secs(5), || stream.read_exact(&mut name)).unwrap();
                assert!(seen.insert(name), "a client twice");
            }
            if seen.len() < clients {
                held.push(timeout(Duration::from_secs(5), || listener.accept()).unwrap().0);
                recovered.get_or_insert(begin.elapsed());
            }
        }
        (starved, cpu, recovered.unwrap())
    })
    .unwrap();
    assert!(
        starved > 0 && cpu < 0.1 && recovered < support::within(Duration::from_secs(1)),
        "{starved} {cpu} {recovered:?}"
    );
    println!(
        "FIGURE clients served, {starved} accepts refused meanwhile at {:.1} % CPU, \
         accepting again after {} us",
        cpu * 100.0,
        recovered.as_micros()
    );
}

#[test]
fn p9_writing_to_a_closed_end_is_an_error_and_not_a_signal() {
    const NAME: &str = "p9_writing_to_a_closed_end_is_an_error_and_not_a_signal";
    if !plays("sigpipe") {
        let figure = figure(&part(&[], "sigpipe", NAME).output().unwrap());
        println!("RELIABILITY P9 {figure}");
        return;
    }
    // SAFETY: sets a default disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let rounds = rounds(2_000, 10_000);
    let closed = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        (client, listener)
    };
    let mut checks = 0;
    let mut write_all_ways = |stream: &TcpStream| {
        let slices = [std::io::IoSlice::new(b"x")];
        for result in [(&*stream).write(b"x"), (&*stream).write_vectored(&slices)] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::BrokenPipe);
            checks += 1;
        }
    };
    // The cases: outside a scheduler, inside, in non-blocking mode, and if the tasklet may not
    // switch.
    let (stream, _listener) = closed();
    write_all_ways(&stream);
    run(|| {
        let (stream, _listener) = closed();
        for _ in 0..rounds {
            write_all_ways(&stream);
        }
        overlapped::task::no_switch(|| write_all_ways(&stream));
        stream.set_nonblocking(true).unwrap();
        write_all_ways(&stream);
        let (rx, mut tx) = std::io::pipe().unwrap();
        drop(rx);
        for _ in 0..rounds {
            wait_writable(&tx).unwrap();
            assert_eq!(tx.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
        // Through the port, from several tasklets at once; a child's input is such a pipe, too.
        let (rx, tx) = overlapped::io::pipe().unwrap();
        drop(rx);
        let tx = Rc::new(tx);
        let writers = [(); 4].map(|()| {
            let tx = tx.clone();
            spawn(move || {
                for _ in 0..rounds / 4 {
                    assert_eq!((&*tx).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
                }
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let mut ended = overlapped::process::Command::new("true");
        let mut ended = ended.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = ended.stdin.take().unwrap();
        ended.wait().unwrap();
        for _ in 0..rounds {
            assert_eq!(stdin.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        }
    })
    .unwrap();
    // After the run the thread is as it was, and no signal is pending.
    // SAFETY: both sets are valid places.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigpending(&mut set);
        assert_eq!(libc::sigismember(&set, libc::SIGPIPE), 0);
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        assert_eq!(libc::sigismember(&set, libc::SIGPIPE), 0, "still blocked");
    }
    println!(
        "FIGURE {} EPIPE each time on sockets and pipes, SIGPIPE at its default",
        checks + 2 * rounds + rounds / 4 * 4
    );
}

/// Runs calls that must work on any backend, quickly.
fn core_set() -> usize {
    let mut checks = 0;
    run_until(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let error = timeout(ms(5), || listener.accept()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let killed = spawn({
            let listener = listener.clone();
            move || listener.accept().map(drop)
        });
        yield_now();
        killed.kill();
        assert!(matches!(killed.join(), Err(JoinError::Killed)));
        spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                spawn(move || std::io::copy(&mut &stream, &mut &stream));
            }
        });
        let echoes: Vec<_> = (0..50u32)
            .map(|i| {
                spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    for round in 0..10 {
                        stream.write_all(&(i * round).to_le_bytes()).unwrap();
                        wait_readable(&stream).unwrap();
                        let mut buf = [0; 4];
                        stream.read_exact(&mut buf).unwrap();
                        assert_eq!(buf, (i * round).to_le_bytes());
                    }
                    stream.set_read_timeout(Some(ms(2))).unwrap();
                    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
                    stream.shutdown(Shutdown::Both).unwrap();
                    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                })
            })
            .collect();
        for echo in echoes {
            echo.join().unwrap();
            checks += 1;
        }
        assert!(TcpStream::connect("localhost:1").is_err());
    })
    .unwrap();
    checks + 5
}

#[test]
fn p12_where_io_uring_is_refused_everything_works_by_readiness() {
    const NAME: &str = "p12_where_io_uring_is_refused_everything_works_by_readiness";
    if plays("refused") {
        let asked = Config::new().port(overlapped::port::PortChoice::Uring).run(|| ());
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("io_uring cannot be used"), "{error}");
        println!("FIGURE {}", core_set());
        return;
    }
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED P12: strace is not installed, so nothing was checked");
        return;
    }
    let mut checks = 0;
    for refusal in ["EPERM", "ENOSYS"] {
        let inject = format!("inject=io_uring_setup:error={refusal}");
        let line = [
            "env",
            "-u",
            "OVERLAPPED_PORT",
            "strace",
            "-f",
            "--seccomp-bpf",
            "-e",
            "trace=io_uring_setup",
            "-e",
            &inject,
        ];
        let output = part(&line, "refused", NAME).output().unwrap();
        let trace = String::from_utf8_lossy(&output.stderr);
        if trace.contains("PTRACE") && !trace.contains("io_uring_setup(") {
            println!(
                "SKIPPED P12: this process may not trace: {}",
                trace.lines().next().unwrap_or("")
            );
            return;
        }
        checks += figure(&output).parse::<usize>().unwrap();
        let refusals = trace.matches("(INJECTED)").count();
        assert!(refusals >= 2, "not tested: {refusals} refusals\n{trace}");
    }
    println!(
        "RELIABILITY P12 {checks} io_uring_setup refused with EPERM and ENOSYS, all pass on poll"
    );
}
