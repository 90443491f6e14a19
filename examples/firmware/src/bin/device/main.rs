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
use zk_session_embedded::{Clock, EmbassyTimer, OpenError, Session, Small, Tcp};

use life::Device;

/// The session, shared by all tasks.
static SESSION: Session<'static, CriticalSectionRawMutex> = Session::new();

/// Bytes that TCP holds for each direction.
const SOCKET: usize = 1024;
const DEFAULT_TIMEOUT_MS: u32 = 10_000;
/// The exit status when the arguments or the hardware are of no use.
const UNUSABLE: i32 = 2;

/// Why the device cannot do anything.
#[derive(Clone, Copy, Debug, defmt::Format)]
enum Unusable {
    /// The Ethernet controller does not answer.
    NoNetwork,
    /// There is no `connect=` among the arguments.
    NoHosts,
    /// There is no `id=` among the arguments.
    NoId,
    /// The id is longer than a path can be.
    IdTooLong,
    /// The session cannot be set up.
    Session(OpenError),
    /// It was started before.
    Twice,
}

#[entry]
fn main() -> ! {
    let Some(core) = cortex_m::Peripherals::take() else { process::exit(UNUSABLE) };
    mps2::run(core, |spawner| {
        if let Err(reason) = start(spawner) {
            error!("cannot start: {}", reason);
            process::exit(UNUSABLE);
        }
    })
}

fn start(spawner: Spawner) -> Result<(), Unusable> {
    static RESOURCES: StaticCell<StackResources<1>> = StaticCell::new();
    static MEMORY: StaticCell<Small> = StaticCell::new();

    let args = Args::take();
    let connect = args.text("connect").ok_or(Unusable::NoHosts)?;
    let device = Device::new(args.text("id").ok_or(Unusable::NoId)?).ok_or(Unusable::IdTooLong)?;
    let timeout = args.number("timeout").unwrap_or(DEFAULT_TIMEOUT_MS);

    let resources = RESOURCES.try_init(StackResources::new()).ok_or(Unusable::Twice)?;
    let stack = network::start(spawner, resources).ok_or(Unusable::NoNetwork)?;
    let seed = embassy_time::Instant::now().as_ticks();
    let config = ClientConfig::new(connect, seed).timeout(Duration::from_millis(timeout.into()));
    let memory = MEMORY.try_init(Small::new()).ok_or(Unusable::Twice)?;
    SESSION.open(config, memory, EmbassyTimer.now()).map_err(Unusable::Session)?;
    for (i, host) in
        ConnectString::parse(connect).iter().flat_map(|hosts| hosts.hosts()).enumerate()
    {
        info!("host {} is {}:{}", i, host.name, host.port);
    }

    spawner.spawn(watch_link(stack).map_err(|_| Unusable::Twice)?);
    spawner.spawn(drive(stack).map_err(|_| Unusable::Twice)?);
    spawner.spawn(life::live(device).map_err(|_| Unusable::Twice)?);
    Ok(())
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
