//! A run from its start to its report.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::Common;
use crate::faults::{harm_wires, hurt_servers};
use crate::gauge::Gauge;
use crate::member::Member;
use crate::observer::Observer;
use crate::registry::Registry;
use crate::tally::{Rule, Tally};
use crate::target::Target;
use crate::wires::Wires;

/// How long a call may take: the longest fault, the longest start of a server, and reserve.
const PATIENCE: Duration = Duration::from_secs(120);
const SETTLE: Duration = Duration::from_secs(60);

/// How a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many sessions at a time.
    pub sessions: usize,
    /// How many groups share wires.
    pub groups: usize,
    /// How long faults go on.
    pub time: Duration,
    /// All choices follow from it, but not what the system's timing makes of them.
    pub seed: u64,
}

/// What a run was.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    common: Arc<Common>,
    before: Gauge,
    after: Gauge,
    took: Duration,
}

/// Runs it.
///
/// # Errors
/// The ensemble or the system failed, so that nothing can be said.
pub fn run(target: &Target, plan: Plan) -> Result<Report, Box<dyn std::error::Error>> {
    let common = Arc::new(Common {
        tally: Tally::default(),
        registry: Registry::default(),
        last_config: AtomicI32::new(0),
        beats: (0..plan.sessions).map(|_| AtomicU64::new(0)).collect(),
    });
    let tally = &common.tally;
    let wires = Wires::new(plan.groups.max(1), &target.addrs())?;
    let servers: Vec<_> = target.addrs().iter().map(ToString::to_string).collect();
    let observer = Observer::connect(&servers.join(","), common.clone(), target.remembers_all())?;
    let mut rng = Rng::with_seed(plan.seed);

    thread::scope(|scope| {
        let members: Vec<_> = (0..plan.sessions)
            .map(|number| {
                let way = wires.connect_string(number % wires.groups());
                let member = Member::new(number, way, common.clone(), rng.u64(..));
                scope.spawn(|| member.run())
            })
            .collect();
        let observing = scope.spawn(|| observer.run());
        let outcome = (|| {
            settle(&wires, &common, plan.sessions)?;
            let before = Gauge::read()?;
            let until = Instant::now() + plan.time;
            let (servers, others) = (rng.fork(), rng.fork());
            let hurting = scope.spawn(move || hurt_servers(target, tally, servers, until));
            let wires = &wires;
            let harming = scope.spawn(move || harm_wires(wires, tally, others, until));
            while !(hurting.is_finished() && harming.is_finished()) {
                thread::sleep(Duration::from_millis(500));
                watch_over(&common);
            }
            hurting.join().map_err(|_| "the thread that hurts servers died")??;
            harming.join().map_err(|_| "the thread that harms wires died")??;
            settle(wires, &common, plan.sessions)?;
            Ok::<_, Box<dyn std::error::Error>>((before, Gauge::read()?))
        })();
        tally.calm();
        let observer = observing.join().map_err(|_| "the observer died")?;
        if outcome.is_ok() {
            common.last_config.store(observer.change_last()?, Ordering::SeqCst);
        }
        tally.end();
        while !members.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(100));
            watch_over(&common);
        }
        for member in members {
            member.join().map_err(|_| "a member died")?;
        }
        let (before, after) = outcome?;
        tally.hold(Rule::NothingGrows, after.fits(&before), || format!("{before}, then {after}"));
        let patience = Instant::now() + SETTLE; // for what was closed without an answer
        let mut left = observer.left()?;
        while !left.is_empty() && Instant::now() < patience {
            thread::sleep(Duration::from_millis(200));
            left = observer.left()?;
        }
        tally.hold(Rule::EphemeralGoes, left.is_empty(), || format!("at the end: {left:?}"));
        let took = tally.elapsed();
        Ok(Report { plan, common: common.clone(), before, after, took })
    })
}

/// Waits until every member has one connection and its ephemeral znode, and nobody else has any.
fn settle(wires: &Wires, common: &Common, sessions: usize) -> Result<(), String> {
    let patience = Instant::now() + SETTLE;
    let mut calm_since = None;
    loop {
        let living =
            common.registry.with(|lives| lives.values().filter(|l| l.client.is_some()).count());
        let calm = living == sessions && wires.connections() == sessions;
        if !calm {
            calm_since = None;
        }
        if calm_since.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(1) && calm {
            return Ok(());
        }
        if Instant::now() > patience {
            let connections = wires.connections();
            return Err(format!("{living} sessions and {connections} connections, not {sessions}"));
        }
        thread::sleep(Duration::from_millis(50));
        watch_over(common);
    }
}

/// Every member does something now and then.
fn watch_over(common: &Common) {
    for (number, beat) in common.beats.iter().enumerate() {
        let beat_at = Duration::from_millis(beat.load(Ordering::SeqCst));
        if common.tally.elapsed() > beat_at + PATIENCE {
            common.tally.violate(Rule::NothingHangs, format!("member {number} hangs"));
            eprintln!("nothing more can be learned from a run that hangs");
            std::process::exit(1);
        }
    }
}

impl Report {
    /// The rules that were broken.
    pub fn broken(&self) -> BTreeSet<Rule> {
        self.common.tally.counts().violations.iter().map(|violation| violation.rule).collect()
    }

    /// Whether no rule was broken.
    pub fn is_clean(&self) -> bool {
        self.common.tally.counts().violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.common.tally.counts();
        let Plan { sessions, groups, time, seed } = self.plan;
        let (took, faults) = (self.took.as_secs_f64(), time.as_secs());
        writeln!(
            f,
            "seed {seed}: {sessions} sessions in {groups} groups, {took:.0} s, {faults} s of faults"
        )?;
        for (title, table) in [
            ("faults", &counts.faults),
            ("requests by outcome", &counts.requests),
            ("sessions", &counts.sessions),
        ] {
            writeln!(f, "{title}:")?;
            for (what, count) in table {
                writeln!(f, "  {count:9}  {what}")?;
            }
        }
        let (same, other) = counts.resumed;
        writeln!(
            f,
            "  {same:9}  reconnected to the same server\n  {other:9}  moved to another server"
        )?;
        writeln!(f, "notifications: {}", counts.notifications)?;
        let (gap, who) = &counts.longest_gap;
        writeln!(
            f,
            "longest time without a server, session kept: {:.1} s ({who})",
            gap.as_secs_f64()
        )?;
        writeln!(f, "before: {}\nafter:  {}", self.before, self.after)?;
        for violation in &counts.violations {
            writeln!(f, "VIOLATION {violation}")?;
        }
        write!(f, "rules broken: {}", counts.violations.len())
    }
}
