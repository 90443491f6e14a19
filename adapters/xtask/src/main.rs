//! What cargo alone cannot do with the firmware of `examples/firmware`; see `cargo xtask --help`.

#![allow(clippy::disallowed_methods, reason = "real processes live by the real clock")]

mod build;
mod firmware;
mod guide;
mod size;
mod start;

use clap::{Parser, Subcommand};

/// Builds, runs and measures the firmware.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Runs the firmware in QEMU through everything that can happen to a device.
    Firmware(firmware::Options),
    /// Measures what a session takes of a Cortex-M3; fails if that is over its budgets.
    Size(size::Options),
    /// Shows in the guide for firmware what is in its programs.
    Guide(guide::Options),
    /// Builds a program of `examples/firmware`, runs it in QEMU and prints its log.
    Run(start::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Firmware(options) => firmware::run(&options),
        Task::Size(options) => size::run(&options),
        Task::Guide(options) => guide::run(options),
        Task::Run(options) => start::run(&options),
    }
}
