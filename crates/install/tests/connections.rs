//! connect and accept return in a tasklet what they return in a thread, errors and addresses
//! included.
#![allow(missing_docs)]
mod support;

use std::ffi::c_int;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use support::{ms, path};

/// A result in the kernel's form.
fn result(outcome: c_int) -> Result<c_int, Option<c_int>> {
    if outcome < 0 { Err(io::Error::last_os_error().raw_os_error()) } else { Ok(outcome) }
}

fn socket(family: c_int, kind: c_int) -> OwnedFd {
    // SAFETY: makes a descriptor.
    unsafe { OwnedFd::from_raw_fd(libc::socket(family, kind | libc::SOCK_CLOEXEC, 0)) }
}

fn tcp() -> OwnedFd {
    socket(libc::AF_INET, libc::SOCK_STREAM)
}

/// An address, as bytes.
fn bytes(address: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(address) = address else { panic!("not IPv4") };
    let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    bytes.extend(address.ip().octets());
    bytes.extend([0; 8]);
    bytes
}

fn unix_bytes(path: &std::path::Path) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(path.to_str().unwrap().bytes());
    bytes.push(0);
    bytes
}

fn connect(fd: &impl AsRawFd, address: &[u8]) -> Result<c_int, Option<c_int>> {
    let len = address.len() as libc::socklen_t;
    // SAFETY: an address, borrowed for the call.
    result(unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr().cast(), len) })
}

/// Returns the flags of the new socket, the length of the returned address, and its bytes without
/// the port.
fn accept(
    fd: &impl AsRawFd,
    room: u32,
    flags: c_int,
) -> Result<(c_int, c_int, u32, Vec<u8>), Option<c_int>> {
    let (mut bytes, mut len) = ([0xaa_u8; 128], room);
    // SAFETY: room for an address; its size.
    let new = result(unsafe {
        libc::accept4(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), &mut len, flags)
    })?;
    // SAFETY: it was made just now.
    let new = unsafe { OwnedFd::from_raw_fd(new) };
    if bytes[..2] == (libc::AF_INET as u16).to_ne_bytes() && len >= 4 {
        bytes[2..4].fill(0);
    }
    // SAFETY: reads flags.
    let (file, own) = unsafe {
        (libc::fcntl(new.as_raw_fd(), libc::F_GETFL), libc::fcntl(new.as_raw_fd(), libc::F_GETFD))
    };
    Ok((file & libc::O_NONBLOCK, own, len, bytes[..len.max(room).min(20) as usize].to_vec()))
}

fn is_nonblocking(fd: &impl AsRawFd) -> bool {
    // SAFETY: reads flags.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

fn set_nonblocking(fd: &impl AsRawFd, on: bool) {
    let mut on = c_int::from(on);
    // SAFETY: a number, borrowed for the call.
    assert_eq!(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &mut on) }, 0);
}

fn limit(fd: &impl AsRawFd, option: c_int, limit: Duration) {
    let limit = libc::timeval { tv_sec: 0, tv_usec: limit.as_micros() as i64 };
    let (place, len) = ((&raw const limit).cast(), size_of_val(&limit) as u32);
    // SAFETY: an option of the type that it has.
    let set = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, place, len) };
    assert_eq!(set, 0);
}

fn listen(fd: &impl AsRawFd, backlog: c_int) {
    // SAFETY: a descriptor's number.
    assert_eq!(unsafe { libc::listen(fd.as_raw_fd(), backlog) }, 0);
}

