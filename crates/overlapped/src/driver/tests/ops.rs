//! Tests of each operation, and of the traps that give wrong data silently.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::support::{Harness, everywhere, listener, pair};
use crate::driver::{block_on, direct, try_now};
use crate::op::{Fs, Net, Op, Outcome, clamp};
use crate::sys::address::SocketAddrBuf;
use crate::sys::clock;
use crate::sys::message::Message;
use crate::sys::readiness::Interest;
use crate::sys::signal::sigpipe::block;
use testkit::alone;

fn recv(fd: RawFd, buf: &mut [u8]) -> Op {
    let (buf, len) = (buf.as_mut_ptr(), clamp(buf.len()));
    let (peek, nonblocking) = (false, false);
    Op::Net(Net::Recv { fd, buf, len, peek, nonblocking })
}

fn send(fd: RawFd, bytes: &[u8]) -> Op {
    let (buf, len) = (bytes.as_ptr(), clamp(bytes.len()));
    Op::Net(Net::Send { fd, buf, len, nonblocking: false })
}

fn read(fd: RawFd, buf: &mut [u8], offset: Option<u64>) -> Op {
    Op::Fs(Fs::Read { fd, buf: buf.as_mut_ptr(), len: clamp(buf.len()), offset })
}

fn write(fd: RawFd, bytes: &[u8], offset: Option<u64>) -> Op {
    Op::Fs(Fs::Write { fd, buf: bytes.as_ptr(), len: clamp(bytes.len()), offset })
}

/// Starts `op` and waits for its end.
fn whole(harness: &mut Harness, op: Op) -> i32 {
    // SAFETY: every caller keeps descriptor and memory until this returns.
    let token = unsafe { harness.start(op) };
    harness.end(token)
}

#[test]
fn a_receive_waits_for_data_and_returns_zero_at_the_end() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let mut buf = [0; 16];
        // SAFETY: `buf` and `ours` live until the operation's end.
        let token = unsafe { harness.start(recv(ours.as_raw_fd(), &mut buf)) };
        assert!(harness.is_waiting(token), "O_NONBLOCK must not turn waiting into an error");
        peer.write_all(b"hello").unwrap();
        assert_eq!(harness.end(token), 5);
        assert_eq!(&buf[..5], b"hello");
        drop(peer);
        assert_eq!(whole(harness, recv(ours.as_raw_fd(), &mut buf)), 0);
    });
}

#[test]
fn a_peek_leaves_the_data() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        peer.write_all(b"twice").unwrap();
        let mut buf = [0; 5];
        let mut op = recv(ours.as_raw_fd(), &mut buf);
        if let Op::Net(Net::Recv { peek, .. }) = &mut op {
            *peek = true;
        }
        assert_eq!(whole(harness, op), 5);
        assert_eq!(whole(harness, recv(ours.as_raw_fd(), &mut buf)), 5);
        assert_eq!(&buf, b"twice");
    });
}

#[test]
fn nonblocking_is_honoured_by_every_socket_operation() {
    everywhere(|harness| {
        let (ours, _peer) = pair();
        let fd = ours.as_raw_fd();
        let listener = listener();
        let mut buf = [0; 16];
        let mut slices = [IoSliceMut::new(&mut buf)];
        let mut message = Message::from_slices_mut(&mut slices);
        let message = (&raw mut message).cast::<Message<'static>>();
        let mut addr = SocketAddrBuf::empty();
        let nonblocking = true;
        let accept = Net::Accept { fd: listener.as_raw_fd(), addr: &raw mut addr, nonblocking };
        let mut other = [0; 16];
        let (buf, len, peek) = (other.as_mut_ptr(), 16, false);
        for op in [
            accept,
            Net::Recv { fd, buf, len, peek, nonblocking },
            Net::RecvMsg { fd, message, peek, nonblocking },
        ] {
            assert_eq!(whole(harness, Op::Net(op)), -libc::EAGAIN, "{}: {op:?}", harness.kind);
        }
        let bytes = vec![0; 1 << 20];
        let (buf, len) = (bytes.as_ptr(), clamp(bytes.len()));
        let mut sent = 0;
        let full = loop {
            match whole(harness, Op::Net(Net::Send { fd, buf, len, nonblocking })) {
                count @ 1.. => sent += count,
                errno => break errno,
            }
        };
        assert!(sent > 0);
        assert_eq!(full, -libc::EAGAIN);
    });
}

