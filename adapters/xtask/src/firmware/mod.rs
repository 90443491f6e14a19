//! The subcommand `firmware`.

#[allow(dead_code, reason = "the runs that read the log come with the device")]
mod log;
mod network;
mod qemu;

use anyhow::{Context, Result};

use crate::build;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Prints the firmware's log as it comes, not only when a run fails.
    #[arg(long)]
    verbose: bool,
}

/// Builds the firmware and runs everything.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = build::release("firmware", &["--bins"])?;
    let program = |name: &str| programs.get(name).with_context(|| format!("cargo built no {name}"));
    network::baseline(program("baseline")?, options.verbose)?;
    println!("firmware: the baseline talks to its host");
    Ok(())
}
