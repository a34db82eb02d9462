//! The certificate of the TLS servers and its key, as PEM files in one folder.

use super::folder;
use crate::error::say;
use std::path::{Path, PathBuf};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// Makes the certificate if it is missing, and returns the folder.
pub(crate) fn made() -> Result<PathBuf, String> {
    let folder = folder("overlapped-bench-tls")?;
    let [certificate, key] = paths(&folder);
    if !certificate.exists() || !key.exists() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(say)?;
        std::fs::write(&key, made.signing_key.serialize_pem()).map_err(say)?;
        std::fs::write(&certificate, made.cert.pem()).map_err(say)?;
    }
    Ok(folder)
}

/// Names the files of the certificate and of its key in `folder`.
pub(crate) fn paths(folder: &Path) -> [PathBuf; 2] {
    [CERTIFICATE, KEY].map(|name| folder.join(name))
}

/// Reads the certificate in `folder`.
pub(crate) fn chain(folder: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_file_iter(folder.join(CERTIFICATE)).map_err(say)?;
    chain.collect::<Result<_, _>>().map_err(say)
}

/// Reads the key in `folder`.
pub(crate) fn key(folder: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(folder.join(KEY)).map_err(say)
}
