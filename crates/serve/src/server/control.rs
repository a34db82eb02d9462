//! Orders to a running server, from signals and handles.

use std::fmt;

use overlapped::sync::mpsc;

/// An order to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Leave, drain, end. Each further one ends the current stage at once.
    Stop,
    /// Reopen files.
    Reload,
    /// Start a new process, and stop when it serves (hot restart).
    Restart,
}

/// The channel of a server's orders.
pub(super) struct Control {
    sender: mpsc::Sender<Order>,
    orders: Option<mpsc::Receiver<Order>>,
}

impl Control {
    pub(super) fn new() -> Control {
        let (sender, orders) = mpsc::channel();
        Control { sender, orders: Some(orders) }
    }

    /// Takes the receiving end, for the tasklet that executes the orders.
    pub(super) fn take_orders(&mut self) -> mpsc::Receiver<Order> {
        self.orders.take().expect("a server runs once")
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { sender: self.sender.clone() }
    }
}

/// A handle of a server, which stops, reloads or restarts it from any thread. After the server's
/// end its calls do nothing.
#[derive(Clone)]
pub struct Handle {
    sender: mpsc::Sender<Order>,
}

impl Handle {
    /// Makes the server drain and end, as SIGTERM does. The second call ends it at once; with a
    /// [`lame_duck`](crate::Server::lame_duck) time, the second call ends that time, and the third
    /// one the drain.
    pub fn stop(&self) {
        self.send(Order::Stop);
    }

    /// Makes the server reopen its files, as SIGHUP does.
    pub fn reload(&self) {
        self.send(Order::Reload);
    }

    /// Makes the server start a new process and, when that serves, drain and end, as SIGUSR2 does.
    /// See [`Server::restart_command`](crate::Server::restart_command).
    pub fn restart(&self) {
        self.send(Order::Restart);
    }

    pub(super) fn send(&self, order: Order) {
        // An error means that the server has ended.
        let _ = self.sender.send(order);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
