//! The loops that every client runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::meter::{Budget, Figures, Meter, resident_bytes};
use crate::peer::{Peer, Result, Sharing};
use crate::work::{
    BIG_NODE, BIG_VALUE, BIG_WINDOW, FLOOD, FLOOD_EVENTS, FLOODED, IDLE_TIMEOUT, NODE, Work, share,
    watched_paths,
};

/// The session timeout of all rows but the idle ones: nothing pings while they run.
const TIMEOUT: Duration = Duration::from_secs(30);
static BIG: [u8; BIG_VALUE] = [2; BIG_VALUE];

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) addr: SocketAddr,
    pub(crate) work: Work,
    pub(crate) budget: Budget,
    /// Worker threads of a tokio runtime; 0 for one that runs on the calling thread.
    pub(crate) threads: usize,
}

/// Runs a row, warm-up first.
pub(crate) async fn run<P: Peer>(job: &Job) -> Result<Figures> {
    match job.work {
        Work::Idle { sessions } => idle::<P>(job, sessions).await,
        Work::OpenClose => {
            open_close::<P>(job.addr, job.budget.warm_up()).await?;
            let meter = Meter::start();
            let sessions = open_close::<P>(job.addr, job.budget).await?;
            Ok(meter.stop(sessions))
        }
        Work::Get { in_flight, tasks } if tasks > 1 && P::SHARING != Sharing::Alone => {
            let peer = Arc::new(P::open(job.addr, TIMEOUT).await?);
            crowd(&peer, in_flight, tasks, job.budget.warm_up()).await?;
            let meter = Meter::start();
            let operations = crowd(&peer, in_flight, tasks, job.budget).await?;
            Ok(meter.stop(operations))
        }
        work => {
            let mut peer = P::open(job.addr, TIMEOUT).await?;
            if work == Work::Persistent {
                peer.watch(FLOODED).await?;
            }
            turns(&mut peer, work, job.budget.warm_up()).await?;
            let meter = Meter::start();
            let (operations, p50) = turns(&mut peer, work, job.budget).await?;
            Ok(Figures { p50, ..meter.stop(operations) })
        }
    }
}

/// One task's loop; returns the operations done, and the median if they went one at a time.
async fn turns<P: Peer>(
    peer: &mut P,
    work: Work,
    budget: Budget,
) -> Result<(usize, Option<Duration>)> {
    let mut running = budget.start();
    match work {
        Work::Get { in_flight: 1, .. } => {
            let mut each = Vec::new();
            while running.again() {
                let since = Instant::now();
                peer.get(NODE, 1).await?;
                each.push(since.elapsed());
            }
            each.sort_unstable();
            return Ok((running.turns, each.get(each.len() / 2).copied()));
        }
        Work::Get { in_flight, .. } => {
            while running.again() {
                peer.get(NODE, in_flight).await?;
            }
        }
        Work::BigGet => {
            while running.again() {
                peer.get(BIG_NODE, BIG_WINDOW).await?;
            }
        }
        Work::BigSet => {
            while running.again() {
                peer.set(BIG_NODE, &BIG, BIG_WINDOW).await?;
            }
        }
        Work::Rearm => {
            let paths = watched_paths();
            while running.again() {
                peer.rearm(&paths).await?;
            }
        }
        Work::Persistent => {
            let path = format!("{FLOOD}{FLOOD_EVENTS}");
            while running.again() {
                peer.flood(&path, FLOOD_EVENTS).await?;
            }
        }
        Work::OpenClose | Work::Idle { .. } => {}
    }
    Ok((running.turns * work.window(), None))
}

/// Many tasks or threads that share a client, each with its share of the requests in flight.
async fn crowd<P: Peer>(
    peer: &Arc<P>,
    in_flight: usize,
    tasks: usize,
    budget: Budget,
) -> Result<usize> {
    async fn one<P: Peer>(peer: Arc<P>, share: usize, budget: Budget) -> Result<usize> {
        let mut running = budget.start();
        while running.again() {
            peer.get(NODE, share).await?;
        }
        Ok(running.turns * share)
    }
    let work = |task| one(peer.clone(), share(in_flight, tasks, task), budget);
    let mut operations = 0;
    if P::SHARING == Sharing::Threads {
        let run = |task| {
            let work = work(task);
            thread::spawn(|| futures::executor::block_on(work))
        };
        for thread in (0..tasks).map(run).collect::<Vec<_>>() {
            operations += thread.join().map_err(|_| "a thread has panicked")??;
        }
    } else {
        for task in (0..tasks).map(|task| tokio::spawn(work(task))).collect::<Vec<_>>() {
            operations += task.await.map_err(|error| error.to_string())??;
        }
    }
    Ok(operations)
}

async fn open_close<P: Peer>(addr: SocketAddr, budget: Budget) -> Result<usize> {
    let mut running = budget.start();
    while running.again() {
        P::open(addr, TIMEOUT).await?.close().await?;
    }
    Ok(running.turns)
}

/// Memory of sessions that do nothing, and then the CPU of their pings.
async fn idle<P: Peer>(job: &Job, count: usize) -> Result<Figures> {
    // What the first session brings with it is not what each costs.
    let mut sessions = vec![P::open(job.addr, IDLE_TIMEOUT).await?];
    sessions.reserve_exact(count);
    let before = resident_bytes();
    for _ in 0..count {
        sessions.push(P::open(job.addr, IDLE_TIMEOUT).await?);
    }
    // A round of pings each, after which nothing is left of the handshakes.
    P::rest(&mut sessions, IDLE_TIMEOUT / 2).await?;
    let bytes = resident_bytes().saturating_sub(before) as f64 / count as f64;
    let meter = Meter::start();
    P::rest(&mut sessions, IDLE_TIMEOUT).await?;
    let figures = Figures { session_bytes: Some(bytes), ..meter.stop(count) };
    // Thousands of them need not be closed one by one.
    std::mem::forget(sessions);
    Ok(figures)
}
