//! One thread of a server: its acceptors, who is there, and spare buffers.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::time::Duration;
use overlapped::{Builder, Remote, Tasklet, spawn};
use slab::Slab;

use super::guest::Factory;
use super::{Front, Serve, Site, Venue, drain};
use crate::listen::{Door, Reserve, accept_for_ever, accept_the_rest};
use crate::session::Outbox;
use crate::stream::Link;
use crate::watch::{Counts, Log};

/// Idle connections that are closed when descriptors are asked for.
const ROOM: usize = 16;
/// Connections of those who watch the server that find a descriptor when there is none.
const RESERVE: usize = 2;
/// Outboxes that are kept for the next who needs one. Few sessions answer at the same time.
const SPARE_MAX: usize = 32;

/// What the sessions of a thread share.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    leaving: Cell<bool>,
    stopping: Cell<bool>,
    links: RefCell<Slab<Rc<Link>>>,
    turns: Cell<u64>,
    spare: RefCell<Vec<Outbox>>,
}

impl Worker {
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Enters a connection into the list of those who are there.
    pub(super) fn enter(self: &Rc<Worker>, link: &Rc<Link>) -> Presence {
        link.turn.set(self.next_turn());
        let at = self.links.borrow_mut().insert(Rc::clone(link));
        Presence { worker: Rc::clone(self), at }
    }

    /// Who is there.
    pub(super) fn links(&self) -> Vec<Rc<Link>> {
        self.links.borrow().iter().map(|(_, link)| Rc::clone(link)).collect()
    }

    /// Numbers the beginnings of connections and the ends of requests.
    pub(crate) fn next_turn(&self) -> u64 {
        self.turns.set(self.turns.get() + 1);
        self.turns.get()
    }

    /// Has those leave that have been between two requests, or without one, for longest.
    fn make_room(&self) {
        let mut idle = self.links();
        idle.retain(|link| link.can_leave());
        idle.sort_unstable_by_key(|link| link.turn.get());
        tracing::debug!(idle = idle.len(), "no descriptors left: idle connections are closed");
        idle.iter().take(ROOM).for_each(|link| link.evict());
    }

    pub(crate) fn take_outbox(&self) -> Outbox {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_outbox(&self, mut outbox: Outbox) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            outbox.clear();
            spare.push(outbox);
        }
    }
}

/// A place in the list of those who are there, until it is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    worker: Rc<Worker>,
    at: usize,
}

impl Drop for Presence {
    fn drop(&mut self) {
        drop(self.worker.links.borrow_mut().remove(self.at));
    }
}

/// One listener's part of a thread, on its way there.
pub(super) struct Part {
    pub(super) front: Arc<Front>,
    pub(super) sockets: Vec<OwnedFd>,
    pub(super) factory: Box<dyn Factory>,
    pub(super) counts: Arc<Counts>,
}

/// An acceptor, its listener, and what becomes of the connections.
struct Acceptor {
    tasklet: Tasklet<()>,
    venue: Rc<Venue>,
    door: Rc<Door>,
    serve: Rc<dyn Serve>,
}

/// Serves until the server stops, then drains. How many sessions did not end in time.
pub(super) fn work(site: &Arc<Site>, parts: Vec<Part>, log: Option<Log>, grace: Duration) -> usize {
    let worker = Rc::new(Worker::default());
    let mut acceptors = open(site, &worker, parts, log);
    // It is killed by the end of the run.
    drop(spawn(make_room_for_ever(site, &worker)));
    site.leaving.wait();
    worker.leaving.set(true);
    if site.succeeded.load(Relaxed) {
        // What waits in the queues is the successor's, and so is who comes from now on.
        acceptors.drain(..).for_each(|acceptor| drop(acceptor.end()));
    }
    site.stop.wait();
    worker.stopping.set(true);
    for acceptor in acceptors {
        let (venue, door, serve) = acceptor.end();
        accept_the_rest(&venue, &door, &serve);
    }
    drain::drain(&worker, site, grace)
}

/// Makes room whenever descriptors are asked for.
fn make_room_for_ever(site: &Arc<Site>, worker: &Rc<Worker>) -> impl FnOnce() + use<> {
    let (asked, worker) = (site.shortage.serve_here(), Rc::clone(worker));
    move || {
        loop {
            asked.wait();
            asked.clear();
            worker.make_room();
        }
    }
}

impl Acceptor {
    /// Accepts nobody any more.
    fn end(self) -> (Rc<Venue>, Rc<Door>, Rc<dyn Serve>) {
        let Acceptor { tasklet, venue, door, serve } = self;
        tasklet.kill();
        // It ends by that, whatever it was doing.
        let _killed = tasklet.join();
        (venue, door, serve)
    }
}

/// Kills acceptors when it is dropped.
struct Killer(Vec<Remote>);

impl Drop for Killer {
    fn drop(&mut self) {
        self.0.iter().for_each(Remote::kill);
    }
}

/// Serves those who watch the server, until it is killed or a successor does.
pub(super) fn be_watched(site: &Arc<Site>, parts: Vec<Part>) {
    let worker = Rc::default();
    let acceptors = open(site, &worker, parts, None);
    let _killer = Killer(acceptors.iter().map(|acceptor| acceptor.tasklet.remote()).collect());
    site.leaving.wait();
    // Who is connected is told to connect anew, and reaches our successor, where there is one.
    worker.leaving.set(true);
    if site.succeeded.load(Relaxed) {
        return;
    }
    for acceptor in acceptors {
        let _killed = acceptor.tasklet.join();
    }
}

fn open(
    site: &Arc<Site>,
    worker: &Rc<Worker>,
    parts: Vec<Part>,
    log: Option<Log>,
) -> Vec<Acceptor> {
    let mut acceptors = Vec::new();
    for part in parts {
        let serve = part.factory.build();
        let venue = Rc::new(Venue {
            site: Arc::clone(site),
            limits: part.front.limits.clone(),
            worker: Rc::clone(worker),
            counts: part.counts,
            log: log.clone(),
            complaints: RefCell::default(),
            reserve: Reserve::new(if part.front.watched { RESERVE } else { 0 }),
            front: part.front,
        });
        for socket in part.sockets {
            let door = Rc::new(Door::new(&venue.front.address, socket));
            let (venue, serve) = (Rc::clone(&venue), Rc::clone(&serve));
            acceptors.push(begin(venue, door, serve));
        }
    }
    acceptors
}

fn begin(venue: Rc<Venue>, door: Rc<Door>, serve: Rc<dyn Serve>) -> Acceptor {
    let theirs = (Rc::clone(&venue), Rc::clone(&door), Rc::clone(&serve));
    let name = format!("accepts on {}", venue.front.address);
    let accept = move || match accept_for_ever(&theirs.0, &theirs.1, &theirs.2) {};
    let tasklet = match Builder::new().name(name).spawn(accept) {
        Ok(tasklet) => tasklet,
        Err(error) => panic!("no tasklet for an acceptor: {error}"),
    };
    Acceptor { tasklet, venue, door, serve }
}
