//! The network, a TCP connection with timeouts, reads and writes, and a delay: what a device has
//! without a session. The size of a session is the difference to this program.
//!
//! `connect=PORT` names the port of an echo server on the host. Ends with exit status 0 when what
//! was sent has come back, else with 1.

#![no_std]
#![no_main]

use core::net::SocketAddr;

use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_futures::select::{Either, select};
use embassy_net::tcp::client::{TcpClient, TcpClientState};
use embassy_net::{Stack, StackResources};
use embassy_time::{Duration, Timer};
use embedded_io_async::{Read, Write};
use embedded_nal_async::TcpConnect;
use firmware::args::Args;
use firmware::mps2;
use firmware::network::{self, HOST};
use semihosting::process;
use static_cell::StaticCell;

/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that TCP holds for each direction.
const SOCKET: usize = 1024;
const MESSAGE: &[u8] = b"is anybody there?";

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
    let stack = network::start(spawner, RESOURCES.try_init(StackResources::new())?)?;
    spawner.spawn(talk(stack, Args::take().number("connect")?.try_into().ok()?).ok()?);
    Some(())
}

#[embassy_executor::task]
async fn talk(stack: Stack<'static>, port: u16) {
    static SOCKETS: StaticCell<TcpClientState<1, SOCKET, SOCKET>> = StaticCell::new();
    let Some(sockets) = SOCKETS.try_init(TcpClientState::new()) else { return };
    let client = TcpClient::new(stack, sockets);
    for _ in 0..ATTEMPTS {
        if let Some(()) = echo(&client, SocketAddr::new(HOST.into(), port)).await {
            process::exit(0);
        }
        Timer::after(PAUSE).await;
    }
    process::exit(1);
}

/// Whether what is sent comes back; connects, reads, writes, flushes and waits as a session does.
async fn echo(client: &impl TcpConnect, host: SocketAddr) -> Option<()> {
    let dial = client.connect(host);
    let Either::First(Ok(mut transport)) = select(dial, Timer::after(PATIENCE)).await else {
        return None;
    };
    let (mut back, mut got, mut unsent, mut unflushed) = ([0; MESSAGE.len()], 0, MESSAGE, false);
    while got < MESSAGE.len() {
        if unflushed || !unsent.is_empty() {
            let send = async {
                match unsent {
                    [] => transport.flush().await.map(|()| 0),
                    _ => transport.write(unsent).await,
                }
            };
            let Either::First(Ok(n)) = select(send, Timer::after(PATIENCE)).await else {
                return None;
            };
            unflushed = !unsent.is_empty();
            unsent = unsent.get(n..)?;
            continue;
        }
        let read = transport.read(back.get_mut(got..)?);
        match select(read, Timer::after(PATIENCE)).await {
            Either::First(n) => got += n.ok().filter(|&n| n != 0)?,
            Either::Second(()) => return None,
        }
    }
    (back == MESSAGE).then_some(())
}
