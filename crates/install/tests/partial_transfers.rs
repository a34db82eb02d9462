//! Transfers that take several steps, on threads and in tasklets: the result of a call that has
//! moved some bytes and cannot go on, and what it leaves for the next one.
#![allow(missing_docs)]
mod support;

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::zeroed;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

use support::{ms, run_in_tasklet};

const BIG: usize = 8 << 20;

/// The result of a call, or its errno; and whether SIGPIPE was sent. `PART` is the result of a
/// large transfer that has moved some of it.
type Seen = (Result<isize, i32>, bool);

const PART: isize = -2;

fn seen(call: impl FnOnce() -> isize) -> Seen {
    // SAFETY: sets of signals, of this frame's.
    unsafe {
        let mut pipe: libc::sigset_t = zeroed();
        libc::sigaddset(&mut pipe, libc::SIGPIPE);
        let mut before = zeroed();
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &pipe, &mut before), 0);
        let result = call();
        let outcome = match result {
            -1 => Err(io::Error::last_os_error().raw_os_error().unwrap()),
            some if some > 1000 && some < BIG as isize => Ok(PART),
            all => Ok(all),
        };
        let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let signal = libc::sigtimedwait(&pipe, null_mut(), &none);
        assert_eq!(libc::pthread_sigmask(libc::SIG_SETMASK, &before, null_mut()), 0);
        (outcome, signal == libc::SIGPIPE)
    }
}

/// Makes a connected pair.
fn pair(is_tcp: bool) -> (OwnedFd, OwnedFd) {
    if is_tcp {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        return (ours.into(), listener.accept().unwrap().0.into());
    }
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    (ours.into(), theirs.into())
}

fn send_byte(fd: &impl AsRawFd) {
    // SAFETY: a byte.
    assert_eq!(unsafe { libc::send(fd.as_raw_fd(), b"x".as_ptr().cast(), 1, 0) }, 1);
}

/// Sends `count` bytes, one after the other.
fn trickle(to: OwnedFd, count: usize) -> thread::JoinHandle<OwnedFd> {
    thread::spawn(move || {
        for _ in 0..count {
            thread::sleep(ms(15));
            send_byte(&to);
        }
        thread::sleep(ms(40));
        to
    })
}

/// Waits until the receive queue is full, so that the sender waits, too.
fn until_full(fd: &impl AsRawFd) {
    let there = || {
        let mut count = 0 as c_int;
        // SAFETY: the kernel writes a number.
        assert_eq!(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) }, 0);
        count
    };
    let mut before = there();
    loop {
        thread::sleep(ms(30));
        let now = there();
        if now > 0 && now == before {
            return;
        }
        before = now;
    }
}

fn limit(fd: &impl AsRawFd, option: c_int, span: i64) {
    let limit = libc::timeval { tv_sec: 0, tv_usec: span * 1000 };
    let (place, len) = ((&raw const limit).cast(), size_of_val(&limit) as u32);
    // SAFETY: a time.
    let set = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, place, len) };
    assert_eq!(set, 0);
}

#[derive(Clone, Copy, Debug)]
enum How {
    Plain,
    From,
    Message,
}

/// Receives five bytes.
fn receive(fd: c_int, how: How, flags: c_int) -> Seen {
    let mut room = [0_u8; 5];
    let place = room.as_mut_ptr().cast::<c_void>();
    // SAFETY: five bytes of room, as one slice or two; room for a name.
    seen(|| unsafe {
        match how {
            How::Plain => libc::recv(fd, place, 5, flags),
            How::From => {
                let mut name: libc::sockaddr_storage = zeroed();
                let mut len = size_of_val(&name) as u32;
                libc::recvfrom(fd, place, 5, flags, (&raw mut name).cast(), &mut len)
            }
            How::Message => {
                let mut slices = [
                    libc::iovec { iov_base: place, iov_len: 2 },
                    libc::iovec { iov_base: place.add(2), iov_len: 3 },
                ];
                let mut message: libc::msghdr = zeroed();
                (message.msg_iov, message.msg_iovlen) = (slices.as_mut_ptr(), 2);
                libc::recvmsg(fd, &mut message, flags)
            }
        }
    })
}

/// Sends many bytes.
fn send(fd: c_int, how: How) -> Seen {
    let bytes = vec![1_u8; BIG];
    let place = bytes.as_ptr().cast::<c_void>();
    // SAFETY: as many bytes, as one slice or two.
    seen(|| unsafe {
        let mut slices = [
            libc::iovec { iov_base: place.cast_mut(), iov_len: 70_000 },
            libc::iovec { iov_base: place.add(70_000).cast_mut(), iov_len: BIG - 70_000 },
        ];
        match how {
            How::Plain => libc::send(fd, place, BIG, 0),
            How::From => libc::writev(fd, slices.as_ptr(), 2),
            How::Message => {
                let mut message: libc::msghdr = zeroed();
                (message.msg_iov, message.msg_iovlen) = (slices.as_mut_ptr(), 2);
                libc::sendmsg(fd, &message, 0)
            }
        }
    })
}

