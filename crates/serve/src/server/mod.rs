//! Servers: their listeners and threads, from the start to the end of the drain.
//!
//! ```text
//! Server::run           the calling thread: executes orders from signals and handles (run.rs)
//!  └ serve, × threads   a scheduler each (worker.rs)
//!     ├ acceptors       one per listening socket (listen/accept.rs)
//!     │  └ connections  a tasklet each (listen/connection.rs): handshakes, then the session
//!     └ drain           after the stop (drain.rs)
//! ```
//!
//! A stop has stages. Each further order to stop ends the current stage:
//!
//! ```text
//! serving ──▶ leaving (ServerState::leaving) ──▶ draining (ServerState::stop) ──▶ aborted
//!             /readyz: 503                       nothing is accepted
//!             replies say: the last one          idle sessions are killed
//! ```

mod control;
mod drain;
mod notify;
mod run;
mod worker;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use overlapped::Config;
use overlapped_wire::Protocol;
use overlapped_wire::http::Http;

pub use control::Handle;

use crate::listen::{Bound, Listen, bind_listener};
use crate::peer::Peer;
use crate::session::{Connection, ConnectionHandler, FunctionHandler, ProtocolHandler};
use crate::state::{Address, ListenerState, ServerState};
use crate::telemetry::{self, AccessLog, LogFormat};
use control::Control;

/// A server with any number of listeners, each with a protocol or a plain function and with limits
/// of its own. Each connection has a tasklet.
///
/// ```no_run
/// use overlapped_serve::{Peer, Server};
/// use overlapped_wire::echo::Echo;
///
/// let mut server = Server::new();
/// let address = server.listen("127.0.0.1:7007", |_: &Peer| Echo)?;
/// println!("listening on {address}");
/// let totals = server.run()?;
/// print!("{totals}");
/// # std::io::Result::Ok(())
/// ```
#[must_use = "call Server::run to serve"]
pub struct Server {
    config: Config,
    threads: usize,
    grace: Duration,
    lame_duck: Duration,
    signals: bool,
    access_log: Option<AccessLog>,
    log_format: LogFormat,
    listeners: Vec<Listener>,
    on_thread_start: Option<OnThreadStart>,
    restart_command: Option<Vec<OsString>>,
    control: Control,
    state: Arc<ServerState>,
}

/// A function that is called on each thread.
type OnThreadStart = Arc<dyn Fn() + Send + Sync>;

/// A listener before the server runs.
struct Listener {
    bound: Bound,
    state: Arc<ListenerState>,
    handler: Box<dyn ConnectionHandler>,
    /// The socket file to remove at the end.
    path: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Server {
    /// Creates a server without listeners.
    pub fn new() -> Server {
        Server {
            config: Config::new(),
            threads: 1,
            grace: Duration::from_secs(10),
            lame_duck: Duration::ZERO,
            signals: true,
            access_log: None,
            log_format: LogFormat::default(),
            listeners: Vec::new(),
            on_thread_start: None,
            restart_command: None,
            control: Control::new(),
            state: Arc::new(ServerState::new()),
        }
    }

    /// Sets the number of threads. Each has a scheduler and listening sockets of its own; the
    /// kernel distributes the clients. Default: 1.
    pub fn threads(mut self, threads: usize) -> Server {
        self.threads = threads.max(1);
        self
    }

    /// Sets the configuration of the schedulers; its number of threads is ignored.
    pub fn config(mut self, config: Config) -> Server {
        self.config = config;
        self
    }

    /// Sets the time for which sessions may continue after the stop. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Server {
        self.grace = grace;
        self
    }

    /// Sets the time for which clients are still served after an order to stop, while `/readyz`
    /// (see [`observe`](Server::observe)) already reports 503. Default: 0.
    ///
    /// It is for load balancers. They poll `/readyz` now and then, and until they notice they send
    /// new clients, which would be refused. So the time should be longer than they take to notice.
    /// Listeners stay open and requests are answered. HTTP answers say `Connection: close`, so that
    /// no balancer keeps a connection that is about to close. Other protocols cannot say so and go
    /// on. Then listeners are closed, and the [`grace`](Server::grace) time begins.
    ///
    /// After a hot restart the time is for connections only: the new process accepts, and reports
    /// whether it is ready, on the same sockets. It ends with the last of these connections.
    pub fn lame_duck(mut self, time: Duration) -> Server {
        self.lame_duck = time;
        self
    }

    /// Sets whether SIGTERM and SIGINT stop the server, SIGHUP and SIGUSR1 reopen files, and
    /// SIGUSR2 starts a hot restart (see [`restart_command`](Server::restart_command)). Default:
    /// yes.
    pub fn signals(mut self, handled: bool) -> Server {
        self.signals = handled;
        self
    }

