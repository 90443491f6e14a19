//! Step 3: everybody can see that the device is there, and when it is not.

use super::SESSION;

// ANCHOR: register
use zk_session::client::{Cause, KeeperState};
use zk_session::wire::CreateMode;
use zk_session::{ErrorCode, OpError};
use zk_session_embedded::{Error, SessionEvent};

const DEVICE: &str = "/devices/7";

/// Keeps the device's znode there as long as the device lives.
#[embassy_executor::task]
pub async fn register() {
    let Ok(mut events) = SESSION.events() else { return };
    let mut path = [0; 64];
    let mut registered = false;
    loop {
        match events.next(&mut path).await {
            // A session that was resumed, perhaps by another server, has kept its ephemeral znodes.
            Ok(SessionEvent::State { cause: Cause::Established, .. }) => registered = false,
            Ok(SessionEvent::Watch { path: DEVICE, .. }) => registered = false,
            _ => {}
        }
        if !registered && SESSION.state() == KeeperState::SyncConnected {
            match announce().await {
                Ok(done) => registered = done,
                // Tried again as soon as the session is connected again.
                Err(error) => defmt::warn!("not registered: {}", error),
            }
            defmt::info!("registered: {}", registered);
        }
    }
}

/// Creates the znode; says whether it is this session's.
async fn announce() -> Result<bool, Error> {
    const THERE: Error = Error::Op(OpError::Server(ErrorCode::NodeExists));
    match SESSION.create("/devices", b"", CreateMode::Persistent).await {
        Err(error) if error != THERE => return Err(error),
        _ => {}
    }
    match SESSION.create(DEVICE, b"", CreateMode::Ephemeral).await {
        Ok(()) => return Ok(true),
        Err(error) if error != THERE => return Err(error),
        Err(_) => {}
    }
    // Ours, if an answer was lost; else that of the session before a restart: until that expires.
    let stat = SESSION.exists_watched(DEVICE).await?;
    Ok(stat.is_some_and(|stat| stat.ephemeral_owner == SESSION.session_id().0))
}
// ANCHOR_END: register
