//! The choice of the certificate for a client.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates, of which a client gets the first one that is valid for the name it asks for, else
/// the first of all.
#[derive(Debug)]
pub(super) struct ByName {
    first: Arc<CertifiedKey>,
    others: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    /// Returns `None` if `keys` is empty.
    pub(super) fn new(keys: Vec<Arc<CertifiedKey>>) -> Option<ByName> {
        let mut keys = keys.into_iter();
        Some(ByName { first: keys.next()?, others: keys.collect() })
    }

    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = ServerName::try_from(name).ok()?;
        let is_valid = |key: &&Arc<CertifiedKey>| {
            key.end_entity_cert()
                .and_then(ParsedCertificate::try_from)
                .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
        };
        std::iter::once(&self.first).chain(&self.others).find(is_valid)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = match hello.server_name() {
            Some(name) if !self.others.is_empty() => self.find(name),
            _ => None,
        };
        Some(Arc::clone(named.unwrap_or(&self.first)))
    }
}
