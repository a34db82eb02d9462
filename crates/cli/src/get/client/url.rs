//! URLs as users paste them and as servers redirect to them, converted to what a request can carry.
//!
//! ```text
//! https://user:p%40ss@bücher.example:8443/ä b?q=1#part     as written
//!         └ credentials, apart           └ encoded         └ dropped
//! https://xn--bcher-kva.example:8443/%C3%A4%20b?q=1        as requested, and as shown
//! ```
//!
//! Credentials never stay in the text, so that nothing that is shown, logged or sent on contains
//! them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};
use ureq::http::Uri;

/// Bytes that users paste although a URL cannot contain them; bytes beyond ASCII are encoded, too.
/// The percent sign is not among them, so that encoded bytes stay as they are; a percent sign that
/// encodes nothing is handled separately.
const TO_ENCODE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A URL that can be requested.
#[derive(Debug, Clone)]
pub(crate) struct Url {
    pub(crate) uri: Uri,
    /// The value of `Authorization` for the URL's user and password.
    pub(crate) authorization: Option<String>,
}

impl Url {
    pub(crate) fn parse(text: &[u8]) -> Result<Url, String> {
        let scheme = scheme(text).filter(|scheme| matches!(&**scheme, "http" | "https"));
        let rest = |scheme: &String| text[scheme.len() + 1..].strip_prefix(b"//");
        let Some((scheme, rest)) = scheme
            .and_then(|scheme| Some((rest(&scheme)?, scheme)))
            .map(|(rest, scheme)| (scheme, rest))
        else {
            return Err("invalid URL: it must begin with http:// or https://".to_owned());
        };
        let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'\\');
        let end = rest.iter().position(is_end).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user, host) = match authority.iter().rposition(|byte| *byte == b'@') {
            Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
            None => (None, authority),
        };
        let host = host_and_port(host)?;
        let uri = format!("{scheme}://{host}{}", path_and_query(target));
        let uri = uri.parse().map_err(|error| format!("invalid URL: {error}"))?;
        Ok(Url { uri, authorization: user.map(basic) })
    }

    /// Resolves a `Location` of this URL's response (RFC 3986, 5.2).
    pub(crate) fn join(&self, location: &[u8]) -> Result<Url, String> {
        let location = location.trim_ascii();
        let (scheme_here, authority) = (self.uri.scheme_str().unwrap_or("http"), self.authority());
        let path = self.uri.path();
        let front = match location.first() {
            _ if scheme(location).is_some() => String::new(),
            Some(b'/') if location.starts_with(b"//") => format!("{scheme_here}:"),
            Some(b'/') => format!("{scheme_here}://{authority}"),
            Some(b'?') => format!("{scheme_here}://{authority}{path}"),
            Some(b'#') | None => return Err("the server redirects to the same URL".to_owned()),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
                format!("{scheme_here}://{authority}{folder}")
            }
        };
        Url::parse(&[front.as_bytes(), location].concat())
            .map_err(|error| format!("the server redirects to an unusable URL: {error}"))
    }

    /// Tells whether credentials for one URL may be sent to the other.
    pub(crate) fn is_same_origin(&self, other: &Url) -> bool {
        self.uri.scheme() == other.uri.scheme() && self.authority() == other.authority()
    }

    fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }
}

/// Makes the displayed form of a text that should be a URL: without user and password, and without
/// characters that control a terminal.
pub(crate) fn shown(text: &[u8]) -> String {
    match Url::parse(text) {
        Ok(url) => masked(&url.uri.to_string()),
        Err(_) => {
            let end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
            let start = text.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
            let length = text[start..].iter().position(end).unwrap_or(text.len() - start);
            let authority = &text[start..start + length];
            let host = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
            let text = [&text[..start], &text[start + host..]].concat();
            masked(&percent_encode(&text, TO_ENCODE).to_string())
        }
    }
}

/// Masks the values of parameters that are secrets, above all in signed URLs.
pub(super) fn masked(url: &str) -> String {
    const SECRETS: [&str; 9] =
        ["auth", "credential", "key", "passw", "pwd", "secret", "session", "sig", "token"];
    let Some((front, query)) = url.split_once('?') else { return url.to_owned() };
    let parameter = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let lower = name.to_ascii_lowercase();
        match SECRETS.iter().any(|secret| lower.contains(secret)) && !value.is_empty() {
            true => format!("{name}=***"),
            false => parameter.to_owned(),
        }
    };
    let parameters: Vec<String> = query.split('&').map(parameter).collect();
    format!("{front}?{}", parameters.join("&"))
}

