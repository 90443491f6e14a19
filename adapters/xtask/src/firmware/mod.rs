//! The subcommand `firmware`.

mod ensemble;
mod guided;
mod hostile;
mod log;
mod network;
mod observer;
pub(crate) mod qemu;
mod survive;

use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use zk_session_chaos::target::Target;

use crate::build;
use survive::Life;

/// What to run.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// Prints the firmware's log as it comes, not only when a run fails.
    #[arg(long)]
    verbose: bool,
    /// Runs one of them only.
    #[arg(long, value_enum)]
    only: Option<Run>,
}

/// What a firmware goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Run {
    /// The board and its network alone.
    Baseline,
    /// A device on the embedded ensemble.
    Embedded,
    /// A device on Debian's ZooKeeper.
    Real,
    /// A device without a network, and with settings that it cannot use.
    NoNetwork,
    /// A device with useless hosts.
    WrongHosts,
    /// A device with useless arguments.
    WrongArguments,
    /// A device that is the ensemble.
    Ensemble,
    /// The device of the guide.
    Guide,
}

const RUNS: [Run; 8] = [
    Run::Baseline,
    Run::Embedded,
    Run::Real,
    Run::NoNetwork,
    Run::WrongHosts,
    Run::WrongArguments,
    Run::Ensemble,
    Run::Guide,
];

/// Builds the firmware and runs everything, at the same time: mostly it is waiting.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = build::release("firmware", &["--bins"])?;
    let program = |name: &str| programs.get(name).with_context(|| format!("cargo built no {name}"));
    let programs = Programs {
        baseline: program("baseline")?,
        device: program("device")?,
        ensemble: program("ensemble")?,
        guide: program("guide-4-follow")?,
    };
    let start = Instant::now();
    let wanted = RUNS.into_iter().filter(|&run| options.only.is_none_or(|only| only == run));
    let outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            wanted.map(|run| scope.spawn(move || run.start(programs, options))).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut failed = 0;
    for outcome in outcomes {
        let outcome = outcome.unwrap_or_else(|_| Err(anyhow!("a run has panicked")));
        if let Err(error) = outcome {
            eprintln!("error: {error:#}");
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} of the firmware's runs failed");
    }
    println!("firmware: all as it should be, in {} s", start.elapsed().as_secs());
    Ok(())
}

/// What was built.
#[derive(Clone, Copy, Debug)]
struct Programs<'a> {
    baseline: &'a Path,
    device: &'a Path,
    ensemble: &'a Path,
    guide: &'a Path,
}

impl Run {
    fn start(self, programs: Programs<'_>, options: &Options) -> Result<()> {
        let Programs { baseline, device, ensemble, guide } = programs;
        let live = |name, target| Life { name, program: device, target, options }.run();
        match self {
            Self::Baseline => network::baseline(baseline, options.verbose),
            Self::Embedded => live("embedded ensemble", Target::embedded()?),
            Self::Real => live("ZooKeeper", Target::real()?),
            Self::NoNetwork => hostile::no_network(device, options),
            Self::WrongHosts => hostile::wrong_hosts(device, options),
            Self::WrongArguments => hostile::wrong_arguments(device, options),
            Self::Ensemble => ensemble::serve(ensemble, options),
            Self::Guide => guided::device(guide, options),
        }
    }
}