#[test]
fn a_send_to_a_full_socket_waits_and_may_be_short() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let bytes = vec![7; 64 << 20];
        let fd = ours.as_raw_fd();
        // A first send takes the bytes that fit. (The ring finishes it as a short one, too.)
        let count = whole(harness, send(fd, &bytes));
        assert!(count > 0 && (count as usize) < bytes.len(), "{}: {count}", harness.kind);
        let (buf, len) = (bytes.as_ptr(), clamp(bytes.len()));
        let mut sent = count as usize;
        while let more @ 1.. =
            whole(harness, Op::Net(Net::Send { fd, buf, len, nonblocking: true }))
        {
            sent += more as usize;
        }
        // SAFETY: `bytes` and `ours` live until the operation's end.
        let token = unsafe { harness.start(send(fd, &bytes)) };
        assert!(harness.is_waiting(token));
        let reader = std::thread::spawn(move || {
            let mut total = 0;
            let mut buf = vec![0; 1 << 20];
            while let Ok(count @ 1..) = peer.read(&mut buf) {
                assert!(buf[..count].iter().all(|&byte| byte == 7));
                total += count;
            }
            total
        });
        let count = harness.end(token);
        assert!(count > 0, "{}: {count}", harness.kind);
        sent += count as usize;
        ours.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), sent, "bytes sent are bytes received");
    });
}

#[test]
fn vectored_transfers_go_through_every_slice() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        let slices = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
        let message = Message::from_slices(&slices);
        let message = (&raw const message).cast::<Message<'static>>();
        assert_eq!(whole(harness, Op::Net(Net::SendMsg { fd, message, nonblocking: false })), 7);
        let mut got = [0; 7];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"one two");

        let (mut first, mut second) = ([0; 3], [0; 8]);
        let mut slices = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let mut message = Message::from_slices_mut(&mut slices);
        let message = (&raw mut message).cast::<Message<'static>>();
        let nonblocking = false;
        // SAFETY: all of it lives until the operation's end.
        let token = unsafe {
            harness.start(Op::Net(Net::RecvMsg { fd, message, peek: false, nonblocking }))
        };
        assert!(harness.is_waiting(token));
        peer.write_all(b"abcdef").unwrap();
        assert_eq!(harness.end(token), 6);
        assert_eq!((&first, &second[..3]), (b"abc", &b"def"[..]));
    });
}

#[test]
fn datagrams_go_to_an_address_and_come_with_their_senders() {
    everywhere(|harness| {
        let bound = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (ours, peer) = (bound(), bound());
        let fd = ours.as_raw_fd();
        let to = SocketAddrBuf::from(peer.local_addr().unwrap());
        let slices = [IoSlice::new(b"one "), IoSlice::new(b"datagram")];
        let message = Message::from_slices(&slices).with_receiver(&to);
        let message = (&raw const message).cast::<Message<'static>>();
        assert_eq!(whole(harness, Op::Net(Net::SendMsg { fd, message, nonblocking: false })), 12);
        let mut got = [0; 99];
        assert_eq!(peer.recv_from(&mut got).unwrap(), (12, ours.local_addr().unwrap()));

        for (peek, text) in [(true, "first"), (false, "second")] {
            let mut buf = [0; 4];
            let mut slices = [IoSliceMut::new(&mut buf)];
            let mut from = SocketAddrBuf::empty();
            let mut message = Message::from_slices_mut(&mut slices).with_sender(&mut from);
            let place = (&raw mut message).cast::<Message<'static>>();
            let op = Net::RecvMsg { fd, message: place, peek, nonblocking: false };
            // SAFETY: all of it lives until the operation's end.
            let token = unsafe { harness.start(Op::Net(op)) };
            assert_eq!(
                harness.is_waiting(token),
                peek,
                "{}: what was peeked at is left",
                harness.kind
            );
            peer.send_to(text.as_bytes(), ours.local_addr().unwrap()).unwrap();
            assert_eq!(harness.end(token), 4, "{}: cut", harness.kind);
            let len = message.addr_len();
            from.len = len;
            assert_eq!(from.to_std().unwrap(), peer.local_addr().unwrap());
            assert_eq!(&buf, b"firs");
        }
    });
}

