//! What sessions share, by how many of them share it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use overlapped::sync::{Event, Semaphore};
use overlapped::time::Instant;

use super::Worker;
use crate::listen::{Address, Addresses, Listen, Reserve, Shortage};
use crate::watch::{Complaints, Counts, Gauge, Ledger, Log};
use crate::{Limits, Tls};

/// What the whole server shares.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) begin: Instant,
    /// The server is about to stop: it is not ready any more, and says so where it can.
    pub(crate) leaving: Event,
    /// The server stops: workers drain.
    pub(crate) stop: Event,
    /// There is no more time for it.
    pub(crate) cut: AtomicBool,
    /// A successor accepts from the same queues, so what waits in them is its.
    pub(crate) succeeded: AtomicBool,
    pub(crate) connections: Arc<Gauge>,
    /// Of descriptors for those who come.
    pub(crate) shortage: Arc<Shortage>,
    pub(crate) ledger: Ledger,
}

impl Site {
    pub(crate) fn new() -> Site {
        Site {
            begin: Instant::now(),
            leaving: Event::new(),
            stop: Event::new(),
            cut: AtomicBool::new(false),
            succeeded: AtomicBool::new(false),
            connections: Arc::default(),
            shortage: Arc::default(),
            ledger: Ledger::default(),
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }
}

/// What one listener shares on all threads.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) address: Address,
    pub(crate) limits: Limits,
    pub(crate) seats: Arc<Semaphore>,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) proxy: bool,
    pub(crate) tls: Option<Tls>,
    /// For those who watch the server: it is open until the very end.
    pub(crate) watched: bool,
}

impl Front {
    pub(crate) fn new(address: Address, listen: Listen) -> Front {
        let seats = listen.limits.connections.clamp(1, Semaphore::MAX_PERMITS);
        Front {
            address,
            limits: listen.limits,
            seats: Arc::new(Semaphore::new(seats)),
            addresses: Arc::default(),
            proxy: listen.proxy,
            tls: listen.tls,
            watched: listen.watched,
        }
    }
}

/// Complaints about clients, each kind rationed by itself.
#[derive(Debug, Default)]
pub(crate) struct AboutClients {
    /// Complaints about clients without a PROXY header.
    pub(crate) no_header: Complaints,
    /// Complaints about addresses with too many connections.
    pub(crate) too_many: Complaints,
    /// Complaints about clients that speak plain HTTP where TLS is spoken.
    pub(crate) plain_http: Complaints,
}

/// What the sessions of one listener share on one thread.
#[derive(Debug)]
pub(crate) struct Venue {
    pub(crate) site: Arc<Site>,
    pub(crate) front: Arc<Front>,
    pub(crate) worker: Rc<Worker>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) log: Option<Log>,
    pub(crate) complaints: RefCell<AboutClients>,
    /// Descriptors for connections that must not wait for one.
    pub(crate) reserve: Reserve,
    /// The front's, nearer.
    pub(crate) limits: Limits,
}
