//! A server's life.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use overlapped::signal::{self, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signals};
use overlapped::sync::mpsc::Receiver;
use overlapped::task::{self, Placed};
use overlapped::time::{Duration, Instant};
use overlapped::{Builder, port, spawn};

use super::control::{Handle, Order};
use super::worker::{Part, be_watched, work};
use super::{Listener, Server, Site, notify};
use crate::Totals;
use crate::listen::{adopt, successor};
use crate::watch::Log;

/// Between two looks whether connections are left.
const PERIOD: Duration = Duration::from_millis(50);

pub(super) fn run(mut server: Server) -> io::Result<Totals> {
    match port::raise_fd_limit() {
        Ok((limit, _)) => tracing::debug!(limit, "open files: as many as the hard limit allows"),
        Err(error) => tracing::info!("the limit on open files stays as it is: {error}"),
    }
    let format = server.log_format;
    let log = server.access_log.as_ref().map(|to| Log::open(to, format)).transpose()?;
    let threads = server.threads;
    let config = std::mem::take(&mut server.config).threads(threads);
    let mut run = Running::new(server, log.clone())?;
    let ended = config.run_until(|| run.run())?;
    if let Some(log) = log {
        log.finish();
    }
    ended?;
    Ok(run.totals())
}

/// What the main tasklet knows.
struct Running {
    server: Server,
    site: Arc<Site>,
    /// By thread, until they are there.
    parts: Vec<Vec<Part>>,
    /// For those who watch the server.
    watched: Vec<Part>,
    log: Option<Log>,
    open_at_stop: usize,
    cut: usize,
}

impl Running {
    fn new(mut server: Server, log: Option<Log>) -> io::Result<Running> {
        let threads = server.threads;
        let site = Arc::clone(&server.site);
        let mut parts: Vec<Vec<Part>> = (0..threads).map(|_| Vec::new()).collect();
        let mut watched = Vec::new();
        for listener in &mut server.listeners {
            let threads = if listener.front.watched { 1 } else { threads };
            let shards = listener.shards(threads)?;
            let front = &listener.front;
            let part = |sockets| Part {
                front: Arc::clone(front),
                sockets,
                factory: listener.factory.copy(),
                counts: site.ledger.open(front),
            };
            if front.watched {
                watched.extend(shards.into_iter().map(part));
                continue;
            }
            for (thread, sockets) in shards.into_iter().enumerate() {
                parts[thread].push(part(sockets));
            }
        }
        Ok(Running { server, site, parts, watched, log, open_at_stop: 0, cut: 0 })
    }

    /// In the first tasklet.
    fn run(&mut self) -> io::Result<()> {
        if self.server.signals {
            listen_to_signals(self.server.control.handle())?;
        }
        let watched = std::mem::take(&mut self.watched);
        let site = Arc::clone(&self.site);
        // It is killed by the end of the run.
        drop(spawn(move || be_watched(&site, watched)));
        self.doubt_certificates();
        let workers = self.place_workers()?;
        successor::tell_predecessor();
        notify::ready();
        let orders = self.obey()?;
        self.leave(&orders);
        self.begin_to_stop();
        self.cut_at_the_second_stop(orders);
        for worker in workers {
            self.cut += worker.join()?;
        }
        Ok(())
    }

    fn place_workers(&mut self) -> io::Result<Vec<Placed<usize>>> {
        let grace = self.server.grace;
        let place = |(thread, parts)| {
            let (site, log) = (Arc::clone(&self.site), self.log.clone());
            let beside = self.server.beside.clone();
            let part = move || {
                if let Some(begin) = beside {
                    begin();
                }
                work(&site, parts, log, grace)
            };
            task::place_on(thread, part).map_err(io::Error::from)
        };
        std::mem::take(&mut self.parts).into_iter().enumerate().map(place).collect()
    }

    /// Obeys orders until one of them means the end.
    fn obey(&mut self) -> io::Result<Receiver<Order>> {
        let orders = self.server.control.take_orders();
        loop {
            match orders.recv().map_err(io::Error::other)? {
                Order::Stop => return Ok(orders),
                Order::Reload => {
                    notify::reloading();
                    self.reload();
                    notify::ready();
                }
                Order::Restart => match self.restart() {
                    Ok(()) => return Ok(orders),
                    Err(error) => tracing::error!("no restart: {error}"),
                },
            }
        }
    }