/// Makes a TCP listener whose queue is full until one connection is accepted.
fn full_tcp() -> (TcpListener, SocketAddr, Vec<OwnedFd>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listen(&listener, 0);
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    loop {
        let client = tcp();
        set_nonblocking(&client, true);
        assert_eq!(connect(&client, &bytes(address)), Err(Some(libc::EINPROGRESS)));
        let mut asked = libc::pollfd { fd: client.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: one entry.
        let is_connected = unsafe { libc::poll(&mut asked, 1, 200) } == 1;
        if !is_connected {
            return (listener, address, clients);
        }
        clients.push(client);
    }
}

/// Makes a Unix listener whose queue is full until one connection is accepted.
fn full_unix() -> (UnixListener, Vec<u8>, Vec<OwnedFd>) {
    let path = path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    listen(&listener, 0);
    let address = unix_bytes(&path);
    let mut clients = Vec::new();
    loop {
        let client = socket(libc::AF_UNIX, libc::SOCK_STREAM);
        set_nonblocking(&client, true);
        match connect(&client, &address) {
            Ok(_) => clients.push(client),
            Err(error) => {
                assert_eq!(error, Some(libc::EAGAIN));
                return (listener, address, clients);
            }
        }
    }
}

/// Calls `f` once the calling thread waits.
fn soon(f: impl FnOnce() + Send + 'static) {
    let thread = support::thread_number();
    thread::spawn(move || {
        support::until_blocked(thread, support::WAITS);
        f();
    });
}

type Say<'a> = &'a mut dyn FnMut(&str, String);

fn connects(say: Say<'_>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = bytes(listener.local_addr().unwrap());
    let closed = {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        bytes(closed.local_addr().unwrap())
    };
    let client = tcp();
    say("refused", format!("{:?}", connect(&client, &closed)));
    say("refused again", format!("{:?}", connect(&client, &closed)));
    say("after a refusal", format!("{:?}", connect(&client, &address)));
    let other = tcp();
    say("refused", format!("{:?}", connect(&other, &closed)));
    set_nonblocking(&other, true);
    say("nonblocking after a refusal", format!("{:?}", connect(&other, &address)));
    say("connected already", format!("{:?}", connect(&client, &address)));
    say("mode", format!("{:?}", is_nonblocking(&client)));
    say("unspecified", format!("{:?}", connect(&client, &[0; 16])));
    say("after that", format!("{:?}", connect(&client, &address)));
    let client = tcp();
    say("short", format!("{:?}", connect(&client, &address[..8])));
    say("empty", format!("{:?}", connect(&client, &[])));
    say("long", format!("{:?}", connect(&client, &[2; 200])));
    say("other family", format!("{:?}", connect(&client, &unix_bytes("/nowhere".as_ref()))));
    // SAFETY: null is refused by the kernel.
    let null = unsafe { libc::connect(client.as_raw_fd(), std::ptr::null(), 16) };
    say("null", format!("{:?}", result(null)));
    say("bad descriptor", format!("{:?}", connect(&(-1 as RawFd), &address)));
    let (rx, _tx) = io::pipe().unwrap();
    say("no socket", format!("{:?}", connect(&rx, &address)));
    say("itself listens", format!("{:?}", connect(&listener, &address)));
    say("still unconnected", format!("{:?}", connect(&client, &address)));
    let udp = socket(libc::AF_INET, libc::SOCK_DGRAM);
    say("datagrams", format!("{:?}", connect(&udp, &address)));
    say("datagrams, back", format!("{:?}", connect(&udp, &[0; 16])));
    let client = tcp();
    set_nonblocking(&client, true);
    say("nonblocking", format!("{:?}", connect(&client, &address)));
    say("mode", format!("{:?}", is_nonblocking(&client)));
}

fn connects_that_wait(say: Say<'_>) {
    let (listener, address, _clients) = full_tcp();
    let address = bytes(address);
    let client = tcp();
    limit(&client, libc::SO_SNDTIMEO, ms(50));
    say("limit", format!("{:?}", connect(&client, &address)));
    say("limit again", format!("{:?}", connect(&client, &address)));
    set_nonblocking(&client, true);
    say("under way", format!("{:?}", connect(&client, &address)));
    set_nonblocking(&client, false);
    limit(&client, libc::SO_SNDTIMEO, Duration::ZERO);
    soon(move || while listener.accept().is_ok() {});
    say("the end of what was begun", format!("{:?}", connect(&client, &address)));
    say("afterwards", format!("{:?}", connect(&client, &address)));
}

fn unix_connects(say: Say<'_>) {
    let nowhere = path("socket");
    let client = || socket(libc::AF_UNIX, libc::SOCK_STREAM);
    say("unix: nowhere", format!("{:?}", connect(&client(), &unix_bytes(&nowhere))));
    drop(UnixListener::bind(&nowhere).unwrap());
    say("unix: refused", format!("{:?}", connect(&client(), &unix_bytes(&nowhere))));
    let (listener, address, clients) = full_unix();
    let other = socket(libc::AF_UNIX, libc::SOCK_SEQPACKET);
    say("unix: other type", format!("{:?}", connect(&other, &address)));
    let late = client();
    limit(&late, libc::SO_SNDTIMEO, ms(30));
    say("unix: limit", format!("{:?}", connect(&late, &address)));
    set_nonblocking(&late, true);
    say("unix: full", format!("{:?}", connect(&late, &address)));
    set_nonblocking(&late, false);
    limit(&late, libc::SO_SNDTIMEO, Duration::ZERO);
    soon(move || while listener.accept().is_ok() {});
    say("unix: when there is room", format!("{:?}", connect(&late, &address)));
    say("unix: connected already", format!("{:?}", connect(&late, &address)));
    drop(clients);
}

fn accepts(say: Say<'_>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = || soon(move || drop(TcpStream::connect(address)));
    client();
    say("accept", format!("{:?}", accept(&listener, 16, 0)));
    client();
    say("accept into little room", format!("{:?}", accept(&listener, 6, libc::SOCK_CLOEXEC)));
    client();
    say("accept nonblocking", format!("{:?}", accept(&listener, 0, libc::SOCK_NONBLOCK)));
    client();
    let null = std::ptr::null_mut();
    // SAFETY: no address is wanted.
    let nameless = result(unsafe { libc::accept(listener.as_raw_fd(), null, null.cast()) });
    // SAFETY: it was made just now.
    let nameless = nameless.map(|fd| unsafe { drop(OwnedFd::from_raw_fd(fd)) });
    say("accept without address", format!("{nameless:?}"));
    let mut byte = 0u8;
    // With a connection waiting, Linux finds the fault after taking it.
    drop(TcpStream::connect(address).unwrap());
    // SAFETY: the kernel refuses it.
    let faulty = unsafe { libc::accept(listener.as_raw_fd(), (&raw mut byte).cast(), null.cast()) };
    say("no length", format!("{:?}", result(faulty)));
    say("unknown flags", format!("{:?}", accept(&listener, 16, 1)));
    limit(&listener, libc::SO_RCVTIMEO, ms(30));
    while accept(&listener, 16, 0).is_ok() {}
    say("limit", format!("{:?}", accept(&listener, 16, 0)));
    limit(&listener, libc::SO_RCVTIMEO, Duration::ZERO);
    say("mode", format!("{:?}", is_nonblocking(&listener)));
    listener.set_nonblocking(true).unwrap();
    say("nonblocking", format!("{:?}", accept(&listener, 16, 0)));
    listener.set_nonblocking(false).unwrap();
    let number = listener.as_raw_fd();
    soon(move || {
        // SAFETY: a descriptor's number.
        unsafe { libc::shutdown(number, libc::SHUT_RD) };
    });
    say("shut down meanwhile", format!("{:?}", accept(&listener, 16, 0)));
    say("does not listen", format!("{:?}", accept(&tcp(), 16, 0)));
    say("datagrams", format!("{:?}", accept(&UdpSocket::bind("127.0.0.1:0").unwrap(), 16, 0)));
    say("bad descriptor", format!("{:?}", accept(&(-1 as RawFd), 16, 0)));
    let (rx, _tx) = io::pipe().unwrap();
    say("no socket", format!("{:?}", accept(&rx, 16, 0)));
    let place = path("socket");
    let listener = UnixListener::bind(&place).unwrap();
    soon(move || drop(UnixStream::connect(place)));
    say("unix", format!("{:?}", accept(&listener, 110, 0)));
}

/// The results of all cases.
fn results() -> Vec<String> {
    let mut all = Vec::new();
    let mut say = |case: &str, result: String| all.push(format!("{case}: {result}"));
    connects(&mut say);
    connects_that_wait(&mut say);
    unix_connects(&mut say);
    accepts(&mut say);
    all
}

#[test]
fn every_case_ends_in_a_tasklet_as_in_a_thread() {
    support::install();
    let thread = thread::spawn(results);
    let tasklet = support::run_in_tasklet(results);
    let thread = thread.join().unwrap();
    for (thread, tasklet) in thread.iter().zip(&tasklet) {
        assert_eq!(tasklet, thread);
    }
    assert_eq!(tasklet.len(), thread.len());
}

#[test]
fn connects_of_twenty_tasklets_wait_at_once() {
    let (listener, address, _clients) = full_unix();
    support::run_in_tasklet(|| {
        let begin = Instant::now();
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                let address = address.clone();
                overlapped_install::spawn(move || {
                    let late = socket(libc::AF_UNIX, libc::SOCK_STREAM);
                    limit(&late, libc::SO_SNDTIMEO, ms(500));
                    connect(&late, &address)
                })
            })
            .collect();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Err(Some(libc::EAGAIN)));
        }
        // One after the other they would take ten seconds.
        assert!(begin.elapsed() < ms(8_000), "{:?}", begin.elapsed());
    });
    drop(listener);
}

