//! The run of a server: starts its threads, executes orders, stops.

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
use super::worker::{ThreadListener, monitor, serve};
use super::{Listener, Server, notify};
use crate::listen::{restart, shards};
use crate::state::{ServerState, Totals};
use crate::telemetry::Log;

/// The time between two checks whether connections are left.
const PERIOD: Duration = Duration::from_millis(50);

impl Server {
    /// Serves until SIGTERM or SIGINT arrives, or a [`Handle`] stops the server.
    ///
    /// Then the [`lame_duck`](Server::lame_duck) time begins. After it nothing is accepted any
    /// more, idle connections are closed, requests in progress are finished within the grace time,
    /// and what is left is closed. A second signal closes everything at once (or ends the lame-duck
    /// time; then the third one does).
    ///
    /// A service manager that has set `NOTIFY_SOCKET` is notified when clients are served, when
    /// files are read again, which process continues after a hot restart, and when the server stops
    /// (sd_notify(3)).
    ///
    /// # Errors
    /// The scheduler, a thread or the log could not be started; the message says why.
    pub fn run(self) -> io::Result<Totals> {
        run(self)
    }
}

fn run(mut server: Server) -> io::Result<Totals> {
    match port::raise_fd_limit() {
        Ok((limit, _)) => {
            tracing::debug!(limit, "raised the limit on open files to the hard limit")
        }
        Err(error) => tracing::info!("cannot raise the limit on open files: {error}"),
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

/// The state of the main tasklet.
struct Running {
    server: Server,
    state: Arc<ServerState>,
    /// The listeners of each thread, until it starts.
    listeners: Vec<Vec<ThreadListener>>,
    /// The monitoring listeners, until they start.
    monitoring: Vec<ThreadListener>,
    log: Option<Log>,
    open_at_stop: usize,
    cut: usize,
}

impl Running {
    fn new(mut server: Server, log: Option<Log>) -> io::Result<Running> {
        let threads = server.threads;
        let state = Arc::clone(&server.state);
        let mut listeners: Vec<Vec<ThreadListener>> = (0..threads).map(|_| Vec::new()).collect();
        let mut monitoring = Vec::new();
        for listener in &mut server.listeners {
            let threads = if listener.state.is_monitoring { 1 } else { threads };
            let shards = shards(&mut listener.bound, threads)?;
            let listener_state = &listener.state;
            let on_thread = |sockets| ThreadListener {
                state: Arc::clone(listener_state),
                sockets,
                handler: listener.handler.copy(),
                counters: state.new_counters(listener_state),
            };
            if listener_state.is_monitoring {
                monitoring.extend(shards.into_iter().map(on_thread));
                continue;
            }
            for (thread, sockets) in shards.into_iter().enumerate() {
                listeners[thread].push(on_thread(sockets));
            }
        }
        Ok(Running { server, state, listeners, monitoring, log, open_at_stop: 0, cut: 0 })
    }

    /// Runs the server, in the first tasklet.
    fn run(&mut self) -> io::Result<()> {
        if self.server.signals {
            handle_signals(self.server.control.handle())?;
        }
        let monitoring = std::mem::take(&mut self.monitoring);
        let state = Arc::clone(&self.state);
        // The end of the run kills it.
        drop(spawn(move || monitor(&state, monitoring)));
        self.warn_of_certificates();
        let workers = self.place_workers()?;
        restart::notify_old_process();
        notify::ready();
        let orders = self.execute_orders()?;
        self.leave(&orders);
        self.begin_to_stop();
        self.abort_at_the_second_stop(orders);
        for worker in workers {
            self.cut += worker.join()?;
        }
        Ok(())
    }

    fn place_workers(&mut self) -> io::Result<Vec<Placed<usize>>> {
        let grace = self.server.grace;
        let place = |(thread, listeners)| {
            let (state, log) = (Arc::clone(&self.state), self.log.clone());
            let on_start = self.server.on_thread_start.clone();
            let worker = move || {
                if let Some(on_start) = on_start {
                    on_start();
                }
                serve(&state, listeners, log, grace)
            };
            task::place_on(thread, worker).map_err(io::Error::from)
        };
        std::mem::take(&mut self.listeners).into_iter().enumerate().map(place).collect()
    }

    /// Executes orders until one of them ends the server.
    fn execute_orders(&mut self) -> io::Result<Receiver<Order>> {
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
                    Err(error) => tracing::error!("hot restart failed: {error}"),
                },
            }
        }
    }

    /// Serves during the lame-duck time, for clients that do not know yet that the server stops.
    fn leave(&self, orders: &Receiver<Order>) {
        self.state.leaving.set();
        if !self.state.is_replaced() {
            notify::stopping();
        }
        let lame_duck = self.server.lame_duck;
        if lame_duck.is_zero() {
            return;
        }
        tracing::info!("not ready any more; stopping in {lame_duck:?}; a signal ends this wait");
        let begin = Instant::now();
        let is_replaced = self.state.is_replaced();
        loop {
            let left = lame_duck.saturating_sub(begin.elapsed());
            // After a hot restart new clients belong to the new process.
            let all_gone = is_replaced && self.state.connections.get() == 0;
            if left.is_zero() || all_gone {
                return;
            }
            match orders.recv_timeout(left.min(PERIOD)) {
                Ok(Order::Stop) => return,
                Ok(Order::Reload) => self.reload(),
                Ok(Order::Restart) => tracing::error!("no hot restart: this server is stopping"),
                Err(_) => {}
            }
        }
    }

    /// Performs a hot restart: returns when the new process serves.
    fn restart(&mut self) -> io::Result<()> {
        let mut sockets = Vec::new();
        for (number, Listener { bound, .. }) in self.server.listeners.iter().enumerate() {
            for socket in &bound.sockets {
                sockets.push((bound.found_by.name(number), socket.try_clone()?));
            }
        }
        let command = match self.server.restart_command.take() {
            Some(command) => command,
            None => std::env::args_os().collect(),
        };
        let started = restart::start(&command, sockets);
        self.server.restart_command = Some(command);
        notify::replaced_by(started?);
        self.state.replaced.store(true, Relaxed);
        for listener in &mut self.server.listeners {
            // The new process needs the file.
            listener.path = None;
        }
        tracing::info!("the new process serves");
        Ok(())
    }

    /// Reopens files.
    fn reload(&self) {
        if let Some(log) = &self.log {
            log.reopen();
        }
        for tls in self.server.listeners.iter().filter_map(|listener| listener.state.tls.as_ref()) {
            // The files are small, so they are read without a pool.
            match tls.reload() {
                Ok(()) => tracing::info!("certificates were read again"),
                Err(error) => tracing::error!(
                    "cannot read the certificates again, the old ones stay: {error}"
                ),
            }
        }
        self.warn_of_certificates();
    }

    /// Warns of certificates that clients refuse. Listeners may share them, so each message is
    /// logged once.
    fn warn_of_certificates(&self) {
        let now = SystemTime::now();
        let all = self.server.listeners.iter().filter_map(|listener| listener.state.tls.as_ref());
        let refused = all.flat_map(|tls| tls.checks(now)).filter_map(Result::err);
        let texts: BTreeSet<String> = refused.map(|error| error.to_string()).collect();
        texts.iter().for_each(|text| tracing::warn!("{text}"));
    }

    /// Executes orders while the threads drain.
    fn abort_at_the_second_stop(&self, orders: Receiver<Order>) {
        let state = Arc::clone(&self.state);
        // This tasklet is killed when the threads have drained.
        drop(spawn(move || {
            while let Ok(order) = orders.recv() {
                if order == Order::Stop {
                    state.abort.store(true, Relaxed);
                }
            }
        }));
    }

    fn begin_to_stop(&mut self) {
        self.open_at_stop = self.state.connections.get();
        tracing::debug!(connections = self.open_at_stop, "stopping; a second signal stops at once");
        for listener in &mut self.server.listeners {
            // The threads have duplicates. Connections are refused when those are closed, too.
            listener.bound.sockets.clear();
            if let Some(path) = listener.path.take() {
                let _ = std::fs::remove_file(path);
            }
        }
        self.state.stop.set();
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals {
            served: self.state.begin.elapsed(),
            peak: self.state.connections.peak(),
            open_at_stop: self.open_at_stop,
            cut: self.cut,
            left: self.state.connections.get(),
            ..Totals::default()
        };
        self.state.each_counters(|listener, counters| {
            if !listener.is_monitoring {
                totals.add(counters);
            }
        });
        totals
    }
}

/// Spawns a tasklet that turns signals into orders.
fn handle_signals(handle: Handle) -> io::Result<()> {
    let explain =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot handle signals: {error}"));
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]).map_err(explain)?;
    let forward = move || {
        for signal in signals {
            let Ok(signal) = signal else { return };
            tracing::debug!("{}", signal::name(signal).unwrap_or("a signal"));
            handle.send(match signal {
                SIGHUP | SIGUSR1 => Order::Reload,
                SIGUSR2 => Order::Restart,
                _ => Order::Stop,
            });
        }
    };
    Builder::new().name("handles signals").spawn(forward)?;
    Ok(())
}
