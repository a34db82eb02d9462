//! Transfers on sockets return in tasklets what they return on threads: alone, beside other
//! tasklets that are ready (tries go in one batch then), and after receives that have found nothing
//! (they go to the port untried then).
#![allow(missing_docs)]
mod support;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;

use support::run_in_tasklet;

/// The result of a call, or its errno; and whether SIGPIPE was sent.
type Seen = (Result<isize, i32>, bool);

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Five bytes can be received.
    Data,
    /// Nothing can be received; the socket's own limit ends the wait.
    Limit,
    /// Nothing can be received; the socket is in non-blocking mode.
    Nonblocking,
    /// The peer has closed.
    Closed,
    /// This side is shut down for both directions.
    ShutDown,
    /// There is no room to send; the socket's own limit ends the wait.
    Full,
}

const STATES: [State; 6] =
    [State::Data, State::Limit, State::Nonblocking, State::Closed, State::ShutDown, State::Full];

const KINDS: [c_int; 3] = [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET];

const RECEIVES: [c_int; 6] = [
    0,
    libc::MSG_PEEK,
    libc::MSG_TRUNC,
    libc::MSG_DONTWAIT,
    libc::MSG_PEEK | libc::MSG_TRUNC,
    libc::MSG_CMSG_CLOEXEC,
];

const SENDS: [c_int; 4] =
    [0, libc::MSG_NOSIGNAL, libc::MSG_DONTWAIT, libc::MSG_NOSIGNAL | libc::MSG_MORE];

fn check(result: c_int) {
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn pair(kind: c_int, state: State) -> (OwnedFd, Option<OwnedFd>) {
    let mut fds = [0; 2];
    // SAFETY: room for two descriptors, which are new.
    let [ours, theirs] = unsafe {
        check(libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()));
        fds.map(|fd| OwnedFd::from_raw_fd(fd))
    };
    let fd = ours.as_raw_fd();
    // A datagram socket waits for ever if the peer has closed.
    let limit = libc::timeval { tv_sec: 0, tv_usec: 3000 };
    let (place, len) = ((&raw const limit).cast(), size_of_val(&limit) as u32);
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        // SAFETY: a time.
        check(unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, place, len) });
    }
    match state {
        State::Data => {
            // SAFETY: five bytes.
            let sent = unsafe { libc::send(theirs.as_raw_fd(), b"hello".as_ptr().cast(), 5, 0) };
            assert_eq!(sent, 5);
        }
        State::Full => {
            let flags = libc::MSG_DONTWAIT;
            // SAFETY: as many bytes.
            while unsafe { libc::send(fd, [0_u8; 512].as_ptr().cast(), 512, flags) } > 0 {}
        }
        State::Limit => {}
        // SAFETY: flags.
        State::Nonblocking => check(unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) }),
        // SAFETY: no memory is involved.
        State::ShutDown => check(unsafe { libc::shutdown(fd, libc::SHUT_RDWR) }),
        State::Closed => return (ours, None),
    }
    (ours, Some(theirs))
}

/// Makes a call with SIGPIPE blocked, which only this thread can get.
fn seen(call: impl FnOnce() -> isize) -> Seen {
    // SAFETY: sets of signals, of this frame's.
    unsafe {
        let mut pipe: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut pipe, libc::SIGPIPE);
        let mut before = std::mem::zeroed();
        check(libc::pthread_sigmask(libc::SIG_BLOCK, &pipe, &mut before));
        let result = call();
        let outcome = if result < 0 {
            Err(io::Error::last_os_error().raw_os_error().unwrap())
        } else {
            Ok(result)
        };
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let signal = libc::sigtimedwait(&pipe, std::ptr::null_mut(), &none);
        check(libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()));
        (outcome, signal == libc::SIGPIPE)
    }
}

fn message(slice: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: zeros are the empty header.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (slice, 1);
    message
}

