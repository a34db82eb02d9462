//! The end of a connection.
//!
//! A close that meets bytes which nobody has read makes the kernel answer with a reset, and that
//! destroys the reply on its way to the client. So after a reply of ours only the sending side is
//! closed, and what still comes is read and thrown away, for a while (RFC 9112, 9.6).

use std::net::Shutdown;

use overlapped::time::{Duration, Instant, timeout};

use super::{End, Pace, left};
use crate::Connection;

/// What is thrown away of what still comes; a client that sends more does not read.
const UNREAD_MAX: usize = 256 << 20;
/// For so long it is.
const LINGER_MAX: Duration = Duration::from_secs(30);

/// Ends a connection in the way that `end` calls for. The socket itself is closed by its drop.
pub(crate) fn close(connection: &Connection, end: &End) {
    match end {
        // The client has closed its side, or has sent nothing that could be in the way.
        End::Finished | End::Idle => {
            // What becomes of it is the client's business.
            let _ = connection.say_farewell(&mut Pace::fixed(connection.venue().limits.linger));
        }
        End::Closed | End::Malformed(_) | End::Late => {
            // It stands behind a reply that the client may still be reading.
            let told = connection.say_farewell(&mut Pace::of_reader(&connection.venue().limits));
            if told.is_ok() && connection.socket().shutdown(Shutdown::Write).is_ok() {
                linger(connection);
            }
        }
        // Nor is the kernel to keep megabytes for who does not want them.
        End::Broken(..) | End::Stuck => connection.socket().reset_at_close(),
        End::Failed(_) => {}
    }
}

/// Reads on as long as the client sends: most clients look for an answer only when they have sent
/// all of a body, and one that is refused early may be large.
fn linger(connection: &Connection) {
    let silence = connection.venue().limits.linger;
    let deadline = Instant::now() + if connection.is_stopping() { silence } else { LINGER_MAX };
    let mut scrap = vec![0; 16 << 10];
    let mut unread = 0;
    // The socket's own bytes: whatever stands on it has nothing more to say.
    while let limit = silence.min(left(deadline))
        && !limit.is_zero()
        && unread < UNREAD_MAX
        && let Ok(read @ 1..) = timeout(limit, || connection.socket().read(&mut scrap))
    {
        unread += read;
    }
}
