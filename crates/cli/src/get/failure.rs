//! The reason of a failed download, for its user, and whether another attempt may help.

use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use overlapped::time::Duration;
use rustls::pki_types::UnixTime;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Body, Error, Timeout};

use super::client::{ProxyError, ProxyRefusal, is_issuer_certificate};
use crate::display::{Escaped, plain};

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) retry: Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    Yes,
    /// After the pause that the server asks for.
    After(Duration),
}

impl Failure {
    /// Makes a failure that another attempt would repeat.
    pub(super) fn permanent(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), retry: Retry::Never }
    }

    /// Makes a failure that the next attempt may avoid.
    pub(super) fn temporary(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), retry: Retry::Yes }
    }

    /// Makes a failure of our own files.
    pub(super) fn from_disk_error(what: &str, error: &io::Error) -> Failure {
        let text = format!("{what}: {}", plain(error));
        // Other downloads close their files.
        if lacks_descriptors(error) { too_many_open(&text) } else { Failure::permanent(text) }
    }

    /// Makes a failure of an unsuccessful response. `proxy` is the one that forwarded it.
    pub(super) fn from_response(
        response: Response<Body>,
        has_credentials: bool,
        proxy: Option<String>,
    ) -> Failure {
        let (head, body) = response.into_parts();
        let mut failure = Failure::from_status(head.status, &head.headers, has_credentials);
        let is_proxy_status = matches!(head.status.as_u16(), 407 | 502..=504);
        if let Some(proxy) = proxy.filter(|_| is_proxy_status) {
            failure.text += &format!(" (through the proxy {proxy})");
        }
        if head.status == StatusCode::BAD_REQUEST && reports_plain_http(body.into_reader()) {
            failure.text += ": this port uses TLS: write https:// instead of http://";
        }
        failure
    }

    fn from_status(status: StatusCode, headers: &HeaderMap, has_credentials: bool) -> Failure {
        let passing = status.is_server_error()
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        let asked = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry = match asked.and_then(|value| pause(value.trim(), headers)) {
            _ if !passing => Retry::Never,
            Some(pause) => Retry::After(pause),
            None => Retry::Yes,
        };
        let remedy = match status {
            StatusCode::UNAUTHORIZED => challenge_text(headers, has_credentials),
            StatusCode::FORBIDDEN => REFUSED.to_owned(),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                format!("the proxy {}", ProxyRefusal(status))
            }
            _ if is_redirect(status) => {
                "the server redirects without saying where: Location is missing".to_owned()
            }
            _ => return Failure { text: status.to_string(), retry },
        };
        Failure { text: format!("{status}: {remedy}"), retry }
    }

    /// Makes a failure of an error of the client, from the request or from reading its body.
    pub(super) fn from_client_error(error: &Error) -> Failure {
        match error {
            Error::Io(error) => Failure::from_network_error(error),
            Error::Timeout(phase) => Failure::temporary(format!("timed out {}", name(*phase))),
            Error::HostNotFound => Failure::permanent(NO_HOST),
            Error::TooManyRedirects => Failure::permanent("too many redirects: more than 10"),
            Error::BadUri(text) => Failure::permanent(text.clone()),
            Error::Other(error) => Failure::permanent(error.to_string()),
            Error::Rustls(error) => Failure::permanent(tls_text(error)),
            Error::LargeResponseHeader(_, most) => {
                Failure::permanent(format!("the response head is larger than {most} bytes"))
            }
            Error::Protocol(error) => {
                Failure::temporary(format!("invalid HTTP from the server: {error}"))
            }
            other => Failure::permanent(other.to_string()),
        }
    }

    fn from_network_error(error: &io::Error) -> Failure {
        if let Some(at_proxy) = cause::<ProxyError>(error) {
            return Failure::from_proxy_error(at_proxy);
        }
        if let Some(inner) = cause::<Error>(error) {
            return Failure::from_client_error(inner);
        }
        if let Some(tls) = cause::<rustls::Error>(error) {
            return Failure::permanent(tls_text(tls));
        }
        if let Some(refused) = cause::<ProxyRefusal>(error) {
            let text = format!("it {refused}");
            let retry = if refused.0.is_server_error() { Retry::Yes } else { Retry::Never };
            return Failure { text, retry };
        }
        let text = plain(error);
        match error.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied => {
                Failure::permanent(text)
            }
            ErrorKind::ConnectionRefused => {
                Failure::temporary("connection refused: is a server listening on this port?")
            }
            _ if lacks_descriptors(error) => too_many_open(&text),
            // The resolver's errors have no kinds, only texts. A name that does not exist is a
            // lasting failure, a missing network is not.
            _ if text.contains("lookup") && !text.contains("Temporary") => {
                Failure::permanent(NO_HOST)
            }
            _ if text.contains("lookup") => {
                Failure::temporary("cannot look up the name now: is there a network?")
            }
            _ => Failure::temporary(text),
        }
    }

    fn from_proxy_error(ProxyError { proxy, is_server, error }: &ProxyError) -> Failure {
        let Failure { text, retry } = Failure::from_client_error(error);
        let text = match is_server {
            true => text.replace("the server's", "its").replace("the server", "it"),
            false => text,
        };
        Failure { text: format!("the proxy {proxy}: {text}"), retry }
    }
}

fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn too_many_open(text: &str) -> Failure {
    Failure::temporary(format!(
        "{text}; raise the limit on open files (`ulimit -n`), or give --jobs a smaller number"
    ))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301..=303 | 307 | 308)
}

/// Tells whether the body of a `400 Bad Request` reports plain HTTP on a port of TLS, in the words
/// of nginx, Apache, and Go.
fn reports_plain_http(body: impl Read) -> bool {
    const WORDS: [&str; 3] =
        ["plain http", "http request was sent to https", "http request to an https"];
    let mut text = Vec::new();
    // As much as arrives before an error.
    let _ = body.take(4096).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

const REFUSED: &str = "the server denies access to this file. If it needs a user and a password, \
                       write https://USER:PASSWORD@HOST/ or give --netrc; if the server rejects \
                       this program by its name, --user-agent sends another one";

/// Describes what a server asks for (RFC 9110, 11.6.1) and how to give it.
fn challenge_text(headers: &HeaderMap, has_credentials: bool) -> String {
    let fields = headers.get_all(header::WWW_AUTHENTICATE).into_iter();
    let schemes: Vec<_> = fields
        .filter_map(|field| field.to_str().ok()?.split_whitespace().next().map(str::to_lowercase))
        .collect();
    let asks_for = |scheme: &str| schemes.iter().any(|found| found == scheme);
    if schemes.is_empty() || asks_for("basic") {
        return match has_credentials {
            true => "the server rejects the given user and password (they are sent to the URL's \
                     own host and port only); in a URL, characters such as : / @ % # in them are \
                     written as %3A %2F %40 %25 %23"
                .to_owned(),
            false => "the server asks for a user and a password: write \
                      https://USER:PASSWORD@HOST/, or give --netrc"
                .to_owned(),
        };
    }
    if asks_for("bearer") {
        return "the server asks for a token: --header \"Authorization: Bearer TOKEN\"".to_owned();
    }
    let schemes: Vec<_> = schemes.iter().map(|scheme| scheme.trim_end_matches(',')).collect();
    let asked = Escaped::new(Path::new(&schemes.join(", "))).to_string();
    format!("the server asks for {asked}, which is not supported; curl supports more")
}

const NO_HOST: &str = "unknown host name";

/// Finds an error inside an `io::Error`, also if it is wrapped more than once.
fn cause<E: std::error::Error + 'static>(error: &io::Error) -> Option<&E> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<io::Error>() {
        Some(error) => cause(error),
        None => inner.downcast_ref(),
    }
}

fn tls_text(error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    let bad = match error {
        rustls::Error::InvalidCertificate(bad) => bad,
        rustls::Error::AlertReceived(alert) => {
            return format!("the server aborts the TLS handshake: {alert:?}");
        }
        rustls::Error::InvalidMessage(_) => {
            return "the server does not use TLS on this port; if it serves plain HTTP there, write \
                    http:// instead of https://"
                .to_owned();
        }
        rustls::Error::PeerIncompatible(_) => {
            return "the server supports no safe version of TLS".to_owned();
        }
        other => return format!("TLS error: {other}"),
    };
    let date = |time: &UnixTime| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
        httpdate::fmt_http_date(time)
    };
    const CLOCK: &str = "or this machine's clock is wrong";
    match bad {
        Bad::UnknownIssuer => "the issuer of the server's certificate is not trusted here; if you \
                               trust it, give its certificate: --cacert FILE"
            .to_owned(),
        Bad::ExpiredContext { not_after, .. } => format!(
            "the server's certificate expired on {}, and only the server's owner can renew it; \
             {CLOCK}",
            date(not_after)
        ),
        Bad::Expired => {
            format!("the server's certificate has expired, and its owner must renew it; {CLOCK}")
        }
        Bad::NotValidYetContext { not_before, .. } => {
            format!("the server's certificate is valid from {} on; {CLOCK}", date(not_before))
        }
        Bad::NotValidYet => format!("the server's certificate is not valid yet; {CLOCK}"),
        Bad::NotValidForName => "the server's certificate is for another host".to_owned(),
        Bad::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no host".to_owned() } else { names.join(", ") };
            let (names, asked) = (Escaped::new(Path::new(&names)).to_string(), expected.to_str());
            format!("the server's certificate is for {names}, not for {asked}")
        }
        Bad::Revoked => "the server's certificate has been revoked".to_owned(),
        Bad::Other(_) if is_issuer_certificate(error) => "the server presents a certificate of a \
                                                    certificate authority (CA:TRUE) as its own, \
                                                    which is accepted only if it is trusted \
                                                    itself: --cacert FILE"
            .to_owned(),
        Bad::Other(_) => "the server's certificate is not a server certificate".to_owned(),
        _ => "the server's certificate is malformed".to_owned(),
    }
}

