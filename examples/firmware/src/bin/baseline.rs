//! The network, a TCP connection with timeouts, reads and writes, and a delay: what a device has
//! without a session. The size of a session is the difference to this program.
//!
//! `connect=PORT` names the port of an echo server on the host. Ends with exit status 0 when what
//! was sent has come back, else with 1.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embassy_executor::Spawner;
use embassy_futures::select::{Either3, select3};
use embassy_net::tcp::TcpSocket;
use embassy_net::{Stack, StackResources};
use embassy_time::{Duration, Timer, with_timeout};
use firmware::args::Args;
use firmware::mps2;
use firmware::network::{self, HOST};
use semihosting::process;
use static_cell::StaticCell;

/// How long everything may take.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);
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
    for _ in 0..ATTEMPTS {
        if let Ok(Some(())) = with_timeout(PATIENCE, echo(stack, port)).await {
            process::exit(0);
        }
        Timer::after(PAUSE).await;
    }
    process::exit(1);
}

/// Whether what is sent comes back; reads, writes and waits at the same time, as a session does.
async fn echo(stack: Stack<'static>, port: u16) -> Option<()> {
    let (mut receive, mut transmit) = ([0; 1024], [0; 1024]);
    stack.wait_link_up().await;
    let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
    socket.set_timeout(Some(PATIENCE));
    socket.connect((HOST, port)).await.ok()?;
    let (mut reader, mut writer) = socket.split();
    let (mut back, mut got, mut unsent) = ([0; MESSAGE.len()], 0, MESSAGE);
    while got < MESSAGE.len() {
        let read = reader.read(back.get_mut(got..)?);
        let write = async {
            if unsent.is_empty() {
                core::future::pending().await
            } else {
                writer.write(unsent).await
            }
        };
        match select3(read, write, Timer::after(PATIENCE)).await {
            Either3::First(n) => got += n.ok().filter(|&n| n != 0)?,
            Either3::Second(n) => unsent = unsent.get(n.ok()?..)?,
            Either3::Third(()) => return None,
        }
    }
    (back == MESSAGE).then_some(())
}
