//! `top`: an ensemble at work.

mod parse;
mod sample;
mod view;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::runtime::Runtime;

use crate::access::Access;
use crate::args::Settings;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Out;
use crate::words::hosts;

use sample::Sample;
use view::View;

/// How long keys are waited for without a look at what else may end it.
const LISTEN: Duration = Duration::from_millis(100);

/// The width of a frame that no terminal shows.
const COLUMNS: u16 = 128;

/// A live view of the ensemble: servers, connections, latencies, watches
///
/// It asks every server srvr, mntr, cons and wchs; a server answers those of its
/// 4lw.commands.whitelist, and what is not answered is left out. On a terminal q ends it; else it
/// prints a frame at a time.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// How often to look
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = crate::args::duration)]
    interval: Duration,
    /// Print one frame and end
    #[arg(long)]
    once: bool,
    /// Print so many frames and end
    #[arg(long, value_name = "N", conflicts_with = "once", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

impl Top {
    pub(crate) fn run(
        &self,
        runtime: &Runtime,
        settings: &Settings,
        out: &mut Out,
    ) -> Result<(), Failure> {
        let (hosts, access) = (hosts(&settings.servers), Access::of(settings)?);
        let patience = settings.connect_timeout.min(Duration::from_secs(5));
        let look = |before: Option<&Sample>| {
            runtime.block_on(async {
                tokio::select! {
                    sample = Sample::take(&access, &hosts, patience, before) => Some(sample),
                    () = interrupt::signal() => None,
                }
            })
        };
        let frames = if self.once { Some(1) } else { self.count };
        if frames.is_none() && !out.is_json() && out.is_terminal() {
            // A signal may come while keys are waited for.
            let ended = Arc::new(AtomicBool::new(false));
            let told = ended.clone();
            runtime.spawn(async move {
                interrupt::signal().await;
                told.store(true, Ordering::Relaxed);
            });
            return self.live(look, &ended);
        }
        let mut before = None;
        let mut left = frames;
        while left != Some(0) {
            let Some(sample) = look(before.as_ref()) else { return Ok(()) };
            print(&sample, out)?;
            left = left.map(|left| left.saturating_sub(1));
            if left == Some(0) {
                return sample.verdict();
            }
            before = Some(sample);
            let ended = runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(self.interval) => false,
                    () = interrupt::signal() => true,
                }
            });
            if ended {
                return Ok(());
            }
        }
        Ok(())
    }

    /// On the terminal, until q.
    fn live(
        &self,
        look: impl Fn(Option<&Sample>) -> Option<Sample>,
        ended: &AtomicBool,
    ) -> Result<(), Failure> {
        let failed = |error| Failure::io("cannot use the terminal", error);
        let Some(mut sample) = look(None) else { return Ok(()) };
        let mut terminal = ratatui::try_init().map_err(failed)?;
        let done = loop {
            if let Err(error) = terminal.draw(|frame| View(&sample).draw(frame)) {
                break Err(failed(error));
            }
            match wait(self.interval, ended) {
                Ok(true) => break Ok(()),
                Ok(false) => {}
                Err(error) => break Err(failed(error)),
            }
            match look(Some(&sample)) {
                Some(next) => sample = next,
                None => break Ok(()),
            }
        };
        ratatui::restore();
        done
    }
}

/// Waits for the next look; whether a key ended it.
fn wait(interval: Duration, ended: &AtomicBool) -> io::Result<bool> {
    let until = Instant::now() + interval;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || ended.load(Ordering::Relaxed) {
            return Ok(ended.load(Ordering::Relaxed));
        }
        if !event::poll(left.min(LISTEN))? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(true),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(true);
                }
                _ => return Ok(false),
            },
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
}

/// A frame as text, drawn by the same hand as on a terminal.
fn print(sample: &Sample, out: &mut Out) -> Result<(), Failure> {
    if out.is_json() {
        out.json_line(&sample.json())?;
        return out.flush();
    }
    let rows = View(sample).rows();
    // It draws into memory.
    let mut terminal = Terminal::new(TestBackend::new(COLUMNS, rows))
        .unwrap_or_else(|never: std::convert::Infallible| match never {});
    let drawn = terminal.draw(|frame| View(sample).draw(frame));
    let buffer = drawn.unwrap_or_else(|never| match never {}).buffer.clone();
    let mut cells = buffer.content().iter();
    for _ in 0..rows {
        let row: String = cells.by_ref().take(COLUMNS.into()).map(|cell| cell.symbol()).collect();
        out.remark(row.trim_end())?;
    }
    out.flush()
}

impl Sample {
    /// A single frame fails if no server has answered.
    fn verdict(&self) -> Result<(), Failure> {
        let mut errors = self.servers.iter().map(|server| server.error.as_ref());
        match errors.clone().flatten().next().filter(|_| errors.all(|error| error.is_some())) {
            Some((error, exit)) => {
                Err(Failure::other(format!("no server answers: {error}"), *exit))
            }
            None => Ok(()),
        }
    }
}
