//! What this process uses, by the system's word.

use std::{fmt, fs, io};

/// Threads, descriptors and resident memory of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge {
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Resident memory, in KiB.
    pub rss_kib: u64,
}

impl Gauge {
    /// Reads the system's figures (Linux).
    ///
    /// # Errors
    /// There is no `/proc`, or it says something else.
    pub fn read() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
        };
        let descriptors = fs::read_dir("/proc/self/fd")?.count() as u64;
        Ok(Self { threads: field("Threads:")?, descriptors, rss_kib: field("VmRSS:")? })
    }

    /// Whether nothing has grown since `before`, but for what an allocator keeps.
    pub const fn fits(&self, before: &Self) -> bool {
        self.threads <= before.threads + 4
            && self.descriptors <= before.descriptors + 8
            && self.rss_kib <= before.rss_kib + 48 * 1024
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.rss_kib as f64 / 1024.0;
        write!(f, "{} threads, {} descriptors, {mib:.1} MiB", self.threads, self.descriptors)
    }
}
