//! A script that makes a difference, made as short as can be.

use std::fmt::{self, Write as _};

use crate::normal::Got;
use crate::peer::Peer;
use crate::play::{Answers, play};
use crate::script::Step;

/// Runs that a script may be shortened in.
const RUNS: usize = 400;

/// The two servers, and how many scripts they have played.
pub(crate) struct Pair {
    pub(crate) engine: Box<dyn Peer>,
    pub(crate) zookeeper: Box<dyn Peer>,
    pub(crate) runs: u32,
}

/// Where the two differ first.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) step: usize,
    pub(crate) engine: Answers,
    pub(crate) zookeeper: Answers,
}

impl Pair {
    pub(crate) fn new(engine: Box<dyn Peer>, zookeeper: Box<dyn Peer>) -> Self {
        Self { engine, zookeeper, runs: 0 }
    }

    /// Plays a script on both.
    pub(crate) fn differ(&mut self, steps: &[Step]) -> Option<Difference> {
        self.runs += 1;
        let name = format!("d{:06x}", self.runs);
        let zookeeper = play(&mut *self.zookeeper, &name, steps);
        let engine = play(&mut *self.engine, &name, steps);
        let differs = |(a, b): (&Answers, &Answers)| a != b || has_odd(a) || has_odd(b);
        let step = engine.iter().zip(&zookeeper).position(differs)?;
        let pick = |mut all: Vec<Answers>| all.swap_remove(step);
        Some(Difference { step, engine: pick(engine), zookeeper: pick(zookeeper) })
    }

    /// Leaves steps and requests out for as long as there is a difference.
    pub(crate) fn minimise(&mut self, steps: &[Step]) -> Vec<Step> {
        let end = self.runs.saturating_add(RUNS as u32);
        let mut best = steps.to_vec();
        if let Some(Difference { step, .. }) = self.differ(&best) {
            best.truncate(step + 1);
        }
        let mut size = best.len().div_ceil(2);
        while size > 0 && self.runs < end {
            let mut shorter = false;
            let mut at = best.len();
            while at > 0 && self.runs < end {
                let from = at.saturating_sub(size);
                let mut less = best.clone();
                less.drain(from..at.min(best.len()));
                if self.differ(&less).is_some() {
                    best = less;
                    shorter = true;
                }
                at = from;
            }
            if !shorter || size > 1 {
                size /= 2;
            }
        }
        for at in 0..best.len() {
            let mut call = 0;
            while self.runs < end {
                let mut less = best.clone();
                match &mut less[at] {
                    Step::Send { calls, .. } if calls.len() > 1 && call < calls.len() => {
                        calls.remove(call);
                    }
                    _ => break,
                }
                if self.differ(&less).is_some() {
                    best = less;
                } else {
                    call += 1;
                }
            }
        }
        best
    }

    /// What there is to say of a script that makes a difference.
    pub(crate) fn report(&mut self, steps: &[Step]) -> String {
        let steps = self.minimise(steps);
        let mut text = String::new();
        for (n, step) in steps.iter().enumerate() {
            let _ = writeln!(text, "  {n}: {step}");
        }
        match self.differ(&steps) {
            Some(difference) => text + &difference.to_string(),
            None => text + "  and the difference is gone\n",
        }
    }
}

fn has_odd(answers: &Answers) -> bool {
    answers.iter().flat_map(|(_, got)| got).any(|got| matches!(got, Got::Odd(_)))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  at step {}", self.step)?;
        let conns: std::collections::BTreeSet<_> =
            self.engine.iter().chain(&self.zookeeper).map(|(conn, _)| *conn).collect();
        for conn in conns {
            let of = |answers: &Answers| -> Vec<Got> {
                let here = answers.iter().filter(|(known, _)| *known == conn);
                here.flat_map(|(_, got)| got.clone()).collect()
            };
            let (engine, zookeeper) = (of(&self.engine), of(&self.zookeeper));
            if engine == zookeeper && !engine.iter().any(|got| matches!(got, Got::Odd(_))) {
                continue;
            }
            for (who, all) in [("engine", engine), ("zookeeper", zookeeper)] {
                writeln!(f, "    c{conn} {who}:")?;
                all.iter().try_for_each(|got| writeln!(f, "      {got:?}"))?;
            }
        }
        Ok(())
    }
}
