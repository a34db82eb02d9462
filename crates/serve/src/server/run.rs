//! A server's life.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::signal::{self, SIGHUP, SIGINT, SIGTERM, SIGUSR1, Signals};
use overlapped::sync::mpsc::Receiver;
use overlapped::task::{self, Placed};
use overlapped::{Builder, port, spawn};

use super::control::{Handle, Order};
use super::worker::{Part, work};
use super::{Server, Site};
use crate::Totals;
use crate::watch::{Counts, Log};

pub(super) fn run(mut server: Server) -> io::Result<Totals> {
    match port::raise_fd_limit() {
        Ok((limit, _)) => tracing::debug!(limit, "open files: as many as the hard limit allows"),
        Err(error) => tracing::info!("the limit on open files stays as it is: {error}"),
    }
    let log = server.access_log.as_ref().map(Log::open).transpose()?;
    let threads = server.threads;
    let config = std::mem::take(&mut server.config).threads(threads);
    let mut run = Running::new(server, log.clone())?;
    let ended = config.run_until(|| run.run()).map_err(io::Error::other)?;
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
    counts: Vec<Arc<Counts>>,
    log: Option<Log>,
    open_at_stop: usize,
    cut: usize,
}

impl Running {
    fn new(server: Server, log: Option<Log>) -> io::Result<Running> {
        let threads = server.threads;
        let mut parts: Vec<Vec<Part>> = (0..threads).map(|_| Vec::new()).collect();
        let mut counts = Vec::new();
        for listener in &server.listeners {
            for (thread, sockets) in listener.shards(threads)?.into_iter().enumerate() {
                let front = Arc::clone(&listener.front);
                let factory = listener.factory.copy();
                let count = Arc::new(Counts::default());
                counts.push(Arc::clone(&count));
                parts[thread].push(Part { front, sockets, factory, counts: count });
            }
        }
        let site = Arc::new(Site::new());
        Ok(Running { server, site, parts, counts, log, open_at_stop: 0, cut: 0 })
    }

    /// In the first tasklet.
    fn run(&mut self) -> io::Result<()> {
        if self.server.signals {
            listen_to_signals(self.server.control.handle())?;
        }
        let workers = self.place_workers()?;
        let orders = self.obey()?;
        self.begin_to_stop();
        self.cut_at_the_second_stop(orders);
        for worker in workers {
            self.cut += worker.join().map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn place_workers(&mut self) -> io::Result<Vec<Placed<usize>>> {
        let grace = self.server.grace;
        let place = |(thread, parts)| {
            let (site, log) = (Arc::clone(&self.site), self.log.clone());
            task::place_on(thread, move || work(&site, parts, log, grace)).map_err(io::Error::other)
        };
        std::mem::take(&mut self.parts).into_iter().enumerate().map(place).collect()
    }

    /// Obeys orders until one of them means the end.
    fn obey(&mut self) -> io::Result<Receiver<Order>> {
        let orders = self.server.control.take_orders();
        loop {
            match orders.recv().map_err(io::Error::other)? {
                Order::Stop => return Ok(orders),
                Order::Reload => self.reload(),
            }
        }
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
            ..Totals::default()
        };
        for counts in &self.counts {
            totals.add(counts);
        }
        totals
    }
}

/// Turns signals into orders, until it is killed.
fn listen_to_signals(handle: Handle) -> io::Result<()> {
    let explain = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen to signals: {error}"))
    };
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(explain)?;
    let listen = move || {
        for signal in signals {
            let Ok(signal) = signal else { return };
            tracing::debug!("{}", signal::name(signal).unwrap_or("a signal"));
            handle.order(match signal {
                SIGHUP | SIGUSR1 => Order::Reload,
                _ => Order::Stop,
            });
        }
    };
    Builder::new().name("listens to signals").spawn(listen).map(drop).map_err(io::Error::other)
}
