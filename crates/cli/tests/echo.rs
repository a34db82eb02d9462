//! `serve echo` with real clients: bytes, many clients, limits.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use testkit::{report, rounds, wait_until, within};

use common::{
    Server, Signal, finish_python, has_client, on_each_port, python, read_some, round_trip,
    start_python, try_round_trip,
};

fn target(server: &Server, more: &[String]) -> Vec<String> {
    let mut arguments = vec![server.addr.ip().to_string(), server.addr.port().to_string()];
    arguments.extend_from_slice(more);
    arguments
}

#[test]
fn the_first_line_names_the_address_and_the_port() {
    on_each_port(|port| {
        let server = Server::start(port, &[]);
        let expected = format!("listening on {} (port {port})\n", server.addr);
        assert_eq!(server.first_line, expected);
        assert_ne!(server.addr.port(), 0);
    });
}

#[test]
fn c1_many_megabytes_come_back_with_the_same_sha256() {
    on_each_port(|port| {
        let server = Server::start(port, &[]);
        let megabytes = rounds(64, 1024) as u64;
        let begin = Instant::now();
        let Some(message) = python("bulk.py", &target(&server, &[megabytes.to_string()])) else {
            return;
        };
        let seconds = begin.elapsed().as_secs_f64();
        let [sent, received, count] = message.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("the client said {message:?}")
        };
        assert_eq!(sent, received);
        assert_eq!(count.parse(), Ok(megabytes << 20));
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.count("bytes        in"), megabytes << 20);
        assert_eq!(stopped.count("out"), megabytes << 20);
        report("C1", 1, &format!("python3: {megabytes} MiB there and back in {seconds:.2} s"));
    });
}

