//! Values that are counted: each is dropped once, and on its way seen once or given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::check::{ensure, word};

/// The send said that it was sent.
const SENT: u8 = 2;
/// The send gave it back.
const BACK: u8 = 4;
/// Somebody received it.
const RECEIVED: u8 = 8;
/// The sender was unwound out of its call.
const CUT: u8 = 16;
/// It was dropped.
const DROPPED: u8 = 32;
/// Nobody need receive what was sent: its channel may end first.
const LOOSE: u8 = 64;

/// The most values of one program.
const MAX: usize = 1 << 14;

/// The states of the values of one program.
pub(crate) struct Ledger {
    states: Box<[AtomicU8]>,
    next: AtomicUsize,
}

/// The end that a value that was sent must have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is received in the end.
    IsReceived,
    /// It may be dropped with its channel.
    MayGo,
}

impl Ledger {
    pub(crate) fn new() -> Arc<Ledger> {
        let states = (0..MAX).map(|_| AtomicU8::new(0)).collect();
        Arc::new(Ledger { states, next: AtomicUsize::new(0) })
    }

    pub(crate) fn value(self: &Arc<Ledger>) -> Value {
        let id = self.next.fetch_add(1, SeqCst);
        ensure!(id < MAX, "a program of more than {MAX} values");
        let words = Box::new([word(id as u64, 1), word(id as u64, 2)]);
        Value { ledger: self.clone(), id, words }
    }

    fn mark(&self, id: usize, state: u8) -> u8 {
        self.states[id].fetch_or(state, SeqCst)
    }

    /// All have been dropped, what was sent was received, what came back was not.
    pub(crate) fn settle(&self) {
        let late = Instant::now() + Duration::from_secs(20);
        for id in 0..self.next.load(SeqCst) {
            // A pool's thread may still be at it.
            while self.states[id].load(SeqCst) & DROPPED == 0 && Instant::now() < late {
                std::thread::sleep(Duration::from_micros(100));
            }
            let state = self.states[id].load(SeqCst);
            let is = |bits| state & bits != 0;
            ensure!(is(DROPPED), "value {id} was never dropped ({state:b})");
            ensure!(!is(RECEIVED) || is(SENT | CUT), "value {id} received, not sent ({state:b})");
            ensure!(!is(SENT) || is(RECEIVED | LOOSE), "value {id} sent and lost ({state:b})");
        }
    }
}

/// One of them. Its words tell whether its memory is still its own.
pub(crate) struct Value {
    ledger: Arc<Ledger>,
    pub(crate) id: usize,
    words: Box<[u64; 2]>,
}

impl Value {
    #[track_caller]
    fn check(&self) {
        let id = self.id as u64;
        let ours = *self.words == [word(id, 1), word(id, 2)];
        ensure!(ours, "value {id} was written to: {:x?}", self.words);
    }

    /// Somebody has received it.
    #[track_caller]
    pub(crate) fn received(self) {
        self.check();
        let before = self.ledger.mark(self.id, RECEIVED);
        ensure!(before & (RECEIVED | BACK | DROPPED) == 0, "value {} twice ({before:b})", self.id);
    }

    /// Somebody has it as a tasklet's or a job's result.
    #[track_caller]
    pub(crate) fn resulted(self) {
        self.ledger.mark(self.id, SENT);
        self.received();
    }

    /// Sends it by `send`, whose error gives it back.
    #[track_caller]
    pub(crate) fn sent<E>(
        self,
        then: Sent,
        send: impl FnOnce(Value) -> Result<(), E>,
        back: impl FnOnce(E) -> Value,
    ) {
        let offer = Offer::new(&self, then);
        let result = send(self);
        offer.ended(result.map_err(back));
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.check();
        let before = self.ledger.mark(self.id, DROPPED);
        ensure!(before & DROPPED == 0, "value {} dropped twice ({before:b})", self.id);
    }
}

/// A value that is being sent, seen by its sender.
pub(crate) struct Offer {
    ledger: Arc<Ledger>,
    id: usize,
    is_over: bool,
}

impl Offer {
    pub(crate) fn new(value: &Value, then: Sent) -> Offer {
        if then == Sent::MayGo {
            value.ledger.mark(value.id, LOOSE);
        }
        Offer { ledger: value.ledger.clone(), id: value.id, is_over: false }
    }

    /// The send has ended: with nothing, or with the value.
    #[track_caller]
    pub(crate) fn ended(mut self, result: Result<(), Value>) {
        self.is_over = true;
        match result {
            Ok(()) => {
                self.ledger.mark(self.id, SENT);
            }
            Err(value) => {
                ensure!(value.id == self.id, "{} sent, {} given back", self.id, value.id);
                let before = self.ledger.mark(self.id, BACK);
                ensure!(before & RECEIVED == 0, "value {} received and given back", self.id);
            }
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.is_over {
            self.ledger.mark(self.id, CUT);
        }
    }
}
