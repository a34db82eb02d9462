//! TLS certificates, for rustls.
//!
//! ```text
//! Tls       certificates and keys, read from files; read again at SIGHUP     (this file)
//! resolve   selects the certificate for a server name                        (resolve.rs)
//! validity  reads the dates between which a certificate is valid             (validity.rs)
//! ```
//!
//! One connection's TLS session is in `stream/tls.rs`.

mod resolve;
mod validity;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig};

use crate::locks::IgnorePoison;

use resolve::ByName;

/// The TLS settings of a listener: certificates with their keys, and the protocols to negotiate.
/// Clients may use TLS 1.2 and 1.3.
///
/// A client that sends a server name (SNI) gets the first certificate that is valid for it. Without
/// a name, or for an unknown one, it gets the first of all.
///
/// ```no_run
/// use overlapped_serve::{Listen, Tls};
///
/// let tls = Tls::from_files([("example.pem", "example.key"), ("other.pem", "other.key")])?;
/// let listen = Listen::on("0.0.0.0:443").tls(tls.protocols(["http/1.1"]));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Tls {
    files: Arc<[(PathBuf, PathBuf)]>,
    /// ALPN.
    protocols: Vec<Vec<u8>>,
    tickets: Arc<dyn ProducesTickets>,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads pairs of PEM files: a certificate with its chain, and its key. They are read again at
    /// SIGHUP; if that fails, the certificates in use stay.
    ///
    /// # Errors
    /// The message names the file, the fault, and a remedy.
    pub fn from_files<C, K>(files: impl IntoIterator<Item = (C, K)>) -> io::Result<Tls>
    where
        C: Into<PathBuf>,
        K: Into<PathBuf>,
    {
        let files: Arc<[_]> =
            files.into_iter().map(|(chain, key)| (chain.into(), key.into())).collect();
        let tickets = ring::Ticketer::new().map_err(io::Error::other)?;
        let current = Arc::new(RwLock::new(configure(&files, &[], &tickets)?));
        Ok(Tls { files, protocols: Vec::new(), tickets, current })
    }

    /// Sets the application protocols to negotiate (ALPN), the preferred one first. A client that
    /// offers only others is refused.
    pub fn protocols<P: Into<Vec<u8>>>(mut self, names: impl IntoIterator<Item = P>) -> Tls {
        self.protocols = names.into_iter().map(Into::into).collect();
        let mut config = ServerConfig::clone(&self.current());
        config.alpn_protocols.clone_from(&self.protocols);
        self.current = Arc::new(RwLock::new(Arc::new(config)));
        self
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Those of [`Tls::from_files`]; then the certificates in use stay.
    pub fn reload(&self) -> io::Result<()> {
        let config = configure(&self.files, &self.protocols, &self.tickets)?;
        *self.current.write().ignore_poison() = config;
        Ok(())
    }

    /// Checks that every certificate of every chain is valid at the time `now`. A server with an
    /// invalid one still runs, for clients that accept it.
    ///
    /// # Errors
    /// The message names the file and the date; also those of [`Tls::from_files`].
    pub fn check(&self, now: SystemTime) -> io::Result<()> {
        self.checks(now).collect()
    }

    /// Returns the result of [`Tls::check`] for each pair of files.
    pub(crate) fn checks(&self, now: SystemTime) -> impl Iterator<Item = io::Result<()>> {
        let chains = self.files.iter().map(|(chain, _)| chain);
        chains.map(move |chain| validity::check(&read_chain(chain)?, chain, now))
    }

    /// Returns the configuration for the next connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().ignore_poison())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}

fn configure(
    files: &[(PathBuf, PathBuf)],
    protocols: &[Vec<u8>],
    tickets: &Arc<dyn ProducesTickets>,
) -> io::Result<Arc<ServerConfig>> {
    let keys = files.iter().map(|(chain, key)| read(chain, key)).collect::<io::Result<Vec<_>>>()?;
    let Some(by_name) = ByName::new(keys) else {
        return Err(invalid("TLS needs at least one certificate with its key".to_owned()));
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    config.alpn_protocols = protocols.to_vec();
    config.ticketer = Arc::clone(tickets);
    Ok(Arc::new(config))
}

/// Reads one certificate with its key.
fn read(chain: &Path, key: &Path) -> io::Result<Arc<CertifiedKey>> {
    let certificates = read_chain(chain)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        if is_encrypted(key) {
            encrypted(key)
        } else {
            explain(key, "the key", "PRIVATE KEY", &error)
        }
    })?;
    let provider = ring::default_provider();
    let Ok(signing) = provider.key_provider.load_private_key(private) else {
        return Err(unsupported(key));
    };
    let certified = CertifiedKey::new(certificates, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(error) => Err(invalid(format!(
            "the certificate {} and the key {} do not match: {error}. The key must be the one that \
             the certificate was made for, and the server's own certificate must come first in its \
             file.",
            chain.display(),
            key.display()
        ))),
    }
}

/// Returns the error for a key that was read but cannot sign: its type, size or curve is
/// unsupported, or its content is damaged.
fn unsupported(key: &Path) -> io::Error {
    let key = key.display();
    invalid(format!(
        "the key {key} is not supported. RSA of 2048 to 4096 bits, ECDSA with the curve P-256 or \
         P-384, and Ed25519 are. `openssl pkey -noout -text -in {key}` shows its type. Use another \
         key, and a certificate for it."
    ))
}

/// Reads the server's certificate and its chain.
fn read_chain(chain: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| explain(chain, "the certificate", "CERTIFICATE", &error))?;
    if certificates.is_empty() {
        return Err(explain(chain, "the certificate", "CERTIFICATE", &pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

/// Tells whether the key is encrypted with a passphrase, in either format (RFC 5958, RFC 1421).
fn is_encrypted(key: &Path) -> bool {
    std::fs::read_to_string(key).is_ok_and(|text| {
        text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || text.contains("Proc-Type: 4,ENCRYPTED")
    })
}

fn encrypted(key: &Path) -> io::Error {
    let key = key.display();
    invalid(format!(
        "the key {key} is encrypted, and a server cannot ask for its passphrase. \
         `openssl pkey -in {key} -out NEW` writes a copy without one: only the server's user \
         should be able to read that file."
    ))
}

fn explain(path: &Path, what: &str, section: &str, error: &pem::Error) -> io::Error {
    match error {
        pem::Error::Io(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "This user must be allowed to read it: check the permissions of the file and \
                     of the folders above it."
                }
                _ => "The path must name a PEM file.",
            };
            let text = format!("cannot read {what} {}: {error}. {remedy}", path.display());
            io::Error::new(error.kind(), text)
        }
        error => invalid(format!(
            "cannot read {what} {}: {error}. It must be a PEM file with a section \
             \"-----BEGIN {section}-----\"; `openssl x509 -inform der` and `openssl pkey` convert \
             other formats.",
            path.display()
        )),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
