//! TLS, and the certificates that are trusted.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, ensure};
use overlapped::fs;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::Error;
use ureq::http::Uri;
use ureq::tls::{PemItem, parse_pem};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::display::{Escaped, plain};

/// The configuration that all connections share, and with it their TLS sessions. It is made for the
/// first connection that needs it: reading the system's certificates takes longer than downloading
/// many a small file.
#[derive(Debug)]
pub(super) struct Tls {
    given: Option<Vec<CertificateDer<'static>>>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// Trusts the certificates in a file, or those of the system.
    pub(super) fn trusting(cacert: Option<&Path>) -> anyhow::Result<Tls> {
        let given = cacert.map(certificates_in).transpose()?;
        Ok(Tls { given, config: OnceLock::new() })
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let saved_files = Arc::new(self.make().map_err(|error| Error::Other(error.into()))?);
        // Nothing waits in between, so this one is the first.
        Ok(self.config.get_or_init(|| saved_files).clone())
    }

    fn make(&self) -> anyhow::Result<ClientConfig> {
        let trusted = match &self.given {
            Some(given) => given.clone(),
            None => certificates_of_the_system()?,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        if roots.is_empty() {
            tracing::debug!("the system trusts no certificates; using the built-in ones");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(ring::default_provider());
        let by_issuer =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()?;
        let verifier = Verifier { by_issuer, trusted, provider: provider.clone() };
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    }

    /// Performs the handshake with the server of this URL.
    pub(super) fn wrap(
        &self,
        stream: Box<dyn Transport>,
        uri: &Uri,
        details: &ConnectionDetails<'_>,
    ) -> Result<Box<dyn Transport>, Error> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name =
            ServerName::try_from(host).map_err(|_| Error::Tls("the host is not a valid name"))?;
        let mut conn = ClientConnection::new(self.config()?, name)?;
        let mut sock = TransportAdapter::new(stream, details.current_time.clone());
        sock.set_timeout(details.timeout);
        conn.complete_io(&mut sock).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                io::Error::new(ErrorKind::ConnectionAborted, ENDED)
            }
            _ => error,
        })?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Box::new(TlsStream { buffers, stream: StreamOwned { conn, sock } }))
    }
}

const ENDED: &str = "the server closes the connection during the TLS handshake; if it serves plain \
                     HTTP on this port, write http:// instead of https://";

struct TlsStream {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsStream").field(&self.stream.sock.inner()).finish()
    }
}

impl Transport for TlsStream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(limit);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        self.stream.flush()?;
        Ok(())
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(limit);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

fn certificates_in(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = file.display();
    let pem = fs::read(file).with_context(|| format!("cannot read --cacert {name}"))?;
    let mut trusted = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) =
            item.with_context(|| format!("--cacert {name} is damaged"))?
        {
            trusted.push(CertificateDer::from(certificate.der().to_vec()));
        }
    }
    ensure!(
        !trusted.is_empty(),
        "--cacert {name} contains no certificate: it must be in the PEM format, which begins with \
         -----BEGIN CERTIFICATE-----"
    );
    Ok(trusted)
}

/// Loads the certificates that the administrator trusts. SmallFile containers have none; but if a
/// variable names them, the user expects them to be used.
fn certificates_of_the_system() -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter(is_set).collect::<Vec<_>>();
    let named = named.join(", ");
    for error in &found.errors {
        let text = match &error.kind {
            rustls_native_certs::ErrorKind::Io { inner, path } => {
                format!("cannot read {}: {}", Escaped::new(path), plain(inner))
            }
            _ => format!("a trusted certificate is damaged: {error}"),
        };
        ensure!(named.is_empty() || !found.certs.is_empty(), "{named}: {text}");
        match named.is_empty() {
            true => tracing::debug!("{text}"),
            false => tracing::warn!("{named}: {text}"),
        }
    }
    ensure!(named.is_empty() || !found.certs.is_empty(), "{named}: no certificates found");
    Ok(found.certs)
}

/// Trusts certificates of a trusted issuer, and those that are trusted themselves.
///
/// A server's self-signed certificate usually states that it may issue others. webpki
/// refuses such a certificate as a server's, even if it is trusted; OpenSSL, and so curl, accepts
/// it.
#[derive(Debug)]
struct Verifier {
    by_issuer: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

/// Tells whether the server's certificate is one for issuing others. webpki checks the dates before
/// it reports this.
pub(crate) fn is_issuer_certificate(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    let cause = other.0.downcast_ref::<webpki::Error>();
    matches!(cause, Some(webpki::Error::CaUsedAsEndEntity))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.by_issuer.verify_server_cert(end_entity, intermediates, name, ocsp, now);
        match verified {
            Err(error) if is_issuer_certificate(&error) && self.trusted.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_issuer.supported_verify_schemes()
    }
}