const ALL: [How; 3] = [How::Plain, How::From, How::Message];

fn whole_receives() -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    let mut add = |name: String, seen| all.push((name, seen));
    for is_tcp in [false, true] {
        for how in ALL {
            let (ours, theirs) = pair(is_tcp);
            let fd = ours.as_raw_fd();
            let sender = trickle(theirs, 5);
            add(format!("all {is_tcp} {how:?}"), receive(fd, how, libc::MSG_WAITALL));
            let sender = trickle(sender.join().unwrap(), 3);
            limit(&ours, libc::SO_RCVTIMEO, 500);
            add(format!("up to the limit {is_tcp} {how:?}"), receive(fd, how, libc::MSG_WAITALL));
            let sender = trickle(sender.join().unwrap(), 2);
            limit(&ours, libc::SO_RCVTIMEO, 0);
            let closer = thread::spawn(move || drop(sender.join()));
            add(format!("up to the end {is_tcp} {how:?}"), receive(fd, how, libc::MSG_WAITALL));
            add(format!("the end {is_tcp} {how:?}"), receive(fd, how, libc::MSG_WAITALL));
            closer.join().unwrap();
        }
        let (ours, theirs) = pair(is_tcp);
        let sender = trickle(theirs, 5);
        let flags = libc::MSG_WAITALL | libc::MSG_PEEK;
        add(format!("peek {is_tcp}"), receive(ours.as_raw_fd(), How::Plain, flags));
        sender.join().unwrap();
        add(format!("errors {is_tcp}"), receive(ours.as_raw_fd(), How::Plain, libc::MSG_ERRQUEUE));
    }
    all
}

/// An event in the life of a large send that has begun.
#[derive(Clone, Copy, Debug)]
enum Event {
    Closed,
    Reset,
    PeerReadsNoMore,
    ShutDown,
    Limit,
    Nonblocking,
    Handled,
}

const EVENTS: [Event; 7] = [
    Event::Closed,
    Event::Reset,
    Event::PeerReadsNoMore,
    Event::ShutDown,
    Event::Limit,
    Event::Nonblocking,
    Event::Handled,
];

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn handled(_: c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

fn cut_sends() -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    // SAFETY: an action, with SA_RESTART; it counts.
    let me = unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handled as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, null_mut()), 0);
        libc::pthread_self() as usize
    };
    for (is_tcp, event) in [false, true].into_iter().flat_map(|tcp| EVENTS.map(|one| (tcp, one))) {
        // TCP goes on sending to a peer that has stopped reading.
        if is_tcp && matches!(event, Event::PeerReadsNoMore) {
            continue;
        }
        for how in ALL {
            let (ours, theirs) = pair(is_tcp);
            let fd = ours.as_raw_fd();
            if matches!(event, Event::Limit) {
                limit(&ours, libc::SO_SNDTIMEO, 30);
            }
            let ended = Arc::new(AtomicBool::new(false));
            let has_ended = ended.clone();
            let cutter = thread::spawn(move || {
                until_full(&theirs);
                // SAFETY: options, flags and signals; the thread that sends lives.
                unsafe {
                    match event {
                        Event::Closed => return None,
                        Event::Reset => {
                            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                            libc::setsockopt(
                                theirs.as_raw_fd(),
                                libc::SOL_SOCKET,
                                libc::SO_LINGER,
                                (&raw const linger).cast(),
                                size_of_val(&linger) as u32,
                            );
                            return None;
                        }
                        Event::PeerReadsNoMore => {
                            libc::shutdown(theirs.as_raw_fd(), libc::SHUT_RD);
                        }
                        Event::ShutDown => {
                            libc::shutdown(fd, libc::SHUT_WR);
                        }
                        Event::Limit => {}
                        Event::Nonblocking => {
                            libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK);
                            let mut room = vec![0_u8; 1 << 16];
                            let place = room.as_mut_ptr().cast();
                            let mut left = BIG;
                            while left > 0 {
                                left -= libc::recv(theirs.as_raw_fd(), place, 1 << 16, 0) as usize;
                            }
                        }
                        Event::Handled => {
                            let mut room = vec![0_u8; 1 << 16];
                            libc::recv(theirs.as_raw_fd(), room.as_mut_ptr().cast(), 1 << 16, 0);
                            // A signal before the wait ends nothing, so it is repeated.
                            while !has_ended.load(SeqCst) {
                                thread::sleep(ms(20));
                                libc::pthread_kill(me as libc::pthread_t, libc::SIGUSR2);
                            }
                        }
                    }
                }
                Some(theirs)
            });
            all.push((format!("{is_tcp} {event:?} {how:?}"), send(fd, how)));
            ended.store(true, SeqCst);
            let theirs = cutter.join().unwrap();
            if matches!(event, Event::Closed | Event::Reset | Event::ShutDown) {
                // SAFETY: a byte.
                let next = || seen(|| unsafe { libc::send(fd, b"x".as_ptr().cast(), 1, 0) });
                all.push((format!("{is_tcp} {event:?} {how:?}: next"), next()));
                all.push((format!("{is_tcp} {event:?} {how:?}: the one after"), next()));
            }
            drop(theirs);
        }
    }
    all
}