/// Masks the secrets of a command line argument that is a URL; `None` if it has none.
pub(crate) fn without_secrets(argument: &str) -> Option<String> {
    let (scheme, rest) = argument.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rfind('@').map_or(0, |at| at + 1);
    let user = if host > 0 { "USER:PASSWORD@" } else { "" };
    let shown = masked(&format!("{scheme}://{user}{}", &rest[host..]));
    (shown != argument).then_some(shown)
}

/// Returns the lower-case scheme before a colon.
fn scheme(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|byte| *byte == b':')?;
    let scheme = std::str::from_utf8(&text[..end]).ok()?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    (is_scheme && scheme.chars().all(is_allowed)).then(|| scheme.to_ascii_lowercase())
}

fn host_and_port(text: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|_| "the host is not UTF-8".to_owned())?;
    let bracket = text.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match text[bracket..].find(':') {
        Some(colon) => (&text[..bracket + colon], &text[bracket + colon + 1..]),
        None => (text, ""),
    };
    let port = match port {
        "" => String::new(),
        port if !port.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(format!("the port is not a number: {port}"));
        }
        port => match port.parse::<u16>() {
            Ok(0) => return Err("invalid port 0".to_owned()),
            Ok(port) => format!(":{port}"),
            Err(_) => return Err(format!("invalid port {port}: the highest one is 65535")),
        },
    };
    let host = match host {
        "" => return Err("the URL has no host".to_owned()),
        address if address.starts_with('[') => address.to_owned(),
        name => host_name(name).ok_or("the host is not a valid name")?,
    };
    Ok(host + &port)
}

/// Converts a host name to its form in the DNS: in lower case and in ASCII, mapped and checked as
/// browsers do it (UTS 46). It may end with a dot.
pub(super) fn host_name(name: &str) -> Option<String> {
    let decoded: Vec<u8> = percent_decode(name.as_bytes()).collect();
    let (deny, hyphens) = (AsciiDenyList::URL, Hyphens::Allow);
    let name = Uts46::new().to_ascii(&decoded, deny, hyphens, DnsLength::VerifyAllowRootDot);
    name.ok().map(|name| name.into_owned())
}

/// Encodes path and query, without the fragment and without `.` and `..`.
fn path_and_query(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == b'#').unwrap_or(text.len());
    let text = percent_encode(&with_whole_escapes(&text[..end]), TO_ENCODE).to_string();
    let (path, query) = match text.find('?') {
        Some(at) => text.split_at(at),
        None => (&*text, ""),
    };
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
        if is_last && matches!(segment, "." | "..") {
            segments.push("");
        }
    }
    format!("/{}{query}", segments.join("/"))
}

/// Encodes a percent sign without two digits after it, as wget does: a URL cannot contain it (RFC
/// 3986, 2.1). Browsers and curl send it unchanged, and servers refuse it.
fn with_whole_escapes(text: &[u8]) -> Vec<u8> {
    let is_escape =
        |rest: &[u8]| rest.get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let mut whole = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        whole.push(*byte);
        if *byte == b'%' && !is_escape(&text[at + 1..]) {
            whole.extend(b"25");
        }
    }
    whole
}

/// Makes the `Authorization` of the `user:password` in a URL.
fn basic(user: &[u8]) -> String {
    let mut halves = user.splitn(2, |byte| *byte == b':');
    let mut half = || percent_decode(halves.next().unwrap_or_default()).collect::<Vec<u8>>();
    let (user, password) = (half(), half());
    basic_credentials(&user, &password)
}

