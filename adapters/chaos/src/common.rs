//! What all threads of a run share.

use std::sync::atomic::{AtomicI32, AtomicU64};
use std::time::Duration;

use crate::registry::Registry;
use crate::tally::Tally;

/// The znode that changes all the time.
pub const CONFIG: &str = "/chaos/config";
/// Where the ephemeral znodes are.
pub const LIVE: &str = "/chaos/live";
/// Where the counters are.
pub const COUNT: &str = "/chaos/count";
/// The session timeout that members ask for.
pub const TIMEOUT: Duration = Duration::from_secs(4);

/// What all members share.
#[derive(Debug)]
pub struct Common {
    /// What happened.
    pub tally: Tally,
    /// The lives of all sessions.
    pub registry: Registry,
    /// The version of the last change of the config, once it is made.
    pub last_config: AtomicI32,
    /// When each member was last seen to do something, in milliseconds since the start.
    pub beats: Vec<AtomicU64>,
}
