//! ZooKeeper's own configuration file.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use zk_session::Duration;
use zk_session::server::FourLetterWords;
use zk_session_std::Fsync;

use crate::properties::{Property, parse};
use crate::{ConfigError, Ignored, Settings, Why};

/// What a `zoo.cfg` says.
///
/// Every key may have the prefix `zookeeper.`, with which ZooKeeper takes many of them from its
/// command line. Keys that ZooKeeper itself takes from its command line only (`jute.maxbuffer`, for
/// one) are read here, too: there is no other place for them. Of a key that is there twice, the
/// last counts.
///
/// # Source
/// `QuorumPeerConfig.parseProperties`, 3.8.0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZooCfg {
    /// What it asks for. As with ZooKeeper, a `clientPort` without a `clientPortAddress` is open
    /// to all of the network.
    pub settings: Settings,
    /// What changes nothing, in the order of the file.
    pub ignored: Vec<Ignored>,
}

impl ZooCfg {
    /// Reads the contents of a file; its name is for errors and warnings.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] and [`ConfigError::Alone`].
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut config = Self { settings: Settings::default(), ignored: Vec::new() };
        let (mut port, mut address) = (None, None);
        for property in parse(bytes) {
            let entry = Entry { file, property: &property };
            match entry.name() {
                "clientPort" => port = Some(entry.number(0, u16::MAX, "a port, 0 to 65535")?),
                "clientPortAddress" => address = Some((property.clone(), entry.host()?)),
                _ => config.set(&entry)?,
            }
        }
        match (port, address) {
            (Some(port), address) => {
                let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                let address = address.map_or(any, |(_, address)| address);
                config.settings.listen = vec![SocketAddr::new(address, port)];
            }
            (None, None) => {}
            (None, Some((Property { line, key, .. }, _))) => {
                let (file, missing) = (file.to_owned(), "clientPort");
                return Err(ConfigError::Alone { file, line, key, missing });
            }
        }
        Ok(config)
    }

    fn set(&mut self, entry: &Entry<'_>) -> Result<(), ConfigError> {
        let engine = &mut self.settings.engine;
        match entry.name() {
            "dataDir" => self.settings.data = Some(entry.directory()?),
            "forceSync" => self.settings.fsync = entry.fsync()?,
            "tickTime" => engine.tick = entry.millis(1)?,
            // -1 is ZooKeeper's way to say that it was not said.
            "minSessionTimeout" => engine.min_session_timeout = entry.millis_or_default()?,
            "maxSessionTimeout" => engine.max_session_timeout = entry.millis_or_default()?,
            "localSessionsEnabled" => engine.local_sessions = entry.boolean()?,
            "localSessionsUpgradingEnabled" => {
                engine.local_sessions_upgrading = entry.boolean()?;
            }
            "extendedTypesEnabled" => engine.extended_types = entry.boolean()?,
            "znode.container.checkIntervalMs" => {
                engine.container_check_interval = entry.millis(1)?
            }
            "znode.container.maxNeverUsedIntervalMs" => {
                let span = entry.millis(0)?;
                engine.container_never_used = (span > Duration::ZERO).then_some(span);
            }
            "DigestAuthenticationProvider.superDigest" => {
                engine.super_digest = Some(entry.digest()?);
            }
            "jute.maxbuffer" => {
                let most = i32::MAX.unsigned_abs();
                let bytes = entry.number(1024, most, "a number of bytes, 1024 to 2147483647")?;
                engine.frame_limit = usize::try_from(bytes).unwrap_or(usize::MAX);
            }
            "4lw.commands.whitelist" => {
                engine.four_letter_words = FourLetterWords::from_list(&entry.property.value);
            }
            "maxClientCnxns" => engine.max_client_connections = entry.count()?,
            "maxCnxns" => engine.max_connections = entry.count()?,
            "globalOutstandingLimit" => engine.global_outstanding_limit = entry.count()?,
            "largeRequestMaxBytes" => engine.large_request_max_bytes = entry.count()?,
            // -1 is ZooKeeper's way to say that no request is large.
            "largeRequestThreshold" => {
                let least = entry.number(-1, i32::MAX, "a number of bytes, or -1")?;
                engine.large_request_threshold = usize::try_from(least).ok();
            }
            "connection_throttle_tokens" => {
                engine.connection_throttle_tokens = entry.number(0, u32::MAX, COUNT)?;
            }
            "connection_throttle_fill_time" => {
                engine.connection_throttle_fill_time = entry.millis(1)?;
            }
            "connection_throttle_fill_count" => {
                engine.connection_throttle_fill_count = entry.number(0, u32::MAX, COUNT)?;
            }
            "connection_throttle_weight_enabled" => {
                engine.connection_throttle_weights = entry.boolean()?;
            }
            "enforceQuota" => engine.enforce_quota = entry.boolean()?,
            "nio.sessionlessCnxnTimeout" => engine.sessionless_timeout = entry.millis(1)?,
            _ => self.ignored.push(entry.ignored()),
        }
        Ok(())
    }
}

