//! The rows: the requests to each crate, and the checks of its answers.

mod databases;
mod files;
mod http;
mod mail;
mod messages;
mod threads;
mod tls;
mod web;

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Result;
use crate::servers::Server;

/// A request, made and checked. It stays on the thread, or in the tasklet, that has made it.
pub(crate) type Request = Box<dyn FnOnce() -> Result>;

/// Opens the connection of a number, and returns its request.
pub(crate) type Opener = Box<dyn Fn(usize) -> Result<Request> + Send + Sync>;

/// A crate, with the requests to it.
pub(crate) struct Row {
    /// The crate's name, in the registry and in the table; a second row of the same crate adds a
    /// text after a colon.
    pub(crate) name: &'static str,
    /// The server, which answers after 100 ms.
    pub(crate) server: Server,
    /// The request, for the table.
    pub(crate) request: &'static str,
    /// The reason why it does not overlap, for the table.
    pub(crate) note: &'static str,
    /// Begins twenty requests, one by one, on threads or in tasklets.
    pub(crate) start: fn(&Place) -> Result<Opener>,
}

/// The kind of task in which a row runs.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// An empty folder of the row.
    pub(crate) folder: PathBuf,
    /// The server's folder.
    pub(crate) server: PathBuf,
}

/// Returns every row, in the order of the table.
pub(crate) fn all() -> Vec<Row> {
    let all = [
        http::rows(),
        tls::rows(),
        databases::rows(),
        mail::rows(),
        messages::rows(),
        web::rows(),
        files::rows(),
        threads::rows(),
    ];
    all.into_iter().flatten().collect()
}

/// A row that stalls, since it waits by a system call past libc's functions. If it does not stall,
/// the other rows' results mean nothing.
pub(crate) fn canary() -> Row {
    Row {
        name: "canary",
        server: Server::None,
        request: "`nanosleep` of 100 ms by `syscall`",
        note: "",
        start: |_| {
            requests(|_| {
                let time = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
                let rest = std::ptr::null_mut::<libc::timespec>();
                // SAFETY: the time is borrowed for the call; the remaining time is not asked for.
                same(unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, rest) }, 0)
            })
        },
    }
}

/// Makes an opener without a connection, of the request alone.
fn requests<F>(request: F) -> Result<Opener>
where
    F: Fn(usize) -> Result + Clone + Send + Sync + 'static,
{
    Ok(Box::new(move |number| {
        let request = request.clone();
        Ok(Box::new(move || request(number)))
    }))
}

/// Checks an answer.
fn same<T: PartialEq + Debug>(found: T, expected: T) -> Result {
    if found == expected {
        return Ok(());
    }
    let mut text = format!("the answer is {found:?}, not {expected:?}");
    text.truncate(text.floor_char_boundary(200));
    Err(text.into())
}
