//! The subcommand `run`.

use anyhow::{Context, Result, ensure};

use crate::build;
use crate::firmware::qemu::Qemu;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The program, such as `device` or `guide-1-network`.
    program: String,
    /// What the program is told: `connect=10.0.2.2:2181`, for example.
    #[arg(value_parser = argument)]
    arguments: Vec<(String, String)>,
}

/// Splits `name=value`.
fn argument(word: &str) -> Result<(String, String), String> {
    let (name, value) = word.split_once('=').ok_or("it is not `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs it until it ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = build::release("firmware", &["--bin", &options.program])?;
    let program = programs.get(&options.program).context("cargo built no such program")?;
    let mut qemu = Qemu::builder(program).verbose(true);
    for (name, value) in &options.arguments {
        qemu = qemu.argument(name, value);
    }
    let status = qemu.start()?.wait_for_end()?;
    ensure!(status.success(), "the firmware has ended with {status}");
    Ok(())
}
