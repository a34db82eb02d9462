//! The public completion port, on both backends.

mod support;

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use overlapped::port::{Descriptor, Done, Event, Port, PortChoice, Request};
use support::{alone, open_descriptors, tcp_pair};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `test` on every backend that this machine has.
fn everywhere(test: impl Fn(&mut Port)) {
    for choice in [PortChoice::Uring, PortChoice::Poll] {
        match Port::open_with(choice) {
            Ok(mut port) => test(&mut port),
            Err(error) if choice == PortChoice::Uring => {
                eprintln!("SKIPPED: no io_uring here, not tested on it: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits for the next event.
fn next(port: &mut Port) -> Event {
    let late = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while events.is_empty() {
        assert!(Instant::now() < late, "{}: nothing comes", port.name());
        // Returns one event: the tests have only one operation in flight.
        port.wait(Some(PATIENCE), &mut events).unwrap();
    }
    assert_eq!(events.len(), 1);
    events.remove(0)
}

fn count(event: &Event) -> usize {
    match event.result {
        Ok(Done::Transferred(count)) => count,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_conversation_over_sockets_that_block() {
    everywhere(|port| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = Descriptor::from(listener);
        let accept = port.submit(1, Request::accept(&listener)).unwrap();
        let mut none = Vec::new();
        port.wait(Some(Duration::from_millis(5)), &mut none).unwrap();
        assert!(none.is_empty(), "no client has connected");

        let mut client = TcpStream::connect(addr).unwrap();
        let event = next(port);
        assert_eq!((event.key, event.id), (1, accept));
        let Ok(Done::Accepted { socket, peer }) = event.result else { panic!("{event:?}") };
        assert_eq!(peer, Some(client.local_addr().unwrap()));

        let socket = Descriptor::from(socket);
        port.submit(2, Request::recv(&socket, Vec::with_capacity(16))).unwrap();
        client.write_all(b"ping").unwrap();
        let event = next(port);
        assert_eq!((event.key, count(&event)), (2, 4));
        let buffer = event.buffer.unwrap();
        assert_eq!(buffer, b"ping");

        port.submit(3, Request::send(&socket, buffer, 1)).unwrap();
        assert_eq!(count(&next(port)), 3);
        let mut answer = [0; 3];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ing");
        assert_eq!(port.in_flight(), 0);
    });
}

#[test]
fn a_connect_and_readiness() {
    everywhere(|port| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let socket = Descriptor::stream_for(&addr).unwrap();
        port.submit(1, Request::connect(&socket, addr)).unwrap();
        assert!(matches!(next(port).result, Ok(Done::Connected)));
        let (mut peer, _) = listener.accept().unwrap();
        port.submit(2, Request::writable(&socket)).unwrap();
        assert!(matches!(next(port).result, Ok(Done::Ready)));
        port.submit(3, Request::readable(&socket)).unwrap();
        peer.write_all(b"x").unwrap();
        assert!(matches!(next(port).result, Ok(Done::Ready)));
    });
}

#[test]
fn receives_append_and_never_reallocate() {
    everywhere(|port| {
        let (ours, mut peer) = tcp_pair();
        let ours = Descriptor::from(ours);
        let mut buffer = Vec::with_capacity(8);
        buffer.extend_from_slice(b"abc");
        let room = buffer.capacity();
        peer.write_all(b"0123456789").unwrap();
        port.submit(0, Request::recv(&ours, buffer)).unwrap();
        let buffer = next(port).buffer.unwrap();
        assert_eq!(buffer.capacity(), room);
        assert_eq!(buffer, b"abc01234");
        let error = port.submit(0, Request::recv(&ours, buffer)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "a full buffer is no end of stream");
    });
}

#[test]
fn files_go_by_offset() {
    everywhere(|port| {
        let file = Descriptor::from(tempfile::tempfile().unwrap());
        port.submit(0, Request::write_at(&file, b"0123456789".to_vec(), 2, 4)).unwrap();
        assert_eq!(count(&next(port)), 8);
        port.submit(0, Request::read_at(&file, Vec::with_capacity(100), 2)).unwrap();
        assert_eq!(next(port).buffer.unwrap(), b"\0\x0023456789");
        let null = Descriptor::from(File::options().write(true).open("/dev/null").unwrap());
        port.submit(0, Request::write(&null, vec![1; 10], 0)).unwrap();
        assert_eq!(count(&next(port)), 10);
    });
}

#[test]
fn direct_io_at_the_cursor_is_refused() {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mut options = File::options();
    options.read(true).write(true).create(true).custom_flags(libc::O_DIRECT);
    let file = match options.open(folder.path().join("direct")) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            eprintln!("SKIPPED: no direct I/O here: {error}");
            return;
        }
        file => Descriptor::from(file.unwrap()),
    };
    everywhere(|port| {
        let error = port.submit(0, Request::read(&file, Vec::with_capacity(4096))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("read_at"), "{error}");
    });
}

/// As many events as were submitted, in the order in which they came.
fn all(port: &mut Port) -> Vec<Event> {
    let mut events = Vec::new();
    while port.in_flight() > 0 {
        port.wait(Some(PATIENCE), &mut events).unwrap();
    }
    events
}

#[test]
fn transfers_at_a_files_cursor_are_done_in_the_order_of_submission() {
    const BLOCK: usize = 5_000;
    const BLOCKS: u64 = 100;
    everywhere(|port| {
        let mut file = tempfile::tempfile().unwrap();
        // Duplicates share the cursor.
        let twin = Descriptor::from(file.try_clone().unwrap());
        let one = Descriptor::from(file.try_clone().unwrap());
        let either = |key: u64| if key.is_multiple_of(2) { &one } else { &twin };
        for key in 0..BLOCKS {
            port.submit(key, Request::write(either(key), vec![key as u8; BLOCK], 0)).unwrap();
        }
        let keys: Vec<u64> = all(port).iter().map(|event| event.key).collect();
        assert_eq!(keys, (0..BLOCKS).collect::<Vec<_>>(), "{}", port.name());
        let whole = std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        assert_eq!(whole.len(), BLOCK * BLOCKS as usize, "{}: written over", port.name());
        for (key, block) in whole.chunks(BLOCK).enumerate() {
            assert!(block.iter().all(|&byte| byte == key as u8), "{}: {key}", port.name());
        }
        // Reads of cached pages would be done in place, one after another, and prove nothing.
        file.sync_all().unwrap();
        // SAFETY: an open descriptor.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        file.rewind().unwrap();
        for key in 0..=BLOCKS {
            port.submit(key, Request::read(either(key), Vec::with_capacity(BLOCK))).unwrap();
        }
        for (key, event) in all(port).into_iter().enumerate() {
            let expected = vec![key as u8; if key < BLOCKS as usize { BLOCK } else { 0 }];
            assert_eq!((event.key, event.buffer.unwrap()), (key as u64, expected));
        }
    });
}

#[test]
fn a_waiter_for_a_cursor_can_leave_and_delays_no_other() {
    everywhere(|port| {
        let file = Descriptor::from(tempfile::tempfile().unwrap());
        let ids: Vec<_> = (0..10)
            .map(|key| port.submit(key, Request::write(&file, vec![key as u8; 100], 0)).unwrap())
            .collect();
        for &id in ids.iter().skip(1).step_by(2) {
            port.cancel(id);
            port.cancel(id);
        }
        let mut written = Vec::new();
        for event in all(port) {
            if event.is_cancelled() {
                assert_eq!(event.key % 2, 1);
                assert_eq!(event.buffer.unwrap(), [event.key as u8; 100]);
            } else {
                assert_eq!(count(&event), 100);
                written.push(event.key as u8);
            }
        }
        port.submit(0, Request::read_at(&file, Vec::with_capacity(2000), 0)).unwrap();
        let whole = next(port).buffer.unwrap();
        assert_eq!(whole, written.iter().flat_map(|&key| [key; 100]).collect::<Vec<_>>());
        assert!(written.len() >= 5, "no other operation was cancelled");
        if port.name() == "uring" {
            assert_eq!(written, [0, 2, 4, 6, 8], "they had not started");
        }
    });
}

#[test]
fn a_cancelled_operation_returns_all_that_it_owns() {
    everywhere(|port| {
        let (ours, _peer) = tcp_pair();
        let id = port.submit(9, Request::recv(ours, Vec::with_capacity(77))).unwrap();
        port.wait(Some(Duration::ZERO), &mut Vec::new()).unwrap();
        port.cancel(id);
        port.cancel(id);
        let event = next(port);
        assert!(event.is_cancelled(), "{event:?}");
        assert_eq!(event.buffer.unwrap().capacity(), 77);
        event.descriptor.into_inner().expect("the only owner");
        port.cancel(id);
        assert_eq!(port.wait(Some(Duration::ZERO), &mut Vec::new()).unwrap(), 0);
    });
}

#[test]
fn an_id_of_one_port_means_nothing_to_another() {
    everywhere(|port| {
        let mut other = Port::open().unwrap();
        let (reader, mut writer) = std::io::pipe().unwrap();
        let (foreign, _writer) = std::io::pipe().unwrap();
        port.submit(1, Request::read(reader, Vec::with_capacity(4))).unwrap();
        let id = other.submit(1, Request::read(foreign, Vec::with_capacity(4))).unwrap();
        port.cancel(id);
        port.wait(Some(Duration::from_millis(5)), &mut Vec::new()).unwrap();
        writer.write_all(b"safe").unwrap();
        assert_eq!(count(&next(port)), 4);
    });
}

#[test]
fn requests_that_make_no_sense_are_refused_before_they_start() {
    everywhere(|port| {
        let (ours, _peer) = tcp_pair();
        let ours = Descriptor::from(ours);
        for request in [
            Request::recv(&ours, Vec::new()),
            Request::send(&ours, vec![1; 3], 4),
            Request::read_at(&ours, Vec::with_capacity(1), u64::MAX),
        ] {
            let error = port.submit(0, request).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        assert_eq!(port.in_flight(), 0);
    });
}

#[test]
fn errors_of_operations_come_as_events() {
    everywhere(|port| {
        let file = Descriptor::from(tempfile::tempfile().unwrap());
        port.submit(5, Request::recv(&file, Vec::with_capacity(3))).unwrap();
        let event = next(port);
        assert_eq!(event.result.unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
        assert_eq!(event.buffer.unwrap().capacity(), 3);
        let gone = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let socket = Descriptor::stream_for(&gone).unwrap();
        port.submit(6, Request::connect(socket, gone)).unwrap();
        let error = next(port).result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_port_dropped_in_the_middle_closes_and_frees_everything() {
    alone("a_port_dropped_in_the_middle_closes_and_frees_everything", || {
        for choice in [PortChoice::Uring, PortChoice::Poll] {
            let before = open_descriptors();
            leave_in_the_middle(choice);
            assert_eq!(open_descriptors(), before, "{choice:?}");
        }
    });
}

fn leave_in_the_middle(choice: PortChoice) {
    let Ok(mut port) = Port::open_with(choice) else {
        eprintln!("SKIPPED: no {choice:?} here");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = Descriptor::from(listener);
    let (pipe, _writer) = std::io::pipe().unwrap();
    let pipe = Descriptor::from(pipe);
    let file = Descriptor::from(tempfile::tempfile().unwrap());
    for key in 0..500 {
        port.submit(key, Request::write(&file, vec![1; 1000], 0)).unwrap();
        port.submit(key, Request::accept(&listener)).unwrap();
        port.submit(key, Request::read(&pipe, Vec::with_capacity(1000))).unwrap();
    }
    // Sockets that are accepted at the last moment belong to the port alone.
    let _clients: Vec<_> = (0..50).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let start = Instant::now();
    drop(port);
    assert!(start.elapsed() < support::within(Duration::from_secs(1)));
}

#[test]
fn a_write_to_a_socket_raises_no_sigpipe() {
    alone("a_write_to_a_socket_raises_no_sigpipe", || {
        // SAFETY: a valid signal and disposition.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        everywhere(|port| {
            let (ours, peer) = tcp_pair();
            drop(peer);
            let ours = Descriptor::from(ours);
            let mut buffer = vec![1; 10];
            loop {
                port.submit(0, Request::write(&ours, buffer, 0)).unwrap();
                let event = next(port);
                match event.result {
                    Ok(_) => buffer = event.buffer.unwrap(),
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                        buffer = event.buffer.unwrap();
                    }
                }
            }
        });
    });
}

#[test]
fn a_forgotten_port_leaks_and_does_no_other_harm() {
    everywhere(|port| {
        let choice = if port.name() == "poll" { PortChoice::Poll } else { PortChoice::Uring };
        let mut port = Port::open_with(choice).unwrap();
        let (ours, mut peer) = tcp_pair();
        port.submit(0, Request::recv(ours, Vec::with_capacity(4096))).unwrap();
        port.wait(Some(Duration::ZERO), &mut Vec::new()).unwrap();
        std::mem::forget(port);
        // If the port had freed the memory, it would be allocated again here.
        let probes: Vec<Vec<u8>> = (0..100).map(|_| vec![0; 4096]).collect();
        peer.write_all(&[0xff; 4096]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        assert!(probes.iter().all(|probe| probe.iter().all(|&byte| byte == 0)));
    });
}

#[test]
fn wait_appends_to_what_is_there() {
    everywhere(|port| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let reader = Descriptor::from(reader);
        writer.write_all(b"ab").unwrap();
        let mut events = Vec::new();
        for key in [1, 2] {
            port.submit(key, Request::read(&reader, Vec::with_capacity(1))).unwrap();
            let before = events.len();
            while events.len() == before {
                port.wait(None, &mut events).unwrap();
            }
        }
        assert_eq!(events.iter().map(|event| event.key).collect::<Vec<_>>(), [1, 2]);
    });
}

#[test]
fn a_notifier_wakes_a_port_from_another_thread_and_may_outlive_it() {
    everywhere(|port| {
        let notifier = port.notifier();
        let caller = support::thread_number();
        let waker = std::thread::spawn(move || {
            support::wait_until_blocked(caller);
            notifier.notify();
        });
        let start = Instant::now();
        port.wait(Some(PATIENCE), &mut Vec::new()).unwrap();
        assert!(start.elapsed() < PATIENCE / 2);
        waker.join().unwrap();
    });
    let late = Port::open().unwrap().notifier();
    late.notify();
}

#[test]
fn the_environment_chooses_and_a_bad_choice_is_a_clear_error() {
    const VARIABLE: &str = "OVERLAPPED_PORT_TEST_EXPECTS";
    if let Ok(expected) = std::env::var(VARIABLE) {
        match Port::open() {
            Ok(port) => assert_eq!(port.name(), expected),
            Err(error) => {
                assert_eq!(expected, "error");
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
        }
        return;
    }
    for (value, expected) in [("poll", "poll"), ("epoll", "error")] {
        let name = "the_environment_chooses_and_a_bad_choice_is_a_clear_error";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("OVERLAPPED_PORT", value)
            .env(VARIABLE, expected)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{value}");
    }
}