#[test]
fn an_accept_waits_and_returns_a_non_blocking_socket_and_its_peer() {
    everywhere(|harness| {
        let listener = listener();
        let mut addr = SocketAddrBuf::empty();
        let (fd, addr) = (listener.as_raw_fd(), &raw mut addr);
        // SAFETY: `addr` and `listener` live until the operation's end.
        let token = unsafe { harness.start(Op::Net(Net::Accept { fd, addr, nonblocking: false })) };
        assert!(harness.is_waiting(token));
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let fd = harness.end(token);
        assert!(fd >= 0, "{}: {fd}", harness.kind);
        // SAFETY: the operation's result is a new descriptor.
        let ours = unsafe { TcpStream::from_raw_fd(fd) };
        // SAFETY: the operation has ended.
        let addr = unsafe { &*addr };
        assert_eq!(addr.to_std().unwrap(), peer.local_addr().unwrap());
        let flags = rustix::fs::fcntl_getfl(&ours).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
        let flags = rustix::io::fcntl_getfd(&ours).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    });
}

fn connect_to(harness: &mut Harness, to: SocketAddr) -> (i32, TcpStream) {
    let socket = TcpStream::from(crate::sys::socket::tcp::stream(&to).unwrap());
    let addr = SocketAddrBuf::from(to);
    let op =
        Op::Net(Net::Connect { fd: socket.as_raw_fd(), addr: &raw const addr, nonblocking: false });
    (whole(harness, op), socket)
}

#[test]
fn a_connect_ends_connected_or_refused() {
    everywhere(|harness| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let (result, socket) = connect_to(harness, to);
        assert_eq!(result, 0);
        assert_eq!(socket.peer_addr().unwrap(), to);
        drop(listener);
        assert_eq!(connect_to(harness, to).0, -libc::ECONNREFUSED);
    });
}

#[test]
fn a_connect_that_takes_time_can_be_cancelled() {
    everywhere(|harness| {
        // A full backlog swallows connection requests.
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = listener.unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let to = listener.local_addr().unwrap().as_socket().unwrap();
        let _first = TcpStream::connect(to).unwrap();
        let socket = TcpStream::from(crate::sys::socket::tcp::stream(&to).unwrap());
        let addr = SocketAddrBuf::from(to);
        let op = Op::Net(Net::Connect {
            fd: socket.as_raw_fd(),
            addr: &raw const addr,
            nonblocking: false,
        });
        // SAFETY: `addr` and `socket` live until the operation's end.
        let token = unsafe { harness.start(op) };
        assert!(harness.is_waiting(token), "{}", harness.kind);
        harness.driver.cancel(token);
        assert_eq!(harness.end(token), -libc::ECANCELED, "{}", harness.kind);
    });
}

#[test]
fn files_are_read_and_written_at_offsets_and_at_the_cursor() {
    everywhere(|harness| {
        let file = tempfile::tempfile().unwrap();
        let fd = file.as_raw_fd();
        assert_eq!(whole(harness, write(fd, b"0123456789", Some(5))), 10);
        let mut buf = [1; 8];
        assert_eq!(whole(harness, read(fd, &mut buf, Some(3))), 8);
        assert_eq!(&buf, b"\0\x00012345");
        assert_eq!(whole(harness, read(fd, &mut buf, Some(100))), 0);
        assert_eq!(whole(harness, read(fd, &mut buf, None)), 8);
        assert_eq!(whole(harness, read(fd, &mut buf, None)), 7, "the cursor has moved");
        assert_eq!(whole(harness, write(fd, b"end", None)), 3);
        assert_eq!(file.metadata().unwrap().len(), 18);
    });
}

