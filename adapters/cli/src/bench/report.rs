//! What the bench found.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::load::{Kind, Tally};
use crate::output::{FIELD, Show, WARN};

/// What the bench found.
pub(super) struct Report {
    tally: Tally,
    took: Duration,
    processor: Duration,
}

/// The shares of answers that are told, with their names.
const QUANTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

impl Report {
    pub(super) const fn new(tally: Tally, took: Duration, processor: Duration) -> Self {
        Self { tally, took, processor }
    }

    fn operations(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.tally.latencies(*kind).len()).sum()
    }

    fn rate(&self) -> f64 {
        self.operations() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Microseconds of this process's processor time for each operation.
    fn cost(&self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / self.operations().max(1) as f64
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

impl Show for Report {
    fn human(&self, to: &mut dyn Write) -> io::Result<()> {
        let (operations, took) = (self.operations(), self.took.as_secs_f64());
        writeln!(to, "{operations} operations in {took:.2} s: {:.0} a second", self.rate())?;
        writeln!(to, "{:.2} µs of this process's processor time each", self.cost())?;
        writeln!(to)?;
        write!(to, "{FIELD}µs      {:>10}", "count")?;
        for name in ["min", "p50", "p90", "p99", "p99.9", "max"] {
            write!(to, " {name:>9}")?;
        }
        writeln!(to, "{FIELD:#}")?;
        for kind in Kind::ALL {
            let found = self.tally.latencies(kind);
            if found.is_empty() {
                continue;
            }
            write!(to, "{:<7} {:>10} {:>9.1}", kind.name(), found.len(), micros(found.min()))?;
            for (quantile, _) in QUANTILES {
                write!(to, " {:>9.1}", micros(found.value_at_quantile(quantile)))?;
            }
            writeln!(to, " {:>9.1}", micros(found.max()))?;
        }
        match &self.tally.first_error {
            Some(error) => {
                let errors = self.tally.errors;
                writeln!(to, "{WARN}{errors} operations failed, the first with: {error}{WARN:#}")
            }
            None => Ok(()),
        }
    }

    fn json(&self) -> Value {
        let mut latencies = Map::new();
        for kind in Kind::ALL {
            let found = self.tally.latencies(kind);
            if found.is_empty() {
                continue;
            }
            let mut of = Map::new();
            of.insert("count".to_owned(), json!(found.len()));
            of.insert("min_us".to_owned(), json!(micros(found.min())));
            for (quantile, name) in QUANTILES {
                let value = micros(found.value_at_quantile(quantile));
                of.insert(format!("{}_us", name.replace('.', "_")), json!(value));
            }
            of.insert("max_us".to_owned(), json!(micros(found.max())));
            latencies.insert(kind.name().to_owned(), Value::Object(of));
        }
        json!({
            "operations": self.operations(),
            "errors": self.tally.errors,
            "first_error": self.tally.first_error.as_ref().map(ToString::to_string),
            "seconds": self.took.as_secs_f64(),
            "operations_per_second": self.rate(),
            "processor_us_per_operation": self.cost(),
            "latency": latencies,
        })
    }
}
