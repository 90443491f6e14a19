//! What the server is to do, from wherever it was said.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use zk_session::Duration;
use zk_session::server::EngineConfig;
use zk_session_std::{EmbeddedEnsemble, EnsembleBuilder, Fsync};

use crate::{Args, ConfigError, Ignored, ZooCfg};

/// Where clients of a server find it that was told nothing: ZooKeeper's usual port, from this
/// machine only.
const USUAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2181);

/// What the server is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Where each front-end server listens; a port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// How the sessions and znodes behave.
    pub engine: EngineConfig,
    /// The directory in which everything is kept; `None`: in memory only.
    pub data: Option<PathBuf>,
    /// When what is kept there is forced to the disk.
    pub fsync: Fsync,
}

impl Default for Settings {
    /// One server on 127.0.0.1:2181, with ZooKeeper's defaults.
    fn default() -> Self {
        Self {
            listen: vec![USUAL],
            engine: EngineConfig::default(),
            data: None,
            fsync: Fsync::Always,
        }
    }
}

impl Settings {
    /// What a command line says, and the configuration file that it names; the command line wins.
    /// Beside it what was ignored in the file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(args: &Args) -> Result<(Self, Vec<Ignored>), ConfigError> {
        let (mut settings, ignored) = match &args.config {
            Some(file) => {
                let bytes = fs::read(file)
                    .map_err(|source| ConfigError::Unreadable { file: file.clone(), source })?;
                let ZooCfg { settings, ignored } = ZooCfg::parse(file, &bytes)?;
                (settings, ignored)
            }
            None => (Self::default(), Vec::new()),
        };
        if !args.listen.is_empty() {
            settings.listen = args.listen.iter().map(|at| address(at)).collect::<Result<_, _>>()?;
        }
        if let Some(tick) = args.tick {
            settings.engine.tick = Duration::from_millis(tick.into());
        }
        if let Some(dir) = &args.data {
            settings.data = Some(dir.clone());
        }
        Ok((settings, ignored))
    }

    /// An ensemble that does it.
    pub fn builder(&self) -> EnsembleBuilder {
        let mut builder = EmbeddedEnsemble::builder().servers(self.listen.len());
        for (i, addr) in self.listen.iter().enumerate() {
            builder = builder.bind(i, *addr);
        }
        builder = builder.engine(|engine| *engine = self.engine.clone());
        match &self.data {
            Some(dir) => builder.durable(dir).fsync(self.fsync),
            None => builder,
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, ConfigError> {
    let bad = |source| ConfigError::BadAddress { address: text.to_owned(), source };
    let mut found = text.to_socket_addrs().map_err(bad)?;
    found.next().ok_or_else(|| bad(std::io::Error::other("the name has no address")))
}
