//! TLS between TCP and ZooKeeper.

mod builder;
mod error;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

pub use builder::TlsBuilder;
use error::HandshakeError;
pub use error::{TlsError, TlsSource};

use crate::transport::{Layer, Layered, Stream};

/// How connections are encrypted: whom to trust, who the client is, and under which name a server
/// must prove itself. Clones share what is loaded, so that one [`reload`](Self::reload) is for all
/// sessions.
///
/// A server proves itself by the name or address that the connection string has for it, which is
/// also what is sent to it as SNI if it is a name; [`TlsBuilder::server_name`] demands another one.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// What it was made from, to make it again.
    recipe: Option<TlsBuilder>,
    server_name: Option<ServerName<'static>>,
    loaded: RwLock<Arc<ClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.recipe).finish()
    }
}

impl Tls {
    /// Made from files or bytes in PEM.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// Made elsewhere, with whatever rustls can do: other providers of cryptography, keys in
    /// hardware, lists of revoked certificates, the system's authorities.
    pub fn from_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self::new(None, None, config.into())
    }

    fn new(
        recipe: Option<TlsBuilder>,
        server_name: Option<ServerName<'static>>,
        config: Arc<ClientConfig>,
    ) -> Self {
        Self(Arc::new(Inner { recipe, server_name, loaded: RwLock::new(config) }))
    }

    /// Reads the files again: connections that are made from now on use what they hold. Those that
    /// are open stay as they are. Reads files, and so blocks for as long as that takes.
    ///
    /// # Errors
    /// As [`TlsBuilder::build`]; what was loaded before stays in use then. There is none after
    /// [`from_config`](Self::from_config), which leaves nothing to read.
    pub fn reload(&self) -> Result<(), TlsError> {
        if let Some(recipe) = &self.0.recipe {
            self.replace(recipe.load()?);
        }
        Ok(())
    }

    /// Uses another configuration for connections that are made from now on.
    pub fn replace(&self, config: impl Into<Arc<ClientConfig>>) {
        *self.0.loaded.write().unwrap_or_else(PoisonError::into_inner) = config.into();
    }

    fn loaded(&self) -> Arc<ClientConfig> {
        self.0.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files again where that may block. A failure leaves what was loaded.
    async fn refresh(&self) {
        let tls = self.clone();
        let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
        if let Ok(Err(error)) = reloaded {
            log::warn!("the certificates loaded before stay in use: {error}");
        }
    }

    async fn connect(&self, tcp: TcpStream, host: &str) -> io::Result<Box<dyn Stream>> {
        if self.0.recipe.as_ref().is_some_and(TlsBuilder::reloads) {
            self.refresh().await;
        }
        let name = match &self.0.server_name {
            Some(name) => name.clone(),
            None => server_name(host)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a name for TLS"))?,
        };
        Ok(Box::new(TlsConnector::from(self.loaded()).connect(name, tcp).await?))
    }
}

/// The name as TLS has it; none if it can be no server's.
fn server_name(name: &str) -> Option<ServerName<'static>> {
    match name.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::from(address)),
        Err(_) => ServerName::try_from(name.to_owned()).ok(),
    }
}

/// For whoever wraps it in a layer of their own: the inner error of what it fails with has rustls'
/// `Error` as its source, where it is rustls that refuses.
impl Layer for Tls {
    fn wrap(&self, tcp: TcpStream, host: &str) -> Layered {
        let (tls, host) = (self.clone(), host.to_owned());
        Box::pin(async move {
            tls.connect(tcp, &host).await.map_err(|error| {
                let (kind, error) = (error.kind(), HandshakeError { host, error });
                // Rare, for attempts are; and for a person to see, for it will not mend itself.
                log::warn!("{error}");
                io::Error::new(kind, error)
            })
        })
    }
}