fn many_messages() -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    for (name, flags, span) in
        [("all", 0, 0), ("one and what is there", libc::MSG_WAITFORONE, 0), ("limit", 0, 400)]
    {
        let mut fds = [0; 2];
        // SAFETY: room for two descriptors, which are new.
        let (ours, theirs) = unsafe {
            assert_eq!(libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, fds.as_mut_ptr()), 0);
            (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1]))
        };
        if span > 0 {
            limit(&ours, libc::SO_RCVTIMEO, span);
        }
        let sender = trickle(theirs, if span > 0 { 2 } else { 4 });
        let mut room = [[0_u8; 2]; 4];
        let mut slices = room
            .each_mut()
            .map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: 2 });
        // SAFETY: four headers with a slice each.
        let got = seen(|| unsafe {
            let mut headers: [libc::mmsghdr; 4] = zeroed();
            for (header, slice) in headers.iter_mut().zip(&mut slices) {
                (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (slice, 1);
            }
            let fd = ours.as_raw_fd();
            libc::recvmmsg(fd, headers.as_mut_ptr(), 4, flags as _, null_mut()) as isize
        });
        all.push((name.to_string(), got));
        sender.join().unwrap();
    }
    all
}

/// Replaces a descriptor's number while a call waits: the call keeps its file.
fn reused() -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    for (is_tcp, how) in [false, true].into_iter().flat_map(|tcp| ALL.map(|how| (tcp, how))) {
        let ((ours, theirs), (other, other_end)) = (pair(is_tcp), pair(is_tcp));
        let (fd, new) = (ours.as_raw_fd(), other.as_raw_fd());
        let actor = thread::spawn(move || {
            until_full(&theirs);
            let mut room = vec![0_u8; 1 << 16];
            let (place, mut seen) = (room.as_mut_ptr().cast::<c_void>(), 0);
            // SAFETY: descriptors; as much room.
            unsafe {
                assert_eq!(libc::dup2(new, fd), fd);
                while seen < BIG as isize {
                    seen += libc::recv(theirs.as_raw_fd(), place, room.len(), 0);
                }
                let flags = libc::MSG_DONTWAIT;
                (seen, libc::recv(other_end.as_raw_fd(), place, room.len(), flags) > 0)
            }
        });
        all.push((format!("send {is_tcp} {how:?}"), send(fd, how)));
        let (count, is_wrong) = actor.join().unwrap();
        all.push((format!("seen {is_tcp} {how:?}"), (Ok(count), is_wrong)));
        drop((ours, other));

        let ((ours, theirs), (other, _other_end)) = (pair(is_tcp), pair(is_tcp));
        let (fd, new) = (ours.as_raw_fd(), other.as_raw_fd());
        let receiver = support::thread_number();
        let actor = thread::spawn(move || {
            support::until_blocked(receiver, support::WAITS);
            // SAFETY: descriptors.
            assert_eq!(unsafe { libc::dup2(new, fd) }, fd);
            send_byte(&theirs);
        });
        let mut room = [0_u8; 5];
        let got = match how {
            // SAFETY: five bytes of room.
            How::Plain => seen(|| unsafe { libc::read(fd, room.as_mut_ptr().cast(), 5) }),
            _ => receive(fd, How::From, 0),
        };
        all.push((format!("receive {is_tcp} {how:?}"), got));
        actor.join().unwrap();
        drop((ours, other));
    }
    all
}

/// Compares the results of `f` in a tasklet and on a thread.
fn same(f: fn() -> Vec<(String, Seen)>) {
    support::install();
    let outside = thread::spawn(f).join().unwrap();
    let inside = run_in_tasklet(f);
    let differ = inside.iter().zip(&outside).filter(|(inside, outside)| inside != outside);
    let differ: Vec<_> =
        differ.map(|(inside, outside)| format!("{inside:?} {:?}", outside.1)).collect();
    assert!(differ.is_empty(), "in a tasklet, and on a thread:\n{}", differ.join("\n"));
    assert_eq!(inside.len(), outside.len());
}

#[test]
fn a_receive_of_all_gives_what_it_gives_on_a_thread() {
    same(whole_receives);
}

#[test]
fn a_send_that_is_cut_gives_what_it_gives_on_a_thread() {
    same(cut_sends);
}

#[test]
fn several_messages_are_received_as_on_a_thread() {
    same(many_messages);
}

#[test]
fn a_call_keeps_its_file_whatever_is_done_to_the_number() {
    same(reused);
}
