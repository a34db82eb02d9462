//! The handshakes of SOCKS 4, 4a (not in an RFC) and 5 (RFC 1928, 1929).

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use super::proxy::{Proxy, ProxyKind};

/// The host that the proxy has to connect to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Addresses; the first one that the protocol supports is used.
    Address(Vec<SocketAddr>),
    /// A name, which the proxy looks up.
    Name(String, u16),
}

/// Makes the proxy at the other end of `stream` connect to the target.
pub(super) fn handshake(
    stream: &mut (impl Read + Write),
    proxy: &Proxy,
    target: &Target,
) -> io::Result<()> {
    match proxy.kind {
        ProxyKind::Socks4 | ProxyKind::Socks4a => version_4(stream, proxy, target),
        _ => version_5(stream, proxy, target),
    }
}

fn version_4(stream: &mut (impl Read + Write), proxy: &Proxy, target: &Target) -> io::Result<()> {
    let (octets, port, name) = match target {
        Target::Name(name, port) => ([0, 0, 0, 1], *port, Some(name)),
        Target::Address(found) => {
            let is_v4 = |addr: &&SocketAddr| addr.is_ipv4();
            match found.iter().find(is_v4) {
                Some(SocketAddr::V4(addr)) => (addr.ip().octets(), addr.port(), None),
                _ => return Err(invalid("a SOCKS4 proxy does not support IPv6: use socks5")),
            }
        }
    };
    let user = proxy.user.as_ref().map_or(&[][..], |(user, _)| user);
    let mut request = vec![4, 1];
    request.extend(port.to_be_bytes());
    request.extend(octets);
    for text in [Some(user), name.map(|name| name.as_bytes())].into_iter().flatten() {
        if text.contains(&0) {
            return Err(invalid("a SOCKS4 proxy accepts no name with a zero byte"));
        }
        request.extend(text);
        request.push(0);
    }
    stream.write_all(&request)?;
    let mut reply = [0; 8];
    stream.read_exact(&mut reply)?;
    match reply {
        [0, 90, ..] => Ok(()),
        [0, 92 | 93, ..] => Err(refused("it rejects this user")),
        [0, 91, ..] => Err(refused("it cannot connect to the server")),
        _ => Err(invalid("it is not a SOCKS4 proxy")),
    }
}

fn version_5(stream: &mut (impl Read + Write), proxy: &Proxy, target: &Target) -> io::Result<()> {
    let greeting: &[u8] = if proxy.user.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
    stream.write_all(greeting)?;
    let mut reply = [0; 2];
    stream.read_exact(&mut reply)?;
    match (reply, &proxy.user) {
        ([5, 0], _) => {}
        ([5, 2], Some((user, password))) => {
            let mut request = vec![1];
            push_short(&mut request, user)?;
            push_short(&mut request, password)?;
            stream.write_all(&request)?;
            stream.read_exact(&mut reply)?;
            if reply[1] != 0 {
                return Err(refused("it rejects this user"));
            }
        }
        ([5, 0xff], Some(_)) => {
            return Err(refused("it accepts neither a user with a password nor a client without"));
        }
        ([5, _], _) => return Err(refused("it asks for a user and a password")),
        _ => return Err(invalid("it is not a SOCKS5 proxy")),
    }
    let mut request = vec![5, 1, 0];
    match target {
        Target::Name(name, port) => {
            request.push(3);
            push_short(&mut request, name.as_bytes())?;
            request.extend(port.to_be_bytes());
        }
        Target::Address(found) => {
            let addr = found.first().ok_or(invalid("the server has no address"))?;
            match addr {
                SocketAddr::V4(addr) => {
                    request.push(1);
                    request.extend(addr.ip().octets());
                }
                SocketAddr::V6(addr) => {
                    request.push(4);
                    request.extend(addr.ip().octets());
                }
            }
            request.extend(addr.port().to_be_bytes());
        }
    }
    stream.write_all(&request)?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply)?;
    if reply[0] != 5 {
        return Err(invalid("it is not a SOCKS5 proxy"));
    }
    if reply[1] != 0 {
        return Err(refused(reason(reply[1])));
    }
    // The proxy's own address and port are of no use here.
    let length = match reply[3] {
        1 => 4,
        4 => 16,
        _ => {
            let mut length = [0];
            stream.read_exact(&mut length)?;
            usize::from(length[0])
        }
    };
    stream.read_exact(&mut vec![0; length + 2])
}

fn push_short(request: &mut Vec<u8>, text: &[u8]) -> io::Result<()> {
    let too_long = |_| invalid("a SOCKS5 proxy accepts at most 255 bytes of a name or password");
    request.push(u8::try_from(text.len()).map_err(too_long)?);
    request.extend(text);
    Ok(())
}

fn reason(code: u8) -> &'static str {
    match code {
        2 => "its rules forbid this server",
        3 => "it cannot reach the server's network",
        4 => "it cannot reach the server",
        5 => "the server refuses the proxy's connection",
        6 => "its packets to the server expire",
        _ => "it cannot connect to the server",
    }
}

/// Makes an error after which a further attempt may succeed.
fn refused(text: &str) -> io::Error {
    io::Error::other(text)
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
