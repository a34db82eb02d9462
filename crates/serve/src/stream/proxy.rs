//! The PROXY protocol, versions 1 and 2: a proxy's first bytes tell whose connection it is.
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>)
//!
//! Where it is enabled it is required: whoever connects without it could otherwise say anything by
//! its own header. Where the header ends is found here, since it may come in pieces; what it says,
//! by the crate `ppp`.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use overlapped::time::{Duration, timeout};
use ppp::{v1, v2};

use super::Raw;

/// A header of version 1, line feed included.
const LINE_MAX: usize = 107;
/// What version 2 begins with: signature, version, family, length.
const FIXED: usize = 16;
/// A header of version 2 with all that proxies put in; the protocol asks for at least 536 bytes.
const HEADER_MAX: usize = 4 << 10;

const SIGNATURE: &[u8] = v2::PROTOCOL_PREFIX;

/// Whose connection it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The proxy's own: it looks whether we are alive.
    Own,
    /// From one address to another.
    Client { from: SocketAddr, to: SocketAddr },
}

/// Reads the header, which may take so long. What came behind it is given back.
#[inline(never)]
pub(crate) fn read(raw: &Raw, limit: Duration) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let mut come = Vec::new();
    let mut piece = [0; 512];
    timeout(limit, || {
        loop {
            if let Some(len) = length(&come)? {
                let told = parse(&come[..len])?;
                raw.give_back(come.split_off(len));
                return Ok(match told {
                    Told::Own => None,
                    Told::Client { from, to } => Some((from, to)),
                });
            }
            match raw.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => come.extend_from_slice(&piece[..read]),
            }
        }
    })
}

/// How long the header is; `None` where more must come to tell.
fn length(come: &[u8]) -> io::Result<Option<usize>> {
    let is_beginning = |whole: &[u8]| come.len() < whole.len() && whole.starts_with(come);
    if is_beginning(SIGNATURE) || is_beginning(b"PROXY ") {
        return Ok(None);
    }
    if come.starts_with(SIGNATURE) {
        let Some(fixed) = come.get(..FIXED) else { return Ok(None) };
        let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        if len > HEADER_MAX {
            return Err(wrong("it is longer than any proxy's"));
        }
        return Ok((come.len() >= len).then_some(len));
    }
    if !come.starts_with(b"PROXY ") {
        return Err(wrong("the connection does not begin with one"));
    }
    let line = &come[..come.len().min(LINE_MAX)];
    match line.windows(2).position(|two| two == b"\r\n") {
        Some(at) => Ok(Some(at + 2)),
        None if line.len() == LINE_MAX => Err(wrong("its line does not end")),
        None => Ok(None),
    }
}

fn parse(header: &[u8]) -> io::Result<Told> {
    if header.starts_with(SIGNATURE) {
        return parse_binary(header);
    }
    // `ppp` takes what Rust's numbers take.
    if header.contains(&b'+') {
        return Err(wrong("a number has a sign"));
    }
    let parsed = v1::Header::try_from(header).map_err(wrong)?;
    Ok(match parsed.addresses {
        v1::Addresses::Unknown => Told::Own,
        v1::Addresses::Tcp4(ip) => Told::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        },
        v1::Addresses::Tcp6(ip) => Told::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        },
    })
}

fn parse_binary(header: &[u8]) -> io::Result<Told> {
    let parsed = v2::Header::try_from(header).map_err(wrong)?;
    if parsed.command == v2::Command::Local {
        return Ok(Told::Own);
    }
    match (parsed.protocol, parsed.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => Ok(Told::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        }),
        (v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => Ok(Told::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        }),
        (v2::Protocol::Stream | v2::Protocol::Unspecified, _) => Ok(Told::Own),
        _ => Err(wrong("it tells of something else than a stream")),
    }
}

/// What holds for any bytes: where the header ends does not depend on how they came, it is known
/// before too many have come, and whatever it is, it is understood or refused.
#[cfg(any(test, fuzzing))]
pub(crate) fn judge(bytes: &[u8]) {
    let mut known = None;
    for cut in 0..=bytes.len() {
        let told = length(&bytes[..cut]).map_err(|error| error.to_string());
        match &known {
            None if told == Ok(None) => assert!(cut < HEADER_MAX, "{cut} bytes and no end"),
            None => known = Some(told),
            Some(known) => assert_eq!(known, &told, "after {cut} bytes"),
        }
    }
    if let Some(Ok(Some(len))) = known {
        assert!(len <= HEADER_MAX);
        if let Ok(Told::Client { from, to }) = parse(&bytes[..len]) {
            assert_eq!(from.is_ipv4(), to.is_ipv4());
        }
    }
}

fn wrong(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("no PROXY header: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(header: &[u8]) -> io::Result<Told> {
        for cut in 0..header.len() {
            assert_eq!(length(&header[..cut])?, None, "cut at {cut}");
        }
        let behind = [header, b"GET /"].concat();
        assert_eq!(length(&behind)?, Some(header.len()));
        parse(header)
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    const V4: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x00, 0x50];

    fn client(from: &str, to: &str) -> Told {
        Told::Client { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    #[test]
    fn good_headers_are_understood_wherever_they_are_cut() {
        let v4 = client("192.0.2.1:12345", "192.0.2.2:80");
        assert_eq!(whole(b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n").unwrap(), v4);
        assert_eq!(whole(&binary(0x21, 0x11, V4)).unwrap(), v4);
        assert_eq!(whole(&binary(0x21, 0x11, &[V4, &[4, 0, 1, 9]].concat())).unwrap(), v4);
        let v6 = client("[2001:db8::1]:1", "[2001:db8::2]:443");
        assert_eq!(whole(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n").unwrap(), v6);
        assert_eq!(whole(b"PROXY UNKNOWN\r\n").unwrap(), Told::Own);
        assert_eq!(whole(&binary(0x20, 0x00, b"")).unwrap(), Told::Own);
    }

    #[test]
    fn bad_headers_are_refused() {
        for line in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            b"PROXY TCP4 2001:db8::1 192.0.2.2 1 80\r\n",
            b"PROXY TCP4  192.0.2.1 192.0.2.2 1 80\r\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 80\r\n",
            b"proxy TCP4 192.0.2.1 192.0.2.2 1 80\r\n",
            &[b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
            &binary(0x31, 0x11, V4),
            &binary(0x22, 0x11, V4),
            &binary(0x21, 0x12, V4),
            &binary(0x21, 0x11, &V4[..11]),
            &binary(0x21, 0x11, &[0; 5000]),
        ] {
            let told = length(line).and_then(|len| parse(&line[..len.unwrap_or(line.len())]));
            assert!(told.is_err(), "{:?} is {told:?}", String::from_utf8_lossy(line));
        }
    }
}
