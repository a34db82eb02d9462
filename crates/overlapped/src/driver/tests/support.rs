//! Support for the tests: a driver with a table of tokens, and pairs of descriptors.

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::driver::choose::Opcodes;
use crate::driver::uring::{MESSAGE, USED};
use crate::driver::{Driver, PortChoice, PortConfig};
use crate::op::{Op, Outcome, Submitted, Table, Token};

/// The limit of a wait: long enough for any machine; only a failing test waits that long.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A driver and the tokens in flight on it.
pub(super) struct Harness {
    pub(super) driver: Driver,
    table: Table<()>,
    ended: HashMap<Token, Outcome>,
    pub(super) kind: &'static str,
}

impl Harness {
    pub(super) fn open(kind: &'static str, config: &PortConfig) -> io::Result<Harness> {
        let driver = Driver::open(config)?;
        Ok(Harness { driver, table: Table::new(1 << 20), ended: HashMap::new(), kind })
    }

    pub(super) fn is_uring(&self) -> bool {
        self.driver.name() == "uring"
    }

    /// Starts `op`.
    ///
    /// # Safety
    /// The same as for `Driver::submit`.
    pub(super) unsafe fn start(&mut self, op: Op) -> Token {
        let token = self.table.insert(()).unwrap();
        // SAFETY: the caller's promise; the table made the token.
        if let Submitted::Done(outcome) = unsafe { self.driver.submit(token, &op) } {
            self.note(token, outcome);
        }
        token
    }

    fn note(&mut self, token: Token, outcome: Outcome) {
        self.table.remove(token).expect("one completion per token in flight");
        assert_eq!(self.ended.insert(token, outcome), None);
    }

    /// Waits once and records the completions.
    pub(super) fn turn(&mut self, timeout: Duration) {
        let mut out = Vec::new();
        self.driver.wait(Some(timeout), &mut out).unwrap();
        for completion in out {
            self.note(completion.token, completion.outcome);
        }
    }

    /// Waits for the end of `token` and returns its result.
    pub(super) fn end(&mut self, token: Token) -> i32 {
        self.outcome(token).raw()
    }

    pub(super) fn outcome(&mut self, token: Token) -> Outcome {
        let late = Instant::now() + PATIENCE;
        loop {
            if let Some(outcome) = self.ended.remove(&token) {
                return outcome;
            }
            assert!(Instant::now() < late, "{}: {token:?} does not end", self.kind);
            self.turn(Duration::from_secs(1));
        }
    }

    /// Tells whether `token` is still in flight after everything that is due has come.
    pub(super) fn is_waiting(&mut self, token: Token) -> bool {
        for _ in 0..3 {
            self.turn(Duration::from_millis(5));
        }
        !self.ended.contains_key(&token)
    }

    /// Waits until nothing is in flight and returns every result.
    pub(super) fn end_all(&mut self) -> Vec<i32> {
        let late = Instant::now() + PATIENCE;
        while self.table.len() > 0 {
            assert!(Instant::now() < late, "{}: {} left", self.kind, self.table.len());
            self.turn(Duration::from_secs(1));
        }
        self.ended.drain().map(|(_, outcome)| outcome.raw()).collect()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.table.len()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        // Nothing may outlive the test's buffers, even when it fails.
        self.driver.drain(&mut Vec::new());
    }
}

/// Returns all opcodes, so that every ring operation is forced to its fallback.
pub(super) fn without_everything() -> Opcodes {
    USED.iter().fold(Opcodes::default().with(MESSAGE), |set, (code, _)| set.with(*code))
}

/// Runs `test` on every backend that this machine has, with rings of `entries` and `cq_entries`.
pub(super) fn everywhere_with(entries: u32, cq_entries: u32, test: impl Fn(&mut Harness)) {
    let plain = PortConfig { entries, cq_entries, ..PortConfig::new(PortChoice::Uring) };
    let fallback = PortConfig { without: without_everything(), ..plain.clone() };
    for (kind, config) in [
        ("uring", plain),
        ("uring by fallbacks", fallback),
        ("poll", PortConfig::new(PortChoice::Poll)),
    ] {
        match Harness::open(kind, &config) {
            Ok(mut harness) => test(&mut harness),
            Err(error) if config.choice == PortChoice::Uring => {
                eprintln!("SKIPPED: no io_uring here, not tested on {kind}: {error}");
            }
            Err(error) => panic!("{kind}: {error}"),
        }
    }
}

/// Runs `test` on every backend that this machine has.
pub(super) fn everywhere(test: impl Fn(&mut Harness)) {
    everywhere_with(64, 256, test);
}

/// Makes a listener on the loopback, non-blocking like all of ours.
pub(super) fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Makes two connected sockets: ours is non-blocking, the peer blocks.
pub(super) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    ours.set_nodelay(true).unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (ours, peer)
}
