//! Why a download failed, in words for its user, and whether another attempt may help.

use std::io::{self, ErrorKind};
use std::time::SystemTime;

use overlapped::time::Duration;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::{Error, Timeout};

use super::client::Refused;

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
        let again = match asked.and_then(|value| pause(value.trim(), headers)) {
            _ if !passing => Again::Never,
            Some(pause) => Again::After(pause),
            None => Again::Yes,
        };
        Failure { text: status.to_string(), again }
    }

    /// An error of the client, from the request or from reading its body.
    pub(super) fn of_client(error: Error) -> Failure {
        match error {
            Error::Io(error) => Failure::of_network(&error),
            Error::Timeout(phase) => Failure::passing(format!("timed out {}", name(phase))),
            Error::HostNotFound => Failure::lasting(NO_HOST),
            Error::TooManyRedirects => Failure::lasting("redirected too often"),
            Error::BadUri(text) => Failure::lasting(text),
            Error::Rustls(error) => Failure::lasting(of_tls(&error)),
            Error::LargeResponseHeader(_, most) => {
                Failure::lasting(format!("the response's head is larger than {most} bytes"))
            }
            Error::Protocol(error) => {
                Failure::passing(format!("the server does not speak HTTP as it should: {error}"))
            }
            other => Failure::lasting(other.to_string()),
        }
    }

    fn of_network(error: &io::Error) -> Failure {
        if let Some(tls) = cause::<rustls::Error>(error) {
            return Failure::lasting(of_tls(tls));
        }
        if let Some(refused) = cause::<Refused>(error) {
            let text = refused.to_string();
            let again = if refused.0.is_server_error() { Again::Yes } else { Again::Never };
            return Failure { text, again };
        }
        let text = without_number(error);
        match error.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied => {
                Failure::lasting(text)
            }
            ErrorKind::ConnectionRefused => Failure::passing("the server refuses the connection"),
            // The resolver has no kinds of its own. What it says to a name that does not exist is
            // lasting, what it says without a network is not.
            _ if text.contains("lookup") && !text.contains("Temporary") => {
                Failure::lasting(NO_HOST)
            }
            _ if text.contains("lookup") => {
                Failure::passing("the name cannot be looked up now: is there a network?")
            }
            _ => Failure::passing(text),
        }
    }
}

const NO_HOST: &str = "there is no host of that name";

/// An error inside of an `io::Error`, also where it is wrapped more than once.
fn cause<E: std::error::Error + 'static>(error: &io::Error) -> Option<&E> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<io::Error>() {
        Some(error) => cause(error),
        None => inner.downcast_ref(),
    }
}

/// The system's words without the number that it has for them.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn of_tls(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    let bad = match error {
        rustls::Error::InvalidCertificate(bad) => bad,
        rustls::Error::AlertReceived(alert) => {
            return format!("the server ends the TLS handshake: {alert:?}");
        }
        rustls::Error::InvalidMessage(_) => return "the server does not speak TLS".to_owned(),
        rustls::Error::PeerIncompatible(_) => {
            return "the server speaks no version of TLS that is safe".to_owned();
        }
        other => return format!("TLS fails: {other}"),
    };
    match bad {
        Bad::UnknownIssuer => "nobody who is trusted has signed the server's certificate; if you \
                               trust its issuer, give that certificate by --cacert"
            .to_owned(),
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "the server's certificate has expired".to_owned()
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; or this machine's clock is wrong".to_owned()
        }
        Bad::NotValidForName => "the server's certificate is for another host".to_owned(),
        Bad::NotValidForNameContext { presented, .. } => {
            format!("the server's certificate is for another host: {}", presented.join(", "))
        }
        Bad::Revoked => "the server's certificate has been revoked".to_owned(),
        Bad::Other(_) => "the server's certificate is one for issuing others; if it is the \
                          server's own, give it by --cacert"
            .to_owned(),
        _ => "the server's certificate is damaged".to_owned(),
    }
}

/// The value of `Retry-After` (RFC 9110, 10.2.3): seconds, or a date of the server's clock.
fn pause(value: &str, headers: &HeaderMap) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let then = date(value)?;
    let now = headers.get(header::DATE).and_then(|now| date(now.to_str().ok()?));
    Some(then.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

fn name(phase: Timeout) -> &'static str {
    match phase {
        Timeout::Resolve => "looking up the name",
        Timeout::Connect => "connecting",
        Timeout::SendRequest | Timeout::PerWrite => "sending the request",
        Timeout::RecvResponse => "waiting for the response's head",
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
        headers.insert(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        for (date, seconds) in [("08:50:07", 30), ("08:49:00", 0)] {
            let date = format!("Sun, 06 Nov 1994 {date} GMT");
            headers.insert(header::RETRY_AFTER, date.parse().unwrap());
            let busy = Failure::of_status(StatusCode::SERVICE_UNAVAILABLE, &headers);
            assert_eq!(busy.again, Again::After(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_not_looked_up_again() {
        let of = |text: &str| Failure::of_client(Error::Io(io::Error::other(text))).again;
        let prefix = "failed to lookup address information: ";
        assert_eq!(of(&format!("{prefix}Name or service not known")), Again::Never);
        assert_eq!(of(&format!("{prefix}Temporary failure in name resolution")), Again::Yes);
    }
}
