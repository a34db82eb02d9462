//! The proxy of a request, from the environment, by the rules of curl.
//!
//! ```text
//! http://…    http_proxy                  not HTTP_PROXY: a CGI script's client could set it
//! https://…   https_proxy, HTTPS_PROXY
//! both        all_proxy, ALL_PROXY        if the scheme has none
//! exceptions  no_proxy, NO_PROXY          names with all below them, addresses, networks, or *
//! ```

use std::net::IpAddr;

use anyhow::anyhow;
use percent_encoding::percent_decode_str;
use ureq::http::Uri;
use ureq::http::uri::Scheme;

use super::url::{self, Url, basic_credentials};

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Https,
    Socks4,
    Socks4a,
    Socks5,
    Socks5h,
}

impl ProxyKind {
    fn named(scheme: &str) -> Option<(ProxyKind, u16)> {
        Some(match scheme {
            "http" => (ProxyKind::Http, 80),
            "https" => (ProxyKind::Https, 443),
            "socks4" | "socks" => (ProxyKind::Socks4, 1080),
            "socks4a" => (ProxyKind::Socks4a, 1080),
            "socks5" => (ProxyKind::Socks5, 1080),
            "socks5h" => (ProxyKind::Socks5h, 1080),
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            ProxyKind::Http | ProxyKind::Https => "HTTP",
            ProxyKind::Socks4 | ProxyKind::Socks4a => "SOCKS4",
            ProxyKind::Socks5 | ProxyKind::Socks5h => "SOCKS5",
        }
    }

    /// Tells whether this machine looks the server's name up, not the proxy.
    pub(super) fn wants_addresses(self) -> bool {
        matches!(self, ProxyKind::Socks4 | ProxyKind::Socks5)
    }
}

/// A proxy.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) kind: ProxyKind,
    /// `http://HOST:PORT`, by which the proxy is reached.
    pub(super) uri: Uri,
    pub(super) user: Option<(Vec<u8>, Vec<u8>)>,
}

/// Omits the password.
impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.kind, self.uri)
    }
}

impl Proxy {
    /// Parses `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]`.
    fn parse(text: &str) -> Result<Proxy, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (kind, port) = ProxyKind::named(&scheme.to_ascii_lowercase())
            .ok_or("its scheme must be http, https, socks4, socks4a, socks5 or socks5h")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let user = user.map(|user| {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            (decoded(user), decoded(password))
        });
        let url = Url::parse(format!("http://{host}").as_bytes())?;
        let has_port = url.uri.port_u16().is_some();
        let uri = match (has_port, url.uri.host()) {
            (false, Some(host)) => format!("http://{host}:{port}").parse(),
            _ => Ok(url.uri),
        };
        Ok(Proxy { kind, uri: uri.map_err(|_| "it has no host")?, user })
    }

    /// Returns `HOST:PORT`.
    pub(super) fn name(&self) -> String {
        self.uri.authority().map_or_else(String::new, |authority| authority.to_string())
    }

    /// Returns the value of `Proxy-Authorization`.
    pub(super) fn authorization(&self) -> Option<String> {
        self.user.as_ref().map(|(user, password)| basic_credentials(user, password))
    }
}

/// The proxies of this process.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exempt: Vec<Exempt>,
}

impl Proxies {
    /// Reads the environment by `variable`.
    pub(super) fn from(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Proxies> {
        // An empty variable counts as unset.
        let read = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let first = |names: &[&'static str]| {
            let Some((name, value)) = names.iter().find_map(|name| Some((name, read(name)?)))
            else {
                return Ok(None);
            };
            // Without the value, which may contain a password.
            let proxy = Proxy::parse(value.trim());
            proxy.map(Some).map_err(|error| anyhow!("invalid proxy in variable {name}: {error}"))
        };
        let exempt = read("no_proxy").or_else(|| read("NO_PROXY")).unwrap_or_default();
        let proxies = Proxies {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            exempt: exempt.split([',', ' ']).filter_map(Exempt::parse).collect(),
        };
        Ok(proxies)
    }

    pub(super) fn from_environment() -> anyhow::Result<Proxies> {
        Proxies::from(|name| std::env::var(name).ok())
    }

    /// Returns the proxy for requests of this URL.
    pub(super) fn find(&self, uri: &Uri) -> Option<&Proxy> {
        let proxy = if uri.scheme() == Some(&Scheme::HTTPS) { &self.https } else { &self.http };
        let host = uri.host()?.trim_matches(['[', ']']).trim_end_matches('.');
        proxy.as_ref().filter(|_| !self.exempt.iter().any(|exempt| exempt.matches(host)))
    }

    /// Returns the HTTP proxy that forwards requests to this URL.
    pub(super) fn forwarder(&self, uri: &Uri) -> Option<&Proxy> {
        let proxy = self.find(uri).filter(|_| uri.scheme() == Some(&Scheme::HTTP))?;
        matches!(proxy.kind, ProxyKind::Http | ProxyKind::Https).then_some(proxy)
    }
}

/// Hosts that are reached without a proxy.
#[derive(Debug, PartialEq, Eq)]
enum Exempt {
    All,
    /// The name and all names below it, in lower case.
    Domain(String),
    /// The addresses that share this number of leading bits.
    Network(IpAddr, u8),
}

impl Exempt {
    fn parse(text: &str) -> Option<Exempt> {
        let text = text.trim();
        let bare = text.trim_matches(['[', ']']);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Exempt::Network(address, if address.is_ipv4() { 32 } else { 128 }));
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
            let bits = bits.parse().ok().filter(|bits| *bits <= max_bits(address))?;
            return Some(Exempt::Network(address, bits));
        }
        match text.trim_start_matches("*.").trim_matches('.') {
            "" => None,
            "*" => Some(Exempt::All),
            domain => Some(Exempt::Domain(
                url::host_name(domain).unwrap_or_else(|| domain.to_ascii_lowercase()),
            )),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Exempt::All => true,
            Exempt::Domain(domain) => {
                let host = host.to_ascii_lowercase();
                let front = host.strip_suffix(domain.as_str());
                front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
            }
            Exempt::Network(network, bits) => {
                host.parse().is_ok_and(|host: IpAddr| shares_bits(*network, host, *bits))
            }
        }
    }
}

