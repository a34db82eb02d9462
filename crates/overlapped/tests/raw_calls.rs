//! Transfers on borrowed descriptors with borrowed memory. The descriptors stay in blocking mode.
#![cfg(not(miri))]

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use overlapped::os::fd::raw;
use overlapped::task::{Cancelled, kill_as_error};
use overlapped::time::{Duration, timeout};
use overlapped::{run, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);

fn recv(fd: impl AsFd, flags: i32, limit: Option<Duration>) -> io::Result<Vec<u8>> {
    let mut buf = [0; 64];
    // SAFETY: the buffer is on this frame and is not touched meanwhile.
    let n = unsafe { raw::recv(fd.as_fd(), buf.as_mut_ptr(), buf.len(), flags, limit) }?;
    Ok(buf[..n].to_vec())
}

fn send(fd: impl AsFd, bytes: &[u8], limit: Option<Duration>) -> io::Result<usize> {
    // SAFETY: borrowed for the call.
    unsafe { raw::send(fd.as_fd(), bytes.as_ptr(), bytes.len(), 0, limit) }
}

/// Accepts: returns the new socket, and the port in the peer's address.
fn accept(fd: &impl AsFd, flags: i32, limit: Option<Duration>) -> io::Result<(OwnedFd, u16)> {
    // SAFETY: all zero is an address.
    let mut from: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&from) as u32;
    // SAFETY: room for an address, and its size.
    let socket =
        unsafe { raw::accept4(fd.as_fd(), (&raw mut from).cast(), &mut len, flags, limit) }?;
    assert_eq!(len as usize, size_of_val(&from));
    Ok((socket, u16::from_be(from.sin_port)))
}

fn is_blocking(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK == 0 }
}

#[test]
fn a_call_blocks_its_tasklet_only_and_keeps_the_mode() {
    run(|| {
        let (mut tx, rx) = UnixStream::pair().unwrap();
        let rx = Rc::new(rx);
        let theirs = rx.clone();
        let reader = spawn(move || {
            let peeked = recv(&*theirs, libc::MSG_PEEK, None).unwrap();
            let all = recv(&*theirs, 0, None).unwrap();
            (peeked, all, recv(&*theirs, libc::MSG_DONTWAIT, None).unwrap_err().kind())
        });
        yield_now();
        assert!(is_blocking(rx.as_fd()), "while it is waited for");
        tx.write_all(b"hello").unwrap();
        let (peeked, all, empty) = reader.join().unwrap();
        assert_eq!((&peeked[..], &all[..]), (&b"hello"[..], &b"hello"[..]));
        assert_eq!(empty, ErrorKind::WouldBlock);
        assert!(is_blocking(rx.as_fd()));
        drop(tx);
        assert_eq!(recv(&*rx, 0, None).unwrap(), b"", "the end");
    })
    .unwrap();
}

#[test]
fn a_limit_a_deadline_and_a_kill_are_distinguished() {
    run(|| {
        let (_tx, rx) = UnixStream::pair().unwrap();
        let own = recv(&rx, 0, Some(MS)).unwrap_err();
        assert_eq!((own.kind(), Cancelled::of(&own)), (ErrorKind::WouldBlock, None));
        for flags in [0, libc::MSG_TRUNC] {
            let late = timeout(MS, || recv(&rx, flags, None)).unwrap_err();
            assert_eq!(Cancelled::of(&late), Some(Cancelled::Deadline));
        }
        let waiter = spawn(move || kill_as_error(|| recv(&rx, 0, None)));
        yield_now();
        waiter.kill();
        let killed = waiter.join().unwrap().unwrap_err();
        assert_eq!(Cancelled::of(&killed), Some(Cancelled::Kill));
    })
    .unwrap();
}

#[test]
fn a_kill_that_meets_bytes_loses_none() {
    run(|| {
        for _ in 0..200 {
            let (mut tx, rx) = UnixStream::pair().unwrap();
            let rx = Rc::new(rx);
            let theirs = rx.clone();
            let waiter = spawn(move || kill_as_error(|| recv(&*theirs, 0, None)));
            yield_now();
            tx.write_all(b"x").unwrap();
            waiter.kill();
            let got = waiter.join().unwrap();
            let got = got.unwrap_or_else(|_| recv(&*rx, libc::MSG_DONTWAIT, None).unwrap());
            assert_eq!(got, b"x");
        }
    })
    .unwrap();
}

/// Receives with `answer` as the callback that sets the limit. Also returns the number of its
/// calls.
fn ask(fd: impl AsFd, answer: fn() -> io::Result<Option<Duration>>) -> (io::Result<Vec<u8>>, u32) {
    let (mut buf, mut asked) = ([0; 64], 0);
    let limit = || {
        asked += 1;
        answer()
    };
    // SAFETY: the buffer is on this frame and is not touched meanwhile.
    let got = unsafe { raw::recv_within(fd.as_fd(), buf.as_mut_ptr(), buf.len(), 0, limit) };
    (got.map(|n| buf[..n].to_vec()), asked)
}

