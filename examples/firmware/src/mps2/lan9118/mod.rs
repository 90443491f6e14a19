//! SMSC's LAN9118 Ethernet controller, as a driver for embassy-net.
//!
//! The processor carries each frame, word by word, between the controller's queues and one buffer
//! for each direction.

mod registers;

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Context;

use cortex_m::peripheral::NVIC;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::waitqueue::GenericAtomicWaker;

use super::interrupts::Ethernet;
use registers::{Mac, Phy, Register, Registers};

/// The longest frame, without the check sequence.
const FRAME: usize = 1514;
const FRAME_WORDS: usize = FRAME.div_ceil(4);
/// The check sequence, which the controller adds and leaves in place.
const FCS: usize = 4;
/// What a frame takes in the queue for sending, beside itself: two commands, alignment.
const TX_OVERHEAD: u32 = 12;

const BYTE_TEST: u32 = 0x8765_4321;
const INT_RX: u32 = 1 << 3;
const INT_PHY: u32 = 1 << 18;
const RX_ERROR: u32 = 1 << 15;
const TX_FIRST: u32 = 1 << 13;
const TX_LAST: u32 = 1 << 12;
const PHY_LINK_UP: u32 = 1 << 2;

/// The task that drives the network, to be woken by the interrupt.
static TASK: GenericAtomicWaker<CriticalSectionRawMutex> =
    GenericAtomicWaker::new(CriticalSectionRawMutex::new());

/// The controller, set up.
#[derive(Debug)]
pub struct Lan9118 {
    registers: Registers,
    address: [u8; 6],
    received: [u8; FRAME_WORDS * 4],
    transmit: [u8; FRAME_WORDS * 4],
}

/// Silences the controller until the task has looked after it: its line is level-triggered.
pub(super) fn handle_interrupt() {
    // The task only touches INT_EN with this interrupt masked or silent.
    Registers::new().write(Register::IntEnable, 0);
    TASK.wake();
}

impl Lan9118 {
    /// Sets the controller up; `None` if it does not answer, or was taken before.
    pub fn take() -> Option<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::AcqRel) {
            return None;
        }
        let mut registers = Registers::new();
        if registers.read(Register::ByteTest) != BYTE_TEST {
            return None;
        }
        let address = set_up(&mut registers);
        // SAFETY: its handler is in the vector table, and no critical section relies on the mask.
        unsafe { NVIC::unmask(Ethernet) };
        let empty = [0; FRAME_WORDS * 4];
        Some(Self { registers, address, received: empty, transmit: empty })
    }

    /// A number that is hard to foretell on real hardware, where boot times vary: the
    /// controller's own clock, spread over all bits, beside its address.
    pub fn random(&self) -> u64 {
        let [.., a, b, c] = self.address;
        let seed = u64::from(self.registers.read(Register::FreeRun)) << 24
            | u64::from(u32::from_be_bytes([0, a, b, c]));
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Takes the next good frame from the queue into `received`; its length.
    fn pop_frame(&mut self) -> Option<usize> {
        while (self.registers.read(Register::RxFifo) >> 16) & 0xff != 0 {
            let status = self.registers.read(Register::RxStatus);
            let length = (status >> 16 & 0x3fff) as usize;
            let mut buffer = self.received.chunks_exact_mut(4);
            // All of it is read, also if it is to be dropped: that is what frees its room.
            for _ in 0..length.div_ceil(4) {
                let word = self.registers.read(Register::RxData);
                if let Some(bytes) = buffer.next() {
                    bytes.copy_from_slice(&word.to_le_bytes());
                }
            }
            let length = length.saturating_sub(FCS);
            if status & RX_ERROR == 0 && (1..=FRAME).contains(&length) {
                return Some(length);
            }
        }
        None
    }

    /// Lets the interrupt come again.
    fn listen(&mut self) {
        self.registers.write(Register::IntStatus, INT_RX);
        self.registers.write(Register::IntEnable, INT_RX | INT_PHY);
    }

    fn has_room(&self) -> bool {
        self.registers.read(Register::TxFifo) & 0xffff >= FRAME as u32 + TX_OVERHEAD
    }
}

