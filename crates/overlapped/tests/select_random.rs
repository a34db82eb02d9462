//! S9 for selects: whatever ends their waits, no value is lost or duplicated, and nothing is left.
//!
//! A failure prints its seed; `OVERLAPPED_SEED=…` replays its round.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::rc::Rc;

use overlapped::task::{self, WaitError};
use overlapped::time::{Duration, timeout};
use overlapped::{Channel, Handover, RecvError, Select, SendError, Tasklet, run, spawn, yield_now};
use support::Rng;

const HANDOVERS: [Handover; 4] =
    [Handover::Receiver, Handover::Sender, Handover::Neither, Handover::Yield];
const CHANNELS: usize = 3;
const ACTORS: usize = 6;
const STEPS: usize = 12;

/// The state that the actors of one round share.
struct Stage {
    channels: Vec<Channel<u64>>,
    pipe: (PipeReader, RefCell<PipeWriter>),
    next: Cell<u64>,
    sent: RefCell<Vec<u64>>,
    received: RefCell<Vec<u64>>,
    /// The selects by their outcomes: sent, received, joined, a time, a descriptor, an error.
    selects: RefCell<[usize; 6]>,
}

impl Stage {
    fn new(rng: &mut Rng) -> Stage {
        let channel = |_| Channel::with_handover(HANDOVERS[rng.below(4)]);
        let (rx, tx) = std::io::pipe().unwrap();
        Stage {
            channels: (0..CHANNELS).map(channel).collect(),
            pipe: (rx, RefCell::new(tx)),
            next: Cell::new(0),
            sent: RefCell::default(),
            received: RefCell::default(),
            selects: RefCell::default(),
        }
    }

