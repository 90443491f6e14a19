//! What the device does with its session.

use core::fmt::Write as _;

use defmt::{info, warn};
use embassy_futures::select::{Either, select};
use embassy_time::Ticker;
use heapless::String;
use zk_session::client::{Cause, KeeperState};
use zk_session::wire::{CreateMode, EventType};
use zk_session::{ErrorCode, OpError};
use zk_session_embedded::{Error, SessionEvent};

use crate::SESSION;
use crate::settings::Settings;

/// Where all devices are.
const DEVICES: &str = "/devices";
/// Where their settings are.
const CONFIG: &str = "/config";
/// The longest path and the longest settings, in bytes.
const PATH: usize = 64;
const SETTINGS: usize = 256;
/// The longest thing to be written about a device, in bytes.
const REPORT: usize = 64;

/// What the device knows, and what it still has to do.
pub(crate) struct Device {
    path: String<PATH>,
    /// Whether the znode at `path` is this session's.
    registered: bool,
    /// Whether to read the settings.
    outdated: bool,
    settings: Settings,
    /// The version of the settings that are applied.
    version: Option<i32>,
    counter: u32,
}

/// Lives as long as there is power.
#[embassy_executor::task]
pub(crate) async fn live(mut device: Device) {
    let Ok(mut events) = SESSION.events() else { return };
    let mut ticker = Ticker::every(device.settings.period);
    let mut period = device.settings.period;
    loop {
        let mut memory = [0; PATH];
        match select(events.next(&mut memory), ticker.next()).await {
            Either::First(Ok(event)) => device.hear(event),
            Either::First(Err(error)) => warn!("an event is lost: {}", error),
            Either::Second(()) => device.counter = device.counter.wrapping_add(1),
        }
        if SESSION.state() != KeeperState::SyncConnected {
            continue; // whatever there is to do is done when a server is there
        }
        if let Err(error) = device.act().await {
            // It is tried again with the next event or the next count, whichever comes first.
            warn!("not done: {}", error);
        }
        if device.settings.period != period {
            period = device.settings.period;
            ticker = Ticker::every(period);
        }
    }
}

impl Device {
    /// A device that knows nothing yet; none if the id is too long.
    pub(crate) fn new(id: &str) -> Option<Self> {
        let mut path = String::new();
        write!(path, "{DEVICES}/{id}").ok()?;
        Some(Self {
            path,
            registered: false,
            outdated: true,
            settings: Settings::DEFAULT,
            version: None,
            counter: 0,
        })
    }

    /// Notes what there is to do now.
    fn hear(&mut self, event: SessionEvent<'_>) {
        match event {
            // A new session has no znodes and no watches.
            SessionEvent::State { cause: Cause::Established, .. } => {
                info!(
                    "session {}, timeout {} ms",
                    SESSION.session_id(),
                    SESSION.timeout().as_millis()
                );
                (self.registered, self.outdated) = (false, true);
            }
            SessionEvent::State { .. } => {}
            SessionEvent::Watch { kind, path } => {
                info!("{}: {}", path, kind);
                self.outdated |= path == CONFIG;
                self.registered &= !(path == self.path && kind == EventType::NodeDeleted);
            }
            // Nobody says which ones: look at everything.
            _ => self.outdated = true,
        }
    }

    /// Does what there is to do.
    async fn act(&mut self) -> Result<(), Error> {
        if self.outdated {
            self.configure().await?;
        }
        if !self.registered {
            self.register().await?;
        }
        if self.registered {
            self.publish().await?;
        }
        Ok(())
    }

    /// Reads the settings, and leaves a watch for their next change.
    async fn configure(&mut self) -> Result<(), Error> {
        let mut memory = [0; SETTINGS];
        let (bytes, stat) = match SESSION.get_data_watched(CONFIG, &mut memory).await {
            Ok(found) => found,
            Err(Error::Op(OpError::Server(ErrorCode::NoNode))) => {
                // The watch is for its creation.
                self.outdated = SESSION.exists_watched(CONFIG).await?.is_some();
                return Ok(());
            }
            Err(error) => {
                // The watch is set: the next change is told, and may fit.
                self.outdated = !matches!(
                    error,
                    Error::BufferTooSmall { .. } | Error::Op(OpError::ReplyTooLarge { .. })
                );
                warn!("settings not read: {}", error);
                return Ok(());
            }
        };
        self.outdated = false;
        match Settings::read(bytes) {
            Ok(settings) => {
                (self.settings, self.version) = (settings, Some(stat.version));
                let period = settings.period.as_millis();
                info!("settings applied: version {}, period {} ms", stat.version, period);
                if settings.stop {
                    info!("closing the session");
                    SESSION.close();
                }
            }
            Err(refusal) => warn!("settings refused: version {}, {}", stat.version, refusal),
        }
        Ok(())
    }

    /// Creates the device's znode. It may be there: of this session, if an answer was lost, or of an
    /// earlier one that has not expired yet.
    async fn register(&mut self) -> Result<(), Error> {
        match SESSION
            .create(&self.path, b"counter=0 config=none period=0", CreateMode::Ephemeral)
            .await
        {
            Ok(()) => self.registered = true,
            Err(Error::Op(OpError::Server(ErrorCode::NodeExists))) => {
                let Some(stat) = SESSION.exists_watched(&self.path).await? else { return Ok(()) };
                self.registered = stat.ephemeral_owner == SESSION.session_id().0;
                if !self.registered {
                    info!("{=str} belongs to an earlier session", self.path);
                }
            }
            Err(Error::Op(OpError::Server(ErrorCode::NoNode))) => {
                SESSION.create(DEVICES, b"", CreateMode::Persistent).await?;
            }
            Err(error) => return Err(error),
        }
        if self.registered {
            info!("registered as {=str}", self.path);
        }
        Ok(())
    }

    /// Tells the world about the device.
    async fn publish(&mut self) -> Result<(), Error> {
        let mut report = String::<REPORT>::new();
        let period = self.settings.period.as_millis();
        // It fits: three numbers of ten digits at most.
        let _ = match self.version {
            Some(version) => {
                write!(report, "counter={} config={version} period={period}", self.counter)
            }
            None => write!(report, "counter={} config=none period={period}", self.counter),
        };
        match SESSION.set_data(&self.path, report.as_bytes(), None).await {
            Err(Error::Op(OpError::Server(ErrorCode::NoNode))) => {
                self.registered = false; // somebody has deleted it
                Ok(())
            }
            result => result.map(|_| ()),
        }
    }
}
