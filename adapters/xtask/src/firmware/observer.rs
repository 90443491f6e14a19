//! What a device does, seen from outside: by another client, through the ensemble.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use zk_session::wire::{CreateMode, SessionId, Zxid};
use zk_session::{ErrorCode, OpError};
use zk_session_std::{Client, Error, ErrorKind};

/// Where the devices' settings are.
pub(crate) const CONFIG: &str = "/config";
/// How long anything may take that is not about a session's timeout; machines have bad days.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Another client of the ensemble.
#[derive(Debug)]
pub(crate) struct Observer(Client);

/// A device's znode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    /// The session that it belongs to.
    pub(crate) owner: SessionId,
    /// The transaction that created it: another one, if it was gone in between.
    pub(crate) created: Zxid,
    /// What the device counts.
    pub(crate) counter: u32,
    /// The version of the settings that it has applied.
    pub(crate) config: Option<i32>,
    /// How often it counts, in milliseconds.
    pub(crate) period: u32,
}

impl Observer {
    /// Connects, and creates what a fleet of devices finds.
    pub(crate) fn start(connect_string: &str, settings: &str) -> Result<Self> {
        let builder = Client::builder(connect_string).timeout(Duration::from_secs(10));
        let client = builder.connect_timeout(PATIENCE).connect()?;
        client.create("/devices", b"", CreateMode::Persistent)?;
        client.create(CONFIG, settings.as_bytes(), CreateMode::Persistent)?;
        Ok(Self(client))
    }

    /// Writes the devices' settings; their new version.
    pub(crate) fn configure(&self, settings: &[u8]) -> Result<i32> {
        Ok(self.0.set_data(CONFIG, settings, None)?.version)
    }

    /// Looks for a device's znode.
    pub(crate) fn look(&self, id: &str) -> Result<Option<Sighting>> {
        match self.0.get_data(&format!("/devices/{id}")) {
            Ok((data, stat)) => {
                let owner = SessionId(stat.ephemeral_owner);
                let text = String::from_utf8_lossy(&data);
                let sighting = Sighting::read(&text, owner, stat.czxid);
                Ok(Some(sighting.with_context(|| format!("device {id} wrote {text:?}"))?))
            }
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until a device's znode is there and as wanted.
    ///
    /// # Errors
    /// It is not within the [patience](PATIENCE); the observer's own session is over.
    pub(crate) fn wait(
        &self,
        id: &str,
        what: &str,
        wanted: impl Fn(&Sighting) -> bool,
    ) -> Result<Sighting> {
        let mut last = None;
        self.until(what, || {
            last = self.look(id)?;
            Ok(last.filter(|sighting| wanted(sighting)))
        })
        .with_context(|| format!("device {id}, last seen as {last:?}"))
    }

    /// Waits until a device's znode is gone, or is another session's; how long that took.
    pub(crate) fn wait_gone(&self, id: &str, owner: SessionId) -> Result<Duration> {
        let start = Instant::now();
        self.until("its ephemeral vanishes", || {
            let theirs = self.look(id)?.is_some_and(|sighting| sighting.owner == owner);
            Ok((!theirs).then(|| start.elapsed()))
        })
        .with_context(|| format!("device {id}"))
    }

    /// Asks again and again. Losing a server, as the device does, is no failure.
    fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match ask() {
                Ok(Some(answer)) => return Ok(answer),
                Err(error) if !is_passing(&error) => return Err(error),
                Ok(None) | Err(_) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => bail!("waited {PATIENCE:?} in vain until {what}"),
                Err(error) => return Err(error.context(format!("waiting until {what}"))),
            }
        }
    }
}

fn is_passing(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<Error>().map(|error| &error.kind);
    matches!(kind, Some(ErrorKind::Op(OpError::ConnectionLoss)))
}

impl Sighting {
    /// Reads what a device writes: `counter=7 config=2 period=100`.
    fn read(text: &str, owner: SessionId, created: Zxid) -> Option<Self> {
        let word = |name: &str| {
            let mut words = text.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let counter = word("counter")?.parse().ok()?;
        let config = word("config")?.parse().ok();
        Some(Self { owner, created, counter, config, period: word("period")?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_tells_its_counter_its_settings_and_its_period() {
        let read = |text| Sighting::read(text, SessionId(1), Zxid(2));
        let sighting = read("counter=7 config=2 period=100").unwrap();
        assert_eq!((sighting.counter, sighting.config, sighting.period), (7, Some(2), 100));
        assert_eq!(read("counter=0 config=none period=100").unwrap().config, None);
        assert!(read("counter= config=2 period=100").is_none());
    }
}
