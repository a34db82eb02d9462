//! Content codings, and which of them a client accepts (RFC 9110, section 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// The coding of a resource, and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// The content itself.
    Identity,
    /// A precompressed sibling.
    Brotli,
    /// A precompressed sibling.
    Zstd,
    /// A precompressed sibling.
    Gzip,
    /// Compressed by the server.
    ServerBrotli,
    /// Compressed by the server.
    ServerZstd,
    /// Compressed by the server.
    ServerGzip,
}

impl Coding {
    /// The number of variants.
    pub(crate) const COUNT: usize = 7;

    /// Returns the suffix of entity tags, which differs for each variant.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Coding::Identity => "",
            Coding::Brotli => "-br",
            Coding::Zstd => "-zst",
            Coding::Gzip => "-gz",
            Coding::ServerBrotli => "-brotli",
            Coding::ServerZstd => "-zstd",
            Coding::ServerGzip => "-gzip",
        }
    }

    /// Returns the name in HTTP, and the extension of siblings.
    pub(crate) fn name(self) -> Option<(&'static str, &'static str)> {
        match self {
            Coding::Identity => None,
            Coding::Brotli | Coding::ServerBrotli => Some(("br", ".br")),
            Coding::Zstd | Coding::ServerZstd => Some(("zstd", ".zst")),
            Coding::Gzip | Coding::ServerGzip => Some(("gzip", ".gz")),
        }
    }

    /// Returns the variant for the same coding by the server; `None` for the content itself.
    pub(crate) fn by_server(self) -> Option<Coding> {
        match self {
            Coding::Identity => None,
            Coding::Brotli | Coding::ServerBrotli => Some(Coding::ServerBrotli),
            Coding::Zstd | Coding::ServerZstd => Some(Coding::ServerZstd),
            Coding::Gzip | Coding::ServerGzip => Some(Coding::ServerGzip),
        }
    }

    /// Tells whether the server has compressed it.
    pub(crate) fn is_compressed_here(self) -> bool {
        self.by_server() == Some(self)
    }
}

/// Returns the codings that a client accepts, the best first. [`Coding::Identity`] is always the
/// last, even if the client excludes it: an answer that the client may reject is better than none.
///
/// Among codings with equal weights, the one that compresses best comes first. A coding with less
/// weight than the content itself is left out.
pub(crate) fn accepted(headers: &HeaderMap) -> impl Iterator<Item = Coding> + use<> {
    by_weight(headers, [Coding::Brotli, Coding::Zstd, Coding::Gzip])
}

/// Returns the coding in which the server compresses for a client; `None` for the content itself.
///
/// Among codings with equal weights, zstd comes first: it compresses a text as well as gzip, in
/// less than half of the time. Brotli takes three times as long as gzip for a tenth less.
pub(crate) fn accepted_from_server(headers: &HeaderMap) -> Option<Coding> {
    by_weight(headers, [Coding::Zstd, Coding::Brotli, Coding::Gzip]).next()?.by_server()
}

fn by_weight(headers: &HeaderMap, codings: [Coding; 3]) -> impl Iterator<Item = Coding> + use<> {
    let mut weights = Weights::default();
    for value in headers.get_all(ACCEPT_ENCODING) {
        if let Ok(value) = value.to_str() {
            value.split(',').for_each(|item| weights.parse(item));
        }
    }
    let mut found = codings.map(|coding| (coding, weights.weight(coding)));
    // The sort is stable: equal weights keep the order of `codings`.
    found.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    let least = weights.identity.unwrap_or(1).max(1);
    let better = found.into_iter().filter(move |(_, weight)| *weight >= least);
    better.map(|(coding, _)| coding).chain([Coding::Identity])
}

/// The weights in a client's `Accept-Encoding`, in thousandths.
#[derive(Default)]
struct Weights {
    brotli: Option<u16>,
    zstd: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Weights {
    fn weight(&self, coding: Coding) -> u16 {
        let own = match coding {
            Coding::Identity => self.identity,
            Coding::Brotli | Coding::ServerBrotli => self.brotli,
            Coding::Zstd | Coding::ServerZstd => self.zstd,
            Coding::Gzip | Coding::ServerGzip => self.gzip,
        };
        own.or(self.any).unwrap_or(0)
    }

    fn parse(&mut self, item: &str) {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(Some(1000), thousandths);
        // A malformed weight excludes the coding.
        let weight = Some(weight.unwrap_or(0));
        match name.to_ascii_lowercase().as_str() {
            "br" => self.brotli = weight,
            "zstd" => self.zstd = weight,
            "gzip" | "x-gzip" => self.gzip = weight,
            "identity" => self.identity = weight,
            "*" => self.any = weight,
            _ => {}
        }
    }
}

/// Parses a weight, such as `0.5` as 500 (section 12.4.2).
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match whole {
        "0" => Some(format!("{part:0<3}").parse().unwrap_or(0)),
        "1" if part.bytes().all(|byte| byte == b'0') => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Coding::{Brotli, Gzip, Identity, Zstd};
    use super::*;

    #[test]
    fn the_best_accepted_coding_comes_first() {
        for (asked, expected) in [
            ("", &[Identity][..]),
            ("gzip", &[Gzip, Identity]),
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip, Identity]),
            ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli, Identity]),
            ("GZIP ; Q=0.001", &[Gzip, Identity]),
            ("gzip;q=0", &[Identity]),
            ("gzip;q=0.0, *", &[Brotli, Zstd, Identity]),
            ("*;q=0.2, zstd;q=0.3", &[Zstd, Brotli, Gzip, Identity]),
            ("identity, gzip;q=0.5", &[Identity]),
            ("identity;q=0, gzip;q=0.5", &[Gzip, Identity]),
            ("identity;q=0", &[Identity]),
            ("*;q=0", &[Identity]),
            ("gzip;q=2, br;q=1.5, zstd;q=0.1234", &[Identity]),
            ("gzip;q=, compress", &[Identity]),
            ("x-gzip", &[Gzip, Identity]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, asked.parse().unwrap());
            assert_eq!(accepted(&headers).collect::<Vec<_>>(), expected, "{asked}");
        }
    }

    #[test]
    fn several_fields_count_as_one() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, "gzip;q=0.3".parse().unwrap());
        headers.append(ACCEPT_ENCODING, "br;q=0.2".parse().unwrap());
        assert_eq!(accepted(&headers).collect::<Vec<_>>(), [Gzip, Brotli, Identity]);
    }
}
