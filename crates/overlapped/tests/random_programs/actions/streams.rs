//! Streams: TCP, the Unix family, pipes. Each byte shows its connection and its position.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use overlapped::io::{PipeReader, PipeWriter, pipe};
use overlapped::net::{TcpListener, TcpStream};
use overlapped::os::unix::net::UnixStream;

use crate::actor::Actor;
use crate::check::{Buffer, ensure, is_cancelled, word};

/// The maximum number of connections at a time.
const LINKS_MAX: usize = 4;

enum End {
    Tcp(TcpStream),
    Unix(UnixStream),
    Reader(PipeReader),
    Writer(PipeWriter),
}

impl End {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            End::Tcp(stream) => (&*stream).read(buf),
            End::Unix(stream) => (&*stream).read(buf),
            End::Reader(reader) => (&*reader).read(buf),
            End::Writer(_) => unreachable!("its other end reads"),
        }
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        match self {
            End::Tcp(stream) => (&*stream).write(buf),
            End::Unix(stream) => (&*stream).write(buf),
            End::Writer(writer) => (&*writer).write(buf),
            End::Reader(_) => unreachable!("its other end writes"),
        }
    }

    fn shut_down(&self) {
        // The other end may have closed the connection already.
        let _ = match self {
            End::Tcp(stream) => stream.shutdown(Shutdown::Write),
            End::Unix(stream) => stream.shutdown(Shutdown::Write),
            End::Reader(_) | End::Writer(_) => Ok(()),
        };
    }

    fn into_fd(self) -> OwnedFd {
        match self {
            End::Tcp(stream) => stream.into(),
            End::Unix(stream) => stream.into(),
            End::Reader(reader) => reader.into(),
            End::Writer(writer) => writer.into(),
        }
    }
}

/// The bytes that one direction has carried. One tasklet at a time reads, and one at a time writes.
#[derive(Default)]
struct Way {
    sent: Cell<u64>,
    seen: Cell<u64>,
    is_writing: Cell<bool>,
    is_reading: Cell<bool>,
    is_shut: Cell<bool>,
}

/// A connection: bytes that are written at one end are read at the other.
struct Link {
    tag: u64,
    ends: [End; 2],
    /// Indexed by the end that writes.
    ways: [Option<Way>; 2],
}

/// A direction that one tasklet uses; released however the use ends.
struct Using<'a>(&'a Cell<bool>);

