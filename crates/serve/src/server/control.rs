//! What is asked of a running server, by signals and by handles.

use std::fmt;

use overlapped::sync::mpsc;

/// What a server may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Leave, drain, end; each further one cuts the stage short that has been reached.
    Stop,
    /// Open files again.
    Reload,
    /// Start a successor, and stop when it serves.
    Restart,
}

/// Where orders come in.
pub(super) struct Control {
    sender: mpsc::Sender<Order>,
    orders: Option<mpsc::Receiver<Order>>,
}

impl Control {
    pub(super) fn new() -> Control {
        let (sender, orders) = mpsc::channel();
        Control { sender, orders: Some(orders) }
    }

    /// For the one who obeys them.
    pub(super) fn take_orders(&mut self) -> mpsc::Receiver<Order> {
        self.orders.take().expect("a server runs once")
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { sender: self.sender.clone() }
    }
}

/// Stops a server, or has it reload, from any thread. After the server's end it does nothing.
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::Sender<Order>,
}

impl Handle {
    /// Has the server drain and end, as SIGTERM does; the second time, at once. With a
    /// [`lame_duck`](crate::Server::lame_duck) time, the second call ends that time, and the third
    /// one the drain.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    /// Has the server open its files again, as SIGHUP does.
    pub fn reload(&self) {
        self.order(Order::Reload);
    }

    /// Has the server start a successor and, when that serves, drain and end, as SIGUSR2 does. See
    /// [`Server::successor`](crate::Server::successor).
    pub fn restart(&self) {
        self.order(Order::Restart);
    }

    pub(super) fn order(&self, order: Order) {
        // Nobody is there any more: it has ended already.
        let _ = self.sender.send(order);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
