//! Why a download failed, in words for its user, and whether another attempt may help.

use std::io::{self, ErrorKind};

use overlapped::time::Duration;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::{Error, Timeout};

/// One failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) again: Again,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    Yes,
    /// Not before so long, says the server.
    After(Duration),
}

impl Failure {
    /// Another attempt would end like this one.
    pub(super) fn lasting(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), again: Again::Never }
    }

    /// The next attempt may do better.
    pub(super) fn passing(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), again: Again::Yes }
    }

    /// Something about our own files.
    pub(super) fn of_disk(what: &str, error: &io::Error) -> Failure {
        Failure::lasting(format!("{what}: {error}"))
    }

    /// An answer that is no success.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap) -> Failure {
        let passing = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = asked.and_then(|value| value.trim().parse().ok());
        let again = match seconds {
            _ if !passing => Again::Never,
            Some(seconds) => Again::After(Duration::from_secs(seconds)),
            None => Again::Yes,
        };
        Failure { text: status.to_string(), again }
    }

    /// An error of the client, from the request or from reading its body.
    pub(super) fn of_client(error: Error) -> Failure {
        match error {
            Error::Io(error) => Failure::of_network(&error),
            Error::Timeout(phase) => Failure::passing(format!("timed out {}", name(phase))),
            Error::HostNotFound => Failure::lasting("no such host"),
            Error::TooManyRedirects => Failure::lasting("redirected too often"),
            Error::BadUri(text) => Failure::lasting(format!("no URL to download from: {text}")),
            Error::Rustls(error) => Failure::lasting(error.to_string()),
            Error::LargeResponseHeader(_, most) => {
                Failure::lasting(format!("the answer's head is larger than {most} bytes"))
            }
            other => Failure::lasting(other.to_string()),
        }
    }

    fn of_network(error: &io::Error) -> Failure {
        let text = error.to_string();
        match error.kind() {
            // TLS: not trusted, no common version.
            ErrorKind::InvalidData if text.contains("UnknownIssuer") => Failure::lasting(format!(
                "{text}; if you trust its issuer, give that certificate by --cacert"
            )),
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied => {
                Failure::lasting(text)
            }
            // The resolver has no kinds of its own. What it says to a name that does not exist is
            // lasting, what it says without a network is not.
            _ if text.contains("lookup") && !text.contains("Temporary") => Failure::lasting(text),
            _ => Failure::passing(text),
        }
    }
}

fn name(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "looking up the name",
        Timeout::Connect => "connecting",
        Timeout::SendRequest | Timeout::PerWrite => "sending the request",
        Timeout::RecvResponse => "waiting for the answer's head",
        _ => "waiting for more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        let of = |kind: ErrorKind| Failure::of_client(Error::Io(kind.into())).again;
        for kind in [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
            ErrorKind::UnexpectedEof,
            ErrorKind::NetworkUnreachable,
        ] {
            assert_eq!(of(kind), Again::Yes, "{kind:?}");
        }
        assert_eq!(Failure::of_client(Error::Timeout(Timeout::Connect)).again, Again::Yes);
        assert_eq!(of(ErrorKind::InvalidData), Again::Never);
        assert_eq!(Failure::of_client(Error::TooManyRedirects).again, Again::Never);
    }

    #[test]
    fn a_status_says_whether_and_when_to_come_again() {
        let mut headers = HeaderMap::new();
        for (status, again) in [(404, Again::Never), (500, Again::Yes), (429, Again::Yes)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Failure::of_status(status, &headers).again, again, "{status}");
        }
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let busy = Failure::of_status(StatusCode::SERVICE_UNAVAILABLE, &headers);
        assert_eq!(busy.text, "503 Service Unavailable");
        assert_eq!(busy.again, Again::After(Duration::from_secs(7)));
        assert_eq!(Failure::of_status(StatusCode::GONE, &headers).again, Again::Never);
    }

    #[test]
    fn a_name_that_does_not_exist_is_not_looked_up_again() {
        let of = |text: &str| Failure::of_client(Error::Io(io::Error::other(text))).again;
        let prefix = "failed to lookup address information: ";
        assert_eq!(of(&format!("{prefix}Name or service not known")), Again::Never);
        assert_eq!(of(&format!("{prefix}Temporary failure in name resolution")), Again::Yes);
    }
}
