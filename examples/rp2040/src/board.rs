//! WIZnet's W5500-EVB-Pico: an RP2040, and beside it a W5500 on SPI 0, which carries plain Ethernet
//! frames here.

use embassy_executor::Spawner;
use embassy_net::{Config, Stack, StackResources};
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, Runner, State};
use embassy_rp::adc::{self, Adc, Channel};
use embassy_rp::clocks::RoscRng;
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, SPI0};
use embassy_rp::spi::{self, Spi};
use embassy_rp::{bind_interrupts, dma};
use embassy_time::Delay;
use embedded_hal_bus::spi::ExclusiveDevice;
use static_cell::StaticCell;

/// Sockets of DHCP, DNS and the session.
const SOCKETS: usize = 3;
/// A locally administered address; a product has one of its own.
const ETHERNET_ADDRESS: [u8; 6] = [0x02, 0, 0, 0x5e, 0, 1];
const SPI_HZ: u32 = 20_000_000;
/// Of the analog-digital converter: 12 bits for 3.3 V.
const NANOVOLTS_PER_STEP: u32 = 3_300_000_000 / 4096;

bind_interrupts!(struct Interrupts {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
    ADC_IRQ_FIFO => adc::InterruptHandler;
});

type Bus = ExclusiveDevice<Spi<'static, SPI0, spi::Async>, Output<'static>, Delay>;
type Chip = Runner<'static, W5500, Bus, Input<'static>, Output<'static>>;

/// Starts the network, which comes up when the cable is in and DHCP has answered, and the
/// thermometer. `None` if the chip does not answer.
pub(crate) async fn start(spawner: Spawner) -> Option<(Stack<'static>, Thermometer)> {
    static STATE: StaticCell<State<4, 4>> = StaticCell::new();
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

    let board = embassy_rp::init(Default::default());
    let mut config = spi::Config::default();
    config.frequency = SPI_HZ;
    let (clock, mosi, miso) = (board.PIN_18, board.PIN_19, board.PIN_16);
    let (send, receive) = (board.DMA_CH0, board.DMA_CH1);
    let spi = Spi::new(board.SPI0, clock, mosi, miso, send, receive, Interrupts, config);
    let bus = ExclusiveDevice::new(spi, Output::new(board.PIN_17, Level::High), Delay).ok()?;
    let interrupt = Input::new(board.PIN_21, Pull::Up);
    let reset = Output::new(board.PIN_20, Level::High);

    let state = STATE.try_init(State::new())?;
    let chip = embassy_net_wiznet::new(ETHERNET_ADDRESS, state, bus, interrupt, reset).await;
    let (device, runner) = chip.ok()?;
    spawner.spawn(run_chip(runner).ok()?);

    let resources = RESOURCES.try_init(StackResources::new())?;
    let config = Config::dhcpv4(Default::default());
    let (stack, runner) = embassy_net::new(device, config, resources, RoscRng.next_u64());
    spawner.spawn(run_stack(runner).ok()?);

    let converter = Adc::new(board.ADC, Interrupts, adc::Config::default());
    let channel = Channel::new_temp_sensor(board.ADC_TEMP_SENSOR);
    Some((stack, Thermometer { converter, channel }))
}

#[embassy_executor::task]
async fn run_chip(runner: Chip) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn run_stack(mut runner: embassy_net::Runner<'static, Device<'static>>) -> ! {
    runner.run().await
}

/// The one inside the processor.
pub(crate) struct Thermometer {
    converter: Adc<'static, adc::Async>,
    channel: Channel<'static>,
}

impl Thermometer {
    /// The temperature, to the degree; `None` if the converter fails.
    pub(crate) async fn celsius(&mut self) -> Option<i32> {
        let reading = self.converter.read(&mut self.channel).await.ok()?;
        // The RP2040's data sheet: 0.706 V at 27 °C, 1.721 mV less for each degree more.
        let microvolts = u32::from(reading) * NANOVOLTS_PER_STEP / 1000;
        Some(27 - (microvolts.cast_signed() - 706_000) / 1721)
    }
}
