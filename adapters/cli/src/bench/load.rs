//! What one task of the bench does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;
use zk_session_tokio::op::Node;
use zk_session_tokio::{Client, Error, Pending, Stat};

use crate::exit::Exit;
use crate::failure::Failure;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Set,
    Create,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Get, Self::Set, Self::Create];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Create => "create",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Get => 0,
            Self::Set => 1,
            Self::Create => 2,
        }
    }
}

/// How often each kind comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    gets: u32,
    sets: u32,
    creates: u32,
}

impl Mix {
    /// None if nothing ever comes.
    pub(super) fn new(gets: u16, sets: u16, creates: u16) -> Option<Self> {
        let (gets, sets, creates) = (gets.into(), sets.into(), creates.into());
        (gets != 0 || sets != 0 || creates != 0).then_some(Self { gets, sets, creates })
    }

    const fn draw(self, dice: u64) -> Kind {
        let all = (self.gets as u64) + (self.sets as u64) + (self.creates as u64);
        let drawn = dice % all;
        if drawn < self.gets as u64 {
            Kind::Get
        } else if drawn < self.gets as u64 + self.sets as u64 {
            Kind::Set
        } else {
            Kind::Create
        }
    }
}

/// When a task is done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    Time(Instant),
    Count(u64),
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Tally {
    /// Nanoseconds from the call to the answer, by kind.
    latencies: [Histogram<u64>; 3],
    /// How many operations failed, and with what first.
    pub(super) errors: u64,
    pub(super) first_error: Option<Error>,
}

impl Tally {
    /// Nothing yet.
    ///
    /// # Errors
    /// If there is no memory for histograms of three digits.
    pub(super) fn new() -> Result<Self, Failure> {
        let new =
            || Histogram::new(3).map_err(|error| Failure::other(error.to_string(), Exit::Failed));
        Ok(Self { latencies: [new()?, new()?, new()?], errors: 0, first_error: None })
    }

    pub(super) fn latencies(&self, kind: Kind) -> &Histogram<u64> {
        let [get, set, create] = &self.latencies;
        match kind {
            Kind::Get => get,
            Kind::Set => set,
            Kind::Create => create,
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (own, other) in self.latencies.iter_mut().zip(&other.latencies) {
            let _ = own.add(other); // it grows
        }
        self.errors = self.errors.saturating_add(other.errors);
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
    }

    fn record(&mut self, kind: Kind, asked: Instant, error: Option<Error>) {
        if error.is_some() {
            self.errors = self.errors.saturating_add(1);
            self.first_error = self.first_error.take().or(error);
            return;
        }
        let nanos = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Some(own) = self.latencies.get_mut(kind.index()) {
            let _ = own.record(nanos.max(1)); // it grows
        }
    }
}

/// The path of a znode that is read and written.
pub(super) fn key(root: &str, key: u32) -> String {
    format!("{root}/k-{key:05}")
}

/// One task.
pub(super) struct Load {
    pub(super) client: Client,
    pub(super) root: String,
    pub(super) value: Vec<u8>,
    pub(super) keys: u32,
    pub(super) mix: Mix,
    pub(super) in_flight: usize,
    pub(super) number: u64,
    pub(super) until: Until,
    /// What all tasks have done.
    pub(super) done: Arc<AtomicU64>,
}

/// An answer that is on its way.
enum Flight {
    Get(Pending<Node>),
    Set(Pending<Stat>),
    Create(Pending<String>),
}

impl Load {
    /// Keeps the window full until it is time, and takes all answers. Answers come in the order of
    /// the requests, so that the oldest is always the one to wait for.
    pub(super) async fn run(self) -> Result<Tally, Failure> {
        let keys: Vec<String> = (0..self.keys).map(|number| key(&self.root, number)).collect();
        let mut tally = Tally::new()?;
        let mut window = VecDeque::with_capacity(self.in_flight);
        let mut dice = Dice(self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mut sent = 0_u64;
        loop {
            while window.len() < self.in_flight && !self.is_over(sent) {
                window.push_back((Instant::now(), self.send(&keys, &mut dice, sent)));
                sent = sent.saturating_add(1);
            }
            let Some((asked, flight)) = window.pop_front() else { return Ok(tally) };
            let (kind, error) = match flight {
                Flight::Get(answer) => (Kind::Get, answer.await.err()),
                Flight::Set(answer) => (Kind::Set, answer.await.err()),
                Flight::Create(answer) => (Kind::Create, answer.await.err()),
            };
            if let Some(over) = error.as_ref().filter(|error| error.is_session_over()) {
                return Err(Failure::from(over.clone()));
            }
            tally.record(kind, asked, error);
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_over(&self, sent: u64) -> bool {
        match self.until {
            Until::Time(at) => Instant::now() >= at,
            Until::Count(count) => sent >= count,
        }
    }

    fn send(&self, keys: &[String], dice: &mut Dice, sent: u64) -> Flight {
        let kind = self.mix.draw(dice.roll());
        let at = usize::try_from(dice.roll()).unwrap_or_default() % keys.len().max(1);
        let path = keys.get(at).map_or("/", String::as_str);
        match kind {
            Kind::Get => Flight::Get(self.client.get(path).send()),
            Kind::Set => Flight::Set(self.client.set(path, &self.value).send()),
            Kind::Create => {
                let path = format!("{}/c-{}-{sent}", self.root, self.number);
                Flight::Create(self.client.create(&path, &self.value).send())
            }
        }
    }
}

/// Marsaglia's xorshift: enough to choose a znode.
struct Dice(u64);

impl Dice {
    const fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }
}
