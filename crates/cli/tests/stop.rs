//! The end of the server: signals with connections pending.
//!
//! Idle connections have a second for a request that may be on its way; requests in progress have
//! the time of `--drain`.

mod common;

use std::time::Duration;

use testkit::within;

use common::{Server, Signal, on_each_port, read_some, round_trip};

fn stops_cleanly(port: &str, signal: Signal, name: &str) {
    let server = Server::start(port, &[]);
    // One in the middle of a conversation, many that never sent anything.
    let mut talker = server.connect();
    round_trip(&mut talker, b"hello");
    let silent: Vec<_> = (0..100).map(|_| server.connect()).collect();
    round_trip(&mut talker, b"everybody before is accepted");
    let stopped = server.stop(signal);
    assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
    assert!(stopped.after < within(Duration::from_secs(3)), "{stopped:?}");
    assert!(stopped.stdout.starts_with(&format!("stopped by {name}\n")), "{stopped:?}");
    assert_eq!(stopped.count("left"), 0);
    assert_eq!(stopped.count("errors"), 0);
    assert!(stopped.count("open at the stop") >= 1);
    // All are closed: an end or a reset.
    for mut stream in silent {
        assert!(matches!(read_some(&mut stream, &mut [0; 1]), Ok(0) | Err(_)));
    }
    assert_eq!(read_some(&mut talker, &mut [0; 1]).unwrap(), 0);
}

#[test]
fn ctrl_c_stops_it_cleanly_with_connections_pending() {
    on_each_port(|port| stops_cleanly(port, Signal::INT, "SIGINT"));
}

#[test]
fn sigterm_stops_it_cleanly_with_connections_pending() {
    on_each_port(|port| stops_cleanly(port, Signal::TERM, "SIGTERM"));
}

#[test]
fn a_signal_stops_it_while_a_client_does_not_read() {
    on_each_port(|port| {
        let server = Server::start(port, &["--drain", "300ms"]);
        let stream = server.connect();
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        while std::io::Write::write_all(&mut (&stream), &[7; 1 << 16]).is_ok() {}
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
        assert!(stopped.after < within(Duration::from_secs(1)), "{stopped:?}");
        assert_eq!((stopped.count("cut"), stopped.count("left")), (1, 0));
    });
}

#[test]
fn a_signal_stops_it_at_the_limit_of_connections() {
    on_each_port(|port| {
        let server = Server::start(port, &["--max-connections", "1"]);
        let (mut served, _waiting) = (server.connect(), server.connect());
        round_trip(&mut served, b"served");
        let stopped = server.stop(Signal::INT);
        assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
        assert!(stopped.after < within(Duration::from_secs(3)), "{stopped:?}");
    });
}

#[test]
fn an_idle_server_takes_no_processor_time() {
    on_each_port(|port| {
        let server = Server::start(port, &[]);
        let _silent: Vec<_> = (0..10).map(|_| server.connect()).collect();
        // The server may have been late to accept the clients: at least one second of ten is idle.
        // A server that polls uses the processor in each.
        let second = || {
            let before = server.cpu();
            std::thread::sleep(Duration::from_secs(1));
            server.cpu() - before
        };
        let mut seen = Vec::new();
        while seen.last().is_none_or(|used| *used > Duration::from_millis(20)) {
            assert!(seen.len() < 10, "in seconds without anything to do: {seen:?}");
            seen.push(second());
        }
    });
}

#[test]
fn a_second_signal_ends_it_at_once() {
    on_each_port(|port| {
        let server = Server::start(port, &[]);
        let _silent = server.connect();
        // A stopped process gets both at the same moment, when it continues.
        for signal in [Signal::STOP, Signal::INT, Signal::TERM] {
            server.signal(signal);
        }
        let stopped = server.stop(Signal::CONT);
        assert!(matches!(stopped.status.code(), Some(130 | 143)), "{stopped:?}");
        assert_eq!(stopped.stdout, "", "no totals: it ended at once");
    });
}

#[test]
fn sigquit_shows_every_tasklet_and_the_server_continues() {
    on_each_port(|port| {
        let server = Server::start(port, &[]);
        let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
        for client in &mut clients {
            round_trip(client, b"before");
        }
        server.signal(Signal::QUIT);
        for client in &mut clients {
            round_trip(client, b"meanwhile");
        }
        // Resolving the symbols takes a while.
        server.wait_for_stderr(|message| message.matches("'serves 127.0.0.1:").count() == 5);
        for client in &mut clients {
            round_trip(client, b"after");
        }
        let stopped = server.stop(Signal::TERM);
        assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
        let sessions = stopped.stderr.matches("'serves 127.0.0.1:").count();
        assert_eq!(sessions, 5, "{}", stopped.stderr);
        assert!(stopped.stderr.contains("'accepts on 127.0.0.1:"), "{}", stopped.stderr);
        assert!(stopped.stderr.contains("overlapped_serve::session"), "{}", stopped.stderr);
        assert_eq!(stopped.count("left"), 0);
    });
}