/// The order is the manual's. Returns the Ethernet address that the controller has loaded.
fn set_up(registers: &mut Registers) -> [u8; 6] {
    const SOFT_RESET: u32 = 1;
    const MUST_BE_ONE: u32 = 1 << 20;
    registers.write(Register::HardwareConfig, SOFT_RESET);
    while registers.read(Register::HardwareConfig) & SOFT_RESET != 0 {}
    registers.write(Register::HardwareConfig, MUST_BE_ONE | 5 << 16); // 5 KB for sending
    registers.write(Register::FlowConfig, 0x006e_3740);

    registers.write(Register::IntEnable, 0);
    registers.write(Register::IntStatus, !0);
    registers.write(Register::FifoInt, 0); // from the first frame
    registers.write(Register::RxConfig, 1 << 15); // empty the queue
    registers.write(Register::TxConfig, 3 << 14); // empty both queues
    registers.write(Register::TxConfig, 1 << 2 | 1 << 1); // on; old statuses may be overwritten

    registers.write_phy(Phy::Control, 1 << 12 | 1 << 9); // negotiate again
    registers.write_phy(Phy::IntMask, 1 << 6 | 1 << 4); // negotiated, link down
    registers.read_phy(Phy::IntSource);
    registers.write_mac(Mac::Control, 1 << 20 | 1 << 3 | 1 << 2); // full duplex, send, receive

    registers.write(Register::IrqConfig, 1 << 8 | 1 << 4 | 1); // on, active high, push-pull
    registers.write(Register::IntEnable, INT_RX | INT_PHY);

    let [a, b, c, d] = registers.read_mac(Mac::AddressLow).to_le_bytes();
    let [e, f, ..] = registers.read_mac(Mac::AddressHigh).to_le_bytes();
    [a, b, c, d, e, f]
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Transmit<'_>)> {
        if !self.has_room() {
            cx.waker().wake_by_ref();
            return None;
        }
        TASK.register(cx.waker());
        // What comes between the first look and `listen` must be looked for once more.
        let mut frame = self.pop_frame();
        if frame.is_none() {
            self.listen();
            frame = self.pop_frame();
        }
        let (frame, _) = self.received.split_at_mut_checked(frame?)?;
        Some((Received(frame), Transmit(&mut self.registers, &mut self.transmit)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Transmit<'_>> {
        if !self.has_room() {
            cx.waker().wake_by_ref(); // the wire takes microseconds, and tells nobody
            return None;
        }
        Some(Transmit(&mut self.registers, &mut self.transmit))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        TASK.register(cx.waker());
        self.registers.read_phy(Phy::IntSource);
        self.registers.write(Register::IntStatus, INT_PHY);
        if self.registers.read_phy(Phy::Status) & PHY_LINK_UP != 0 {
            LinkState::Up
        } else {
            LinkState::Down
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// A frame that has come.
#[derive(Debug)]
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

/// Room for a frame to be sent.
#[derive(Debug)]
pub struct Transmit<'a>(&'a mut Registers, &'a mut [u8; FRAME_WORDS * 4]);

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self(registers, buffer) = self;
        // embassy-net keeps to `max_transmission_unit`.
        let (frame, _) = buffer.split_at_mut(len.min(FRAME));
        let result = f(frame);
        let length = frame.len() as u32;
        registers.write(Register::TxData, TX_FIRST | TX_LAST | length);
        registers.write(Register::TxData, length << 16 | length);
        for bytes in buffer.chunks_exact(4).take((length as usize).div_ceil(4)) {
            if let &[a, b, c, d] = bytes {
                registers.write(Register::TxData, u32::from_le_bytes([a, b, c, d]));
            }
        }
        // Nobody asks how it went: TCP will notice.
        while registers.read(Register::TxFifo) >> 16 & 0xff != 0 {
            registers.read(Register::TxStatus);
        }
        result
    }
}
