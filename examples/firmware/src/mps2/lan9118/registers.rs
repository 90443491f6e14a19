//! The controller's registers: 32 bits wide, read and written as a whole.

use core::ptr;

/// Where the board has the controller.
const BASE: usize = 0x4020_0000;

/// A register, by its offset.
#[derive(Clone, Copy, Debug)]
pub(super) enum Register {
    RxData = 0x00,
    TxData = 0x20,
    RxStatus = 0x40,
    TxStatus = 0x48,
    IrqConfig = 0x54,
    /// Interrupts that are due; writing ones clears them.
    IntStatus = 0x58,
    IntEnable = 0x5c,
    ByteTest = 0x64,
    FifoInt = 0x68,
    RxConfig = 0x6c,
    TxConfig = 0x70,
    HardwareConfig = 0x74,
    RxFifo = 0x7c,
    TxFifo = 0x80,
    /// Counts up at 25 MHz.
    FreeRun = 0x9c,
    MacCommand = 0xa4,
    MacData = 0xa8,
    FlowConfig = 0xac,
}

/// A register of the MAC, reached through two of the controller's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mac {
    Control = 1,
    AddressHigh = 2,
    AddressLow = 3,
    PhyAccess = 6,
    PhyData = 7,
}

/// A register of the PHY, reached through two of the MAC's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phy {
    Control = 0,
    Status = 1,
    /// Reading it clears it.
    IntSource = 29,
    IntMask = 30,
}

/// The controller's registers.
#[derive(Debug)]
pub(super) struct Registers(());

const MAC_BUSY: u32 = 1 << 31;
const MAC_READ: u32 = 1 << 30;
/// The only PHY's address and the busy bit.
const PHY: u32 = 1 << 11 | 1;
const PHY_WRITE: u32 = 1 << 1;

impl Registers {
    /// The registers, for whoever takes care that nobody else uses them at the same time.
    pub(super) const fn new() -> Self {
        Self(())
    }

    pub(super) fn read(&self, register: Register) -> u32 {
        let address = (BASE + register as usize) as *const u32;
        // SAFETY: the board has a register there, aligned, always mapped.
        unsafe { ptr::read_volatile(address) }
    }

    pub(super) fn write(&mut self, register: Register, value: u32) {
        let address = (BASE + register as usize) as *mut u32;
        // SAFETY: as above; the controller has no access to memory, so no write can harm memory.
        unsafe { ptr::write_volatile(address, value) }
    }

    pub(super) fn read_mac(&mut self, register: Mac) -> u32 {
        self.write(Register::MacCommand, MAC_BUSY | MAC_READ | register as u32);
        self.wait_for_mac();
        self.read(Register::MacData)
    }

    pub(super) fn write_mac(&mut self, register: Mac, value: u32) {
        self.write(Register::MacData, value);
        self.write(Register::MacCommand, MAC_BUSY | register as u32);
        self.wait_for_mac();
    }

    pub(super) fn read_phy(&mut self, register: Phy) -> u32 {
        self.write_mac(Mac::PhyAccess, PHY | (register as u32) << 6);
        self.read_mac(Mac::PhyData)
    }

    pub(super) fn write_phy(&mut self, register: Phy, value: u32) {
        self.write_mac(Mac::PhyData, value);
        self.write_mac(Mac::PhyAccess, PHY | PHY_WRITE | (register as u32) << 6);
    }

    /// The MAC takes a few cycles of its own clock for an access.
    fn wait_for_mac(&self) {
        while self.read(Register::MacCommand) & MAC_BUSY != 0 {}
    }
}
