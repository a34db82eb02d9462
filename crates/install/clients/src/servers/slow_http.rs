//! HTTP and HTTPS servers that delay each answer, on plain threads.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::request::Result;

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";

/// Starts an HTTP server. Its threads end with the process.
pub(super) fn start(delay: Duration) -> io::Result<SocketAddr> {
    serve(move |mut stream| answer(&mut stream, delay))
}

/// Starts an HTTPS server, whose certificate lies in `folder`.
pub(super) fn start_tls(folder: &Path, delay: Duration) -> Result<SocketAddr> {
    let own = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    fs::write(folder.join(CERTIFICATE), own.cert.der())?;
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![own.cert.der().clone()], key.into())?);
    let address = serve(move |stream| {
        let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        answer(&mut stream, delay)?;
        stream.conn.send_close_notify();
        stream.flush()
    })?;
    Ok(address)
}

const CERTIFICATE: &str = "certificate";

/// Returns the certificate of the HTTPS server in `folder`.
pub(crate) fn certificate(folder: &Path) -> io::Result<CertificateDer<'static>> {
    fs::read(folder.join(CERTIFICATE)).map(CertificateDer::from)
}

/// Returns the answer to a path, which a client checks: larger than one segment.
pub(crate) fn body(path: &str) -> String {
    format!("The answer to {path}\n").repeat(1000)
}

fn serve(
    connection: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = connection.clone();
            thread::spawn(move || connection(stream));
        }
    });
    Ok(address)
}

fn answer(stream: &mut (impl Read + Write), delay: Duration) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    thread::sleep(delay);
    let request = String::from_utf8_lossy(&head);
    let body = body(request.split(' ').nth(1).unwrap_or_default());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes())
}
