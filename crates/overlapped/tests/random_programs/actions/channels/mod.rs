//! Channels of one scheduler, and selects.

pub(crate) mod queues;

use overlapped::task::WaitError;
use overlapped::{Channel, Handover, RecvError, Select, SendError, Tasklet};

use crate::actor::Actor;
use crate::check::{ensure, finding, told_of_a_kill};
use crate::ledger::{Offer, Sent, Value};

fn some_channel(me: &mut Actor) -> Channel<Value> {
    me.world.channels[me.rng.below(3)].clone()
}

/// Sends a new value; a send that fails returns it.
fn sends(me: &mut Actor, send: impl FnOnce(Value) -> Result<(), SendError<Value>>) {
    me.world.shared.value().sent(Sent::IsReceived, send, SendError::into_inner);
}

fn receives(result: Result<Value, RecvError>) {
    if let Ok(value) = result {
        value.received();
    }
}

pub(in crate::actions) fn send(me: &mut Actor) {
    let (channel, limit) = (some_channel(me), me.brief());
    if me.is_bounded || me.one_in(3) {
        return sends(me, |value| channel.send_timeout(value, limit));
    }
    let value = me.world.shared.value();
    value.sent(Sent::IsReceived, |value| me.wait(|| channel.send(value)), SendError::into_inner);
}

pub(in crate::actions) fn receive(me: &mut Actor) {
    let (channel, limit) = (some_channel(me), me.brief());
    receives(if me.is_bounded || me.one_in(3) {
        channel.recv_timeout(limit)
    } else {
        me.wait(|| channel.recv())
    });
}

pub(in crate::actions) fn try_send(me: &mut Actor) {
    let channel = some_channel(me);
    if me.is_still && me.one_in(2) {
        // A send that may not wait returns an error.
        return sends(me, |value| channel.send(value));
    }
    sends(me, |value| channel.try_send(value));
}

pub(in crate::actions) fn try_receive(me: &mut Actor) {
    let channel = some_channel(me);
    let is_waiting = me.is_still && me.one_in(2);
    receives(if is_waiting { channel.recv() } else { channel.try_recv() });
}

pub(in crate::actions) fn send_all(me: &mut Actor) {
    let channel = some_channel(me);
    for _ in 0..me.rng.below(4) {
        let value = me.world.shared.value();
        let offer = Offer::new(&value, Sent::IsReceived);
        let result = me.wait(|| channel.send_all([value]));
        offer.ended(result.map(|_| ()).map_err(SendError::into_inner));
    }
}

pub(in crate::actions) fn close(me: &mut Actor) {
    let channel = some_channel(me);
    match me.rng.below(8) {
        0 => channel.close(),
        1 => channel.close_draining(),
        _ => channel.open(),
    }
    ensure!(!channel.is_closed() || channel.is_closing(), "closed, but not closing");
}

pub(in crate::actions) fn set_handover(me: &mut Actor) {
    const ALL: [Handover; 4] =
        [Handover::Receiver, Handover::Sender, Handover::Neither, Handover::Yield];
    let channel = some_channel(me);
    channel.set_handover(ALL[me.rng.below(4)]);
    let _ = channel.balance();
}

/// A value that a select may send, and the record of its fate.
struct Offered {
    value: Option<Value>,
    offer: Option<Offer>,
}

impl Offered {
    fn new(me: &Actor) -> Offered {
        let value = me.world.shared.value();
        let offer = Some(Offer::new(&value, Sent::IsReceived));
        Offered { value: Some(value), offer }
    }

    /// Records that a value which the select has not taken is still the sender's.
    fn settle(self) {
        if let (Some(value), Some(offer)) = (self.value, self.offer) {
            offer.ended(Err(value));
        }
    }
}

pub(in crate::actions) fn select(me: &mut Actor) {
    let count = 1 + me.rng.below(4);
    let channels: [Channel<Value>; 4] = std::array::from_fn(|_| some_channel(me));
    let mut offered: [Offered; 4] = std::array::from_fn(|_| Offered::new(me));
    let mut worker: Option<Tasklet<Value>> =
        if me.one_in(4) { me.spawn().map(|handle| handle.tasklet) } else { None };
    let mut select = Select::new();
    if me.one_in(4) {
        select = select.biased();
    }
    let has_worker = worker.is_some();
    if has_worker {
        select = select.join(&mut worker, |ended| drop(ended.map(Value::resulted)));
    }
    for (channel, Offered { value, offer }) in channels.iter().zip(&mut offered).take(count) {
        let limit = me.brief();
        select = match me.rng.below(8) {
            0..3 => select.send(channel, value, |sent| {
                if let Some(offer) = offer.take() {
                    offer.ended(sent.map_err(SendError::into_inner));
                }
            }),
            3..6 => select.recv(channel, receives),
            _ => select.after(limit, || ()),
        };
    }
    let limit = me.brief();
    let ended = match me.rng.below(4) {
        0 => select.try_wait(),
        1 => select.wait_timeout(limit),
        _ => me.wait(|| select.wait()),
    };
    match ended {
        Ok(()) => {}
        Err(WaitError::TimedOut | WaitError::WouldBlock | WaitError::Deadlock(_)) => {}
        Err(WaitError::Cancelled) => told_of_a_kill(),
        Err(error) => finding(format_args!("select: {error}")),
    }
    let gone = offered.iter().filter(|one| one.value.is_none()).count();
    ensure!(gone <= 1, "a select took {gone} values");
    offered.into_iter().for_each(Offered::settle);
}
