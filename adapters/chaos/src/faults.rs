//! What is done to servers and wires, at random and by a seed.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::tally::Tally;
use crate::target::Target;
use crate::wires::{Harm, Wires};

/// Hurts one server after the other until the run's calm begins.
///
/// # Errors
/// A server did not come back.
pub fn hurt_servers(
    target: &Target,
    tally: &Tally,
    mut rng: Rng,
    until: Instant,
) -> io::Result<()> {
    while wait(rng.u64(500..4000), until) {
        let server = rng.usize(..Target::SERVERS);
        match rng.u32(..10) {
            0..5 => {
                say(tally, "server killed", &format!("server {server}"));
                tally.hurting(true);
                target.kill(server)?;
                wait(rng.u64(100..6000), until);
                target.restart(server)?;
            }
            5..9 => {
                say(tally, "server paused", &format!("server {server}"));
                tally.hurting(true);
                target.pause(server)?;
                wait(rng.u64(200..9000), until);
                target.resume(server)?;
            }
            _ => {
                say(tally, "two servers killed", &format!("all but server {server}"));
                tally.hurting(true);
                let mut others = (0..Target::SERVERS).filter(|other| *other != server);
                others.clone().try_for_each(|other| target.kill(other))?;
                wait(rng.u64(100..3000), until);
                others.try_for_each(|other| target.restart(other))?;
            }
        }
        (0..Target::SERVERS).try_for_each(|server| target.wait(server))?;
        tally.hurting(false);
    }
    Ok(())
}

/// Harms the wires of one group after the other until the run's calm begins.
///
/// # Errors
/// A relay cannot listen again.
pub fn harm_wires(wires: &Wires, tally: &Tally, mut rng: Rng, until: Instant) -> io::Result<()> {
    while wait(rng.u64(200..1500), until) {
        let group = rng.usize(..wires.groups());
        let server = rng.bool().then(|| rng.usize(..Target::SERVERS));
        let (kind, harm) = match rng.u32(..10) {
            0..3 => ("wire cut", Harm::Cut),
            3..6 => ("wire silent", Harm::Silence),
            6..8 => ("wire slow", Harm::Lag(Duration::from_millis(rng.u64(20..700)))),
            _ => ("wire choppy", Harm::Split(rng.usize(1..9))),
        };
        // Longer than the session timeout at times: such a group's sessions expire.
        let time = if rng.u32(..5) == 0 { rng.u64(5000..9000) } else { rng.u64(50..3000) };
        say(tally, kind, &format!("group {group} to {server:?} {harm:?} for {time} ms"));
        wires.harm(group, server, harm)?;
        wait(time, until);
        wires.mend(group)?;
    }
    Ok(())
}

fn say(tally: &Tally, kind: &str, what: &str) {
    tally.fault(kind);
    if std::env::var_os("CHAOS_VERBOSE").is_some() {
        eprintln!("{:9.3} s  {kind}: {what}", tally.elapsed().as_secs_f64());
    }
}

/// Waits, but not beyond `until`; false if that is reached.
fn wait(millis: u64, until: Instant) -> bool {
    let left = until.saturating_duration_since(Instant::now());
    thread::sleep(left.min(Duration::from_millis(millis)));
    Instant::now() < until
}
