//! A sensor on real hardware that registers in ZooKeeper: WIZnet's W5500-EVB-Pico.
//!
//! Set [`CONNECT`] to your ensemble, and `cargo run --release` with a debug probe. The device gets
//! its address by DHCP, resolves the ensemble's names by DNS, creates the ephemeral znode
//! `/devices/pico` and writes the processor's temperature there. Pull the cable, and the znode is
//! gone after the session timeout; plug it in, and it is back.

#![no_std]
#![no_main]

mod board;

use core::fmt::Write as _;

use defmt::{error, info, warn};
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_net::Stack;
use embassy_net::dns::DnsSocket;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_rp::clocks::RoscRng;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_time::{Duration, Timer};
use heapless::String;
use panic_probe as _;
use static_cell::StaticCell;
use zk_session::client::{ClientConfig, KeeperState};
use zk_session::wire::CreateMode;
use zk_session::{ErrorCode, OpError};
use zk_session_embedded::{Clock, EmbassyTimer, Error, Session, Small, Tcp};

use board::Thermometer;

/// The ensemble. Its names are resolved anew for every connection.
const CONNECT: &str = "zk1.example.com:2181,zk2.example.com:2181,zk3.example.com:2181";
/// How long the device may be silent before it counts as gone.
const TIMEOUT: zk_session::Duration = zk_session::Duration::from_secs(10);
/// The device. Its parent, `/devices`, is the operator's.
const PATH: &str = "/devices/pico";
const PERIOD: Duration = Duration::from_secs(5);
/// Bytes that TCP holds for each direction.
const SOCKET: usize = 1024;

/// The session, shared by all tasks.
static SESSION: Session<'static, CriticalSectionRawMutex> = Session::new();

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    if start(spawner).await.is_none() {
        error!("cannot start");
    }
}

async fn start(spawner: Spawner) -> Option<()> {
    static MEMORY: StaticCell<Small> = StaticCell::new();

    let (stack, thermometer) = board::start(spawner).await?;
    let config = ClientConfig::new(CONNECT, RoscRng.next_u64()).timeout(TIMEOUT);
    if let Err(error) = SESSION.open(config, MEMORY.try_init(Small::new())?, EmbassyTimer.now()) {
        error!("no session: {}", error);
        return None;
    }
    spawner.spawn(drive(stack).ok()?);
    spawner.spawn(report(thermometer).ok()?);
    Some(())
}

/// Moves the session's bytes, and follows an expired session by a new one.
#[embassy_executor::task]
async fn drive(stack: Stack<'static>) {
    static SOCKETS: StaticCell<TcpClientState<1, SOCKET, SOCKET>> = StaticCell::new();
    let Some(sockets) = SOCKETS.try_init(TcpClientState::new()) else { return };
    let dial = Tcp::new(TcpClient::new(stack, sockets)).resolving(DnsSocket::new(stack));
    let Ok(mut driver) = SESSION.driver(&dial, EmbassyTimer) else { return };
    while driver.run().await.state == KeeperState::Expired {
        driver.reopen();
    }
    info!("the session is over");
}

/// Writes the temperature, creating the znode where it is not there: at first, and when a new session
/// has followed an expired one.
#[embassy_executor::task]
async fn report(mut thermometer: Thermometer) -> ! {
    loop {
        if let Some(celsius) = thermometer.celsius().await {
            let mut text = String::<16>::new();
            let _ = write!(text, "{celsius} C"); // it fits: an i32 has 11 characters at most
            if let Err(error) = publish(text.as_bytes()).await {
                warn!("not published: {}", error);
            }
        }
        Timer::after(PERIOD).await;
    }
}

async fn publish(data: &[u8]) -> Result<(), Error> {
    match SESSION.set_data(PATH, data, None).await {
        Err(Error::Op(OpError::Server(ErrorCode::NoNode))) => {
            SESSION.create(PATH, data, CreateMode::Ephemeral).await
        }
        result => result.map(drop),
    }
}