/// Makes every call in every state, each after `before`, and returns the results.
fn all(before: impl Fn()) -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    for (kind, state) in KINDS.into_iter().flat_map(|kind| STATES.map(|state| (kind, state))) {
        for flags in RECEIVES {
            for by_message in [false, true] {
                let (ours, _theirs) = pair(kind, state);
                let mut room = [0_u8; 3];
                let (place, fd) = (room.as_mut_ptr().cast::<c_void>(), ours.as_raw_fd());
                let mut slice = libc::iovec { iov_base: place, iov_len: 3 };
                before();
                // SAFETY: three bytes of room.
                let got = seen(|| unsafe {
                    match by_message {
                        false => libc::recv(fd, place, 3, flags),
                        true => libc::recvmsg(fd, &mut message(&mut slice), flags),
                    }
                });
                let name = format!("receive {kind} {state:?} {flags:x} {by_message} {room:?}");
                all.push((name, got));
            }
        }
        for flags in SENDS {
            for by_message in [false, true] {
                let (ours, _theirs) = pair(kind, state);
                let (place, fd) = (b"abc".as_ptr().cast::<c_void>(), ours.as_raw_fd());
                let mut slice = libc::iovec { iov_base: place.cast_mut(), iov_len: 3 };
                before();
                // SAFETY: three bytes.
                let got = seen(|| unsafe {
                    match by_message {
                        false => libc::send(fd, place, 3, flags),
                        true => libc::sendmsg(fd, &message(&mut slice), flags),
                    }
                });
                all.push((format!("send {kind} {state:?} {flags:x} {by_message}"), got));
            }
        }
    }
    // A descriptor that is no socket, an invalid one, and unmapped memory.
    let (_rx, tx) = io::pipe().unwrap();
    let (ours, _theirs) = pair(libc::SOCK_STREAM, State::Data);
    let nowhere = std::ptr::without_provenance_mut::<c_void>(8);
    let mut room = [0_u8; 1];
    let place = room.as_mut_ptr().cast::<c_void>();
    let odd = [
        ("a pipe", tx.as_raw_fd(), place, 1),
        ("-1", -1, place, 1),
        ("a closed descriptor", 1 << 20, place, 1),
        ("no memory", ours.as_raw_fd(), nowhere, 5),
        ("no byte", ours.as_raw_fd(), nowhere, 0),
    ];
    for flags in [0, libc::MSG_WAITALL] {
        before();
        // SAFETY: what is not there is refused by the kernel.
        let got = seen(|| unsafe { libc::recvmsg(ours.as_raw_fd(), nowhere.cast(), flags) });
        all.push((format!("receive: no header, {flags:x}"), got));
    }
    for (name, fd, place, len) in odd {
        before();
        // SAFETY: a byte; what is not there is refused by the kernel.
        let got = seen(|| unsafe { libc::recv(fd, place, len, 0) });
        all.push((format!("receive: {name}"), got));
        // SAFETY: as above.
        all.push((format!("send: {name}"), seen(|| unsafe { libc::send(fd, place, len, 0) })));
    }
    all
}

fn compare(inside: &[(String, Seen)], outside: &[(String, Seen)], how: &str) {
    assert_eq!(inside.len(), outside.len());
    for (inside, outside) in inside.iter().zip(outside) {
        assert_eq!(inside, outside, "{how}");
    }
}

/// Has receives go to the port untried: many in a row find nothing.
fn receive_in_vain() {
    let (ours, _theirs) = pair(libc::SOCK_STREAM, State::Nonblocking);
    let mut room = [0_u8; 1];
    for _ in 0..10 {
        // SAFETY: a byte of room.
        let got = unsafe { libc::recv(ours.as_raw_fd(), room.as_mut_ptr().cast(), 1, 0) };
        assert_eq!(got, -1);
    }
}

#[test]
fn transfers_give_in_tasklets_what_they_give_on_threads() {
    let outside = std::thread::spawn(|| all(|| ())).join().unwrap();
    assert!(outside.iter().any(|(_, seen)| seen.1), "SIGPIPE was seen");
    run_in_tasklet(|| {
        compare(&all(|| ()), &outside, "alone");
        compare(&all(receive_in_vain), &outside, "untried");
        let end = Rc::new(Cell::new(false));
        let ended = end.clone();
        let neighbour = overlapped::spawn(move || {
            while !ended.get() {
                overlapped::yield_now();
            }
        });
        compare(&all(|| ()), &outside, "beside a neighbour");
        compare(&all(receive_in_vain), &outside, "beside a neighbour, untried");
        end.set(true);
        neighbour.join().unwrap();
    });
}
