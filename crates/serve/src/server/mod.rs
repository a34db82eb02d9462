//! Servers: listeners, threads, and the way from the first client to the last one's farewell.
//!
//! ```text
//! Server::run        the calling thread: listens to signals and handles, says when to stop
//!  └ work, × threads a scheduler each (worker.rs)
//!     ├ acceptors    one per listener and socket (listen/accept.rs)
//!     │  └ guests    one tasklet per connection (guest.rs): handshakes, then the session
//!     └ drain        from the stop on (drain.rs)
//! ```
//!
//! Its end has stages, each of which an order to stop cuts short:
//!
//! ```text
//! serves ──▶ leaves (Site::leaving) ──▶ drains (Site::stop) ──▶ is cut
//!            /readyz: 503               nobody is accepted
//!            answers: the last ones     the idle are killed
//! ```
//!
//! | shared by | what |
//! |---|---|
//! | all | [`Site`]: that the server stops, how many connections it has |
//! | the threads of a listener | [`Front`]: its limits, seats, addresses |
//! | the sessions of a thread | [`Worker`]: who they are, spare buffers |
//! | the sessions of a listener on a thread | [`Venue`]: those three, counters, the log |

mod control;
mod drain;
mod guest;
mod notify;
mod plain_http;
mod run;
mod venue;
mod worker;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use overlapped::Config;
use overlapped_wire::Protocol;
use overlapped_wire::http::Http;

pub use control::Handle;
pub(crate) use guest::{Guest, Serve};
pub(crate) use venue::{Front, Site, Venue};
pub(crate) use worker::Worker;

use crate::listen::{self, Address, Bound, Listen};
use crate::watch;
use crate::{AccessLog, Connection, LogFormat, Peer, Totals};
use control::Control;
use guest::{Factory, Plain, Spoken};

/// Any number of listeners, each with a protocol or a plain function, limits of its own, and one
/// tasklet per connection.
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
#[must_use = "a server serves when it is run"]
pub struct Server {
    config: Config,
    threads: usize,
    grace: Duration,
    lame_duck: Duration,
    signals: bool,
    access_log: Option<AccessLog>,
    log_format: LogFormat,
    listeners: Vec<Listener>,
    beside: Option<Beside>,
    successor: Option<Vec<OsString>>,
    control: Control,
    site: Arc<Site>,
}

/// What is begun on each thread.
type Beside = Arc<dyn Fn() + Send + Sync>;

