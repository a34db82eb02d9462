//! All rows: the requests through each crate, and the checks of the answers.

mod databases;
mod files;
mod http;
mod mail;
mod messages;
mod threads;
mod tls;
mod web;

use crate::request::{requests, same};
use crate::row::Row;
use crate::servers::Server;

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

/// Returns a row that stalls, since it waits by a system call past libc's functions. If it does not
/// stall, the other rows' results mean nothing.
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
