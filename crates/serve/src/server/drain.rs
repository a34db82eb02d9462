//! The end of a thread's sessions.
//!
//! | a session that | is |
//! |---|---|
//! | waits for the next request | killed at once; bytes that were quicker are answered |
//! | has not got a byte yet | given a second: its request may be on its way |
//! | has a request in work | left alone: it answers, says that this was the last, and ends |
//! | belongs to a plain function | shown the end of its input |
//!
//! After the grace time, what is left is killed by the end of the run.

use std::net::Shutdown;
use std::sync::Arc;

use overlapped::time::{Duration, Instant, sleep};

use super::{Site, Worker};
use crate::stream::{Link, State};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(10);
/// A connection that is older than this, and has not sent anything, is idle.
const FRESH: Duration = Duration::from_secs(1);

/// Ends the sessions, or leaves them when the time is up. How many are left.
pub(super) fn drain(worker: &Worker, site: &Arc<Site>, grace: Duration) -> usize {
    let begin = Instant::now();
    loop {
        let links = worker.links();
        if links.is_empty() || site.is_cut() || begin.elapsed() >= grace {
            return links.len();
        }
        for link in links {
            hurry(&link);
        }
        sleep(PERIOD);
    }
}

fn hurry(link: &Link) {
    match link.state.get() {
        State::Idle => link.kill(),
        State::Fresh if link.accepted.elapsed() > FRESH => link.kill(),
        State::Fresh | State::Busy => {}
        State::Plain => {
            link.state.set(State::Busy);
            let _ = link.socket.shutdown(Shutdown::Read);
        }
    }
}
