//! The drain: ends the sessions of a thread when the server stops.
//!
//! | session | treatment |
//! |---|---|
//! | waits for a request, the first or the next | killed after a moment |
//! | answers a request | left alone |
//! | belongs to a plain function | its reads return the end of the stream |
//!
//! The moment is for requests that are on their way. The reply to one that arrives after the stop
//! says that it is the last one. The reply to one that was in progress at the stop may have said
//! already that the connection stays. So its client, too, has that moment for one more request, and
//! the close does not surprise it.
//!
//! After the grace time, the end of the run kills the sessions that are left.

use std::net::Shutdown;

use overlapped::time::{Duration, Instant, sleep};

use crate::state::{Activity, ServerState};
use crate::stream::{OpenSockets, Socket};

/// The time between two passes over the sessions.
const PERIOD: Duration = Duration::from_millis(10);
/// The time for requests that are on their way.
const MOMENT: Duration = Duration::from_secs(1);

/// Ends the sessions within the time `grace`; returns how many are left.
pub(super) fn drain(sockets: &OpenSockets, server: &ServerState, grace: Duration) -> usize {
    let begin = Instant::now();
    loop {
        let open = sockets.all();
        if open.is_empty() || server.is_aborted() || begin.elapsed() >= grace {
            return open.len();
        }
        for socket in open {
            end_session(&socket, begin);
        }
        sleep(PERIOD);
    }
}

fn end_session(socket: &Socket, stopped: Instant) {
    let state = &socket.state;
    match state.activity.get() {
        Activity::Idle if stopped.max(state.idle_since.get()).elapsed() > MOMENT => state.kill(),
        Activity::Idle | Activity::Request => {}
        Activity::Function => {
            state.activity.set(Activity::Request);
            let _ = socket.shutdown(Shutdown::Read);
        }
    }
}
