//! Servers: each in a folder of its own, on a free port, for as long as its [`Running`] lives.

mod databases;
mod delay;
mod files;
mod mail;
mod process;
mod running;
mod slow_http;

use std::path::Path;
use std::time::Duration;

use delay::Part::{self, Line, Piece};
pub(crate) use files::FTP_FILE_SIZE;
pub(crate) use mail::{IMAP_MESSAGE, messages};
use running::free_port;
pub(crate) use running::{NotStarted, Running};
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

impl Server {
    /// Starts the server in a folder that exists and is empty.
    pub(crate) fn start(self, folder: &Path) -> Result<Running, NotStarted> {
        let by_itself = |address| Ok(Running::by_itself(address));
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
    let proxy = delay::start(server.address, part, delay)?;
    Ok(server.behind(proxy))
}
