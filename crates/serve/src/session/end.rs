//! The reasons why a session ends.

use std::io;

use crate::state::is_deadline;

/// The maximum number of bytes of a request's first line that the log shows.
const LINE_MAX: usize = 1_000;

/// The reason why a session has ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has finished.
    Finished,
    /// The server has: the reply was the last one.
    Closed,
    /// No request arrived in time.
    Idle,
    /// A request or its body took too long to arrive.
    TimedOut,
    /// The client reads a reply too slowly.
    SlowReader,
    /// The client broke the protocol; the text says how.
    Malformed(String),
    /// A reply could not be finished, which the client must notice. The text is the request's first
    /// line, if that is known.
    BrokenReply(io::Error, String),
    /// The connection failed.
    Failed(io::Error),
}

impl End {
    /// Returns the end by a reply that cannot be finished because of `error`.
    pub(super) fn broken_reply(error: io::Error) -> End {
        End::BrokenReply(error, String::new())
    }

    /// Returns the end by a write to the client that has failed.
    pub(super) fn from_write(error: io::Error) -> End {
        if is_deadline(&error) { End::SlowReader } else { End::Failed(error) }
    }

    /// Adds the first line of the request whose reply is broken; `input` begins with it.
    pub(super) fn with_request(self, input: &[u8]) -> End {
        let End::BrokenReply(error, _) = self else { return self };
        let line = first_line(input).unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]).into_owned();
        End::BrokenReply(error, line)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.kind() {
            _ if is_deadline(&error) => End::TimedOut,
            // TLS without close_notify. Requests have ends of their own, so nothing can be cut off.
            io::ErrorKind::UnexpectedEof => End::Finished,
            _ => End::Failed(error),
        }
    }
}

/// Returns the first line of `input` that is not empty.
pub(super) fn first_line(input: &[u8]) -> Option<&[u8]> {
    input.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty())
}
