//! Datagrams: UDP on the loopback, which may lose them, and a pair of the Unix family, which does
//! not. Each arrives complete, once, and from its sender's address.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use overlapped::net::UdpSocket;
use overlapped::os::unix::net::UnixDatagram;

use crate::actor::Actor;
use crate::check::{Buffer, ensure, is_cancelled, word};

/// The longest datagram.
const LONGEST: usize = 600;

#[derive(Default)]
pub(crate) struct Packets {
    udp: RefCell<Option<Rc<Udp>>>,
    unix: RefCell<Option<Rc<Unix>>>,
}

struct Udp {
    sockets: [UdpSocket; 2],
    next: Cell<u64>,
    seen: RefCell<HashSet<u64>>,
}

struct Unix {
    ends: [UnixDatagram; 2],
    sent: Cell<u64>,
    seen: Cell<u64>,
    is_sending: Cell<bool>,
    is_receiving: Cell<bool>,
}

/// Returns the datagram with this number.
fn compose(bytes: &mut [u8; LONGEST], number: u64) -> usize {
    let length = 16 + (word(number, 0) % (LONGEST as u64 - 16)) as usize;
    for (i, part) in bytes.chunks_mut(8).enumerate() {
        let word = if i == 0 { number } else { word(number, i as u64) };
        part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
    }
    length
}

/// Returns the number of a datagram, if it is complete.
#[track_caller]
fn read_number(bytes: &[u8]) -> u64 {
    ensure!(bytes.len() >= 16, "a datagram of {} bytes", bytes.len());
    let number = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    let mut meant = [0; LONGEST];
    let length = compose(&mut meant, number);
    ensure!(bytes == &meant[..length], "{} bytes of the {length} of a datagram", bytes.len());
    number
}

impl Packets {
    fn udp(&self) -> Rc<Udp> {
        if let Some(there) = &*self.udp.borrow() {
            return there.clone();
        }
        let socket = || UdpSocket::bind("127.0.0.1:0").expect("the loopback");
        let sockets = [socket(), socket()];
        let new = Rc::new(Udp { sockets, next: Cell::new(0), seen: RefCell::default() });
        *self.udp.borrow_mut() = Some(new.clone());
        new
    }

    fn unix(&self) -> Rc<Unix> {
        if let Some(there) = &*self.unix.borrow() {
            return there.clone();
        }
        let (a, b) = UnixDatagram::pair().expect("a pair");
        let new = Rc::new(Unix {
            ends: [a, b],
            sent: Cell::new(0),
            seen: Cell::new(0),
            is_sending: Cell::new(false),
            is_receiving: Cell::new(false),
        });
        *self.unix.borrow_mut() = Some(new.clone());
        new
    }

    /// Checks that datagrams of the Unix family which were not received are still in the queue.
    pub(crate) fn settle(&self) {
        let Some(unix) = self.unix.take() else { return };
        let Some(Unix { ends: [_, end], sent, seen, .. }) = Rc::into_inner(unix) else {
            return ensure!(false, "a pair of sockets still has a user");
        };
        let end = std::os::unix::net::UnixDatagram::from(OwnedFd::from(end));
        end.set_nonblocking(true).expect("a socket");
        let mut bytes = [0; LONGEST + 1];
        while let Ok(n) = end.recv(&mut bytes) {
            let number = read_number(&bytes[..n]);
            ensure!(number == seen.get(), "datagram {number} is left, not {}", seen.get());
            seen.set(number + 1);
        }
        ensure!(seen.get() == sent.get(), "{} of {} datagrams", seen.get(), sent.get());
    }
}

/// A flag that is set while this value lives.
struct Using<'a>(&'a Cell<bool>);

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn may_fail(me: &Actor, what: &str, error: &io::Error) {
    let may = match error.kind() {
        ErrorKind::TimedOut => true,
        ErrorKind::QuotaExceeded => me.world.shared.plan.operations_max.is_some(),
        _ => is_cancelled(error),
    };
    ensure!(may, "{what}: {error}");
}

pub(super) fn send(me: &mut Actor) {
    let mut buf = Buffer::<LONGEST>::new(me.rng.next());
    if me.one_in(2) {
        let udp = me.world.packets.udp();
        let number = udp.next.replace(udp.next.get() + 1);
        let length = compose(&mut buf.bytes, number);
        buf.filled(LONGEST);
        let to = udp.sockets[1].local_addr().expect("it is bound");
        match me.wait(|| udp.sockets[0].send_to(&buf.bytes[..length], to)) {
            Ok(n) => ensure!(n == length, "{n} of {length} bytes of a datagram"),
            Err(error) => may_fail(me, "send_to", &error),
        }
        return;
    }
    let unix = me.world.packets.unix();
    if unix.is_sending.replace(true) {
        return;
    }
    let _using = Using(&unix.is_sending);
    let number = unix.sent.get();
    let length = compose(&mut buf.bytes, number);
    buf.filled(LONGEST);
    match me.wait(|| unix.ends[0].send(&buf.bytes[..length])) {
        Ok(n) => {
            ensure!(n == length, "{n} of {length} bytes of a datagram");
            unix.sent.set(number + 1);
        }
        Err(error) => may_fail(me, "send", &error),
    }
}

pub(super) fn receive(me: &mut Actor) {
    let mut buf = Buffer::<{ LONGEST + 8 }>::new(me.rng.next());
    if me.one_in(2) {
        let udp = me.world.packets.udp();
        let looks = me.one_in(4);
        let socket = &udp.sockets[1];
        let received = me.wait(|| match looks {
            true => socket.peek_from(&mut buf.bytes),
            false => socket.recv_from(&mut buf.bytes),
        });
        match received {
            Ok((n, from)) => {
                let number = read_number(buf.filled(n));
                ensure!(from == udp.sockets[0].local_addr().expect("bound"), "from {from}");
                let is_first = looks || udp.seen.borrow_mut().insert(number);
                ensure!(is_first, "datagram {number} came twice");
            }
            Err(error) => may_fail(me, "recv_from", &error),
        }
        return;
    }
    let unix = me.world.packets.unix();
    if unix.is_receiving.replace(true) {
        return;
    }
    let _using = Using(&unix.is_receiving);
    match me.wait(|| unix.ends[1].recv(&mut buf.bytes)) {
        Ok(n) => {
            let (number, meant) = (read_number(buf.filled(n)), unix.seen.get());
            ensure!(number == meant, "datagram {number} came in place of {meant}");
            unix.seen.set(number + 1);
        }
        Err(error) => may_fail(me, "recv", &error),
    }
}
