//! TLS, by rustls.
//!
//! ```text
//! Tls       certificates and keys, read from files; read again at SIGHUP     (this file)
//! resolve   which certificate for which name                                 (resolve.rs)
//! validity  from when to when a certificate is valid                         (validity.rs)
//! session   one connection's: bytes of the socket in, plaintext out          (session.rs)
//! ```

mod resolve;
mod session;
mod validity;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig};

use resolve::ByName;
pub(crate) use session::{NoSession, Session};

/// Certificates with their keys, and how clients are spoken to: TLS 1.2 and 1.3.
///
/// A client that asks for a name (SNI) gets the first certificate that is valid for it; one that
/// asks for none, or for another, gets the first of all.
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
    /// Reads pairs of PEM files: a certificate with the chain that leads to it, and its key. They
    /// are read again at SIGHUP; where that fails, those that were there stay.
    ///
    /// # Errors
    /// The text names the file, what is wrong with it, and what helps.
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

    /// The application's protocols to agree on (ALPN), the best first. A client that offers only
    /// others is turned away.
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
    /// As [`Tls::from_files`]; what was there stays.
    pub fn reload(&self) -> io::Result<()> {
        let fresh = configure(&self.files, &self.protocols, &self.tickets)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Looks whether clients would take the certificates at the time `now`: of each chain, every
    /// certificate must be valid. A server with one that is not speaks with those who take it.
    ///
    /// # Errors
    /// The text names the file and the time; also those of [`Tls::from_files`].
    pub fn check(&self, now: SystemTime) -> io::Result<()> {
        self.checks(now).collect()
    }

    /// The result of [`Tls::check`] for each pair of files.
    pub(crate) fn checks(&self, now: SystemTime) -> impl Iterator<Item = io::Result<()>> {
        let chains = self.files.iter().map(|(chain, _)| chain);
        chains.map(move |chain| validity::check(&read_chain(chain)?, chain, now))
    }

    /// For the next connection.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
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
        return Err(invalid("TLS needs a certificate and its key".to_owned()));
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

/// One certificate with its key.
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
            "the certificate {} and the key {} do not work together: {error}. The key must be the \
             one that the certificate was made for, and the server's own certificate must come \
             first in its file.",
            chain.display(),
            key.display()
        ))),
    }
}

/// The error for a key that is read and cannot sign: its kind, its size or its curve is another
/// one, or its content is damaged.
fn unsupported(key: &Path) -> io::Error {
    let key = key.display();
    invalid(format!(
        "the key {key} cannot be used for TLS: RSA of 2048 to 4096 bits, ECDSA with the curve \
         P-256 or P-384, and Ed25519 can. `openssl pkey -noout -text -in {key}` shows what it is. \
         Another key is needed, and a certificate for it."
    ))
}

/// The server's certificate, and those that lead to it.
fn read_chain(chain: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| explain(chain, "the certificate", "CERTIFICATE", &error))?;
    if certificates.is_empty() {
        return Err(explain(chain, "the certificate", "CERTIFICATE", &pem::Error::NoItemsFound));
    }
    Ok(certificates)
}

/// Tells whether the key can be read with a passphrase only, in either form (RFC 5958, RFC 1421).
fn is_encrypted(key: &Path) -> bool {
    std::fs::read_to_string(key).is_ok_and(|text| {
        text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || text.contains("Proc-Type: 4,ENCRYPTED")
    })
}

fn encrypted(key: &Path) -> io::Error {
    let key = key.display();
    invalid(format!(
        "the key {key} is encrypted, and a server has nobody to ask for its passphrase. \
         `openssl pkey -in {key} -out NEW` writes it without one: let only the server's user read \
         that file."
    ))
}

fn explain(path: &Path, what: &str, section: &str, error: &pem::Error) -> io::Error {
    match error {
        pem::Error::Io(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    "This user must be allowed to read it: see the rights of the file and of the \
                     folders above it."
                }
                _ => "The path must lead to a file in PEM.",
            };
            let text = format!("cannot read {what} {}: {error}. {remedy}", path.display());
            io::Error::new(error.kind(), text)
        }
        error => invalid(format!(
            "cannot read {what} {}: {error}. It must be PEM, with a section \
             \"-----BEGIN {section}-----\"; `openssl x509 -inform der` and `openssl pkey` convert.",
            path.display()
        )),
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