#[test]
fn pipes_wait_in_both_modes_and_both_directions() {
    everywhere(|harness| {
        for nonblocking in [false, true] {
            let (mut reader, writer) = std::io::pipe().unwrap();
            use std::os::fd::AsFd;
            crate::sys::descriptor::set_nonblocking(reader.as_fd(), nonblocking).unwrap();
            crate::sys::descriptor::set_nonblocking(writer.as_fd(), nonblocking).unwrap();
            let mut buf = [0; 8];
            // SAFETY: `buf` and the pipe live until the operation's end.
            let token = unsafe { harness.start(read(reader.as_raw_fd(), &mut buf, None)) };
            assert!(harness.is_waiting(token), "{}, nonblocking {nonblocking}", harness.kind);
            (&writer).write_all(b"pipe").unwrap();
            assert_eq!(harness.end(token), 4);

            let bytes = vec![9; 65536];
            assert_eq!(whole(harness, write(writer.as_raw_fd(), &bytes, None)), 65536);
            // SAFETY: as above.
            let token = unsafe { harness.start(write(writer.as_raw_fd(), &bytes, None)) };
            assert!(harness.is_waiting(token), "{}, nonblocking {nonblocking}", harness.kind);
            let mut room = vec![0; 65536];
            reader.read_exact(&mut room).unwrap();
            let count = harness.end(token);
            assert!(count > 0, "{}, nonblocking {nonblocking}: {count}", harness.kind);
        }
    });
}

#[test]
fn readiness_is_reported_without_touching_the_data() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        assert_eq!(whole(harness, Op::ready(fd, Interest::Writable)), 0);
        // SAFETY: `ours` lives until the operation's end.
        let token = unsafe { harness.start(Op::ready(fd, Interest::Readable)) };
        assert!(harness.is_waiting(token));
        peer.write_all(b"x").unwrap();
        assert_eq!(harness.end(token), 0);
        let file = tempfile::tempfile().unwrap();
        let fd = file.as_raw_fd();
        assert_eq!(whole(harness, Op::ready(fd, Interest::Readable)), 0, "{}", harness.kind);
    });
}

#[test]
fn a_closed_descriptor_is_an_error_of_the_operation() {
    everywhere(|harness| {
        let mut buf = [0; 4];
        for op in [
            recv(100_000, &mut buf),
            read(100_000, &mut buf, None),
            read(100_000, &mut buf, Some(0)),
            Op::ready(100_000, Interest::Readable),
        ] {
            assert_eq!(whole(harness, op), -libc::EBADF, "{}: {op:?}", harness.kind);
        }
    });
}

#[test]
fn lengths_above_two_gigabytes_do_not_look_like_an_end_of_file() {
    assert_eq!(clamp(1 << 32), 0x7fff_f000);
    everywhere(|harness| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"abc").unwrap();
        // Address space only: the kernel commits just the pages that it writes.
        let len = 1 << 32;
        // SAFETY: a fresh private mapping, unmapped below, used by the kernel only.
        let memory = unsafe {
            let (protection, flags) =
                (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let flags = flags | libc::MAP_NORESERVE;
            libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0)
        };
        assert_ne!(memory, libc::MAP_FAILED);
        let (fd, buf) = (reader.as_raw_fd(), memory.cast());
        let op = Op::Fs(Fs::Read { fd, buf, len: clamp(len), offset: None });
        assert_eq!(whole(harness, op), 3, "{}", harness.kind);
        // SAFETY: the mapping made above; the operation has ended.
        unsafe { libc::munmap(memory, len) };
    });
}

#[test]
fn no_socket_and_no_pipe_raises_sigpipe() {
    alone("driver::tests::ops::no_socket_and_no_pipe_raises_sigpipe", || {
        // SAFETY: the signal and the disposition are valid.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let rounds = super::pressure::rounds(200, 10_000);
        everywhere(|harness| {
            let (ours, peer) = pair();
            // Closing with data unread resets the connection.
            (&ours).write_all(b"unread").unwrap();
            peer.set_nonblocking(true).unwrap();
            while peer.peek(&mut [0]).is_err() {}
            drop(peer);
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut broken = 0;
            for _ in 0..rounds {
                let result = whole(harness, send(ours.as_raw_fd(), b"x"));
                assert!([-libc::EPIPE, -libc::ECONNRESET].contains(&result), "{result}");
                broken += usize::from(result == -libc::EPIPE);
                let slices = [IoSlice::new(b"x")];
                let message = Message::from_slices(&slices);
                let (fd, message) = (ours.as_raw_fd(), (&raw const message).cast());
                let op = Op::Net(Net::SendMsg { fd, message, nonblocking: false });
                assert_eq!(whole(harness, op), -libc::EPIPE, "{}", harness.kind);
            }
            let guard = block();
            for _ in 0..rounds {
                let result = whole(harness, write(ours.as_raw_fd(), b"x", None));
                assert_eq!(result, -libc::EPIPE, "{}", harness.kind);
                assert_eq!(whole(harness, write(writer.as_raw_fd(), b"x", None)), -libc::EPIPE);
            }
            assert!(broken + 1 >= rounds);
            // A signal that is pending now must be gone with the guard, or it ends the process.
            drop(guard);
        });
    });
}