    fn value(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    fn act(&self, rng: &mut Rng) {
        for _ in 0..STEPS {
            let channel = &self.channels[rng.below(CHANNELS)];
            let brief = Duration::from_micros(rng.below(60) as u64);
            match rng.below(8) {
                0 => self.sends(|value| channel.send(value)),
                1 => self.receives(channel.recv()),
                2 => self.sends(|value| channel.send_timeout(value, brief)),
                3 => self.receives(channel.recv_timeout(brief)),
                4 => yield_now(),
                _ => self.select(rng),
            }
        }
    }

    fn sends(&self, send: impl FnOnce(u64) -> Result<(), SendError<u64>>) {
        let value = self.value();
        match send(value) {
            Ok(()) => self.sent.borrow_mut().push(value),
            Err(error) => assert_eq!(error.into_inner(), value),
        }
    }

    fn receives(&self, got: Result<u64, RecvError>) {
        if let Ok(value) = got {
            self.received.borrow_mut().push(value);
        }
    }

    fn select(&self, rng: &mut Rng) {
        let mut values = [0; 4].map(|_| Some(self.value()));
        let offered = values;
        let mut worker = (rng.below(4) == 0).then(|| {
            let naps = rng.below(6);
            spawn(move || (0..naps).for_each(|_| yield_now()))
        });
        let count = 1 + rng.below(4);
        let mut select = Select::new();
        if rng.below(4) == 0 {
            select = select.biased();
        }
        if let Some(worker) = Some(&mut worker).filter(|worker| worker.is_some()) {
            select = select.join(worker, |ended| {
                ended.unwrap();
                2
            });
        }
        for (i, value) in values.iter_mut().enumerate().take(count) {
            let channel = &self.channels[rng.below(CHANNELS)];
            let brief = Duration::from_micros(rng.below(60) as u64);
            select = match rng.below(10) {
                0..3 => select.send(channel, value, move |sent| match sent {
                    Ok(()) => {
                        self.sent.borrow_mut().push(offered[i].unwrap());
                        0
                    }
                    Err(error) => {
                        assert_eq!(Some(error.into_inner()), offered[i]);
                        5
                    }
                }),
                3..6 => select.recv(channel, |got| {
                    let kind = if got.is_ok() { 1 } else { 5 };
                    self.receives(got);
                    kind
                }),
                6..8 => select.after(brief, || 3),
                _ => select.readable(&self.pipe.0, |ready| {
                    ready.unwrap();
                    4
                }),
            };
        }
        let ended = match rng.below(4) {
            0 => select.try_wait(),
            1 => timeout(Duration::from_micros(40), || select.wait()),
            _ => select.wait(),
        };
        let kind = match ended {
            Ok(kind) => kind,
            Err(WaitError::WouldBlock | WaitError::TimedOut | WaitError::Deadlock(_)) => 5,
            Err(other) => panic!("{other}"),
        };
        let taken = (0..4).filter(|&i| values[i].is_none()).count();
        assert!(taken <= 1 && (taken == 0 || [0, 5].contains(&kind)), "{kind} {values:?}");
        self.selects.borrow_mut()[kind] += 1;
    }
}

/// Runs one round. Returns the numbers of its kills, values and selects.
fn round(seed: u64) -> (usize, usize, [usize; 6]) {
    let mut rng = Rng(seed);
    let stage = Rc::new(Stage::new(&mut rng));
    let mut actors: Vec<Tasklet<()>> = (0..ACTORS)
        .map(|_| {
            let (stage, seed) = (stage.clone(), rng.next());
            spawn(move || stage.act(&mut Rng(seed)))
        })
        .collect();
    let mut kills = 0;
    for _ in 0..rng.below(80) {
        match rng.below(8) {
            0 => {
                let victim = &actors[rng.below(ACTORS)];
                kills += usize::from(!victim.is_finished());
                victim.kill();
            }
            1 => stage.channels[rng.below(CHANNELS)].close(),
            2 => stage.channels[rng.below(CHANNELS)].close_draining(),
            3 => stage.channels[rng.below(CHANNELS)].open(),
            4 => stage.pipe.1.borrow_mut().write_all(&[1]).unwrap(),
            5 => {
                let readable = Select::new().readable(&stage.pipe.0, |ready| ready.is_ok());
                if readable.try_wait() == Ok(true) {
                    (&stage.pipe.0).read_exact(&mut [0]).unwrap();
                }
            }
            _ => yield_now(),
        }
    }
    for actor in &actors {
        actor.kill();
    }
    for actor in actors.drain(..) {
        let _ = actor.join();
    }
    for channel in &stage.channels {
        assert_eq!(channel.balance(), 0, "the queues are empty");
    }
    assert_eq!(task::stats().unwrap().in_flight, 0, "no operation is left");
    let (mut sent, mut received) = (stage.sent.take(), stage.received.take());
    sent.sort_unstable();
    received.sort_unstable();
    assert_eq!(sent, received, "each sent value was received once");
    (kills, sent.len(), stage.selects.take())
}

#[test]
fn s9_selects_neither_lose_nor_duplicate_a_value_whatever_ends_their_waits() {
    if let Ok(seed) = std::env::var("OVERLAPPED_SEED") {
        run(|| round(seed.parse().expect("a number"))).unwrap();
        return;
    }
    let rounds = support::rounds(1_500, 50_000);
    let (mut kills, mut values, mut selects) = (0, 0, [0; 6]);
    for seed in 0..rounds as u64 {
        let ended = std::panic::catch_unwind(|| run(|| round(seed)).unwrap());
        let Ok((more_kills, more_values, more_selects)) = ended else {
            panic!("OVERLAPPED_SEED={seed} replays this");
        };
        kills += more_kills;
        values += more_values;
        selects.iter_mut().zip(more_selects).for_each(|(sum, more)| *sum += more);
    }
    println!("sent, received, joined, timed, readable, error: {selects:?}");
    assert!(selects.iter().all(|&count| count >= rounds / 20), "each outcome is seen: {selects:?}");
    assert!(kills > rounds / 2 && values > rounds, "{kills} {values}");
    let sum: usize = selects.iter().sum();
    support::report(
        "S9",
        sum,
        &format!("selects among {kills} kills, {values} values, all seen once"),
    );
}
