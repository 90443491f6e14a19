//! What the tests have in common.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use zk_session_std::EmbeddedEnsemble;
use zk_session_tokio::{Client, ClientBuilder, KeeperState, Transition, Transitions};

/// What must happen happens within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn ensemble(servers: usize) -> EmbeddedEnsemble {
    let tick = Duration::from_millis(500);
    EmbeddedEnsemble::builder().servers(servers).tick(tick).extended_types().start().unwrap()
}

pub(crate) fn builder(hosts: impl Into<String>) -> ClientBuilder {
    Client::builder(hosts).timeout(Duration::from_secs(3))
}

pub(crate) async fn client(ensemble: &EmbeddedEnsemble) -> Client {
    builder(ensemble.connect_string()).connect().await.unwrap()
}

/// Fails the test if it takes too long.
pub(crate) async fn soon<T>(future: impl IntoFuture<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("takes too long")
}

/// The next transition to this state; earlier ones are passed over.
pub(crate) async fn until(transitions: &mut Transitions, state: KeeperState) -> Transition {
    soon(async {
        loop {
            let next = transitions.next().await.expect("the session is over");
            if next.state == state {
                return next;
            }
        }
    })
    .await
}

/// The process's resident memory in bytes.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
