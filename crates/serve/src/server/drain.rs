//! The end of a thread's sessions.
//!
//! | a session that | is |
//! |---|---|
//! | waits for a request, the first or the next | given a moment, then killed |
//! | has a request in work | left alone |
//! | belongs to a plain function | shown the end of its input |
//!
//! The moment is for requests that are on their way. One that is answered after the stop is told
//! that it is the last one. One that was in work when the stop came has perhaps said already that
//! the connection stays: so its client, too, has that moment for one request more, and is not
//! surprised by the end.
//!
//! After the grace time, what is left is killed by the end of the run.

use std::net::Shutdown;
use std::sync::Arc;

use overlapped::time::{Duration, Instant, sleep};

use super::{Site, Worker};
use crate::stream::{Link, State};

/// Between two looks.
const PERIOD: Duration = Duration::from_millis(10);
/// For requests that are on their way.
const MOMENT: Duration = Duration::from_secs(1);

/// Ends the sessions, or leaves them when the time is up. How many are left.
pub(super) fn drain(worker: &Worker, site: &Arc<Site>, grace: Duration) -> usize {
    let begin = Instant::now();
    loop {
        let links = worker.links();
        if links.is_empty() || site.is_cut() || begin.elapsed() >= grace {
            return links.len();
        }
        for link in links {
            hurry(&link, begin);
        }
        sleep(PERIOD);
    }
}

fn hurry(link: &Link, stopped: Instant) {
    match link.state.get() {
        State::Idle if stopped.max(link.idle_since.get()).elapsed() > MOMENT => link.kill(),
        State::Idle | State::Busy => {}
        State::Plain => {
            link.state.set(State::Busy);
            let _ = link.socket.shutdown(Shutdown::Read);
        }
    }
}