fn max_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn shares_bits(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let (one, other, all) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    (one ^ other).checked_shr(all - u32::from(bits)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &'static [(&str, &str)]) -> Proxies {
        Proxies::from(|name| {
            let found = variables.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| (*value).to_owned())
        })
        .unwrap()
    }

    fn through(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.find(&url.parse().unwrap()).map(|proxy| format!("{proxy:?}"))
    }

    #[test]
    fn variables_count_by_scheme_and_case() {
        let http = "http://h/";
        let https = "https://h/";
        for (variables, of_http, of_https) in [
            (&[("http_proxy", "p:1")][..], Some("Http http://p:1/"), None),
            (&[("HTTP_PROXY", "p:1")], None, None),
            (&[("HTTPS_PROXY", "p:1")], None, Some("Http http://p:1/")),
            (
                &[("https_proxy", "https://p"), ("HTTPS_PROXY", "q:1")],
                None,
                Some("Https http://p:443/"),
            ),
            (
                &[("ALL_PROXY", "socks5h://u:p@p"), ("http_proxy", "")],
                Some("Socks5h http://p:1080/"),
                Some("Socks5h http://p:1080/"),
            ),
            (&[("http_proxy", "p:1"), ("no_proxy", "*")], None, None),
        ] {
            let proxies = proxies(variables);
            assert_eq!(through(&proxies, http).as_deref(), of_http, "{variables:?}");
            assert_eq!(through(&proxies, https).as_deref(), of_https, "{variables:?}");
        }
    }

    #[test]
    fn exempt_hosts_have_no_proxy() {
        let list = "corp.test, .dot.test,*.star.test 10.0.0.0/8,192.0.2.7,[2001:db8::]/32,::1,10/x";
        let exempt: Vec<_> = list.split([',', ' ']).filter_map(Exempt::parse).collect();
        assert_eq!(exempt.len(), 7);
        let is_exempt = |host: &str| exempt.iter().any(|exempt| exempt.matches(host));
        for host in [
            "corp.test",
            "a.corp.test",
            "A.B.Corp.Test",
            "dot.test",
            "x.dot.test",
            "x.star.test",
            "10.1.2.3",
            "192.0.2.7",
            "2001:db8:1::5",
            "::1",
        ] {
            assert!(is_exempt(host), "{host}");
        }
        for host in ["xcorp.test", "corp.test.evil", "test", "11.0.0.1", "192.0.2.8", "2001:db9::"]
        {
            assert!(!is_exempt(host), "{host}");
        }
        assert!(shares_bits("1.2.3.4".parse().unwrap(), "9.9.9.9".parse().unwrap(), 0));
    }

    #[test]
    fn an_invalid_proxy_is_reported_without_its_password() {
        for value in ["ftp://u:secret@p", "http://u:secret@p:99999", "u:secret@", "socks9://p"] {
            let error = Proxies::from(|name| (name == "http_proxy").then(|| value.to_owned()));
            let error = format!("{:#}", error.unwrap_err());
            assert!(error.contains("http_proxy") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn users_are_decoded() {
        let proxy = Proxy::parse("http://us%40er:p%3Ass@h").unwrap();
        assert_eq!(proxy.user, Some((b"us@er".to_vec(), b"p:ss".to_vec())));
    }
}