/// A listener before the server runs.
struct Listener {
    bound: Bound,
    front: Arc<Front>,
    factory: Box<dyn Factory>,
    /// To be removed at the end.
    path: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Server {
    /// A server without listeners.
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
            beside: None,
            successor: None,
            control: Control::new(),
            site: Arc::new(Site::new()),
        }
    }

    /// On how many threads. Each has a scheduler and listening sockets of its own; the kernel
    /// spreads the clients. Default: 1.
    pub fn threads(mut self, threads: usize) -> Server {
        self.threads = threads.max(1);
        self
    }

    /// How the schedulers are set up; what it says about threads is not looked at.
    pub fn config(mut self, config: Config) -> Server {
        self.config = config;
        self
    }

    /// How long sessions may go on after the stop. Default: 10 s.
    pub fn grace(mut self, grace: Duration) -> Server {
        self.grace = grace;
        self
    }

    /// How long clients are still served after the stop was asked for, while `/readyz` (see
    /// [`observe`](Server::observe)) already says that they had better go elsewhere. Default: 0.
    ///
    /// It is for load balancers: they look now and then, and until they have noticed they send new
    /// clients, who would be refused. So it should be longer than they take to notice. Listeners
    /// stay open, requests are answered; HTTP answers say `Connection: close`, so that no balancer
    /// keeps a connection for a request that might meet the end of it. Other protocols have no word
    /// for that and go on. Then listeners are closed, and the [`grace`](Server::grace) time begins.
    ///
    /// After a hot restart the time is for connections only: it is the successor who accepts and
    /// says whether it is ready, on the same sockets. It ends with the last of these connections.
    pub fn lame_duck(mut self, time: Duration) -> Server {
        self.lame_duck = time;
        self
    }

    /// Whether SIGTERM and SIGINT stop the server, SIGHUP and SIGUSR1 have files opened again, and
    /// SIGUSR2 has a [`successor`](Server::successor) take over. Default: yes.
    pub fn signals(mut self, handled: bool) -> Server {
        self.signals = handled;
        self
    }

    /// Calls `begin` on each thread, in a tasklet there, when signals are listened to and before
    /// the thread serves. Tasklets that it spawns run beside the sessions, and are killed by the
    /// end of the run.
    ///
    /// ```
    /// use overlapped::{spawn, time};
    /// use overlapped_serve::Server;
    ///
    /// let server = Server::new().beside(|| {
    ///     drop(spawn(|| loop {
    ///         time::sleep(time::Duration::from_secs(60));
    ///         eprintln!("{:?}", overlapped::task::stats());
    ///     }));
    /// });
    /// ```
    pub fn beside(mut self, begin: impl Fn() + Send + Sync + 'static) -> Server {
        self.beside = Some(Arc::new(begin));
        self
    }

    /// The command of a successor: program and arguments. Default: this process's own.
    ///
    /// At SIGUSR2 it is started and handed over the listening sockets, by `LISTEN_FDS`, as systemd
    /// does it: it must listen on the same addresses by a [`Server`], or adopt the sockets by
    /// itself. When it runs, this server drains; no client is refused meanwhile. If it does not
    /// come to that, this server goes on.
    pub fn successor<A: Into<OsString>>(mut self, command: impl IntoIterator<Item = A>) -> Server {
        self.successor = Some(command.into_iter().map(Into::into).collect());
        self
    }

    /// Where to write a line for each request.
    pub fn access_log(mut self, to: AccessLog) -> Server {
        self.access_log = Some(to);
        self
    }

    /// How the lines of the [`access_log`](Server::access_log) are written.
    pub fn log_format(mut self, format: LogFormat) -> Server {
        self.log_format = format;
        self
    }

    /// Listens, and speaks a protocol with each client: `factory` makes its side of a conversation.
    /// Clients may come from now on; they are served when the server runs.
    ///
    /// # Errors
    /// The address cannot be listened on; the text says why, and what helps.
    pub fn listen<P, F>(&mut self, on: impl Into<Listen>, factory: F) -> io::Result<Address>
    where
        P: Protocol + 'static,
        F: Fn(&Peer) -> P + Clone + Send + 'static,
    {
        self.add(on.into(), Box::new(Spoken(factory)))
    }

    /// Listens, and calls `session` with each connection, which is closed after it.
    ///
    /// # Errors
    /// As [`Server::listen`].
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
        self.add(on.into(), Box::new(Plain(session)))
    }

    /// Listens for those who watch the server: `/metrics` for Prometheus, `/healthz` while it runs,
    /// `/readyz` while it takes clients and is not about to stop. It answers until the server has
    /// ended, and is not part of its totals. Everybody who reaches the address can read them.
    ///
    /// # Errors
    /// As [`Server::listen`].
    pub fn observe(&mut self, on: impl Into<Listen>) -> io::Result<Address> {
        let site = Arc::clone(&self.site);
        let answer = move |request: http::Request<()>, body: &mut dyn io::Read| {
            watch::answer(&site, &request, body)
        };
        let listen = Listen { watched: true, ..on.into() };
        self.add(listen, Box::new(Spoken(move |_: &Peer| Http::new(answer.clone()))))
    }

    fn add(&mut self, listen: Listen, factory: Box<dyn Factory>) -> io::Result<Address> {
        let bound = listen::bind(&listen)?;
        let address = bound.address.clone();
        let path = match &address {
            Address::Unix(path) => Some(path.clone()),
            Address::Tcp(_) => None,
        };
        let front = Arc::new(Front::new(address.clone(), listen));
        self.listeners.push(Listener { bound, front, factory, path });
        Ok(address)
    }

    /// A handle that stops the server, for any thread.
    pub fn handle(&self) -> Handle {
        self.control.handle()
    }

    /// Serves until SIGTERM or SIGINT comes, or a [`Handle`] says stop. Then, after the
    /// [`lame_duck`](Server::lame_duck) time, nothing is accepted any more, idle connections are
    /// closed, requests in work are finished within the grace time, and what is left is cut. A
    /// second signal cuts at once (or ends the lame-duck time; then it is the third one that cuts).
    ///
    /// A service manager that has set `NOTIFY_SOCKET` is told when clients are served, when files
    /// are read again, which process goes on after a hot restart, and when the server stops
    /// (sd_notify(3)).
    ///
    /// # Errors
    /// No scheduler, thread or log could be had; the text says why.
    pub fn run(self) -> io::Result<Totals> {
        run::run(self)
    }
}

impl Listener {
    /// The sockets of each thread.
    fn shards(&mut self, threads: usize) -> io::Result<Vec<Vec<OwnedFd>>> {
        listen::shards(&mut self.bound, threads)
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
