//! Step 4: the device does what `/config` says, now and whenever it changes.

use super::SESSION;

// ANCHOR: follow
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use zk_session::client::KeeperState;
use zk_session::{ErrorCode, OpError};
use zk_session_embedded::{Error, SessionEvent};

const CONFIG: &str = "/config";

/// Whoever blinks the LED waits for this.
pub static PERIOD_MS: Signal<CriticalSectionRawMutex, u32> = Signal::new();

/// Hands every change of the configuration on.
#[embassy_executor::task]
pub async fn follow_config() {
    let Ok(mut events) = SESSION.events() else { return };
    let mut path = [0; 64];
    loop {
        match events.next(&mut path).await {
            // Connected: the configuration may have changed meanwhile, whatever was told.
            Ok(SessionEvent::State { state: KeeperState::SyncConnected, .. }) => {}
            Ok(SessionEvent::State { .. }) => continue,
            Ok(SessionEvent::Watch { path: of, .. }) if of != CONFIG => continue,
            _ => {}
        }
        match read_config().await {
            Ok(Some(period)) => PERIOD_MS.signal(period),
            Ok(None) => defmt::warn!("/config is not there, or is no number"),
            Err(error) => defmt::warn!("/config was not read: {}", error),
        }
    }
}

/// Reads the configuration and leaves a watch, also for a znode that is still to come.
async fn read_config() -> Result<Option<u32>, Error> {
    let mut memory = [0; 32];
    match SESSION.get_data_watched(CONFIG, &mut memory).await {
        Ok((data, _stat)) => Ok(core::str::from_utf8(data).ok().and_then(|text| text.parse().ok())),
        Err(Error::Op(OpError::Server(ErrorCode::NoNode))) => {
            SESSION.exists_watched(CONFIG).await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
// ANCHOR_END: follow
