//! Pings: how many, how fast, and what becomes of those that nobody answers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use support::{ensemble, soon, until};
use tokio::time::{Instant, sleep};
use zk_session_testkit::Relay;
use zk_session_tokio::{Client, KeeperState, Pings};

/// A ping every third of it.
const TIMEOUT: Duration = Duration::from_millis(1200);

async fn when(client: &Client, is_so: impl Fn(Pings) -> bool) -> Pings {
    soon(async {
        while !is_so(client.pings()) {
            sleep(Duration::from_millis(5)).await;
        }
        client.pings()
    })
    .await
}

#[tokio::test]
async fn pings_of_an_idle_session_are_counted_and_timed() {
    let ensemble = ensemble(1);
    let began = Instant::now();
    let client = Client::builder(ensemble.connect_string()).timeout(TIMEOUT).start().unwrap();
    assert_eq!(client.pings(), Pings::default());
    soon(client.wait_connected(TIMEOUT)).await.unwrap();
    let after_two = when(&client, |pings| pings.answered == 2).await;
    assert_eq!(after_two.sent, 2);
    assert!(began.elapsed() >= 2 * TIMEOUT / 3 - Duration::from_millis(5));
    let took = after_two.last_round_trip.unwrap();
    assert!(took > Duration::ZERO && took < TIMEOUT / 3, "{took:?}");
    assert!(client.last_heard().elapsed() < TIMEOUT / 3);
    // One that is in use needs none.
    let busy = Instant::now();
    while busy.elapsed() < TIMEOUT {
        client.exists("/").await.unwrap();
        sleep(TIMEOUT / 12).await;
    }
    assert_eq!(client.pings().sent, 2);
    soon(client.close()).await.unwrap();
    assert_eq!((client.pings().sent, client.pings().answered), (2, 2));
}

#[tokio::test]
async fn a_ping_that_a_silent_server_leaves_unanswered_is_lost_with_the_connection() {
    let ensemble = ensemble(1);
    let relay = Relay::start(ensemble.connect_string().parse().unwrap()).unwrap();
    let hosts = relay.addr().to_string();
    let client = Client::builder(hosts).timeout(TIMEOUT).connect().await.unwrap();
    let mut transitions = client.transitions();
    let before = when(&client, |pings| pings.answered == 1).await;
    relay.blackhole().unwrap();
    let lost = until(&mut transitions, KeeperState::Disconnected).await;
    let silent = client.pings();
    assert!(silent.sent > before.sent, "{silent:?}");
    assert_eq!((silent.answered, silent.last_round_trip), (1, before.last_round_trip));
    let why = lost.why().unwrap();
    assert!(why.at.since(why.last_heard).as_millis() >= 2 * 1200 / 3, "{why}");
    relay.mend().unwrap();
    until(&mut transitions, KeeperState::SyncConnected).await;
    let again = when(&client, |pings| pings.answered == 2).await;
    assert_eq!(again.sent, silent.sent + 1);
    soon(client.close()).await.unwrap();
}
