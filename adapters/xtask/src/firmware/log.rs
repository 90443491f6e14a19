//! The firmware's log, decoded while it comes.

use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Table};

/// The lines that a firmware has logged so far.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    /// Nothing more will come.
    ended: bool,
}

/// A place in the log: what came before it does not count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark(usize);

impl Log {
    /// Decodes what comes from `stream`, which `program` writes.
    pub(crate) fn follow(
        program: &Path,
        stream: impl Read + Send + 'static,
        verbose: bool,
    ) -> Result<Self> {
        let elf = fs::read(program).with_context(|| program.display().to_string())?;
        let table = Table::parse(&elf).context("the program's table of log messages")?;
        let log = Self(Arc::default());
        let writer = log.clone();
        thread::spawn(move || {
            match table {
                Some(table) => writer.decode(&table, stream, verbose),
                None => writer.copy(stream, verbose), // built without defmt
            }
            writer.lock().ended = true;
            writer.0.changed.notify_all();
        });
        Ok(log)
    }

    /// The end of what is there.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.lock().lines.len())
    }

    /// Waits for a line behind `mark` that has all of the `words`, and returns it.
    ///
    /// # Errors
    /// None comes within `patience`, or ever, because the program has ended.
    pub(crate) fn wait_for(
        &self,
        mark: Mark,
        words: &[&str],
        patience: Duration,
    ) -> Result<String> {
        let deadline = Instant::now() + patience;
        let mut lines = self.lock();
        loop {
            let mut after = lines.lines.iter().skip(mark.0);
            if let Some(line) = after.find(|line| words.iter().all(|word| line.contains(word))) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.ended {
                bail!("nothing with {words:?} was logged within {patience:?}");
            }
            let waited = self.0.changed.wait_timeout(lines, left);
            lines = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn decode(&self, table: &Table, mut stream: impl Read, verbose: bool) {
        let mut decoder = table.new_stream_decoder();
        let mut bytes = [0; 1024];
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            decoder.received(bytes.get(..n).unwrap_or_default());
            loop {
                match decoder.decode() {
                    Ok(frame) => self.push(frame.display(false).to_string(), verbose),
                    Err(DecodeError::UnexpectedEof) => break,
                    Err(DecodeError::Malformed) => {
                        self.push("(a message that cannot be decoded)".to_owned(), verbose);
                        if !table.encoding().can_recover() {
                            return;
                        }
                    }
                }
            }
        }
    }

    fn copy(&self, mut stream: impl Read, verbose: bool) {
        let mut text = String::new();
        if stream.read_to_string(&mut text).is_ok() {
            text.lines().for_each(|line| self.push(line.to_owned(), verbose));
        }
    }

    fn push(&self, line: String, verbose: bool) {
        if verbose {
            println!("    {line}");
        }
        self.lock().lines.push(line);
        self.0.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().lines.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}
