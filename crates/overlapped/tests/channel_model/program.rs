//! Random programs, and the record of a run.

use overlapped::Handover;

use crate::support::Rng;

pub(crate) const STEPS: usize = 50;
pub(crate) const HANDOVERS: [Handover; 4] =
    [Handover::Receiver, Handover::Sender, Handover::Neither, Handover::Yield];

#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Send(usize),
    Recv(usize),
    TrySend(usize),
    TryRecv(usize),
    /// A select: the first of these that can happen, in this order; it waits if none can.
    Select(Offers),
    TrySelect(Offers),
    Close(usize),
    Drain(usize),
    Open(usize),
    Prefer(usize, Handover),
    Yield,
    Kill(usize),
    Pause(usize),
    Resume(usize),
    RunNow(usize),
}

/// Up to three alternatives: a channel, and whether to send.
pub(crate) type Offers = [Option<(usize, bool)>; 3];

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Out {
    Ok,
    Got(usize),
    Closed,
    /// The alternative of a select that happened, and its outcome.
    Chose(usize, Chosen),
    WouldBlock,
    /// A deadlock report on this number of tasklets.
    Deadlock(usize),
    Blocked,
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    Sent,
    Got(usize),
    Closed,
}

/// One line of a history: the actor, the step, its outcome, every channel's balance.
pub(crate) type Event = (usize, usize, Out, [isize; 4]);

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    pub(crate) events: Vec<Event>,
    /// The remaining tasklets, if no waiter could get the deadlock report.
    pub(crate) left: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) handovers: Vec<Handover>,
    pub(crate) scripts: Vec<Vec<Step>>,
}

impl Program {
    pub(crate) fn random(seed: u64) -> Program {
        let mut rng = Rng(seed);
        let channels = 1 + rng.below(4);
        let actors = 2 + rng.below(4);
        let bystanders = rng.below(4);
        let handovers = (0..channels).map(|_| HANDOVERS[rng.below(4)]).collect();
        let mut scripts = vec![Vec::new(); actors];
        for _ in 0..STEPS {
            let actor = rng.below(actors);
            let c = rng.below(channels);
            let t = rng.below(actors + bystanders);
            let mut offers = [Some((c, rng.below(2) == 0)), None, None];
            for offer in &mut offers[1..] {
                *offer = (rng.below(3) > 0).then(|| (rng.below(channels), rng.below(2) == 0));
            }
            scripts[actor].push(match rng.below(32) {
                0..6 => Step::Send(c),
                6..12 => Step::Recv(c),
                12..17 => Step::Select(offers),
                17 => Step::TrySelect(offers),
                18 => Step::TrySend(c),
                19 => Step::TryRecv(c),
                20 => Step::Close(c),
                21 => Step::Drain(c),
                22..24 => Step::Open(c),
                24 => Step::Prefer(c, HANDOVERS[rng.below(4)]),
                25..27 => Step::Yield,
                27 => Step::Kill(t),
                28 => Step::Pause(t),
                29..31 => Step::Resume(t),
                _ => Step::RunNow(t),
            });
        }
        let extra = (0..bystanders).map(|_| vec![Step::Yield; rng.below(12)]);
        scripts.extend(extra.collect::<Vec<_>>());
        Program { handovers, scripts }
    }
}

/// The value that a step sends.
pub(crate) fn value(tasklet: usize, pc: usize) -> usize {
    tasklet * 1000 + pc
}

/// The value that an alternative of a select sends, where its step's value is `value`.
pub(crate) fn offered(value: usize, alternative: usize) -> usize {
    value + (alternative + 1) * 1_000_000
}
