//! A device that registers in ZooKeeper, follows its configuration, and is known to be gone within
//! its session timeout when it dies.
//!
//! | argument | meaning |
//! | --- | --- |
//! | `connect=h1:p1,h2:p2,h3:p3` | the ensemble's servers |
//! | `id=NAME` | the device: its ephemeral znode is `/devices/NAME` |
//! | `timeout=MS` | the session timeout to ask for; 10,000 unless told |
//!
//! `/config` holds words: `period_ms=N` is how often the device counts, `stop` ends it. Its exit
//! status is 0 if the ensemble has confirmed the end of its session, 1 if it has not, 2 if the
//! arguments or the hardware are of no use.

#![no_std]
#![no_main]

mod life;
mod settings;

use cortex_m_rt::entry;
use defmt::{error, info, warn};
use embassy_executor::Spawner;
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::{Stack, StackResources};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use firmware::args::Args;
use firmware::{mps2, network};
use semihosting::process;
use static_cell::StaticCell;
use zk_session::Duration;
use zk_session::client::{Cause, ClientConfig, ConnectString, KeeperState};
use zk_session_embedded::{Clock, EmbassyTimer, Session, Small, Tcp};

/// The session, shared by all tasks.
static SESSION: Session<'static, CriticalSectionRawMutex> = Session::new();

/// Bytes that TCP holds for each direction.
const SOCKET: usize = 1024;
const DEFAULT_TIMEOUT_MS: u32 = 10_000;

#[entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else { process::exit(2) };
    mps2::run(core, |spawner| {
        if start(spawner).is_none() {
            error!("cannot start");
            process::exit(2);
        }
    })
}

fn start(spawner: Spawner) -> Option<()> {
    static RESOURCES: StaticCell<StackResources<1>> = StaticCell::new();
    static MEMORY: StaticCell<Small> = StaticCell::new();

    let stack = network::start(spawner, RESOURCES.try_init(StackResources::new())?)?;
    let args = Args::take();
    let connect = args.text("connect")?;
    let timeout = args.number("timeout").unwrap_or(DEFAULT_TIMEOUT_MS);
    for (i, host) in ConnectString::parse(connect).ok()?.hosts().enumerate() {
        info!("host {} is {}:{}", i, host.name, host.port);
    }
    let seed = embassy_time::Instant::now().as_ticks();
    let config = ClientConfig::new(connect, seed).timeout(Duration::from_millis(timeout.into()));
    if let Err(error) = SESSION.open(config, MEMORY.try_init(Small::new())?, EmbassyTimer.now()) {
        error!("no session: {}", error);
        return None;
    }
    spawner.spawn(watch_link(stack).ok()?);
    spawner.spawn(drive(stack).ok()?);
    spawner.spawn(life::live(args.text("id")?).ok()?);
    Some(())
}

/// Says when the cable comes and goes; the session needs no telling.
#[embassy_executor::task]
async fn watch_link(stack: Stack<'static>) -> ! {
    loop {
        if !stack.is_link_up() {
            warn!("no link");
        }
        stack.wait_link_up().await;
        info!("link is up");
        stack.wait_link_down().await;
    }
}

/// Moves the session's bytes, and follows an expired session by a new one.
#[embassy_executor::task]
async fn drive(stack: Stack<'static>) {
    static SOCKETS: StaticCell<TcpClientState<1, SOCKET, SOCKET>> = StaticCell::new();
    let Some(sockets) = SOCKETS.try_init(TcpClientState::new()) else { return };
    let dial = Tcp::new(TcpClient::new(stack, sockets));
    let Ok(mut driver) = SESSION.driver(&dial, EmbassyTimer) else { return };
    loop {
        let end = driver.run().await;
        match end.state {
            KeeperState::Expired => driver.reopen(),
            _ => process::exit(i32::from(end.cause != Cause::Closed)),
        }
    }
}
