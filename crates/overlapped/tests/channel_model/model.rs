//! The reference model: one ring of runnable tasklets and any number of channels, as in Stackless.
//! The end of the ring is the position just before the current tasklet.

use std::collections::VecDeque;

use overlapped::Handover;

use crate::program::{Chosen, History, Offers, Out, Program, Step, offered, value};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Life {
    Ready,
    /// Waits in one channel, or in several.
    Waits,
    Paused,
    Over,
}

#[derive(Debug, Clone)]
struct Actor {
    life: Life,
    started: bool,
    pc: usize,
    killed: bool,
    /// The outcome that its present call returns when it runs again.
    out: Out,
    /// Its present call delivers a kill when it returns.
    fragile: bool,
    /// The time when it last began to wait, or was paused.
    parked_at: usize,
}

/// A waiter, and the alternative of its select.
#[derive(Debug, Clone, Copy)]
struct Seat {
    t: usize,
    alternative: Option<usize>,
}

impl Seat {
    /// The outcome of the call that waits here.
    fn out(self, chosen: Chosen) -> Out {
        match (self.alternative, chosen) {
            (Some(alternative), _) => Out::Chose(alternative, chosen),
            (None, Chosen::Sent) => Out::Ok,
            (None, Chosen::Got(value)) => Out::Got(value),
            (None, Chosen::Closed) => Out::Closed,
        }
    }
}

#[derive(Debug, Default)]
struct Line {
    /// Receivers, senders.
    sides: [VecDeque<Seat>; 2],
    closing: bool,
}

pub(crate) struct Model<'a> {
    program: &'a Program,
    handovers: Vec<Handover>,
    /// The ring, without the current tasklet. Its front runs next, and its back is "the end".
    ring: VecDeque<usize>,
    actors: Vec<Actor>,
    lines: Vec<Line>,
    clock: usize,
    /// The last deadlock report: the time when it was made, and the tasklets that lived then.
    report: Option<(usize, Vec<usize>)>,
    history: History,
}

