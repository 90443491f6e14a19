//! The lifecycle story on the embedded ensemble and on a real one, with the same observations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use zk_session::client::KeeperState;
use zk_session_examples::lifecycle::{Embedded, Faults, Observed, Stage, play};
use zk_session_testkit::{RealEnsemble, Relay};

const TIMEOUT: Duration = Duration::from_millis(3000);

fn assert_story(stage: &Stage) {
    let mut lines = Vec::new();
    let played = play(stage, TIMEOUT, &mut |line| lines.push(line.to_owned()));
    let observed: Observed = match played {
        Ok(observed) => observed,
        Err(error) => panic!("{error}\n{}", lines.join("\n")),
    };
    use KeeperState::{Disconnected, Expired, SyncConnected};
    assert_eq!(
        observed.states,
        [SyncConnected, Disconnected, SyncConnected, Disconnected, Expired],
        "{lines:#?}"
    );
    assert_eq!(observed.timeout, TIMEOUT);
    assert!(observed.session_id.is_some());
    assert_ne!(observed.hosts[0], observed.hosts[1]);
    let svg = observed.timeline.svg();
    for part in ["connected", "away", "expired", "over", "down", "fault", "told", "end"] {
        assert!(svg.contains(&format!("class=\"{part}\"")), "no {part} in the picture\n{svg}");
    }
    // A third of the timeout can pass between the last touch and the cut; a tick and a half of
    // lateness is the ensemble's right, the rest is this machine's.
    assert!(observed.expiry >= TIMEOUT * 2 / 3 - Duration::from_millis(200), "{observed:?}");
    assert!(observed.expiry <= TIMEOUT + Duration::from_millis(3 * 750), "{observed:?}");
}

#[test]
fn the_story_holds_on_the_embedded_ensemble() {
    let ensemble = Embedded::start().unwrap();
    let addrs = ensemble.addrs();
    assert_story(&Stage::new(addrs, "", Box::new(ensemble)).unwrap());
}

#[test]
fn the_story_holds_below_a_chroot_that_must_be_made() {
    let ensemble = Embedded::start().unwrap();
    let addrs = ensemble.addrs();
    assert_story(&Stage::new(addrs, "/made/for/this", Box::new(ensemble)).unwrap());
}

/// Kills the process of a server.
#[derive(Debug)]
struct Processes(Arc<RealEnsemble>);

impl Faults for Processes {
    fn kill(&self, server: usize, _: &Relay) -> io::Result<()> {
        self.0.kill(server)
    }

    fn describe(&self) -> &'static str {
        "server process killed"
    }
}

#[test]
fn the_story_holds_on_a_real_ensemble_of_three() {
    let ensemble = Arc::new(RealEnsemble::builder().nodes(3).tick_ms(500).start().unwrap());
    let addrs = ensemble.addrs().to_vec();
    assert_story(&Stage::new(addrs, "", Box::new(Processes(ensemble))).unwrap());
}

#[test]
fn the_story_holds_where_servers_are_only_reached_and_cannot_be_killed() {
    let ensemble = Embedded::start().unwrap();
    let hosts: Vec<String> = ensemble.addrs().iter().map(ToString::to_string).collect();
    assert_story(&Stage::reach(&format!("{}/reached", hosts.join(","))).unwrap());
}

#[test]
fn connect_strings_that_cannot_be_played_are_named() {
    let wrong = |string| Stage::reach(string).unwrap_err();
    assert_eq!(wrong("h:x"), "port is not a number of 0..=65535, at byte 2");
    assert_eq!(wrong("127.0.0.1:1"), "the story needs at least two servers");
}
