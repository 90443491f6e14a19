//! `bench`: how fast the ensemble answers, and what that costs here.

mod load;
mod report;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use cpu_time::ProcessTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::runtime::{Builder, Runtime};
use zk_session_tokio::Client;

use crate::args::Settings;
use crate::commands::subtree;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Out;
use crate::zk::Zk;

use load::{Load, Mix, Tally, Until};
use report::Report;

/// How often the progress is told.
const TELL: Duration = Duration::from_millis(100);

/// Load the ensemble and tell how fast it answers
///
/// It works below a znode of its own, /zks-bench-SESSION, and deletes that at the end. The processor
/// time is that of this process: what an operation costs its client.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// How long
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "ops")]
    seconds: u64,
    /// How many operations, instead of a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    ops: Option<u64>,
    /// How many sessions
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    clients: u16,
    /// How many tasks share each session
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    tasks: u16,
    /// How many threads do all of it
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// How many requests each task has on their way
    #[arg(long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Of gets, sets and creates together, so many are gets
    #[arg(long, value_name = "SHARE", default_value = "80")]
    gets: u16,
    /// So many are sets
    #[arg(long, value_name = "SHARE", default_value = "20")]
    sets: u16,
    /// So many are creates
    #[arg(long, value_name = "SHARE", default_value = "0")]
    creates: u16,
    /// Bytes of each value
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    size: u32,
    /// How many znodes are read and written
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: u32,
    /// Show no progress
    #[arg(long)]
    quiet: bool,
}

impl Bench {
    /// What it runs on.
    pub(crate) fn runtime(&self) -> io::Result<Runtime> {
        let mut builder = match self.threads {
            1 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        builder.worker_threads(self.threads.into()).enable_all().build()
    }

    pub(crate) async fn run(&self, settings: &Settings, out: &mut Out) -> Result<(), Failure> {
        let mix = Mix::new(self.gets, self.sets, self.creates).ok_or_else(|| {
            Failure::usage("--gets, --sets and --creates are all 0", "such as --gets 80 --sets 20")
        })?;
        if settings.ticket.is_some() {
            return Err(Failure::usage("bench opens sessions of its own", "leave out --ticket"));
        }
        let zk = Zk::connect(settings).await?;
        let root = format!("/zks-bench-{:016x}", zk.client().session_id().0);
        let measured = tokio::select! {
            measured = self.measure(settings, &zk, &root, mix) => measured,
            () = interrupt::signal() => Err(Failure::Interrupted),
        };
        // Where the session has ended, or the connection is gone, that is the failure to tell of.
        let cleaned = match subtree(&zk, &root).await {
            Err(failure) if failure.exit() == Exit::NoNode => Ok(0),
            cleaned => cleaned,
        };
        zk.close().await;
        out.show(&measured?)?;
        cleaned.map(|_| ())
    }

    async fn measure(
        &self,
        settings: &Settings,
        zk: &Zk,
        root: &str,
        mix: Mix,
    ) -> Result<Report, Failure> {
        let value = vec![b'x'; usize::try_from(self.size).unwrap_or_default()];
        self.prepare(zk, root, &value).await?;
        let mut others = Vec::new();
        for _ in 1..self.clients {
            others.push(Zk::connect(settings).await?);
        }
        let clients: Vec<Client> =
            std::iter::once(zk).chain(&others).map(|zk| zk.client().clone()).collect();

        let done = Arc::new(AtomicU64::new(0));
        let (started, processor) = (Instant::now(), ProcessTime::now());
        let tasks = u64::from(self.tasks).saturating_mul(u64::from(self.clients));
        let mut running = tokio::task::JoinSet::new();
        for number in 0..tasks {
            let client = clients.get(usize::try_from(number).unwrap_or(0) % clients.len());
            let Some(client) = client.cloned() else { continue };
            let until = match self.ops {
                None => Until::Time(started + Duration::from_secs(self.seconds)),
                // The first ones do what cannot be divided.
                Some(ops) => Until::Count(ops / tasks + u64::from(number < ops % tasks)),
            };
            let load = Load {
                client,
                root: root.to_owned(),
                value: value.clone(),
                keys: self.keys,
                mix,
                in_flight: usize::from(self.in_flight),
                number,
                until,
                done: done.clone(),
            };
            running.spawn(load.run());
        }
        let tally = self.watch(&mut running, started, &done).await?;
        let (took, processor) = (started.elapsed(), processor.elapsed());
        for other in others {
            other.close().await;
        }
        Ok(Report::new(tally, took, processor))
    }

    /// The znodes that are read and written.
    async fn prepare(&self, zk: &Zk, root: &str, value: &[u8]) -> Result<(), Failure> {
        let created = zk.client().create(root, b"").deadline(zk.deadline()).await;
        created.map_err(|error| zk.explain(error))?;
        let paths: Vec<String> = (0..self.keys).map(|key| load::key(root, key)).collect();
        for window in paths.chunks(64) {
            let make =
                |path: &String| zk.client().create(path, value).deadline(zk.deadline()).send();
            let made: Vec<_> = window.iter().map(make).collect();
            for created in made {
                created.await.map_err(|error| zk.explain(error))?;
            }
        }
        Ok(())
    }

    /// Waits for all tasks and tells how far they are.
    async fn watch(
        &self,
        running: &mut tokio::task::JoinSet<Result<Tally, Failure>>,
        started: Instant,
        done: &AtomicU64,
    ) -> Result<Tally, Failure> {
        let bar = self.bar();
        let mut tell = tokio::time::interval(TELL);
        let mut tally = Tally::new()?;
        loop {
            tokio::select! {
                ended = running.join_next() => match ended {
                    None => break,
                    Some(Ok(ended)) => tally.add(&ended?),
                    Some(Err(error)) => {
                        let what = format!("a task has ended: {error}");
                        return Err(Failure::other(what, Exit::Failed));
                    }
                },
                _ = tell.tick() => {
                    let ops = done.load(Ordering::Relaxed);
                    bar.set_position(match self.ops {
                        Some(_) => ops,
                        None => u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                    });
                    let rate = ops as f64 / started.elapsed().as_secs_f64().max(1e-3);
                    bar.set_message(format!("{ops} operations, {rate:.0}/s"));
                }
            }
        }
        bar.finish_and_clear();
        Ok(tally)
    }

    fn bar(&self) -> ProgressBar {
        let all = self.ops.unwrap_or_else(|| self.seconds.saturating_mul(1000));
        let bar = ProgressBar::new(all);
        if self.quiet || !io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        bar
    }
}
