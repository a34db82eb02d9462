//! The sockets' types, conversions and threads.

mod support;

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use overlapped::net::{Incoming, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use overlapped::os::unix::net as unix;
use overlapped::{run, spawn, yield_now};
use support::pair;

fn is_nonblocking(fd: RawFd) -> bool {
    // SAFETY: F_GETFL changes nothing.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK != 0
}

fn is_close_on_exec(fd: RawFd) -> bool {
    // SAFETY: F_GETFD changes nothing.
    unsafe { libc::fcntl(fd, libc::F_GETFD) & libc::FD_CLOEXEC != 0 }
}

#[test]
fn the_types_have_the_traits_that_stds_have() {
    fn common<T>()
    where
        T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe + Debug + 'static,
        T: AsFd + AsRawFd + IntoRawFd + FromRawFd + From<OwnedFd> + Into<OwnedFd>,
    {
    }
    fn transfers<T: Read + Write>() {}
    fn resolves<T: ToSocketAddrs>() {}
    common::<std::net::TcpStream>();
    common::<std::net::TcpListener>();
    common::<TcpStream>();
    common::<TcpListener>();
    common::<UdpSocket>();
    common::<unix::UnixStream>();
    common::<unix::UnixListener>();
    common::<unix::UnixDatagram>();
    transfers::<TcpStream>();
    transfers::<&TcpStream>();
    transfers::<unix::UnixStream>();
    transfers::<&unix::UnixStream>();
    resolves::<(&str, u16)>();
    resolves::<(String, u16)>();
    resolves::<&[SocketAddr]>();
    resolves::<&str>();
    resolves::<&&String>();
    fn iterates<T: Iterator + Debug + Send + Sync>() {}
    iterates::<Incoming<'static>>();
    iterates::<unix::Incoming<'static>>();
    iterates::<<&'static unix::UnixListener as IntoIterator>::IntoIter>();
}

#[test]
fn a_std_type_gets_the_mode_that_was_asked_for() {
    run(|| {
        for asked in [false, true] {
            let (stream, _peer) = pair();
            assert!(is_close_on_exec(stream.as_raw_fd()));
            stream.set_nonblocking(asked).unwrap();
            let theirs = std::net::TcpStream::from(stream);
            assert_eq!(is_nonblocking(theirs.as_raw_fd()), asked);
            let ours = TcpStream::from(theirs);
            let fd = OwnedFd::from(ours);
            assert_eq!(is_nonblocking(fd.as_raw_fd()), asked);
            let raw = TcpStream::from(fd).into_raw_fd();
            assert_eq!(is_nonblocking(raw), asked);
            // SAFETY: the descriptor was just given up.
            let ours = unsafe { TcpStream::from_raw_fd(raw) };
            let kind = spawn(move || {
                ours.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                let begin = std::time::Instant::now();
                assert_eq!((&ours).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
                begin.elapsed() >= Duration::from_millis(5)
            });
            assert_eq!(kind.join().unwrap(), !asked, "it waits only in blocking mode");
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(asked).unwrap();
            assert_eq!(is_nonblocking(std::net::TcpListener::from(listener).as_raw_fd()), asked);
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            assert!(is_close_on_exec(socket.as_raw_fd()));
            socket.set_nonblocking(asked).unwrap();
            assert_eq!(is_nonblocking(std::net::UdpSocket::from(socket).as_raw_fd()), asked);
            for socket in <[_; 2]>::from(unix::UnixStream::pair().unwrap()) {
                assert!(is_close_on_exec(socket.as_raw_fd()));
                socket.set_nonblocking(asked).unwrap();
                let theirs = std::os::unix::net::UnixStream::from(socket);
                assert_eq!(is_nonblocking(theirs.as_raw_fd()), asked);
            }
            let (socket, _other) = unix::UnixDatagram::pair().unwrap();
            assert!(is_close_on_exec(socket.as_raw_fd()));
            socket.set_nonblocking(asked).unwrap();
            let theirs = std::os::unix::net::UnixDatagram::from(socket);
            assert_eq!(is_nonblocking(theirs.as_raw_fd()), asked);
        }
    })
    .unwrap();
}

#[test]
fn time_limits_survive_conversions_both_ways() {
    let limits = [Duration::from_nanos(1), Duration::from_millis(20), Duration::from_secs(3)];
    for limit in limits {
        let (stream, _peer) = pair();
        stream.set_read_timeout(Some(limit)).unwrap();
        stream.set_write_timeout(Some(limit)).unwrap();
        let theirs = std::net::TcpStream::from(stream);
        let near = |got: Option<Duration>| {
            let got = got.expect("a limit, not for ever");
            assert!(
                got >= limit && got < limit + Duration::from_millis(20),
                "{got:?} for {limit:?}"
            );
        };
        near(theirs.read_timeout().unwrap());
        near(theirs.write_timeout().unwrap());
        let ours = TcpStream::from(theirs);
        near(ours.read_timeout().unwrap());
        near(ours.write_timeout().unwrap());
    }
}

#[test]
fn a_socket_that_leaves_and_comes_back_under_any_number_is_waited_for() {
    run(|| {
        let (mut ours, mut peer) = pair();
        for round in 0..8u8 {
            let reader = spawn(move || {
                let mut byte = [0];
                ours.read_exact(&mut byte).unwrap();
                (ours, byte)
            });
            yield_now();
            peer.write_all(&[round]).unwrap();
            let (stream, byte) = reader.join().unwrap();
            assert_eq!(byte, [round]);
            let theirs = std::net::TcpStream::from(stream);
            // The socket gets the same number, another number with the first one closed, and
            // another one with it open.
            let duplicate = theirs.try_clone().unwrap();
            ours = match round % 3 {
                0 => {
                    drop(duplicate);
                    theirs.into()
                }
                1 => {
                    drop(theirs);
                    duplicate.into()
                }
                _ => duplicate.into(),
            };
        }
    })
    .unwrap();
}

#[test]
fn one_socket_is_used_by_three_schedulers_in_turn_and_outside_of_any() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let peer = std::thread::spawn(move || {
        run(|| {
            let stream = listener.accept().unwrap().0;
            std::io::copy(&mut &stream, &mut &stream).unwrap()
        })
        .unwrap()
    });
    let mut stream = std::thread::spawn(move || run(|| TcpStream::connect(addr).unwrap()).unwrap())
        .join()
        .unwrap();
    for round in 0..6u8 {
        let echo = move |mut stream: TcpStream| {
            stream.write_all(&[round; 10_000]).unwrap();
            let mut buf = [0; 10_000];
            stream.read_exact(&mut buf).unwrap();
            assert_eq!(buf, [round; 10_000]);
            stream
        };
        stream = match round % 2 {
            0 => std::thread::spawn(move || {
                run(|| spawn(move || echo(stream)).join().unwrap()).unwrap()
            })
            .join()
            .unwrap(),
            _ => echo(stream),
        };
    }
    drop(stream);
    assert_eq!(peer.join().unwrap(), 60_000);
}

#[test]
fn a_socket_can_be_closed_by_another_thread_when_its_reader_is_gone() {
    run(|| {
        for _ in 0..50 {
            let (stream, mut peer) = pair();
            let reader = spawn(move || {
                let kept = stream;
                let _ = (&kept).read(&mut [0; 8]).unwrap();
            });
            yield_now();
            reader.kill();
            assert!(reader.join().is_err());
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the killed reader's socket is closed");
            std::thread::spawn(move || drop(peer)).join().unwrap();
        }
    })
    .unwrap();
}

#[test]
fn a_listener_of_another_family_returns_an_error_and_goes_on() {
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("socket");
    let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    run(|| {
        let listener = TcpListener::from(OwnedFd::from(unix));
        for _ in 0..2 {
            let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
            let theirs = ErrorKind::InvalidInput;
            assert_eq!(listener.accept().unwrap_err().kind(), theirs);
            drop(client);
        }
    })
    .unwrap();
}

/// Then the kernel writes no address, and its memory must not be read.
#[test]
fn a_datagram_from_a_sender_without_a_name_is_an_error() {
    run(|| {
        for _ in 0..100 {
            let (one, other) = std::os::unix::net::UnixDatagram::pair().unwrap();
            let socket = UdpSocket::from(OwnedFd::from(one));
            other.send(b"unix").unwrap();
            let received = socket.recv_from(&mut [0; 4]);
            assert_eq!(received.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    })
    .unwrap();
}

#[test]
fn an_accepted_stream_inherits_the_same_options_as_std_s() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let limit = Some(Duration::from_millis(100));
    socket2::SockRef::from(&listener).set_read_timeout(limit).unwrap();
    let (_a, _b) = (TcpStream::connect(addr).unwrap(), TcpStream::connect(addr).unwrap());
    let theirs = listener.accept().unwrap().0.read_timeout().unwrap();
    let ours = TcpListener::from(listener).accept().unwrap().0.read_timeout().unwrap();
    assert_eq!(ours, theirs);
}
