//! What a client costs its own process.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// What one measurement brought. It crosses from the client's process as a line of `name=value`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) operations: u64,
    /// Of all threads, in the kernel as well.
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// The median of one operation, where they go one at a time.
    pub(crate) p50: Option<Duration>,
    /// Resident memory of one idle session, in bytes.
    pub(crate) session_bytes: Option<f64>,
    /// The most resident memory that the process ever had, in bytes.
    pub(crate) peak_bytes: u64,
}

impl Figures {
    pub(crate) fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations.max(1) as f64
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn to_line(self) -> String {
        let mut line = format!(
            "operations={} cpu_ns={} wall_ns={} peak_bytes={}",
            self.operations,
            self.cpu.as_nanos(),
            self.wall.as_nanos(),
            self.peak_bytes
        );
        if let Some(p50) = self.p50 {
            line += &format!(" p50_ns={}", p50.as_nanos());
        }
        if let Some(bytes) = self.session_bytes {
            line += &format!(" session_bytes={bytes}");
        }
        line
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let value = |name: &str| {
            let of = |pair: &'_ str| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            line.split_whitespace().find_map(of)?.parse::<f64>().ok()
        };
        let nanos = |name| value(name).map(|ns| Duration::from_nanos(ns as u64));
        Some(Self {
            operations: value("operations")? as u64,
            cpu: nanos("cpu_ns")?,
            wall: nanos("wall_ns")?,
            peak_bytes: value("peak_bytes")? as u64,
            p50: nanos("p50_ns"),
            session_bytes: value("session_bytes"),
        })
    }
}

/// A measurement that has begun.
pub(crate) struct Meter {
    cpu: ProcessTime,
    wall: Instant,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { cpu: ProcessTime::now(), wall: Instant::now() }
    }

    pub(crate) fn stop(self, operations: usize) -> Figures {
        Figures {
            operations: operations as u64,
            cpu: self.cpu.elapsed(),
            wall: self.wall.elapsed(),
            peak_bytes: peak_bytes(),
            ..Figures::default()
        }
    }
}

/// How long a row's loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// So long, after a tenth of that to warm up.
    Time(Duration),
    /// So many turns, and none to warm up: to be counted by another program.
    Turns(usize),
}

impl Budget {
    pub(crate) fn warm_up(self) -> Self {
        match self {
            Self::Time(time) => Self::Time(time / 10),
            Self::Turns(_) => Self::Turns(0),
        }
    }

    pub(crate) fn start(self) -> Running {
        Running { budget: self, since: Instant::now(), turns: 0 }
    }

    /// The budget as an argument of the client's process: milliseconds, or turns.
    pub(crate) fn to_argument(self) -> String {
        match self {
            Self::Time(time) => format!("{}ms", time.as_millis()),
            Self::Turns(turns) => turns.to_string(),
        }
    }

    pub(crate) fn from_argument(text: &str) -> Option<Self> {
        Some(match text.strip_suffix("ms") {
            Some(millis) => Self::Time(Duration::from_millis(millis.parse().ok()?)),
            None => Self::Turns(text.parse().ok()?),
        })
    }
}

/// A loop under a budget.
pub(crate) struct Running {
    budget: Budget,
    since: Instant,
    pub(crate) turns: usize,
}

impl Running {
    /// Whether to go round once more.
    pub(crate) fn again(&mut self) -> bool {
        let left = match self.budget {
            Budget::Time(time) => self.turns == 0 || self.since.elapsed() < time,
            Budget::Turns(turns) => self.turns < turns,
        };
        self.turns += usize::from(left);
        left
    }
}

/// Resident memory of this process now.
pub(crate) fn resident_bytes() -> u64 {
    // Not `statm`, whose figure lags behind by some pages for each processor.
    kib_of("/proc/self/smaps_rollup", "Rss:") * 1024
}

fn peak_bytes() -> u64 {
    kib_of("/proc/self/status", "VmHWM:") * 1024
}

fn kib_of(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