    /// Serves on, for those who have not heard yet that this ends.
    fn leave(&self, orders: &Receiver<Order>) {
        self.site.leaving.set();
        if !self.site.succeeded.load(Relaxed) {
            notify::stopping();
        }
        let lame_duck = self.server.lame_duck;
        if lame_duck.is_zero() {
            return;
        }
        tracing::info!("not ready any more; stopping in {lame_duck:?}, once more stops now");
        let begin = Instant::now();
        let has_successor = self.site.succeeded.load(Relaxed);
        loop {
            let left = lame_duck.saturating_sub(begin.elapsed());
            // New clients are the successor's.
            let all_gone = has_successor && self.site.connections.get() == 0;
            if left.is_zero() || all_gone {
                return;
            }
            match orders.recv_timeout(left.min(PERIOD)) {
                Ok(Order::Stop) => return,
                Ok(Order::Reload) => self.reload(),
                Ok(Order::Restart) => tracing::error!("no restart: this server is stopping"),
                Err(_) => {}
            }
        }
    }

    /// Has a successor serve.
    fn restart(&mut self) -> io::Result<()> {
        let mut sockets = Vec::new();
        for (number, Listener { bound, .. }) in self.server.listeners.iter().enumerate() {
            for socket in &bound.sockets {
                sockets.push((adopt::name(bound, number), socket.try_clone()?));
            }
        }
        let command = match self.server.successor.take() {
            Some(command) => command,
            None => std::env::args_os().collect(),
        };
        let started = successor::start(&command, sockets);
        self.server.successor = Some(command);
        notify::succeeded_by(started?);
        self.site.succeeded.store(true, Relaxed);
        for listener in &mut self.server.listeners {
            // Its name is the successor's now.
            listener.path = None;
        }
        tracing::info!("a successor serves");
        Ok(())
    }

    /// Opens files again.
    fn reload(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
        for tls in self.server.listeners.iter().filter_map(|listener| listener.front.tls.as_ref()) {
            // Small files, read in place.
            match tls.reload() {
                Ok(()) => tracing::info!("certificates were read again"),
                Err(error) => tracing::error!("the old certificates stay: {error}"),
            }
        }
        self.doubt_certificates();
    }

    /// Warns of certificates that clients refuse, once of each: listeners may share them.
    fn doubt_certificates(&self) {
        let now = SystemTime::now();
        let all = self.server.listeners.iter().filter_map(|listener| listener.front.tls.as_ref());
        let refused = all.flat_map(|tls| tls.checks(now)).filter_map(Result::err);
        let texts: BTreeSet<String> = refused.map(|error| error.to_string()).collect();
        texts.iter().for_each(|text| tracing::warn!("{text}"));
    }

    /// While the workers drain.
    fn cut_at_the_second_stop(&self, orders: Receiver<Order>) {
        let site = Arc::clone(&self.site);
        // It is killed when the workers have ended.
        drop(spawn(move || {
            while let Ok(order) = orders.recv() {
                if order == Order::Stop {
                    site.cut.store(true, Relaxed);
                }
            }
        }));
    }

    fn begin_to_stop(&mut self) {
        self.open_at_stop = self.site.connections.get();
        tracing::debug!(connections = self.open_at_stop, "stopping; once more stops at once");
        for listener in &mut self.server.listeners {
            // The workers have their own; nobody comes when they have closed those.
            listener.bound.sockets.clear();
            if let Some(path) = listener.path.take() {
                let _ = std::fs::remove_file(path);
            }
        }
        self.site.stop.set();
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals {
            served: self.site.begin.elapsed(),
            peak: self.site.connections.peak(),
            open_at_stop: self.open_at_stop,
            cut: self.cut,
            left: self.site.connections.get(),
            ..Totals::default()
        };
        self.site.ledger.each(|front, counts| {
            if !front.watched {
                totals.add(counts);
            }
        });
        totals
    }
}

/// Turns signals into orders, until it is killed.
fn listen_to_signals(handle: Handle) -> io::Result<()> {
    let explain = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen to signals: {error}"))
    };
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]).map_err(explain)?;
    let listen = move || {
        for signal in signals {
            let Ok(signal) = signal else { return };
            tracing::debug!("{}", signal::name(signal).unwrap_or("a signal"));
            handle.order(match signal {
                SIGHUP | SIGUSR1 => Order::Reload,
                SIGUSR2 => Order::Restart,
                _ => Order::Stop,
            });
        }
    };
    Builder::new().name("listens to signals").spawn(listen)?;
    Ok(())
}
