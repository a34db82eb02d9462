//! Suite `tls`: full handshakes of TLS 1.3 a second. Each client connects, shakes hands, makes one
//! request over HTTP, and closes.
//!
//! The load is on the other core. The name of a case ends in the number of clients at a time. A
//! client is rustls on tokio, without resumption, and accepts any certificate: verifying a
//! signature costs more than making one, and the load must not be the slower end. One client before
//! the measurement does verify the certificate.

use crate::error::say;
use crate::harness::child::Report;
use crate::harness::server::Server;
use crate::harness::syscalls::cpu_time;
use crate::material::certificate;
use crate::names::{Name, ServerKind};
use crate::suites::http::client::ready;
use crate::traits::servers::GREETING;
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, HandshakeKind, RootCertStore, SignatureScheme,
};

/// The numbers of clients at a time.
pub(crate) const CASES: [&str; 2] = ["handshakes_1", "handshakes_32"];

/// The request of each client.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Measures a case of a subject. This process is the load.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let clients = case.split_once('_').and_then(|(_, clients)| clients.parse().ok());
    let clients: usize = clients.ok_or("the case names no number of clients")?;
    let [warm_up, timed] = if quick { [100, 500] } else { [300, 2000] }.map(Duration::from_millis);
    let folder = certificate::made()?;
    let server = Server::start(name, ServerKind::Tls, &["--folder", &folder.to_string_lossy()])?;
    let port = server.port()?;
    drop(ready(port)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(say)?;
    let run = |clients, time, config| {
        LocalSet::new().block_on(&runtime, handshakes(port, clients, time, config))
    };
    run(1, Duration::ZERO, verifying(&folder)?)?;
    run(clients, warm_up, trusting()?)?;

    let ours = std::process::id();
    let (server_before, load_before) = (cpu_time(server.id())?, cpu_time(ours)?);
    let start = Instant::now();
    let done = run(clients, timed, trusting()?)? as f64;
    let took = start.elapsed();
    let (server_after, load_after) = (cpu_time(server.id())?, cpu_time(ours)?);
    let each_us = |time: Duration| time.as_nanos() as f64 / 1000.0 / done;
    let mut report = Report::default();
    report.push(format!("{case}_per_s"), "1/s", done / took.as_secs_f64());
    report.push(format!("{case}_server_cpu_us"), "us", each_us(server_after - server_before));
    report.push(format!("{case}_load_cpu_us"), "us", each_us(load_after - load_before));
    Ok(report)
}

/// Runs `clients` clients for a time, and returns the number of connections. Each makes one
/// connection after another, at least one.
async fn handshakes(
    port: u16,
    clients: usize,
    time: Duration,
    config: ClientConfig,
) -> Result<u64, String> {
    let connector = TlsConnector::from(Arc::new(config));
    let done = Rc::new(Cell::new(0));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (connector, done) = (connector.clone(), done.clone());
        tasks.spawn_local(async move {
            loop {
                client(port, &connector).await?;
                done.set(done.get() + 1);
                if start.elapsed() >= time {
                    return Ok::<_, String>(());
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(say)??;
    }
    Ok(done.get())
}

/// Makes one connection, from its beginning to its end.
async fn client(port: u16, connector: &TlsConnector) -> Result<(), String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(say)?;
    stream.set_nodelay(true).map_err(say)?;
    let name = ServerName::try_from("localhost").map_err(say)?;
    let mut stream = connector.connect(name, stream).await.map_err(say)?;
    stream.write_all(REQUEST).await.map_err(say)?;
    let mut answer = Vec::with_capacity(1024);
    stream
        .read_to_end(&mut answer)
        .await
        .map_err(|error| format!("the answer is incomplete: {error}"))?;
    if !answer.starts_with(b"HTTP/1.1 200 ") || !answer.ends_with(GREETING.as_bytes()) {
        return Err(format!("the answer is wrong: {}", String::from_utf8_lossy(&answer)));
    }
    match stream.get_ref().1.handshake_kind() {
        Some(HandshakeKind::Full) => Ok(()),
        other => Err(format!("not a full handshake: {other:?}")),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Configures a client that trusts the certificate in `folder` only.
fn verifying(folder: &Path) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificate::chain(folder)? {
        roots.add(certificate).map_err(say)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider());
    client_config(verifier.build().map_err(say)?)
}

/// Configures a client that trusts every certificate.
fn trusting() -> Result<ClientConfig, String> {
    client_config(Arc::new(AnyCertificate))
}

fn client_config(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(say)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A verifier that accepts every certificate and every signature.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls13_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
