//! One session as its member sees it.

use std::time::Instant;

use zk_session::client::Cause;
use zk_session::wire::SessionId;
use zk_session_std::{Client, Events};

/// What is known of a session's watch on the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// There is none.
    None,
    /// Armed when the config had this version.
    Armed(i32),
    /// It has fired, and the config had this version before.
    Fired(i32),
    /// The session changed hands while it may have fired: it is there or not.
    Unsure,
    /// As `Armed`, and what it tells may be what an unsure one has told.
    Rearmed(i32),
}

/// A session, what it was told, and what it should know.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) events: Events,
    pub(crate) id: SessionId,
    /// The name of its ephemeral znode, once there is one.
    pub(crate) ephemeral: Option<String>,
    pub(crate) host: String,
    pub(crate) lost_at: Option<Instant>,
    pub(crate) watch: Watch,
    /// The newest version of the config that it has read.
    pub(crate) config: i32,
    pub(crate) end: Option<Cause>,
}

impl Session {
    pub(crate) const fn is_armed(&self) -> bool {
        matches!(self.watch, Watch::Armed(_) | Watch::Rearmed(_))
    }
}