impl<'a> Using<'a> {
    fn take(flag: &'a Cell<bool>) -> Option<Using<'a>> {
        (!flag.replace(true)).then(|| Using(flag))
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn byte(tag: u64, at: u64) -> u8 {
    word(tag, at / 8).to_le_bytes()[(at % 8) as usize]
}

impl Link {
    fn check(&self, from: usize, at: u64, bytes: &[u8]) {
        for (i, found) in bytes.iter().enumerate() {
            let meant = byte(self.tag + from as u64, at + i as u64);
            ensure!(*found == meant, "a foreign byte at {} of {} read", at + i as u64, bytes.len());
        }
    }

    /// Returns the direction in which the end `from` writes; `None` if it only reads.
    fn way(&self, from: usize) -> Option<&Way> {
        self.ways[from].as_ref()
    }

    /// Checks that exactly the bytes which were sent and not received are still there.
    fn settle(self) {
        let tag = self.tag;
        for (from, way) in self.ways.iter().enumerate() {
            if way.is_some() {
                self.ends[from].shut_down();
            }
        }
        let is_pipe = self.ways[1].is_none();
        let mut ends = self.ends.map(|end| Some(End::into_fd(end)));
        if is_pipe {
            ends[0] = None;
        }
        for (from, way) in self.ways.iter().enumerate() {
            let Some(Way { sent, seen, .. }) = way else { continue };
            let mut rest = Vec::new();
            let end = ends[1 - from].take().expect("each is read from once");
            let read = File::from(end.try_clone().expect("a descriptor")).read_to_end(&mut rest);
            ends[1 - from] = Some(end);
            let (sent, seen) = (sent.get(), seen.get());
            let whole = seen + rest.len() as u64;
            ensure!(read.is_ok(), "the rest of a stream: {read:?}");
            ensure!(whole == sent, "{sent} bytes sent, {seen} seen, {} left", rest.len());
            for (at, found) in (seen..).zip(rest) {
                ensure!(found == byte(tag + from as u64, at), "a foreign byte is left");
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Streams {
    links: RefCell<Vec<Rc<Link>>>,
    listening: RefCell<Option<Rc<Listening>>>,
}

/// A listener, and the connections that it has accepted for others.
struct Listening {
    listener: TcpListener,
    port: u16,
    accepted: RefCell<HashMap<u16, TcpStream>>,
}

impl Streams {
    /// Keeps a new connection. If there are too many, it replaces the one at `at`, which is closed
    /// when its last user drops it.
    fn keep(&self, link: Link, at: usize) {
        let link = Rc::new(link);
        let mut links = self.links.borrow_mut();
        let old = match links.len() {
            LINKS_MAX => Some(std::mem::replace(&mut links[at], link)),
            _ => {
                links.push(link);
                None
            }
        };
        drop(links);
        if let Some(old) = old {
            Rc::into_inner(old).into_iter().for_each(Link::settle);
        }
    }

    fn some(&self, at: usize) -> Option<Rc<Link>> {
        let links = self.links.borrow();
        (!links.is_empty()).then(|| links[at % links.len()].clone())
    }

    pub(crate) fn settle(&self) {
        for link in self.links.take() {
            let link = Rc::into_inner(link);
            ensure!(link.is_some(), "a connection still has a user");
            link.into_iter().for_each(Link::settle);
        }
    }
}

fn both_ways() -> [Option<Way>; 2] {
    [Some(Way::default()), Some(Way::default())]
}

/// Checks the error of a call that opens something: limits may have been reached.
fn may_fail(me: &Actor, what: &str, error: &io::Error) {
    let may = match error.kind() {
        ErrorKind::TimedOut => true,
        ErrorKind::WouldBlock => me.is_still,
        ErrorKind::QuotaExceeded => me.world.shared.plan.operations_max.is_some(),
        _ => is_cancelled(error),
    };
    ensure!(may, "{what}: {error}");
}

pub(super) fn pair(me: &mut Actor) {
    let tag = me.rng.next() & !1;
    let at = me.rng.below(LINKS_MAX);
    let link = if me.one_in(2) {
        UnixStream::pair().map(|(a, b)| Link {
            tag,
            ends: [End::Unix(a), End::Unix(b)],
            ways: both_ways(),
        })
    } else {
        pipe().map(|(reader, writer)| {
            let ways = [Some(Way::default()), None];
            Link { tag, ends: [End::Writer(writer), End::Reader(reader)], ways }
        })
    };
    match link {
        Ok(link) => me.world.streams.keep(link, at),
        Err(error) => may_fail(me, "a pair", &error),
    }
}

pub(super) fn connect(me: &mut Actor) {
    let world = me.world.clone();
    let listening = world.streams.listening.borrow().clone();
    let listening = listening.unwrap_or_else(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback");
        let port = listener.local_addr().expect("a bound socket").port();
        let new = Rc::new(Listening { listener, port, accepted: RefCell::default() });
        *world.streams.listening.borrow_mut() = Some(new.clone());
        new
    });
    let client = match me.wait(|| TcpStream::connect(("127.0.0.1", listening.port))) {
        Ok(client) => client,
        Err(error) => return may_fail(me, "connect", &error),
    };
    let mine = client.local_addr().expect("it is connected").port();
    let server = loop {
        if let Some(server) = listening.accepted.borrow_mut().remove(&mine) {
            break server;
        }
        match me.wait(|| listening.listener.accept()) {
            Ok((server, peer)) => {
                listening.accepted.borrow_mut().insert(peer.port(), server);
            }
            Err(error) => return may_fail(me, "accept", &error),
        }
    };
    let tag = me.rng.next() & !1;
    let link = Link { tag, ends: [End::Tcp(client), End::Tcp(server)], ways: both_ways() };
    world.streams.keep(link, me.rng.below(LINKS_MAX));
}

fn read_into<const N: usize>(me: &mut Actor) {
    let Some(link) = me.world.streams.some(me.rng.below(LINKS_MAX)) else { return };
    let from = me.rng.below(2);
    let Some(way) = link.way(from) else { return };
    let Some(_using) = Using::take(&way.is_reading) else { return };
    let mut buf = Buffer::<N>::new(me.rng.next());
    let most = 1 + me.rng.below(N);
    match me.wait(|| link.ends[1 - from].read(&mut buf.bytes[..most])) {
        Ok(0) => {
            // A tasklet that is writing has not recorded its bytes yet.
            let is_end = way.is_shut.get() && way.seen.get() >= way.sent.get();
            ensure!(is_end, "an end after {} of {} bytes", way.seen.get(), way.sent.get());
        }
        Ok(n) => {
            link.check(from, way.seen.get(), buf.filled(n));
            way.seen.set(way.seen.get() + n as u64);
        }
        Err(error) => may_fail(me, "read", &error),
    }
}

pub(super) fn read(me: &mut Actor) {
    match me.rng.below(3) {
        0 => read_into::<16>(me),
        1 => read_into::<1_000>(me),
        _ => read_into::<8_192>(me),
    }
}

/// A peek leaves the bytes.
pub(super) fn peek(me: &mut Actor) {
    let Some(link) = me.world.streams.some(me.rng.below(LINKS_MAX)) else { return };
    let from = me.rng.below(2);
    let (Some(way), End::Tcp(stream)) = (link.way(from), &link.ends[1 - from]) else { return };
    let Some(_using) = Using::take(&way.is_reading) else { return };
    let mut buf = Buffer::<256>::new(me.rng.next());
    match me.wait(|| stream.peek(&mut buf.bytes)) {
        Ok(n) => link.check(from, way.seen.get(), buf.filled(n)),
        Err(error) => may_fail(me, "peek", &error),
    }
}

fn write_from<const N: usize>(me: &mut Actor) {
    let Some(link) = me.world.streams.some(me.rng.below(LINKS_MAX)) else { return };
    let from = me.rng.below(2);
    let Some(way) = link.way(from) else { return };
    let Some(_using) = Using::take(&way.is_writing) else { return };
    let begin = way.sent.get();
    let mut buf = Buffer::<N>::new(me.rng.next());
    for (i, place) in buf.bytes.iter_mut().enumerate() {
        *place = byte(link.tag + from as u64, begin + i as u64);
    }
    buf.filled(N);
    let most = 1 + me.rng.below(N);
    match me.wait(|| link.ends[from].write(&buf.bytes[..most])) {
        Ok(n) => {
            ensure!(0 < n && n <= most, "{n} of {most} bytes written");
            way.sent.set(begin + n as u64);
            link.check(from, begin, &buf.bytes);
        }
        Err(error) if way.is_shut.get() && error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => may_fail(me, "write", &error),
    }
}

pub(super) fn write(me: &mut Actor) {
    match me.rng.below(3) {
        0 => write_from::<16>(me),
        1 => write_from::<1_000>(me),
        _ => write_from::<16_384>(me),
    }
}

pub(super) fn shut_down(me: &mut Actor) {
    let Some(link) = me.world.streams.some(me.rng.below(LINKS_MAX)) else { return };
    let from = me.rng.below(2);
    let Some(way) = link.way(from) else { return };
    if link.ways[1].is_some() && me.one_in(4) && !way.is_writing.get() {
        way.is_shut.set(true);
        link.ends[from].shut_down();
    }
}
