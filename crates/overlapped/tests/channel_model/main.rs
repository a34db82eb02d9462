//! S10: channels and the ready queue against a reference model.
//!
//! A failure prints its seed and program; `OVERLAPPED_SEED=…` replays it.

mod model;
mod program;
#[path = "../support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::rc::Rc;

use model::Model;
use overlapped::task::{PauseError, WaitError};
use overlapped::{Channel, RecvError, RunError, Select, SendError, Tasklet, run, spawn, yield_now};
use program::{Chosen, Event, History, Offers, Out, Program, STEPS, Step, offered, value};

/// The library's side, on which a program runs.
struct Stage {
    channels: Vec<Channel<usize>>,
    handles: RefCell<Vec<Rc<Tasklet<()>>>>,
    events: RefCell<Vec<Event>>,
}

impl Stage {
    fn run(program: &Rc<Program>) -> History {
        let channels = program.handovers.iter().map(|&h| Channel::with_handover(h)).collect();
        let stage =
            Rc::new(Stage { channels, handles: RefCell::default(), events: RefCell::default() });
        let ended = run(|| {
            for t in 0..program.scripts.len() {
                let (own, program) = (stage.clone(), program.clone());
                let handle = spawn(move || own.play(t, &program.scripts[t]));
                stage.handles.borrow_mut().push(Rc::new(handle));
            }
        });
        let left = match ended {
            Ok(()) => Vec::new(),
            // The first id is that of main, which has ended. The scripts have the ids from 2 on.
            Err(RunError::Deadlock(report)) => {
                report.waiters().iter().map(|waiter| waiter.id as usize - 2).collect()
            }
            Err(other) => panic!("{other}"),
        };
        stage.handles.take();
        History { events: stage.events.take(), left }
    }

    fn play(&self, t: usize, script: &[Step]) {
        for (pc, &step) in script.iter().enumerate() {
            let out = self.step(value(t, pc), step);
            let mut balances = [0; 4];
            for (balance, channel) in balances.iter_mut().zip(&self.channels) {
                *balance = channel.balance();
            }
            self.events.borrow_mut().push((t, pc, out, balances));
        }
    }

    fn step(&self, value: usize, step: Step) -> Out {
        let handle = |t: usize| self.handles.borrow()[t].clone();
        match step {
            Step::Send(c) => sent(value, self.channels[c].send(value)),
            Step::TrySend(c) => sent(value, self.channels[c].try_send(value)),
            Step::Recv(c) => got(self.channels[c].recv()),
            Step::TryRecv(c) => got(self.channels[c].try_recv()),
            Step::Select(offers) => self.select(value, &offers, true),
            Step::TrySelect(offers) => self.select(value, &offers, false),
            Step::Close(c) => {
                self.channels[c].close();
                done()
            }
            Step::Drain(c) => {
                self.channels[c].close_draining();
                done()
            }
            Step::Open(c) => {
                self.channels[c].open();
                done()
            }
            Step::Prefer(c, handover) => {
                self.channels[c].set_handover(handover);
                done()
            }
            Step::Yield => {
                yield_now();
                done()
            }
            Step::Kill(t) => {
                handle(t).kill();
                done()
            }
            Step::Pause(t) => changed(handle(t).pause()),
            Step::Resume(t) => changed(handle(t).resume()),
            Step::RunNow(t) => changed(handle(t).run_now()),
        }
    }
}

