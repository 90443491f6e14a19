//! The thread that looks after sessions which no other thread does.
//!
//! A session that has just been opened has no thread of its own: it gets one when it lives for longer
//! than a moment. Until then the thread that opened it reads and writes, and one of the process looks
//! in. So does it when a deadline comes before the time until which a thread of the session sleeps.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::shared::Shared;

/// How often it looks at the most; a session lives longer than this at least until it gets a thread.
pub(super) const TURN: Duration = Duration::from_millis(1);

/// How long it waits for another session before it ends.
const REST: Duration = Duration::from_millis(100);

struct Keeper {
    /// Sessions, and when to look at them.
    due: Vec<(Instant, Arc<Shared>)>,
    runs: bool,
    /// Until when it sleeps.
    until: Option<Instant>,
}

static KEEPER: Mutex<Keeper> = Mutex::new(Keeper { due: Vec::new(), runs: false, until: None });
static EARLIER: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, Keeper> {
    KEEPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the session looked after at that time, or a little later.
pub(super) fn look_after(shared: Arc<Shared>, at: Instant) -> io::Result<()> {
    let mut keeper = lock();
    if !keeper.runs {
        thread::Builder::new().name("zk-session-keep".to_owned()).spawn(run)?;
        keeper.runs = true;
    }
    // Sessions that have short deadlines beside long ones would be there many times.
    match keeper.due.iter_mut().find(|(_, known)| Arc::ptr_eq(known, &shared)) {
        Some((known, _)) => *known = at.min(*known),
        None => keeper.due.push((at, shared)),
    }
    if keeper.until.is_some_and(|until| at < until) {
        EARLIER.notify_one();
    }
    Ok(())
}

fn run() {
    let mut keeper = lock();
    loop {
        let now = Instant::now();
        let due: Vec<_> = keeper.due.extract_if(.., |(at, _)| *at <= now).collect();
        if !due.is_empty() {
            drop(keeper);
            for (_, shared) in due {
                shared.look_in();
            }
            // Not at every single one of many that follow each other.
            thread::sleep(TURN);
            keeper = lock();
            continue;
        }
        let next = keeper.due.iter().map(|(at, _)| *at).min();
        let until = next.unwrap_or(now + REST);
        keeper.until = Some(until);
        let waited = EARLIER.wait_timeout(keeper, until.saturating_duration_since(now));
        keeper = waited.unwrap_or_else(PoisonError::into_inner).0;
        keeper.until = None;
        if next.is_none() && keeper.due.is_empty() && Instant::now() >= until {
            keeper.runs = false;
            return;
        }
    }
}
