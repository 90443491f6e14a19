//! What is wrong with certificates and keys.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls;

/// Where certificates or a key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsSource {
    /// A file.
    File(PathBuf),
    /// The authorities that were given as bytes.
    Authorities,
    /// The client's certificates that were given as bytes.
    Certificates,
    /// The client's key that was given as bytes.
    Key,
}

/// Why TLS cannot be set up.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        kind: std::io::ErrorKind,
    },
    /// What looks like PEM is broken.
    BadPem {
        /// Where.
        source: TlsSource,
        /// What is wrong.
        reason: String,
    },
    /// There is no certificate there.
    NoCertificate {
        /// Where.
        source: TlsSource,
    },
    /// There is no private key there, or it is encrypted.
    NoKey {
        /// Where.
        source: TlsSource,
    },
    /// A certificate or key is none, or none that can be used.
    Unusable {
        /// Where.
        source: TlsSource,
        /// What is wrong.
        error: rustls::Error,
    },
    /// The client's key is not that of its certificate.
    KeyMismatch {
        /// Where the key is.
        key: TlsSource,
        /// Where the certificate is.
        certificate: TlsSource,
    },
    /// No authorities are given, so that no server could be trusted.
    NoAuthorities,
    /// It is no name that a server can have.
    BadServerName {
        /// What was given.
        name: String,
    },
}

impl fmt::Display for TlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Authorities => f.write_str("the given authorities"),
            Self::Certificates => f.write_str("the given client certificates"),
            Self::Key => f.write_str("the given client key"),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, kind } => write!(f, "cannot read {}: {kind}", path.display()),
            Self::BadPem { source, reason } => write!(f, "bad PEM in {source}: {reason}"),
            Self::NoCertificate { source } => write!(f, "no certificate in {source}"),
            Self::NoKey { source } => write!(f, "no private key, or an encrypted one, in {source}"),
            Self::Unusable { source, error } => write!(f, "cannot use {source}: {error}"),
            Self::KeyMismatch { key, certificate } => {
                write!(f, "the key in {key} is not that of the certificate in {certificate}")
            }
            Self::NoAuthorities => f.write_str("no certificate authorities are given"),
            Self::BadServerName { name } => write!(f, "{name:?} is no server name"),
        }
    }
}

impl std::error::Error for TlsError {}

/// What became of a handshake: the inner error of what [`Tls`](super::Tls) fails with as a layer.
#[derive(Debug)]
pub(super) struct HandshakeError {
    pub(super) host: String,
    pub(super) error: io::Error,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS with {}: {}", self.host, self.error)
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // rustls' own word, where it has one, rather than what it is wrapped in.
        let rustls = self.error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        Some(rustls.map_or(&self.error as _, |rustls| rustls as _))
    }
}