#[test]
fn a_plain_thread_that_is_quicker_does_not_make_the_listeners_tasklets_block_their_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let theirs = listener.try_clone().unwrap();
    const CLIENTS: usize = 200;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // This thread accepts as many clients as it can.
    thread::spawn(move || {
        while let Ok((stream, _)) = theirs.accept() {
            drop(stream);
            TAKEN.fetch_add(1, Relaxed);
        }
    });
    support::run_in_tasklet(move || {
        let acceptors: Vec<_> = (0..4)
            .map(|_| {
                let listener = listener.try_clone().unwrap();
                overlapped_install::spawn(move || {
                    while let Ok((stream, _)) = listener.accept() {
                        drop(stream);
                        TAKEN.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        // A tasklet that sleeps: it is late by the time for which its thread is blocked.
        for _ in 0..CLIENTS {
            drop(TcpStream::connect(address).unwrap());
            thread::sleep(ms(1));
        }
        support::wait_until("all clients are taken", || TAKEN.load(Relaxed) >= CLIENTS as u32);
        // SAFETY: a descriptor's number.
        unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RD) };
        acceptors.into_iter().for_each(|acceptor| acceptor.join().unwrap());
    });
}

#[test]
fn a_kill_ends_an_accept_and_a_connect_and_loses_no_connection() {
    let (_listener, full, _clients) = full_unix();
    support::run_in_tasklet(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        for _ in 0..20 {
            let theirs = listener.try_clone().unwrap();
            let acceptor = overlapped_install::spawn(move || {
                theirs.accept().map(drop).map_err(|error| error.raw_os_error())
            });
            let full = full.clone();
            let connector = overlapped_install::spawn(move || {
                connect(&socket(libc::AF_UNIX, libc::SOCK_STREAM), &full)
            });
            support::until_waits(acceptor.id());
            support::until_waits(connector.id());
            let client = TcpStream::connect(address).unwrap();
            acceptor.kill();
            connector.kill();
            assert_eq!(connector.join().unwrap(), Err(Some(libc::ECANCELED)));
            let accepted = acceptor.join().unwrap();
            if accepted.is_err() {
                assert_eq!(accepted, Err(Some(libc::ECANCELED)));
                listener.accept().unwrap();
            }
            drop(client);
        }
    });
}
