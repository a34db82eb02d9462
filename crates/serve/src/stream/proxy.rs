//! The PROXY protocol, versions 1 and 2: a proxy's first bytes name the client of the connection.
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>)
//!
//! A listener that enables it requires it: otherwise a client that connects directly could claim
//! any address by a header of its own. This module finds the end of the header, which may arrive in
//! pieces; the crate `ppp` parses it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use overlapped::time::{Duration, timeout};
use ppp::{v1, v2};

use super::Socket;

/// The maximum length of a version 1 header, line feed included.
const LINE_MAX: usize = 107;
/// The length of the fixed part of version 2: signature, version, family, length.
const FIXED: usize = 16;
/// The maximum length of a version 2 header, enough for all that proxies add. The protocol asks for
/// at least 536 bytes.
const HEADER_MAX: usize = 4 << 10;

const SIGNATURE: &[u8] = v2::PROTOCOL_PREFIX;

/// The content of a header.
#[derive(Debug, PartialEq, Eq)]
enum Header {
    /// The connection is the proxy's own, such as a health check.
    Local,
    /// The connection is a client's.
    Client { from: SocketAddr, to: SocketAddr },
}

/// Reads the header within the time `limit`, and returns the client's address and the address that
/// it connected to. Bytes behind the header are put back.
#[inline(never)]
pub(crate) fn read(
    socket: &Socket,
    limit: Duration,
) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let mut received = Vec::new();
    let mut piece = [0; 512];
    timeout(limit, || {
        loop {
            if let Some(len) = length(&received)? {
                let header = parse(&received[..len])?;
                socket.put_back(received.split_off(len));
                return Ok(match header {
                    Header::Local => None,
                    Header::Client { from, to } => Some((from, to)),
                });
            }
            match socket.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => received.extend_from_slice(&piece[..read]),
            }
        }
    })
}

/// Returns the length of the header; `None` if more bytes are needed to tell.
fn length(received: &[u8]) -> io::Result<Option<usize>> {
    let is_beginning = |whole: &[u8]| received.len() < whole.len() && whole.starts_with(received);
    if is_beginning(SIGNATURE) || is_beginning(b"PROXY ") {
        return Ok(None);
    }
    if received.starts_with(SIGNATURE) {
        let Some(fixed) = received.get(..FIXED) else { return Ok(None) };
        let len = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
        if len > HEADER_MAX {
            return Err(invalid("it is longer than 4 KiB"));
        }
        return Ok((received.len() >= len).then_some(len));
    }
    if !received.starts_with(b"PROXY ") {
        return Err(io::Error::new(ErrorKind::InvalidData, "the PROXY header is missing"));
    }
    let line = &received[..received.len().min(LINE_MAX)];
    match line.windows(2).position(|two| two == b"\r\n") {
        Some(at) => Ok(Some(at + 2)),
        None if line.len() == LINE_MAX => Err(invalid("its line has no end")),
        None => Ok(None),
    }
}

fn parse(header: &[u8]) -> io::Result<Header> {
    if header.starts_with(SIGNATURE) {
        return parse_binary(header);
    }
    // `ppp` parses numbers as Rust does, which accepts a sign.
    if header.contains(&b'+') {
        return Err(invalid("a number has a sign"));
    }
    let parsed = v1::Header::try_from(header).map_err(invalid)?;
    Ok(match parsed.addresses {
        v1::Addresses::Unknown => Header::Local,
        v1::Addresses::Tcp4(ip) => Header::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        },
        v1::Addresses::Tcp6(ip) => Header::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        },
    })
}

fn parse_binary(header: &[u8]) -> io::Result<Header> {
    let parsed = v2::Header::try_from(header).map_err(invalid)?;
    if parsed.command == v2::Command::Local {
        return Ok(Header::Local);
    }
    match (parsed.protocol, parsed.addresses) {
        (v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => Ok(Header::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        }),
        (v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => Ok(Header::Client {
            from: (ip.source_address, ip.source_port).into(),
            to: (ip.destination_address, ip.destination_port).into(),
        }),
        (v2::Protocol::Stream | v2::Protocol::Unspecified, _) => Ok(Header::Local),
        _ => Err(invalid("it is not about a stream")),
    }
}

/// Checks the properties that hold for any bytes: the end of the header does not depend on the
/// pieces in which they arrive, it is known before too many have arrived, and the header is parsed
/// or refused.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(bytes: &[u8]) {
    let mut known = None;
    for cut in 0..=bytes.len() {
        let found = length(&bytes[..cut]).map_err(|error| error.to_string());
        match &known {
            None if found == Ok(None) => assert!(cut < HEADER_MAX, "{cut} bytes and no end"),
            None => known = Some(found),
            Some(known) => assert_eq!(known, &found, "after {cut} bytes"),
        }
    }
    if let Some(Ok(Some(len))) = known {
        assert!(len <= HEADER_MAX);
        if let Ok(Header::Client { from, to }) = parse(&bytes[..len]) {
            assert_eq!(from.is_ipv4(), to.is_ipv4());
        }
    }
}

fn invalid(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("invalid PROXY header: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(header: &[u8]) -> io::Result<Header> {
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

    fn client(from: &str, to: &str) -> Header {
        Header::Client { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    #[test]
    fn valid_headers_are_parsed_wherever_they_are_cut() {
        let v4 = client("192.0.2.1:12345", "192.0.2.2:80");
        assert_eq!(whole(b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 80\r\n").unwrap(), v4);
        assert_eq!(whole(&binary(0x21, 0x11, V4)).unwrap(), v4);
        assert_eq!(whole(&binary(0x21, 0x11, &[V4, &[4, 0, 1, 9]].concat())).unwrap(), v4);
        let v6 = client("[2001:db8::1]:1", "[2001:db8::2]:443");
        assert_eq!(whole(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n").unwrap(), v6);
        assert_eq!(whole(b"PROXY UNKNOWN\r\n").unwrap(), Header::Local);
        assert_eq!(whole(&binary(0x20, 0x00, b"")).unwrap(), Header::Local);
    }

    #[test]
    fn invalid_headers_are_refused() {
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
            let parsed = length(line).and_then(|len| parse(&line[..len.unwrap_or(line.len())]));
            assert!(parsed.is_err(), "{:?} is {parsed:?}", String::from_utf8_lossy(line));
        }
    }
}
