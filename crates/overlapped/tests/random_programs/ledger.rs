//! Counted values: each is received once or given back, and dropped once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::check::{ensure, word};

/// The send has succeeded.
const SENT: u8 = 2;
/// The send has given the value back.
const BACK: u8 = 4;
/// A receiver has it.
const RECEIVED: u8 = 8;
/// The sender has unwound out of its call.
const CUT: u8 = 16;
/// The value has been dropped.
const DROPPED: u8 = 32;
/// A sent value may be dropped with its channel, without a receiver.
const LOOSE: u8 = 64;

/// The maximum number of values of one program.
const MAX: usize = 1 << 14;

/// The fates of all values of one program.
pub(crate) struct Ledger {
    states: Box<[AtomicU8]>,
    next: AtomicUsize,
}

/// The fate that a sent value must have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A receiver gets it in the end.
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

    /// Checks that all values have been dropped, that sent ones were received, and that returned
    /// ones were not.
    pub(crate) fn settle(&self) {
        let late = Instant::now() + Duration::from_secs(20);
        for id in 0..self.next.load(SeqCst) {
            // A pool thread may still be dropping a value.
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

/// One counted value. Its words show whether other code has written to its memory.
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

    /// Records that the value was received.
    #[track_caller]
    pub(crate) fn received(self) {
        self.check();
        let before = self.ledger.mark(self.id, RECEIVED);
        ensure!(before & (RECEIVED | BACK | DROPPED) == 0, "value {} twice ({before:b})", self.id);
    }

    /// Records that the value was a tasklet's or a job's result.
    #[track_caller]
    pub(crate) fn resulted(self) {
        self.ledger.mark(self.id, SENT);
        self.received();
    }

    /// Sends the value by `send`, whose error gives it back.
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

    /// Records the end of the send, which has given the value back if it failed.
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
