//! Channels between threads.

use overlapped::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, TrySendError};
use overlapped::sync::oneshot;

use crate::actor::Actor;
use crate::check::ensure;
use crate::ledger::{Sent, Value};
use crate::world::{Sending, Shared};

fn some_sender(me: &mut Actor) -> Sending {
    let senders = me.world.shared.senders.lock().unwrap();
    senders[me.rng.below(senders.len())].clone()
}

pub(in crate::actions) fn send(me: &mut Actor) {
    let value = me.world.shared.value();
    let sender = some_sender(me);
    let send = |value| match &sender {
        Sending::Unbounded(sender) => sender.send(value),
        Sending::Bounded(sender) => me.wait(|| sender.send(value)),
    };
    value.sent(Sent::IsReceived, send, |error| error.0);
}

pub(in crate::actions) fn try_send(me: &mut Actor) {
    let sender = some_sender(me);
    try_send_by(&me.world.shared, &sender);
}

/// A thread without a scheduler does this, too.
pub(in crate::actions) fn try_send_by(shared: &Shared, sender: &Sending) {
    let value = shared.value();
    match sender {
        Sending::Unbounded(sender) => {
            value.sent(Sent::IsReceived, |value| sender.send(value), |error| error.0);
        }
        Sending::Bounded(sender) => {
            let back = |error| match error {
                TrySendError::Full(value) | TrySendError::Disconnected(value) => value,
            };
            value.sent(Sent::IsReceived, |value| sender.try_send(value), back);
        }
    }
}

pub(in crate::actions) fn receive(me: &mut Actor) {
    let world = me.world.clone();
    let queue: &Receiver<Value> = &world.queues[me.rng.below(2)];
    let limit = me.brief();
    if me.one_in(2) {
        match queue.recv_timeout(limit) {
            Ok(value) => value.received(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => ensure!(false, "its senders are there"),
        }
    } else if let Ok(value) = me.wait(|| queue.recv()) {
        value.received();
    }
}

pub(in crate::actions) fn try_receive(me: &mut Actor) {
    let world = me.world.clone();
    match world.queues[me.rng.below(2)].try_recv() {
        Ok(value) => value.received(),
        Err(TryRecvError::Empty) => {}
        Err(TryRecvError::Disconnected) => ensure!(false, "its senders are there"),
    }
}

/// Drops the values that no receiver has taken by the end of a program.
pub(crate) fn settle(shared: &Shared) {
    for queue in shared.left.lock().unwrap().drain(..) {
        queue.try_iter().for_each(Value::received);
    }
    shared.senders.lock().unwrap().clear();
}

pub(in crate::actions) fn oneshot(me: &mut Actor) {
    let (sender, receiver) = oneshot::channel();
    let value = me.world.shared.value();
    let sends = me.one_in(2);
    let mut child = me.child();
    if !me.may_spawn() {
        return;
    }
    // Dropped without a send, the sender reports that to the receiver.
    let _child = overlapped::Builder::new().spawn(move || {
        child.pause_a_while();
        if sends {
            value.sent(Sent::MayGo, |value| sender.send(value), |error| error.0);
        }
    });
    let limit = me.brief();
    let result = match me.rng.below(3) {
        0 => receiver.recv_timeout(limit).ok(),
        1 => receiver.try_recv().ok(),
        _ => me.wait(|| receiver.recv()).ok(),
    };
    ensure!(sends || result.is_none(), "received a value that was not sent");
    if let Some(value) = result {
        value.received();
    }
}