/// What is expected of a limit.
const COUNT: &str = "a number, at least 0";

/// One entry, and how to make something of its value.
struct Entry<'e> {
    file: &'e Path,
    property: &'e Property,
}

impl Entry<'_> {
    fn name(&self) -> &str {
        let key = self.property.key.as_str();
        key.strip_prefix("zookeeper.").unwrap_or(key)
    }

    fn bad(&self, expected: &'static str) -> ConfigError {
        let Property { line, key, value } = self.property.clone();
        ConfigError::BadValue { file: self.file.to_owned(), line, key, value, expected }
    }

    fn ignored(&self) -> Ignored {
        let Property { line, key, .. } = self.property.clone();
        Ignored { file: self.file.to_owned(), line, key, why: Why::of(self.name()) }
    }

    fn number<T: std::str::FromStr + PartialOrd>(
        &self,
        least: T,
        most: T,
        expected: &'static str,
    ) -> Result<T, ConfigError> {
        let number = self.property.value.parse().ok();
        number.filter(|n| (least..=most).contains(n)).ok_or_else(|| self.bad(expected))
    }

    fn count(&self) -> Result<usize, ConfigError> {
        let most = i32::MAX.unsigned_abs();
        Ok(usize::try_from(self.number(0, most, COUNT)?).unwrap_or(usize::MAX))
    }

    fn millis(&self, least: u64) -> Result<Duration, ConfigError> {
        let expected = match least {
            0 => "a number of milliseconds",
            _ => "a number of milliseconds, at least 1",
        };
        let most = i32::MAX.unsigned_abs().into();
        self.number(least, most, expected).map(Duration::from_millis)
    }

    fn millis_or_default(&self) -> Result<Option<Duration>, ConfigError> {
        match self.property.value.as_str() {
            "-1" => Ok(None),
            _ => self.millis(1).map(Some),
        }
    }

    fn boolean(&self) -> Result<bool, ConfigError> {
        match self.property.value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.bad("true or false")),
        }
    }

    fn directory(&self) -> Result<PathBuf, ConfigError> {
        let dir = PathBuf::from(&self.property.value);
        if dir.as_os_str().is_empty() { Err(self.bad("a directory")) } else { Ok(dir) }
    }

    fn fsync(&self) -> Result<Fsync, ConfigError> {
        match self.property.value.as_str() {
            "yes" => Ok(Fsync::Always),
            "no" => Ok(Fsync::Never),
            _ => Err(self.bad("yes or no")),
        }
    }

    fn host(&self) -> Result<IpAddr, ConfigError> {
        let mut found = (self.property.value.as_str(), 0).to_socket_addrs().into_iter().flatten();
        let addr = found.next().map(|addr| addr.ip());
        addr.ok_or_else(|| self.bad("an address of this machine, or a name of one"))
    }

    /// `user:digest`, as `DigestAuthenticationProvider.generateDigest` makes it.
    fn digest(&self) -> Result<String, ConfigError> {
        let value = &self.property.value;
        match value.split_once(':') {
            Some((user, digest)) if !user.is_empty() && digest.len() == 28 => Ok(value.clone()),
            _ => Err(self.bad("user:digest, the digest being base64(SHA-1(user:password))")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "conf/zoo.cfg";

    fn parsed(text: &str) -> ZooCfg {
        ZooCfg::parse(Path::new(FILE), text.as_bytes()).unwrap()
    }

    fn error(text: &str) -> String {
        ZooCfg::parse(Path::new(FILE), text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_asks_for_the_defaults() {
        let config = parsed("# nothing\n");
        assert_eq!(config.settings, Settings::default());
        assert_eq!(config.ignored, []);
    }

    #[test]
    fn the_keys_that_make_sense_are_taken() {
        let ms = Duration::from_millis;
        let settings = parsed(
            "tickTime=500\nminSessionTimeout=100\nmaxSessionTimeout=-1\nclientPort=2191\n\
             clientPortAddress=127.0.0.1\nextendedTypesEnabled=TRUE\njute.maxbuffer=4194304\n\
             zookeeper.znode.container.checkIntervalMs=50\n\
             znode.container.maxNeverUsedIntervalMs=70\nnio.sessionlessCnxnTimeout=900\n\
             DigestAuthenticationProvider.superDigest=super:UdxDQl4f9v5oITwcAsO9bmWgHSI=\n",
        );
        assert_eq!(settings.ignored, []);
        let Settings { listen, engine, .. } = settings.settings;
        assert_eq!(listen, [SocketAddr::from(([127, 0, 0, 1], 2191))]);
        assert_eq!((engine.tick, engine.extended_types), (ms(500), true));
        assert_eq!((engine.min_session_timeout, engine.max_session_timeout), (Some(ms(100)), None));
        assert_eq!((engine.frame_limit, engine.sessionless_timeout), (4 << 20, ms(900)));
        assert_eq!(engine.container_check_interval, ms(50));
        assert_eq!(engine.container_never_used, Some(ms(70)));
        assert_eq!(engine.super_digest.as_deref(), Some("super:UdxDQl4f9v5oITwcAsO9bmWgHSI="));
    }

    #[test]
    fn limits_and_words_are_taken() {
        let engine = parsed("tickTime=2000").settings.engine;
        assert_eq!(engine.four_letter_words, FourLetterWords::ALL);
        let settings = parsed(
            "4lw.commands.whitelist=ruok, mntr\nmaxClientCnxns=60\nmaxCnxns=70\n\
             globalOutstandingLimit=80\nlargeRequestMaxBytes=90\nlargeRequestThreshold=100\n\
             zookeeper.connection_throttle_tokens=110\nconnection_throttle_fill_time=120\n\
             connection_throttle_fill_count=130\nconnection_throttle_weight_enabled=true\n",
        );
        assert_eq!(settings.ignored, []);
        let engine = settings.settings.engine;
        assert_eq!(engine.four_letter_words, FourLetterWords::SRVR.with("ruok").with("mntr"));
        assert_eq!((engine.max_client_connections, engine.max_connections), (60, 70));
        assert_eq!((engine.global_outstanding_limit, engine.large_request_max_bytes), (80, 90));
        assert_eq!(engine.large_request_threshold, Some(100));
        assert_eq!(engine.connection_throttle_tokens, 110);
        assert_eq!(engine.connection_throttle_fill_time, Duration::from_millis(120));
        assert_eq!(engine.connection_throttle_fill_count, 130);
        assert!(engine.connection_throttle_weights);
        let engine = parsed("largeRequestThreshold=-1").settings.engine;
        assert_eq!(engine.large_request_threshold, None);
        assert_eq!(
            error("maxClientCnxns=-1"),
            "conf/zoo.cfg:1: maxClientCnxns=-1: expected a number, at least 0"
        );
    }

    #[test]
    fn where_and_how_everything_is_kept_is_taken() {
        let settings = parsed("dataDir=/var/lib/zookeeper\nforceSync=no").settings;
        assert_eq!(settings.data.as_deref(), Some(Path::new("/var/lib/zookeeper")));
        assert_eq!(settings.fsync, Fsync::Never);
        assert_eq!(parsed("forceSync=yes").settings, Settings::default());
    }

    #[test]
    fn quotas_are_enforced_only_if_told_so() {
        assert!(!parsed("tickTime=500").settings.engine.enforce_quota);
        assert!(parsed("enforceQuota=true").settings.engine.enforce_quota);
    }

    #[test]
    fn a_port_alone_is_open_to_the_network() {
        let listen = parsed("clientPort=2181").settings.listen;
        assert_eq!(listen, [SocketAddr::from(([0, 0, 0, 0], 2181))]);
        assert_eq!(
            error("a=b\nclientPortAddress=127.0.0.1"),
            "conf/zoo.cfg:2: clientPortAddress is set, but clientPort is not"
        );
    }

    #[test]
    fn what_changes_nothing_is_named_with_its_reason() {
        let lines = parsed("initLimit=5\nzookeeper.ssl.keyStore.location=/k\n\nclientport=1\n");
        let lines: Vec<_> = lines.ignored.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "conf/zoo.cfg:1: initLimit is ignored: it has no meaning here",
                "conf/zoo.cfg:2: zookeeper.ssl.keyStore.location is ignored: this server does not \
                 support it",
                "conf/zoo.cfg:4: clientport is ignored: ZooKeeper has no such key",
            ]
        );
    }

    #[test]
    fn a_bad_value_is_named_with_what_is_expected() {
        for (line, expected) in [
            ("tickTime=fast", "a number of milliseconds, at least 1"),
            ("tickTime=0", "a number of milliseconds, at least 1"),
            ("tickTime=-5", "a number of milliseconds, at least 1"),
            ("minSessionTimeout=99999999999", "a number of milliseconds, at least 1"),
            ("clientPort=65536", "a port, 0 to 65535"),
            ("enforceQuota=1", "true or false"),
            ("dataDir=", "a directory"),
            ("forceSync=maybe", "yes or no"),
            ("extendedTypesEnabled=yes", "true or false"),
            ("jute.maxbuffer=1", "a number of bytes, 1024 to 2147483647"),
            ("znode.container.maxNeverUsedIntervalMs=", "a number of milliseconds"),
            (
                "DigestAuthenticationProvider.superDigest=super:secret",
                "user:digest, the digest being base64(SHA-1(user:password))",
            ),
        ] {
            let text = format!("# first\n{line}\n");
            assert_eq!(error(&text), format!("conf/zoo.cfg:2: {line}: expected {expected}"));
        }
    }

    #[test]
    fn of_a_key_that_is_there_twice_the_last_counts() {
        assert_eq!(parsed("tickTime=1\ntickTime=7").settings.engine.tick, Duration::from_millis(7));
    }
}
