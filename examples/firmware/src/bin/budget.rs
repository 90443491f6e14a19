//! What the size of a session is measured with: on top of the baseline's network, a session that
//! connects, pings and fails over, gets, sets and creates an ephemeral znode, and has eight watches
//! registered again on every new connection. Nothing else, and no log.
//!
//! `cargo xtask size` compares it with `baseline`.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::{Stack, StackResources};
use embassy_sync::blocking_mutex::raw::ThreadModeRawMutex;
use firmware::args::Args;
use firmware::{mps2, network};
use semihosting::process;
use static_cell::StaticCell;
use zk_session::client::{Cause, ClientConfig, KeeperState};
use zk_session::wire::CreateMode;
use zk_session_embedded::{Clock, EmbassyTimer, Error, Session, SessionEvent, Small, Tcp};

static SESSION: Session<'static, ThreadModeRawMutex> = Session::new();

/// Bytes that TCP holds for each direction, as in the baseline.
const SOCKET: usize = 1024;
const WATCHED: [&str; 8] = [
    "/config/0",
    "/config/1",
    "/config/2",
    "/config/3",
    "/config/4",
    "/config/5",
    "/config/6",
    "/config/7",
];

#[entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else { process::exit(1) };
    mps2::run(core, |spawner| {
        if start(spawner).is_none() {
            process::exit(1);
        }
    })
}

fn start(spawner: Spawner) -> Option<()> {
    static RESOURCES: StaticCell<StackResources<1>> = StaticCell::new();
    static MEMORY: StaticCell<Small> = StaticCell::new();

    let stack = network::start(spawner, RESOURCES.try_init(StackResources::new())?)?;
    let args = Args::take();
    let seed = args.number("seed")?.into();
    let config = ClientConfig::new(args.text("connect")?, seed);
    SESSION.open(config, MEMORY.try_init(Small::new())?, EmbassyTimer.now()).ok()?;
    spawner.spawn(drive(stack).ok()?);
    spawner.spawn(live().ok()?);
    Some(())
}

#[embassy_executor::task]
async fn drive(stack: Stack<'static>) {
    static SOCKETS: StaticCell<TcpClientState<1, SOCKET, SOCKET>> = StaticCell::new();
    let Some(sockets) = SOCKETS.try_init(TcpClientState::new()) else { return };
    let dial = Tcp::new(TcpClient::new(stack, sockets));
    let Ok(mut driver) = SESSION.driver(&dial, EmbassyTimer) else { return };
    while driver.run().await.state == KeeperState::Expired {
        driver.reopen();
    }
    process::exit(1);
}

#[embassy_executor::task]
async fn live() {
    if session().await.is_err() {
        process::exit(1);
    }
}

async fn session() -> Result<(), Error> {
    let mut events = SESSION.events()?;
    let (mut path, mut data) = ([0; 64], [0; 128]);
    loop {
        if let SessionEvent::State { cause, .. } = events.next(&mut path).await? {
            if cause != Cause::Established {
                continue;
            }
            SESSION.create("/devices/1", b"up", CreateMode::Ephemeral).await?;
        }
        for path in WATCHED {
            let (config, _) = SESSION.get_data_watched(path, &mut data).await?;
            SESSION.set_data("/counters/1", config, None).await?;
        }
    }
}