/// Makes the scheduler stop trying receives at once: many receives in a row find nothing.
fn receive_in_vain(rx: &UnixStream) {
    for _ in 0..10 {
        assert_eq!(recv(rx, 0, Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn the_callback_sets_the_limit_of_a_receive_that_would_wait() {
    run(|| {
        let (mut tx, rx) = UnixStream::pair().unwrap();
        tx.write_all(b"x").unwrap();
        let (got, asked) = ask(&rx, || unreachable!());
        assert_eq!((got.unwrap(), asked), (b"x".to_vec(), 0));
        let (got, asked) = ask(&rx, || Ok(Some(MS)));
        assert_eq!((got.unwrap_err().kind(), asked), (ErrorKind::WouldBlock, 1));
    })
    .unwrap();
}

#[test]
fn a_receive_that_may_not_wait_returns_the_bytes_present() {
    run(|| {
        let not_to_wait = || Err(ErrorKind::WouldBlock.into());
        let (mut tx, rx) = UnixStream::pair().unwrap();
        for is_tried in [true, false] {
            if !is_tried {
                receive_in_vain(&rx);
            }
            let (got, _) = ask(&rx, not_to_wait);
            assert_eq!(got.unwrap_err().kind(), ErrorKind::WouldBlock);
            tx.write_all(b"x").unwrap();
            let (got, asked) = ask(&rx, not_to_wait);
            assert_eq!(got.unwrap(), b"x");
            assert_eq!(asked, u32::from(!is_tried));
        }
    })
    .unwrap();
}

#[test]
fn an_error_of_the_callback_ends_the_receive_and_takes_no_byte() {
    run(|| {
        let (mut tx, rx) = UnixStream::pair().unwrap();
        receive_in_vain(&rx);
        tx.write_all(b"x").unwrap();
        let (got, _) = ask(&rx, || Err(ErrorKind::Other.into()));
        assert_eq!(got.unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(recv(&rx, 0, None).unwrap(), b"x");
    })
    .unwrap();
}

#[test]
fn receives_that_are_not_tried_first_end_by_limit_deadline_and_kill() {
    run(|| {
        let (mut tx, rx) = UnixStream::pair().unwrap();
        receive_in_vain(&rx);
        let own = recv(&rx, 0, Some(MS)).unwrap_err();
        assert_eq!((own.kind(), Cancelled::of(&own)), (ErrorKind::WouldBlock, None));
        let late = timeout(MS, || recv(&rx, 0, None)).unwrap_err();
        assert_eq!(Cancelled::of(&late), Some(Cancelled::Deadline));
        let late = timeout(Duration::ZERO, || recv(&rx, 0, None)).unwrap_err();
        assert_eq!(Cancelled::of(&late), Some(Cancelled::Deadline));
        let rx = Rc::new(rx);
        let theirs = rx.clone();
        let waiter = spawn(move || kill_as_error(|| recv(&*theirs, 0, None)));
        yield_now();
        waiter.kill();
        let killed = waiter.join().unwrap().unwrap_err();
        assert_eq!(Cancelled::of(&killed), Some(Cancelled::Kill));
        tx.write_all(b"x").unwrap();
        assert_eq!(
            recv(&*rx, 0, Some(Duration::ZERO)).unwrap(),
            b"x",
            "the present byte is returned"
        );
        drop(tx);
        assert_eq!(recv(&*rx, 0, None).unwrap(), b"", "the end");
    })
    .unwrap();
}

#[test]
fn a_kill_that_meets_a_batched_send_keeps_its_result() {
    run(|| {
        for round in 0..40 {
            let pairs: Vec<_> = (0..20).map(|_| UnixStream::pair().unwrap()).collect();
            let (sent, senders): (Vec<_>, Vec<_>) = pairs
                .into_iter()
                .map(|(tx, rx)| {
                    (
                        rx,
                        spawn(move || {
                            kill_as_error(|| (send(&tx, b"xy", None), send(&tx, b"z", None)))
                        }),
                    )
                })
                .unzip();
            if round % 2 == 0 {
                yield_now();
            }
            senders.iter().for_each(|sender| sender.kill());
            for (mut rx, sender) in sent.into_iter().zip(senders) {
                let told = match sender.join() {
                    Ok((first, second)) => first.unwrap_or(0) + second.unwrap_or(0),
                    // Killed before it began.
                    Err(_) => 0,
                };
                let mut got = Vec::new();
                rx.read_to_end(&mut got).unwrap();
                assert_eq!(got, &b"xyz"[..told]);
            }
        }
    })
    .unwrap();
}

#[test]
fn a_full_socket_makes_the_sender_wait_and_a_closed_one_is_an_error() {
    run(|| {
        let (tx, mut rx) = UnixStream::pair().unwrap();
        while send(&tx, &[1; 1 << 14], Some(Duration::ZERO)).is_ok() {}
        let sender = spawn(move || (send(&tx, &[2; 10], None), tx));
        yield_now();
        assert!(!sender.is_finished());
        let mut drained = vec![0; 1 << 20];
        while !sender.is_finished() {
            assert!(rx.read(&mut drained).unwrap() > 0);
            yield_now();
            overlapped::time::sleep(MS);
        }
        let (sent, tx) = sender.join().unwrap();
        assert_eq!(sent.unwrap(), 10);
        drop(rx);
        assert_eq!(send(&tx, b"x", None).unwrap_err().kind(), ErrorKind::BrokenPipe);
    })
    .unwrap();
}

#[test]
fn messages_are_sent_and_received_by_their_header() {
    run(|| {
        let (tx, rx) = UnixStream::pair().unwrap();
        let receiver = spawn(move || {
            let (mut a, mut b) = ([0; 2], [0; 8]);
            let mut slices = [
                libc::iovec { iov_base: a.as_mut_ptr().cast(), iov_len: a.len() },
                libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() },
            ];
            // SAFETY: all zero is the empty header; it points to memory of this frame.
            let n = unsafe {
                let mut header: libc::msghdr = std::mem::zeroed();
                (header.msg_iov, header.msg_iovlen) = (slices.as_mut_ptr(), 2);
                raw::recvmsg(rx.as_fd(), (&raw mut header).cast(), 0, None)
            };
            (n.unwrap(), a, b)
        });
        yield_now();
        let mut bytes = *b"hello";
        let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 5 };
        // SAFETY: as above.
        let sent = unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            (header.msg_iov, header.msg_iovlen) = (&raw mut slice, 1);
            raw::sendmsg(tx.as_fd(), (&raw const header).cast(), 0, None)
        };
        assert_eq!(sent.unwrap(), 5);
        assert_eq!(receiver.join().unwrap(), (5, *b"he", *b"llo\0\0\0\0\0"));
    })
    .unwrap();
}

#[test]
fn pipes_are_read_and_written_at_the_cursor() {
    run(|| {
        let (rx, tx) = io::pipe().unwrap();
        let reader = spawn(move || {
            let mut buf = [0; 8];
            // SAFETY: the buffer is on this frame.
            let n = unsafe { raw::read(rx.as_fd(), buf.as_mut_ptr(), buf.len(), None) }.unwrap();
            assert!(is_blocking(rx.as_fd()));
            buf[..n].to_vec()
        });
        yield_now();
        // SAFETY: the bytes are a constant.
        let n = unsafe { raw::write(tx.as_fd(), b"hello".as_ptr(), 5, None) }.unwrap();
        assert_eq!((n, &reader.join().unwrap()[..]), (5, &b"hello"[..]));
    })
    .unwrap();
}

#[test]
fn a_listener_in_blocking_mode_accepts_and_a_socket_connects() {
    run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let late = accept(&listener, 0, Some(MS)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::WouldBlock);
        let listener = Rc::new(listener);
        let theirs = listener.clone();
        let acceptor =
            spawn(move || accept(&theirs, libc::SOCK_CLOEXEC, None).map(|(socket, _)| socket));
        yield_now();
        assert!(is_blocking(listener.as_fd()));
        // SAFETY: plain calls; the address is valid for reads.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            let socket = <std::net::TcpStream as std::os::fd::FromRawFd>::from_raw_fd(fd);
            let mut to: libc::sockaddr_in = std::mem::zeroed();
            to.sin_family = libc::AF_INET as _;
            to.sin_port = port.to_be();
            to.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
            let len = size_of_val(&to);
            raw::connect(socket.as_fd(), (&raw const to).cast(), len, None).unwrap();
            let long = raw::connect(socket.as_fd(), (&raw const to).cast(), 4096, None);
            assert_eq!(long.unwrap_err().kind(), ErrorKind::InvalidInput);
            socket
        };
        let accepted = acceptor.join().unwrap().unwrap();
        assert!(is_blocking(accepted.as_fd()) && is_blocking(socket.as_fd()));
        // SAFETY: no memory is involved.
        let flags = unsafe { libc::fcntl(accepted.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        send(&socket, b"x", None).unwrap();
        assert_eq!(recv(&accepted, 0, None).unwrap(), b"x");
    })
    .unwrap();
}
