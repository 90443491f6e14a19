//! The network that QEMU gives its guest: one private subnet, with the host as its gateway.

use embassy_executor::Spawner;
use embassy_net::{Config, Ipv4Address, Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use static_cell::StaticCell;

use crate::mps2::Lan9118;

/// Our address. A static one saves the flash of a DHCP client.
const ADDRESS: Ipv4Cidr = Ipv4Cidr::new(Ipv4Address::new(10, 0, 2, 15), 24);
/// The host. Its ports on this address are those of its own 127.0.0.1.
pub const HOST: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

/// Starts the network with room for `SOCKETS` sockets; it comes up when the cable is in.
///
/// `None` if the controller does not answer, or the second time.
pub fn start<const SOCKETS: usize>(
    spawner: Spawner,
    resources: &'static mut StackResources<SOCKETS>,
) -> Option<Stack<'static>> {
    static CONTROLLER: StaticCell<Lan9118> = StaticCell::new();
    let controller = CONTROLLER.try_init(Lan9118::take()?)?;
    let seed = controller.random();
    let config = Config::ipv4_static(StaticConfigV4 {
        address: ADDRESS,
        gateway: Some(HOST),
        dns_servers: Default::default(),
    });
    let (stack, runner) = embassy_net::new(controller, config, resources, seed);
    spawner.spawn(run(runner).ok()?);
    Some(stack)
}

#[embassy_executor::task]
async fn run(mut runner: Runner<'static, &'static mut Lan9118>) -> ! {
    runner.run().await
}