    /// Sets a function that is called in a tasklet on each thread: after signals are handled, and
    /// before the thread serves. Tasklets that it spawns run beside the sessions; the end of the
    /// run kills them.
    ///
    /// ```
    /// use overlapped::{spawn, time};
    /// use overlapped_serve::Server;
    ///
    /// let server = Server::new().on_thread_start(|| {
    ///     drop(spawn(|| loop {
    ///         time::sleep(time::Duration::from_secs(60));
    ///         eprintln!("{:?}", overlapped::task::stats());
    ///     }));
    /// });
    /// ```
    pub fn on_thread_start(mut self, f: impl Fn() + Send + Sync + 'static) -> Server {
        self.on_thread_start = Some(Arc::new(f));
        self
    }

    /// Sets the command of a hot restart: program and arguments. Default: those of this process.
    ///
    /// At SIGUSR2 the command is started and inherits the listening sockets by `LISTEN_FDS`, as
    /// from systemd. It must listen on the same addresses by a [`Server`], or take the sockets by
    /// itself. When it serves, this server drains; no client is refused meanwhile. If it fails,
    /// this server goes on.
    pub fn restart_command<A: Into<OsString>>(
        mut self,
        command: impl IntoIterator<Item = A>,
    ) -> Server {
        self.restart_command = Some(command.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the destination of the access log, which has a line for each request.
    pub fn access_log(mut self, to: AccessLog) -> Server {
        self.access_log = Some(to);
        self
    }

    /// Sets the format of the [`access_log`](Server::access_log).
    pub fn log_format(mut self, format: LogFormat) -> Server {
        self.log_format = format;
        self
    }

    /// Listens, and speaks a protocol with each client; `factory` creates the protocol for one
    /// connection. Clients may connect from now on; they are served when the server runs.
    ///
    /// # Errors
    /// The server cannot listen on the address; the message says why, and names a remedy.
    pub fn listen<P, F>(&mut self, on: impl Into<Listen>, factory: F) -> io::Result<Address>
    where
        P: Protocol + 'static,
        F: Fn(&Peer) -> P + Clone + Send + 'static,
    {
        self.add(on.into(), Box::new(ProtocolHandler(factory)))
    }

    /// Listens, and calls `session` with each connection, which is closed when it returns.
    ///
    /// # Errors
    /// Those of [`Server::listen`].
    ///
    /// ```no_run
    /// use overlapped_serve::{Connection, Server};
    /// use std::io::Write;
    ///
    /// let mut server = Server::new();
    /// server.listen_with("127.0.0.1:7013", |mut connection: Connection| {
    ///     let who = connection.peer().to_string();
    ///     let _ = writeln!(connection, "you are {who}");
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn listen_with<F>(&mut self, on: impl Into<Listen>, session: F) -> io::Result<Address>
    where
        F: Fn(Connection) + Clone + Send + 'static,
    {
        self.add(on.into(), Box::new(FunctionHandler(session)))
    }

    /// Adds a monitoring listener: `/metrics` for Prometheus, `/healthz` while the server runs,
    /// `/readyz` while it accepts clients and is not about to stop. It answers until the server has
    /// ended, and is not part of the totals. Every client that reaches the address can read them.
    ///
    /// # Errors
    /// Those of [`Server::listen`].
    pub fn observe(&mut self, on: impl Into<Listen>) -> io::Result<Address> {
        let state = Arc::clone(&self.state);
        let answer = move |request: http::Request<()>, body: &mut dyn io::Read| {
            telemetry::answer(&state, &request, body)
        };
        let listen = Listen { is_monitoring: true, ..on.into() };
        self.add(listen, Box::new(ProtocolHandler(move |_: &Peer| Http::new(answer.clone()))))
    }

    fn add(&mut self, listen: Listen, handler: Box<dyn ConnectionHandler>) -> io::Result<Address> {
        let bound = bind_listener(&listen)?;
        let address = bound.address.clone();
        let path = match &address {
            Address::Unix(path) => Some(path.clone()),
            Address::Tcp(_) => None,
        };
        let state = Arc::new(listen.into_state(address.clone()));
        self.listeners.push(Listener { bound, state, handler, path });
        Ok(address)
    }

    /// Returns a handle that stops the server from any thread.
    pub fn handle(&self) -> Handle {
        self.control.handle()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.listeners.iter().map(|listener| &listener.bound.address);
        f.debug_struct("Server")
            .field("threads", &self.threads)
            .field("grace", &self.grace)
            .field("listeners", &addresses.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
