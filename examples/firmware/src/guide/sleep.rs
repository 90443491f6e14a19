//! Step 5: the power goes, the session stays.

use super::SESSION;

// ANCHOR: sleep
use embedded_storage_async::nor_flash::NorFlash;
use zk_session::client::{ClientConfig, TicketContents};
use zk_session_embedded::{Clock, EmbassyTimer, OpenError, Small, StoreError, TicketStore};

/// Two blocks of the flash that nothing else uses.
const REGION: core::ops::Range<u32> = 0x0006_0000..0x0006_2000;

/// Writes the session's ticket down. Then the power may go: for less than the session timeout, or
/// the ensemble expires the session and its ephemeral znodes with it.
///
/// # Errors
/// The flash's own, or there is no session yet. Nothing has changed then.
pub async fn go_to_sleep<F: NorFlash>(flash: F) -> Result<(), StoreError<F::Error>> {
    TicketStore::new(flash, REGION)?.save(&SESSION, TicketContents::Session, &mut [0; 128]).await?;
    SESSION.detach();
    Ok(())
}

/// Opens the session that was written down, or a new one: instead of `open`, after the reset.
///
/// # Errors
/// The list of hosts is not valid, or the session is open already.
pub async fn wake_up<F: NorFlash>(
    flash: F,
    config: ClientConfig<'static>,
    memory: &'static mut Small,
) -> Result<(), OpenError> {
    let mut bytes = [0; 128];
    let ticket = match TicketStore::new(flash, REGION) {
        Ok(mut store) => store.load(&mut bytes).await.ok().flatten(),
        Err(_) => None,
    };
    match ticket {
        Some(ticket) => SESSION.resume(config, memory, ticket, EmbassyTimer.now()),
        None => SESSION.open(config, memory, EmbassyTimer.now()),
    }
}
// ANCHOR_END: sleep