/// The shell's own pipes feed the client, so that its half-close ends the transfer.
fn through_a_pipe(server: &Server, client: &str) {
    let megabytes = rounds(16, 1024);
    let (host, port) = (server.addr.ip(), server.addr.port());
    let client = client.replace("HOST", &host.to_string()).replace("PORT", &port.to_string());
    let script = format!(
        "set -e; dir=$(mktemp -d); trap 'rm -r \"$dir\"' EXIT; \
         head -c {megabytes}M /dev/urandom > \"$dir/data\"; \
         sha256sum < \"$dir/data\"; {client} < \"$dir/data\" | sha256sum"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let sums = String::from_utf8(output.stdout).unwrap();
    let [sent, received] = sums.lines().collect::<Vec<_>>()[..] else {
        panic!("{client} gave {sums:?}, {}", String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(sent, received, "{client}");
    let program = client.split(' ').next().unwrap_or_default();
    report("C1", 1, &format!("{program}: {megabytes} MiB"));
}

#[test]
fn c1_socat_gets_back_what_it_sent() {
    if has_client("socat") {
        on_each_port(|port| {
            through_a_pipe(&Server::start(port, &[]), "socat -t 10 - TCP:HOST:PORT")
        });
    }
}

#[test]
fn c1_nc_gets_back_what_it_sent() {
    if has_client("nc") {
        on_each_port(|port| through_a_pipe(&Server::start(port, &[]), "nc -N HOST PORT"));
    }
}

#[test]
fn c2_a_thousand_clients_half_of_them_killed_in_mid_transfer_leave_nothing_behind() {
    on_each_port(|port| {
        let server = Server::start(port, &[]);
        let before = server.descriptors_at_rest();
        let Some(message) = python("crowd.py", &target(&server, &["1000".to_owned()])) else {
            return;
        };
        assert_eq!(message, "answered 1000\n500 500\n");
        server.wait_for_descriptors(before);
        round_trip(&mut server.connect(), b"still alive");
        let stopped = server.stop(Signal::TERM);
        assert!(stopped.status.success(), "{stopped:?}");
        assert_eq!(stopped.count("accepted"), 1002);
        assert!(stopped.count("peak") >= 1000, "{stopped:?}");
        assert_eq!(stopped.count("left"), 0);
        assert_eq!(stopped.count("refusal"), 0);
        report("C2", 1000, "clients, 500 killed; no descriptor open, no tasklet left");
    });
}

#[test]
fn p8_without_free_descriptors_the_acceptor_idles_and_goes_on_when_there_are_some() {
    on_each_port(|port| {
        const LIMIT: usize = 64;
        let server =
            Server::start_with_descriptors(port, LIMIT, &["echo", "--listen", "127.0.0.1:0"]);
        let Some(mut clients) = start_python("hold.py", &target(&server, &["1000".to_owned()]))
        else {
            return;
        };
        let mut message = String::new();
        BufReader::new(clients.stdout.as_mut().unwrap()).read_line(&mut message).unwrap();
        assert_eq!(message, "held 1000\n");
        let begin = Instant::now();
        wait_until("its descriptors are in use", || server.descriptors() >= LIMIT - 2);
        // The log has the first pause once the acceptor has found no descriptor free.
        server.wait_for_stderr(|message| message.contains("cannot accept"));
        let held = Duration::from_secs(rounds(2, 5) as u64);
        let (then, before) = (Instant::now(), server.cpu());
        sleep(held);
        let load = (server.cpu() - before).as_secs_f64() / then.elapsed().as_secs_f64() * 100.0;
        assert!(load < 10.0, "{load:.1} % CPU without descriptors");
        // The last client waits behind the others. All of them are served.
        let mut late = server.connect();
        late.write_all(b"late").unwrap();
        drop(clients.stdin.take());
        let released = Instant::now();
        late.read_exact(&mut [0; 4]).unwrap();
        let again = released.elapsed();
        assert!(again < within(Duration::from_secs(1)), "accepting again after {again:?}");
        finish_python(clients);
        let stopped = server.stop(Signal::INT);
        assert!(stopped.status.success(), "{stopped:?}");
        assert_eq!(stopped.count("accepted"), 1001, "{stopped:?}");
        assert_eq!(stopped.count("left"), 0);
        // One per second.
        let complaints = stopped.stderr.matches("cannot accept").count() as u64;
        let most = begin.elapsed().as_secs() + 3;
        assert!((1..=most).contains(&complaints), "{complaints} in the log");
        let (seconds, again) = (held.as_secs(), again.as_millis());
        let figure = format!(
            "{port}: {load:.1} % CPU for {seconds} s without descriptors, accepting again after \
             {again} ms"
        );
        report("P8", 1001, &figure);
    });
}

#[test]
fn beyond_the_limit_of_connections_clients_wait_and_none_is_lost() {
    on_each_port(|port| {
        let server = Server::start(port, &["--max-connections", "4"]);
        let mut served: Vec<TcpStream> = (0..4).map(|_| server.connect()).collect();
        for stream in &mut served {
            round_trip(stream, b"served");
        }
        let mut waiting: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
        for stream in &mut waiting {
            stream.write_all(b"waiting").unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
            read_some(stream, &mut [0; 7]).expect_err("it is not accepted yet");
            stream.set_read_timeout(Some(within(Duration::from_secs(5)))).unwrap();
        }
        // Each client that leaves makes room for the next.
        for mut stream in waiting {
            drop(served.remove(0));
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"waiting");
            served.push(stream);
        }
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.count("accepted"), 12);
        assert_eq!(stopped.count("peak"), 4);
        assert_eq!(stopped.count("open at the stop"), 4);
        assert_eq!(stopped.count("left"), 0);
    });
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    on_each_port(|port| {
        // If the client itself was too late to be busy, the result means nothing, and the test
        // repeats.
        let mut limit = Duration::from_millis(300);
        while !one_of_two_is_closed(port, limit) {
            limit *= 3;
            assert!(limit < Duration::from_secs(30), "void: this machine is too slow");
        }
    });
}

/// Keeps one connection busy and the other idle for three times the limit; `false` if it was too
/// late to do so.
fn one_of_two_is_closed(port: &str, limit: Duration) -> bool {
    let server = Server::start(port, &["--idle-timeout", &format!("{}ms", limit.as_millis())]);
    let (mut idle, mut busy) = (server.connect(), server.connect());
    let (begin, mut last) = (Instant::now(), Instant::now());
    while begin.elapsed() < limit * 3 {
        sleep(limit / 4);
        let answered = try_round_trip(&mut busy, b"busy");
        if last.elapsed() > limit * 3 / 4 {
            return false;
        }
        answered.expect("it was busy");
        last = Instant::now();
    }
    assert_eq!(read_some(&mut idle, &mut [0; 1]).unwrap(), 0, "closed after {:?}", begin.elapsed());
    let stopped = server.stop(Signal::TERM);
    assert_eq!(stopped.count("errors"), 0);
    let closed = stopped.count("idleness");
    assert!(closed >= 1 && (closed == 1 || last.elapsed() > limit * 3 / 4), "{stopped:?}");
    closed == 1
}

#[test]
fn a_client_that_does_not_read_is_closed_as_too_slow() {
    on_each_port(|port| {
        let server = Server::start(port, &["--rate", "100000000", "--allowance", "300ms"]);
        let before = server.descriptors_at_rest();
        let mut stream = server.connect();
        stream.set_write_timeout(Some(within(Duration::from_secs(3)))).unwrap();
        // Writes until both ends' buffers are full and the server has given up.
        while stream.write_all(&[7; 1 << 16]).is_ok() {}
        server.wait_for_descriptors(before);
        assert_eq!(server.stop(Signal::TERM).count("slowness"), 1);
    });
}