/// Makes `Basic` credentials (RFC 7617).
pub(crate) fn basic_credentials(user: &[u8], password: &[u8]) -> String {
    format!("Basic {}", BASE64_STANDARD.encode([user, b":", password].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Url::parse(text.as_bytes()).unwrap().uri.to_string()
    }

    #[test]
    fn pasted_characters_are_encoded_and_encoded_ones_stay() {
        for (text, url) in [
            ("http://h/a b/ü.txt?x=%20", "http://h/a%20b/%C3%BC.txt?x=%20"),
            ("HTTP://Host.Example", "http://host.example/"),
            ("http://h?q", "http://h/?q"),
            ("http://h/a#part", "http://h/a"),
            ("http://h/a/./b/../c", "http://h/a/c"),
            ("http://h/../../a/..", "http://h/"),
            ("http://[::1]:80/x", "http://[::1]:80/x"),
            ("https://bücher.example:8443/", "https://xn--bcher-kva.example:8443/"),
            ("http://h:/x", "http://h/x"),
            ("http://h/100%.txt?50%&x=%2g%20%", "http://h/100%25.txt?50%25&x=%252g%20%25"),
            ("http://h/%%41%4", "http://h/%25%41%254"),
        ] {
            assert_eq!(parsed(text), url, "{text}");
        }
        assert_eq!(
            Url::parse(b"http://h/\xe9.txt").unwrap().uri.to_string(),
            "http://h/%E9.txt",
            "a list in Latin-1"
        );
    }

    #[test]
    fn host_names_of_all_scripts_are_mapped_as_browsers_do_it() {
        for (name, ascii) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com."),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("faß.de", "xn--fa-hia.de"),
            ("ＦＵＬＬ．ｗｉｄｔｈ", "full.width"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("правда.рф", "xn--80aafi6cg.xn--p1ai"),
            ("مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv"),
            ("b%C3%BCcher.example", "xn--bcher-kva.example"),
            ("soft\u{ad}hyphen.de", "softhyphen.de"),
            ("a_b.example", "a_b.example"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host_name(name).as_deref(), Some(ascii), "{name}");
        }
        for name in [
            "a b",
            "a%2fb",
            "a\u{1b}",
            "a%00",
            "a..b",
            &"x".repeat(64),
            &"x.".repeat(128),
            // Both directions in one label; a joiner that joins nothing; a leading combining mark.
            "\u{5d0}a",
            "a\u{200d}b",
            "\u{301}a",
            "xn--a",
            "%ff",
        ] {
            assert_eq!(host_name(name), None, "{name}");
        }
    }

    #[test]
    fn an_invalid_url_is_refused_with_the_reason() {
        for (text, message) in [
            ("ftp://h/x", "http:// or https://"),
            ("h/x", "http:// or https://"),
            ("", "http:// or https://"),
            ("http//h", "http:// or https://"),
            ("file:///etc/passwd", "http:// or https://"),
            ("http://", "no host"),
            ("http://:80/", "no host"),
            ("http://h:74536/", "port 74536"),
            ("http://h:0/", "port 0"),
            ("http://h:8o/", "not a number"),
        ] {
            let error = Url::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        for (text, credentials, url) in [
            ("http://user:p%40ss@host/a@b", Some("user:p@ss"), "http://host/a@b"),
            ("http://user@host", Some("user:"), "http://host/"),
            ("http://a@b:c:d@host?x@y", Some("a@b:c:d"), "http://host/?x@y"),
            ("http://host/x@y", None, "http://host/x@y"),
        ] {
            let parsed = Url::parse(text.as_bytes()).unwrap();
            let encoded = credentials.map(|text| format!("Basic {}", BASE64_STANDARD.encode(text)));
            assert_eq!(parsed.authorization, encoded, "{text}");
            assert_eq!(shown(text.as_bytes()), url);
        }
        assert_eq!(shown(b"ftp://user:secret@host/\x1b[31m"), "ftp://host/%1B[31m");
        assert_eq!(shown(b"user:secret@host/x"), "host/x");
        assert_eq!(
            shown(b"http://h/x?a=1&X-Amz-Signature=secret&api_key=secret&token"),
            "http://h/x?a=1&X-Amz-Signature=***&api_key=***&token"
        );
        assert_eq!(without_secrets("http://h/x?a=1"), None);
        assert_eq!(
            without_secrets("http://u:secret@h/x@y?sig=secret").as_deref(),
            Some("http://USER:PASSWORD@h/x@y?sig=***")
        );
        assert_eq!(shown(b"http://user:secret@host:99999/x"), "http://host:99999/x");
    }

    #[test]
    fn locations_are_joined() {
        let base = Url::parse(b"http://user:secret@host:81/a/b?c=d").unwrap();
        for (location, url) in [
            (&b"https://other/x"[..], "https://other/x"),
            (b"//other/x", "http://other/x"),
            (b"/x/../y", "http://host:81/y"),
            (b"x", "http://host:81/a/x"),
            (b"../x?y", "http://host:81/x?y"),
            (b"?x", "http://host:81/a/b?x"),
            ("/ü".as_bytes(), "http://host:81/%C3%BC"),
            (b"/\xfc", "http://host:81/%FC"),
            (b" /a b ", "http://host:81/a%20b"),
            (b"./x:y", "http://host:81/a/x:y"),
            (b"100%", "http://host:81/a/100%25"),
        ] {
            assert_eq!(base.join(location).unwrap().uri.to_string(), url);
        }
        for location in [&b"ftp://h/x"[..], b"javascript:1", b"", b"http://h:99999/"] {
            assert!(base.join(location).is_err());
        }
        let joined = base.join(b"/x").unwrap();
        assert!(base.is_same_origin(&joined) && joined.authorization.is_none());
        assert!(!base.is_same_origin(&base.join(b"http://host/x").unwrap()));
    }
}