impl Stage {
    fn select(&self, base: usize, offers: &Offers, may_wait: bool) -> Out {
        let mut values = [0, 1, 2].map(|i| Some(offered(base, i)));
        let mut select = Select::new().biased();
        for (i, (offer, value)) in offers.iter().zip(&mut values).enumerate() {
            let Some((c, sending)) = *offer else { continue };
            let (channel, own) = (&self.channels[c], offered(base, i));
            select = if sending {
                select.send(channel, value, move |sent| match sent {
                    Ok(()) => (i, Chosen::Sent),
                    Err(SendError::Closed(back)) => {
                        assert_eq!(back, own, "a closed send gives its own value back");
                        (i, Chosen::Closed)
                    }
                    Err(other) => panic!("{other}"),
                })
            } else {
                select.recv(channel, move |got| match got {
                    Ok(got) => (i, Chosen::Got(got)),
                    Err(RecvError::Closed) => (i, Chosen::Closed),
                    Err(other) => panic!("{other}"),
                })
            };
        }
        let ended = if may_wait { select.wait() } else { select.try_wait() };
        let taken = values.iter().filter(|value| value.is_none()).count();
        match ended {
            Ok((i, chosen)) => {
                let sends = offers[i].is_some_and(|(_, sending)| sending);
                assert_eq!((taken, values[i].is_none()), (usize::from(sends), sends));
                Out::Chose(i, chosen)
            }
            Err(error) => {
                assert_eq!(taken, 0, "nothing is taken if no alternative happened");
                match error {
                    WaitError::WouldBlock => Out::WouldBlock,
                    WaitError::Deadlock(report) => Out::Deadlock(report.waiters().len()),
                    other => panic!("{other}"),
                }
            }
        }
    }
}

fn done() -> Out {
    Out::Ok
}

fn changed(result: Result<(), PauseError>) -> Out {
    match result {
        Ok(()) => Out::Ok,
        Err(PauseError::Blocked) => Out::Blocked,
        Err(_) => Out::Finished,
    }
}

fn sent(value: usize, result: Result<(), SendError<usize>>) -> Out {
    let Err(error) = result else { return Out::Ok };
    let out = match &error {
        SendError::Closed(_) => Out::Closed,
        SendError::WouldBlock(_) => Out::WouldBlock,
        SendError::Deadlock(_, report) => Out::Deadlock(report.waiters().len()),
        other => panic!("{other}"),
    };
    assert_eq!(error.into_inner(), value, "a failed send gives its own value back");
    out
}

fn got(result: Result<usize, RecvError>) -> Out {
    match result {
        Ok(value) => Out::Got(value),
        Err(RecvError::Closed) => Out::Closed,
        Err(RecvError::WouldBlock) => Out::WouldBlock,
        Err(RecvError::Deadlock(report)) => Out::Deadlock(report.waiters().len()),
        Err(other) => panic!("{other}"),
    }
}

/// Runs one program on the library and on the model, and compares. Returns the number of events.
fn compare(seed: u64) -> usize {
    let program = Rc::new(Program::random(seed));
    let expected = Model::run(&program);
    let real = Stage::run(&program);
    if real != expected {
        let same = real.events.iter().zip(&expected.events).take_while(|(a, b)| a == b).count();
        panic!(
            "OVERLAPPED_SEED={seed} replays this.\n{program:#?}\nafter {same} equal events {:?}\n\
             real:  {:?} … left {:?}\nmodel: {:?} … left {:?}",
            &expected.events[same.saturating_sub(4)..same],
            real.events.get(same),
            real.left,
            expected.events.get(same),
            expected.left,
        );
    }
    real.events.len()
}

#[test]
fn s10_random_programs_run_in_the_order_of_the_reference_model() {
    if let Ok(seed) = std::env::var("OVERLAPPED_SEED") {
        compare(seed.parse().expect("a number"));
        return;
    }
    let programs = support::rounds(2_000, 1_000_000);
    let events: usize = (0..programs as u64).map(compare).sum();
    // Half of the steps are never reached: their tasklet was killed, or paused for good.
    assert!(events > programs * STEPS / 4, "the programs do too little: {events} events");
    support::report(
        "S10",
        programs,
        &format!("programs of {STEPS} steps, {events} events in order"),
    );
}

#[test]
fn the_programs_reach_every_outcome() {
    let mut seen = [0usize; 11];
    for seed in 0..500 {
        let history = Model::run(&Program::random(seed));
        seen[7] += usize::from(!history.left.is_empty());
        for (_, _, out, _) in history.events {
            seen[match out {
                Out::Ok => 0,
                Out::Got(_) => 1,
                Out::Closed => 2,
                Out::WouldBlock => 3,
                Out::Deadlock(_) => 4,
                Out::Blocked => 5,
                Out::Finished => 6,
                Out::Chose(_, Chosen::Sent) => 8,
                Out::Chose(_, Chosen::Got(_)) => 9,
                Out::Chose(_, Chosen::Closed) => 10,
            }] += 1;
        }
    }
    assert!(seen.iter().all(|&count| count >= 10), "{seen:?}");
}
