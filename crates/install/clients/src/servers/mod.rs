//! Servers: each in a folder of its own, on a free port, for as long as its [`Running`] lives.

mod databases;
mod delay;
mod files;
mod mail;
mod process;
mod slow_http;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Result;
use delay::Part::{self, Line, Piece};
pub(crate) use files::FTP_FILE_SIZE;
pub(crate) use mail::{IMAP_MESSAGE, messages};
use process::Process;
pub(crate) use slow_http::{NAME, body, certificate};

/// The time that an answer takes.
const DELAY: Duration = Duration::from_millis(100);

/// The server of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// None: the row needs no other process.
    None,
    /// A server in this program, on plain threads.
    SlowHttp,
    SlowHttps,
    /// The same, for a crate with which this program is not always built.
    SlowHttpsForNative,
    Postgres,
    MariaDb,
    Redis,
    Memcached,
    Smtp,
    Imap,
    Ftp,
    Mqtt,
}

/// A server that has been started, and is stopped when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _process: Option<Process>,
}

/// The reason why there is no server.
pub(crate) enum NotStarted {
    /// Its program is missing; the Debian package that has it.
    Missing(&'static str),
    /// It has failed; the text says how.
    Failed(String),
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for NotStarted {
    fn from(error: E) -> NotStarted {
        NotStarted::Failed(error.into().to_string())
    }
}

impl Server {
    /// Starts it in a folder that is there and empty.
    pub(crate) fn start(self, folder: &Path) -> Result<Running, NotStarted> {
        let by_itself = |address| Ok(Running { address, _process: None });
        match self {
            Server::None => by_itself(free_port()?),
            Server::SlowHttp => by_itself(slow_http::start(DELAY)?),
            Server::SlowHttpsForNative if cfg!(not(feature = "native-tls")) => {
                Err(NotStarted::Missing("libssl-dev"))
            }
            Server::SlowHttps | Server::SlowHttpsForNative => {
                by_itself(slow_http::start_tls(folder, DELAY)?)
            }
            Server::Postgres => databases::postgres(folder),
            Server::MariaDb => databases::mariadb(folder),
            Server::Redis => databases::redis(folder),
            Server::Memcached => delayed(databases::memcached(folder)?, Piece, DELAY / 4),
            Server::Smtp => delayed(mail::smtp(folder)?, Line, DELAY / 5),
            Server::Imap => delayed(mail::imap(folder)?, Piece, DELAY),
            Server::Ftp => delayed(files::ftp(folder)?, Line, DELAY),
            Server::Mqtt => delayed(files::mqtt(folder)?, Piece, DELAY / 2),
        }
    }
}

/// Puts a proxy in front of a server.
fn delayed(server: Running, part: Part, delay: Duration) -> Result<Running, NotStarted> {
    Ok(Running { address: delay::start(server.address, part, delay)?, ..server })
}

/// Returns a free port of this machine.
fn free_port() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Waits until the server answers, and `is_ready`.
fn wait_for(
    mut process: Process,
    address: SocketAddr,
    is_ready: impl Fn() -> bool,
) -> Result<Running, NotStarted> {
    const LIMIT: Duration = Duration::from_secs(30);
    let begin = Instant::now();
    while !is_ready() || TcpStream::connect(address).is_err() {
        if process.has_ended() || begin.elapsed() > LIMIT {
            return Err(NotStarted::Failed(format!("it does not listen: {}", process.said())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Running { address, _process: Some(process) })
}

/// Finds a program, also in the folders in which Debian has servers.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/lib/dovecot".into()]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Debian's own interpreter; another one in PATH does not find Debian's packages.
fn find_python() -> Option<PathBuf> {
    Some(PathBuf::from("/usr/bin/python3")).filter(|path| path.is_file())
}
