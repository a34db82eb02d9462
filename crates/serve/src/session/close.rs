//! The end of a connection: close_notify, and the lingering close.
//!
//! If a socket is closed while received bytes are unread, the kernel answers with a reset, which
//! destroys the reply on its way to the client. So after a reply only the sending side is closed,
//! and what still arrives is read and discarded for a while (RFC 9112, 9.6).

use std::net::Shutdown;

use overlapped::time::{Duration, Instant, timeout};

use super::{Connection, End};
use crate::state::{MinimumRate, instant_in};

/// The maximum number of bytes that a lingering close discards; a client that sends more does not
/// read.
const DISCARDED_MAX: usize = 256 << 20;
/// The maximum time of a lingering close.
const LINGER_MAX: Duration = Duration::from_secs(30);

/// Ends a connection in the way that `end` calls for. Dropping the socket closes it.
pub(crate) fn close(connection: &Connection, end: &End) {
    let limits = &connection.context().limits;
    match end {
        // The client has closed its side, or has sent nothing that could cause a reset.
        End::Finished | End::Idle => {
            // A failure concerns the client only, which is leaving.
            let _ = connection.close_notify(&mut MinimumRate::fixed(limits.linger));
        }
        End::Closed | End::Malformed(_) | End::TimedOut => {
            // close_notify waits behind a reply that the client may still be reading.
            let notified = connection.close_notify(&mut MinimumRate::of_reader(limits));
            if notified.is_ok() && connection.socket().shutdown(Shutdown::Write).is_ok() {
                linger(connection);
            }
        }
        // The reset shows the client that the reply is incomplete, and makes the kernel drop unsent
        // data of a client that does not read.
        End::BrokenReply(..) | End::SlowReader => connection.socket().reset_at_close(),
        End::Failed(_) => {}
    }
}

/// Reads on as long as the client sends: most clients look for a reply only after they have sent
/// the whole body, even if it was refused early.
fn linger(connection: &Connection) {
    let silence = connection.context().limits.linger;
    let deadline = instant_in(if connection.is_stopping() { silence } else { LINGER_MAX });
    let mut scrap = vec![0; 16 << 10];
    let mut discarded = 0;
    // The bytes of the stream itself: nothing above it, such as TLS, is of interest any more.
    while let left = deadline.saturating_duration_since(Instant::now())
        && let limit = silence.min(left)
        && !limit.is_zero()
        && discarded < DISCARDED_MAX
        && let Ok(read @ 1..) = timeout(limit, || connection.socket().read_stream(&mut scrap))
    {
        discarded += read;
    }
}