/// Extracts the name from `DnsName("localhost")`.
fn bare(presented: &str) -> &str {
    let inside = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(presented).trim_matches('"')
}

/// Parses `Retry-After` (RFC 9110, 10.2.3): seconds, or a date of the server's clock.
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
        Timeout::RecvResponse => "waiting for the response head",
        _ => "waiting for more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_may_pass_is_retried() {
        let of = |kind: ErrorKind| Failure::from_client_error(&Error::Io(kind.into())).retry;
        for kind in [
            ErrorKind::ConnectionRefused,
            ErrorKind::ConnectionReset,
            ErrorKind::BrokenPipe,
            ErrorKind::UnexpectedEof,
            ErrorKind::NetworkUnreachable,
        ] {
            assert_eq!(of(kind), Retry::Yes, "{kind:?}");
        }
        assert_eq!(Failure::from_client_error(&Error::Timeout(Timeout::Connect)).retry, Retry::Yes);
        assert_eq!(of(ErrorKind::InvalidData), Retry::Never);
        assert_eq!(Failure::from_client_error(&Error::TooManyRedirects).retry, Retry::Never);
    }

    #[test]
    fn a_status_decides_whether_and_when_to_retry() {
        let mut headers = HeaderMap::new();
        for (status, retry) in [(404, Retry::Never), (500, Retry::Yes), (429, Retry::Yes)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Failure::from_status(status, &headers, false).retry, retry, "{status}");
        }
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let busy = Failure::from_status(StatusCode::SERVICE_UNAVAILABLE, &headers, false);
        assert_eq!(busy.text, "503 Service Unavailable");
        assert_eq!(busy.retry, Retry::After(Duration::from_secs(7)));
        assert_eq!(Failure::from_status(StatusCode::GONE, &headers, false).retry, Retry::Never);
        headers.insert(header::DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        for (date, seconds) in [("08:50:07", 30), ("08:49:00", 0)] {
            let date = format!("Sun, 06 Nov 1994 {date} GMT");
            headers.insert(header::RETRY_AFTER, date.parse().unwrap());
            let busy = Failure::from_status(StatusCode::SERVICE_UNAVAILABLE, &headers, false);
            assert_eq!(busy.retry, Retry::After(Duration::from_secs(seconds)));
        }
    }

    #[test]
    fn a_request_for_credentials_is_reported_with_the_way_to_give_them() {
        let message = |status: u16, url: &str, challenges: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for challenge in challenges {
                let value = ureq::http::HeaderValue::from_static(challenge);
                headers.append(header::WWW_AUTHENTICATE, value);
            }
            let has_credentials = url.contains("user:secret@");
            let status = StatusCode::from_u16(status).unwrap();
            Failure::from_status(status, &headers, has_credentials).text
        };
        let (none, some) = ("http://host/", "http://user:secret@host/");
        for (status, url, challenges, words) in [
            (
                401,
                none,
                &["Basic realm=\"a b\""][..],
                "https://USER:PASSWORD@HOST/, or give --netrc",
            ),
            (401, none, &["Negotiate", "Basic realm=x"], "USER:PASSWORD@HOST"),
            (401, none, &[], "USER:PASSWORD@HOST"),
            (401, some, &["Basic realm=x"], "rejects the given user and password"),
            (401, none, &["Bearer realm=x"], "--header \"Authorization: Bearer TOKEN\""),
            (
                401,
                none,
                &["Digest realm=x", "NTLM"],
                "asks for digest, ntlm, which is not supported",
            ),
            (403, none, &[], "--netrc"),
            (407, none, &[], "the proxy asks for a user and a password"),
            (302, none, &[], "Location is missing"),
        ] {
            let message = message(status, url, challenges);
            assert!(
                message.starts_with(&status.to_string()) && message.contains(words),
                "{message}"
            );
            assert!(!message.contains("secret"), "{message}");
        }
        assert_eq!(message(400, none, &[]), "400 Bad Request");
        assert_eq!(message(404, none, &[]), "404 Not Found");
    }

    #[test]
    fn a_port_of_tls_is_recognised_by_its_answer() {
        for (body, is_tls) in [
            ("<h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port", true),
            ("You\u{2019}re speaking plain HTTP to an SSL-enabled server port.", true),
            ("Client sent an HTTP request to an HTTPS server.\n", true),
            ("Bad Request: invalid escape in the path", false),
            ("", false),
        ] {
            assert_eq!(reports_plain_http(body.as_bytes()), is_tls, "{body}");
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_not_looked_up_again() {
        let of = |text: &str| Failure::from_client_error(&Error::Io(io::Error::other(text))).retry;
        let prefix = "failed to lookup address information: ";
        assert_eq!(of(&format!("{prefix}Name or service not known")), Retry::Never);
        assert_eq!(of(&format!("{prefix}Temporary failure in name resolution")), Retry::Yes);
    }
}
