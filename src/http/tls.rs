//! The listener's own certificate.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    },
};

/// A certificate and its key, which may be replaced while connections are made.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// Why the listener cannot speak TLS. Nothing of the key is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("watch.tls.{what} = \"{}\": {source}\n  hint: {hint}", path.display())]
    File {
        /// `cert` or `key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: pem::Error,
        /// What to give.
        hint: &'static str,
    },
    /// The two cannot be used together.
    #[error("watch.tls: {0}\n  hint: is the key this certificate's? cert begins with the server's")]
    Pair(#[from] rustls::Error),
}

impl Tls {
    /// Reads a certificate with its chain, and its key, both PEM.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Tls, TlsError> {
        let current = RwLock::new(read(certificate, key)?);
        Ok(Tls { certificate: certificate.to_owned(), key: key.to_owned(), current })
    }

    /// Reads both files again; new connections get what they hold. Where that fails, the old ones
    /// stay.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = read(&self.certificate, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |what: &'static str, path: &Path, hint: &'static str| {
        let path = path.to_owned();
        move |source| TlsError::File { what, path, source, hint }
    };
    let hint = "a PEM file with the server's certificate, then those that sign it";
    let no_certificate = wrong("cert", certificate, hint);
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let certificates = match certificates {
        Ok(found) if found.is_empty() => Err(no_certificate(pem::Error::NoItemsFound)),
        found => found.map_err(no_certificate),
    }?;
    let hint = "a PEM file with the certificate's private key, without a passphrase";
    let private = PrivateKeyDer::from_pem_file(key).map_err(wrong("key", key, hint))?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, private)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
