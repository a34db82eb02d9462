//! TLS over std's sockets.

use std::net::TcpStream;
use std::sync::Arc;

use crate::request::{Opener, Result, same};
use crate::row::{Row, Setup};
use crate::servers::{NAME, Server, body, certificate};

pub(super) fn rows() -> Vec<Row> {
    let row = |name, server, start| Row {
        name,
        server,
        request: "`GET` over TLS 1.3; the server takes 100 ms",
        note: "",
        start,
    };
    vec![
        row("rustls", Server::SlowHttps, rustls as fn(&Setup) -> _),
        row("native-tls", Server::SlowHttpsForNative, native_tls),
    ]
}

fn ask(mut stream: impl std::io::Read + std::io::Write, number: usize) -> Result {
    let path = format!("/{number}");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (_, found) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    same(found, &body(&path))
}

fn rustls(setup: &Setup) -> Result<Opener> {
    let address = setup.address;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate(&setup.server)?)?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    Ok(Box::new(move |number| {
        let mut socket = TcpStream::connect(address)?;
        let mut session = rustls::ClientConnection::new(config.clone(), NAME.try_into()?)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Box::new(move || ask(rustls::StreamOwned::new(session, socket), number)))
    }))
}

#[cfg(feature = "native-tls")]
fn native_tls(setup: &Setup) -> Result<Opener> {
    let address = setup.address;
    let root = native_tls::Certificate::from_der(&certificate(&setup.server)?)?;
    let connector = native_tls::TlsConnector::builder().add_root_certificate(root).build()?;
    Ok(Box::new(move |number| {
        let stream = connector.connect(NAME, TcpStream::connect(address)?)?;
        Ok(Box::new(move || ask(stream, number)))
    }))
}

#[cfg(not(feature = "native-tls"))]
fn native_tls(_: &Setup) -> Result<Opener> {
    Err("built without native-tls".into())
}
