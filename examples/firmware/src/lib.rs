//! What every program here stands on: the board, its network, and the host that runs it.
//!
//! The board is QEMU's `mps2-an385`, a Cortex-M3 with a LAN9118 Ethernet controller. [`mps2`] is all
//! that knows it; a program for another board replaces that module with its vendor's crates.

#![no_std]

pub mod args;
#[cfg(feature = "defmt")]
pub mod guide;
pub mod mps2;
pub mod network;
mod panic;