#[test]
fn urgent_data_does_not_make_waiting_busy() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        // SAFETY: `ours` lives until the operation's end.
        let token = unsafe { harness.start(Op::ready(fd, Interest::Readable)) };
        socket2::SockRef::from(&peer).send_out_of_band(b"!").unwrap();
        let (start, mut turns) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(60) {
            harness.turn(Duration::from_millis(20));
            turns += 1;
        }
        assert!(turns < 10, "{}: {turns} turns", harness.kind);
        peer.write_all(b"data").unwrap();
        assert_eq!(harness.end(token), 0, "{}", harness.kind);
    });
}

#[test]
fn a_queue_of_errors_does_not_make_waiting_busy() {
    everywhere(|harness| {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ours = UdpSocket::bind("127.0.0.1:0").unwrap();
        ours.connect(peer.local_addr().unwrap()).unwrap();
        let (fd, on) = (ours.as_raw_fd(), 1 as libc::c_int);
        let (place, len) = ((&raw const on).cast(), size_of_val(&on) as u32);
        // SAFETY: the option has that type.
        let set = unsafe { libc::setsockopt(fd, libc::SOL_IP, libc::IP_RECVERR, place, len) };
        assert_eq!(set, 0);
        let address = peer.local_addr().unwrap();
        drop(peer);
        // The port has no socket: the error is reported once, and stays in the queue.
        ours.send(b"x").unwrap();
        let mut buf = [0; 8];
        assert!(ours.recv(&mut buf).is_err());
        let peer = UdpSocket::bind(address).unwrap();
        let op = recv(fd, &mut buf);
        // SAFETY: `ours` and `buf` live until the operation's end.
        let token = unsafe { harness.start(op) };
        let (start, mut turns) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_millis(60) {
            harness.turn(Duration::from_millis(20));
            turns += 1;
        }
        // A poll in the ring cannot wait for a change; the ring's own receive does.
        assert!(
            turns < 10 || harness.kind.contains("fallbacks"),
            "{}: {turns} turns",
            harness.kind
        );
        peer.send_to(b"data", ours.local_addr().unwrap()).unwrap();
        assert_eq!(harness.end(token), 4, "{}", harness.kind);
    });
}

#[test]
fn outside_a_scheduler_an_operation_blocks_the_thread_or_times_out() {
    let (ours, mut peer) = pair();
    let mut buf = [0; 4];
    let op = recv(ours.as_raw_fd(), &mut buf);
    let start = Instant::now();
    // SAFETY: here and below, `buf` and `ours` outlive the calls.
    let outcome = unsafe { block_on(&op, Some(clock::nanos() + 30_000_000)) };
    assert_eq!(outcome, Outcome::WOULD_BLOCK);
    assert!(start.elapsed() >= Duration::from_millis(30));
    // SAFETY: as above.
    assert_eq!(unsafe { try_now(&op) }, Outcome::WOULD_BLOCK);
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        peer.write_all(b"late").unwrap();
        peer
    });
    // SAFETY: as above.
    assert_eq!(unsafe { block_on(&op, None) }.raw(), 4);
    writer.join().unwrap();
    let to = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = SocketAddrBuf::from(to.local_addr().unwrap());
    let socket = crate::sys::socket::tcp::stream(&to.local_addr().unwrap()).unwrap();
    let op =
        Op::Net(Net::Connect { fd: socket.as_raw_fd(), addr: &raw const addr, nonblocking: false });
    // SAFETY: `addr` and `socket` outlive the call.
    assert_eq!(unsafe { block_on(&op, None) }.raw(), 0);
}

#[test]
fn bytes_from_before_the_end_are_returned_first() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    drop(theirs);
    let mut buf = [0; 8];
    let recv = recv(ours.as_raw_fd(), &mut buf);
    // A backend has found nothing, and then the byte has come together with the end.
    // SAFETY: the buffer and the descriptor live in this frame.
    let ends = [(), ()].map(|()| unsafe { direct::end_of_stream(&recv) }.unwrap().raw());
    assert_eq!(ends, [1, 0]);
}
