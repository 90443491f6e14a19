//! How TLS is to be, from files or bytes in PEM.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, Error, InconsistentKeys, RootCertStore};

use super::{Tls, TlsError, TlsSource, server_name};

/// Decides how TLS is to be.
#[derive(Clone, Debug, Default)]
pub struct TlsBuilder {
    authorities: Vec<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
    reload_on_connect: bool,
}

/// Where PEM is, or what it is.
#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Bytes(TlsSource, Arc<[u8]>),
}

/// The bytes may be a key and stay out.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source().fmt(f)
    }
}

impl TlsBuilder {
    /// Trusts servers by the certificates in this file, in PEM; adds to those given before.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.authorities.push(Pem::File(path.into()));
        self
    }

    /// Trusts servers by these certificates, in PEM; adds to those given before.
    #[must_use]
    pub fn ca_pem(mut self, certificates: impl AsRef<[u8]>) -> Self {
        self.authorities.push(Pem::Bytes(TlsSource::Authorities, certificates.as_ref().into()));
        self
    }

    /// Proves who the client is: the file of its certificate, with those of intermediate authorities
    /// behind it, and the file of its key. Both in PEM, the key as PKCS #8, PKCS #1 or SEC 1 and not
    /// encrypted; they may be the same file. Default: the client has no certificate.
    #[must_use]
    pub fn identity_files(
        mut self,
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.identity = Some((Pem::File(certificates.into()), Pem::File(key.into())));
        self
    }

    /// As [`identity_files`](Self::identity_files), from bytes.
    #[must_use]
    pub fn identity_pem(mut self, certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some((
            Pem::Bytes(TlsSource::Certificates, certificates.as_ref().into()),
            Pem::Bytes(TlsSource::Key, key.as_ref().into()),
        ));
        self
    }

    /// The name, or IP address, under which every server proves itself. Default: the one that the
    /// connection string has for it.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Reads the files again before every connection, so that renewed certificates are used without
    /// a [`Tls::reload`]. If they cannot be used, because they are just being written or for good,
    /// what was loaded before stays in use, and a warning is logged. Default: not.
    #[must_use]
    pub const fn reload_on_connect(mut self) -> Self {
        self.reload_on_connect = true;
        self
    }

    /// Reads the files and sets TLS up.
    ///
    /// # Errors
    /// [`TlsError`] says what is wrong, and in which file.
    pub fn build(self) -> Result<Tls, TlsError> {
        let name = match &self.server_name {
            None => None,
            Some(name) => {
                let bad = || TlsError::BadServerName { name: name.clone() };
                Some(server_name(name).ok_or_else(bad)?)
            }
        };
        let config = self.load()?;
        Ok(Tls::new(Some(self), name, Arc::new(config)))
    }

    pub(super) const fn reloads(&self) -> bool {
        self.reload_on_connect
    }

    /// Reads all there is to read.
    pub(super) fn load(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for pem in &self.authorities {
            for certificate in pem.certificates()? {
                roots.add(certificate).map_err(|error| pem.unusable(error))?;
            }
        }
        if roots.is_empty() {
            return Err(TlsError::NoAuthorities);
        }
        // Named, for a program may have set another provider for all, or none.
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable { source: TlsSource::Authorities, error })?
            .with_root_certificates(roots);
        let Some((certificates, key)) = &self.identity else {
            return Ok(config.with_no_client_auth());
        };
        let chain = certificates.certificates()?;
        config.with_client_auth_cert(chain, key.private_key()?).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::KeyMismatch { key: key.source(), certificate: certificates.source() }
            }
            error @ Error::InvalidCertificate(_) => certificates.unusable(error),
            error => key.unusable(error),
        })
    }
}

impl Pem {
    fn source(&self) -> TlsSource {
        match self {
            Self::File(path) => TlsSource::File(path.clone()),
            Self::Bytes(source, _) => source.clone(),
        }
    }

    fn unusable(&self, error: Error) -> TlsError {
        TlsError::Unusable { source: self.source(), error }
    }

    fn bad(&self, error: &PemError) -> TlsError {
        TlsError::BadPem { source: self.source(), reason: error.to_string() }
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>, TlsError> {
        match self {
            Self::Bytes(_, bytes) => Ok(Cow::Borrowed(bytes)),
            Self::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(error) => Err(TlsError::Unreadable { path: path.clone(), kind: error.kind() }),
            },
        }
    }

    /// All certificates there; at least one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let bytes = self.bytes()?;
        let found: Result<Vec<_>, PemError> = CertificateDer::pem_slice_iter(&bytes).collect();
        let found = found.map_err(|error| self.bad(&error))?;
        if found.is_empty() {
            return Err(TlsError::NoCertificate { source: self.source() });
        }
        Ok(found)
    }

    /// The first key there.
    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes()?).map_err(|error| match error {
            PemError::NoItemsFound => TlsError::NoKey { source: self.source() },
            error => self.bad(&error),
        })
    }
}
