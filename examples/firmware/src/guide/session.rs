//! Step 2: a session that connects, pings, and finds another server when one is lost.

// ANCHOR: session
use embassy_net::Stack;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use static_cell::StaticCell;
use zk_session::Duration;
use zk_session::client::{ClientConfig, KeeperState};
use zk_session_embedded::{Clock, EmbassyTimer, OpenError, Session, Small, Tcp};

/// The session, for all tasks.
pub static SESSION: Session<'static, CriticalSectionRawMutex> = Session::new();

/// All memory that the session will ever use.
static MEMORY: StaticCell<Small> = StaticCell::new();

/// TCP's own buffers, for one socket.
static SOCKETS: StaticCell<TcpClientState<1, 1024, 1024>> = StaticCell::new();

/// Sets the session up; once. `seed` spreads the reconnects of many devices, so each needs another.
///
/// # Errors
/// The list of hosts is not valid, or the session is open already.
pub fn open(hosts: &'static str, seed: u64) -> Result<(), OpenError> {
    let config = ClientConfig::new(hosts, seed).timeout(Duration::from_secs(10));
    SESSION.open(config, MEMORY.init(Small::new()), EmbassyTimer.now())
}

/// Moves the session's bytes. If the ensemble says that the session has expired, a new one follows.
#[embassy_executor::task]
pub async fn drive(stack: Stack<'static>) {
    let dial = Tcp::new(TcpClient::new(stack, SOCKETS.init(TcpClientState::new())));
    let Ok(mut driver) = SESSION.driver(&dial, EmbassyTimer) else { return };
    loop {
        let end = driver.run().await;
        defmt::warn!("the session is over: {}, {}", end.state, end.cause);
        if end.state != KeeperState::Expired {
            return;
        }
        driver.reopen();
    }
}
// ANCHOR_END: session