impl Model<'_> {
    pub(crate) fn run(program: &Program) -> History {
        let fresh = Actor {
            life: Life::Ready,
            started: false,
            pc: 0,
            killed: false,
            out: Out::Ok,
            fragile: false,
            parked_at: 0,
        };
        let mut model = Model {
            program,
            handovers: program.handovers.clone(),
            ring: (0..program.scripts.len()).collect(),
            actors: vec![fresh; program.scripts.len()],
            lines: program.handovers.iter().map(|_| Line::default()).collect(),
            clock: 0,
            report: None,
            history: History::default(),
        };
        loop {
            while let Some(t) = model.ring.pop_front() {
                model.go_on(t);
            }
            let alive: Vec<_> =
                (0..model.actors.len()).filter(|&t| model.actors[t].life != Life::Over).collect();
            let blocked = alive.iter().filter(|&&t| model.actors[t].life == Life::Waits);
            match blocked.max_by_key(|&&t| model.actors[t].parked_at) {
                Some(&last) => {
                    let told = model.report(model.actors[last].parked_at, &alive);
                    model.release(last, Out::Deadlock(told.len()));
                }
                None if alive.is_empty() => return model.history,
                // All of them are paused: `run` gets the deadlock report and kills them, youngest
                // first.
                None => {
                    let parked_at = alive.iter().map(|&t| model.actors[t].parked_at).max();
                    model.history.left = model.report(parked_at.unwrap_or(0), &alive);
                    for &t in alive.iter().rev() {
                        model.actors[t].killed = true;
                        model.release(t, model.actors[t].out);
                    }
                }
            }
        }
    }

    /// Returns the deadlock report for a tasklet that was parked then: made once for all that
    /// waited when it was made.
    fn report(&mut self, parked_at: usize, alive: &[usize]) -> Vec<usize> {
        match &self.report {
            Some((made_at, told)) if parked_at <= *made_at => told.clone(),
            _ => {
                self.report = Some((self.clock, alive.to_vec()));
                alive.to_vec()
            }
        }
    }

    /// Records that a tasklet begins to wait, or is paused.
    fn park(&mut self, t: usize, life: Life) {
        self.clock += 1;
        self.actors[t].parked_at = self.clock;
        self.actors[t].life = life;
    }

    /// Runs a tasklet until it leaves.
    fn go_on(&mut self, t: usize) {
        let actor = &mut self.actors[t];
        actor.life = Life::Ready;
        let started = std::mem::replace(&mut actor.started, true);
        if actor.killed && (!started || actor.fragile) {
            actor.life = Life::Over;
            return;
        }
        if started {
            self.log(t, self.actors[t].out);
        }
        while let Some(&step) = self.program.scripts[t].get(self.actors[t].pc) {
            self.actors[t].fragile = false;
            match self.step(t, step) {
                Some(out) => self.log(t, out),
                None => return,
            }
        }
        self.actors[t].life = Life::Over;
    }

    fn log(&mut self, t: usize, out: Out) {
        let mut balances = [0; 4];
        for (balance, line) in balances.iter_mut().zip(&self.lines) {
            *balance = line.sides[1].len().cast_signed() - line.sides[0].len().cast_signed();
        }
        self.history.events.push((t, self.actors[t].pc, out, balances));
        self.actors[t].pc += 1;
    }

    /// Removes `t` from its channels, and appends it to the ring.
    fn release(&mut self, t: usize, out: Out) {
        for side in self.lines.iter_mut().flat_map(|line| &mut line.sides) {
            side.retain(|seat| seat.t != t);
        }
        self.actors[t].life = Life::Ready;
        self.actors[t].out = out;
        self.ring.push_back(t);
    }

    /// Performs one step of the current tasklet. `None`: it has left, or has ended.
    fn step(&mut self, t: usize, step: Step) -> Option<Out> {
        let over = |model: &Model<'_>, other: usize| model.actors[other].life == Life::Over;
        let can_be_killed = match step {
            Step::Send(_) | Step::Recv(_) | Step::TrySend(_) | Step::TryRecv(_) => true,
            Step::Select(_) | Step::TrySelect(_) | Step::Yield => true,
            Step::RunNow(other) => !over(self, other),
            Step::Pause(other) => other == t,
            _ => false,
        };
        if can_be_killed && self.actors[t].killed {
            self.actors[t].life = Life::Over;
            return None;
        }
        match step {
            Step::Send(c) => self.meet(t, [Some((c, true)), None, None], false, true),
            Step::Recv(c) => self.meet(t, [Some((c, false)), None, None], false, true),
            Step::TrySend(c) => self.meet(t, [Some((c, true)), None, None], false, false),
            Step::TryRecv(c) => self.meet(t, [Some((c, false)), None, None], false, false),
            Step::Select(offers) => self.meet(t, offers, true, true),
            Step::TrySelect(offers) => self.meet(t, offers, true, false),
            Step::Close(c) | Step::Drain(c) => {
                self.lines[c].closing = true;
                for side in [1, 0] {
                    while (side == 0 || matches!(step, Step::Close(_)))
                        && let Some(&seat) = self.lines[c].sides[side].front()
                    {
                        self.release(seat.t, seat.out(Chosen::Closed));
                    }
                }
                Some(Out::Ok)
            }
            Step::Open(c) => {
                self.lines[c].closing = false;
                Some(Out::Ok)
            }
            Step::Prefer(c, handover) => {
                self.handovers[c] = handover;
                Some(Out::Ok)
            }
            Step::Yield => {
                self.suspend(t, true);
                self.ring.push_back(t);
                None
            }
            Step::Kill(other) => {
                if !over(self, other) {
                    self.actors[other].killed = true;
                    let out = self.actors[other].out;
                    match self.actors[other].life {
                        Life::Waits => {
                            self.actors[other].fragile = true;
                            self.release(other, out);
                        }
                        Life::Paused => self.release(other, out),
                        Life::Ready | Life::Over => {}
                    }
                }
                Some(Out::Ok)
            }
            Step::Pause(other) => match self.actors[other].life {
                Life::Over => Some(Out::Finished),
                Life::Waits => Some(Out::Blocked),
                Life::Paused => Some(Out::Ok),
                Life::Ready if other == t => {
                    self.suspend(t, true);
                    self.park(t, Life::Paused);
                    None
                }
                Life::Ready => {
                    // A kill that is pending arrives all the same.
                    if !self.actors[other].killed {
                        self.ring.retain(|&queued| queued != other);
                        self.park(other, Life::Paused);
                    }
                    Some(Out::Ok)
                }
            },
            Step::Resume(other) => match self.actors[other].life {
                Life::Over => Some(Out::Finished),
                Life::Waits => Some(Out::Blocked),
                Life::Paused => {
                    self.release(other, self.actors[other].out);
                    Some(Out::Ok)
                }
                Life::Ready => Some(Out::Ok),
            },
            Step::RunNow(other) => match self.actors[other].life {
                Life::Over => Some(Out::Finished),
                Life::Waits => Some(Out::Blocked),
                Life::Ready if other == t => Some(Out::Ok),
                life => {
                    if life == Life::Paused {
                        self.release(other, self.actors[other].out);
                    }
                    self.suspend(t, true);
                    self.ring.push_back(t);
                    // The ring is turned until the other tasklet is the current one.
                    let at = self.ring.iter().position(|&queued| queued == other)?;
                    self.ring.rotate_left(at);
                    None
                }
            },
        }
    }

    /// The current tasklet leaves in the middle of a call that will return `Ok`.
    fn suspend(&mut self, t: usize, fragile: bool) {
        self.actors[t].out = Out::Ok;
        self.actors[t].fragile = fragile;
    }

    /// Performs the first of `offers` that can happen.
    fn meet(&mut self, t: usize, offers: Offers, selects: bool, may_wait: bool) -> Option<Out> {
        let pc = self.actors[t].pc;
        let seat = |at: usize| Seat { t, alternative: selects.then_some(at) };
        let own = |seat: Seat, pc: usize| match seat.alternative {
            Some(alternative) => offered(value(seat.t, pc), alternative),
            None => value(seat.t, pc),
        };
        let offers = offers.into_iter().enumerate().filter_map(|(at, offer)| Some((at, offer?)));
        let offers: Vec<_> = offers.collect();
        for &(at, (c, sending)) in &offers {
            let Some(&partner) = self.lines[c].sides[usize::from(!sending)].front() else {
                if self.lines[c].closing {
                    return Some(seat(at).out(Chosen::Closed));
                }
                continue;
            };
            let (mine, theirs) = if sending {
                (Chosen::Sent, Chosen::Got(own(seat(at), pc)))
            } else {
                (Chosen::Got(own(partner, self.actors[partner.t].pc)), Chosen::Sent)
            };
            let mine = seat(at).out(mine);
            self.release(partner.t, partner.out(theirs));
            return self.hand_over(t, partner.t, self.handovers[c], sending, may_wait, mine);
        }
        if !may_wait {
            return Some(Out::WouldBlock);
        }
        self.park(t, Life::Waits);
        self.suspend(t, false);
        for (at, (c, sending)) in offers {
            self.lines[c].sides[usize::from(sending)].push_back(seat(at));
        }
        None
    }

    /// Chooses the tasklet that goes on after a meeting: `t`, or the partner, which is at the end
    /// of the ring.
    fn hand_over(
        &mut self,
        t: usize,
        partner: usize,
        handover: Handover,
        sending: bool,
        may_wait: bool,
        mine: Out,
    ) -> Option<Out> {
        let prefers_partner =
            handover == if sending { Handover::Receiver } else { Handover::Sender };
        if !may_wait || !(prefers_partner || handover == Handover::Yield) {
            return Some(mine);
        }
        self.suspend(t, false);
        self.actors[t].out = mine;
        self.ring.push_back(t);
        if prefers_partner {
            self.ring.retain(|&queued| queued != partner);
            self.ring.push_front(partner);
        }
        None
    }
}
