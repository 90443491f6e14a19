//! What the world observes of its parties: the facts that invariants are about.

use alloc::borrow::ToOwned;
use alloc::string::String;

use crate::client::{ClientSession, Event, KeeperState, Link};
use crate::machine::Machine;
use crate::time::{Duration, Instant};
use crate::wire::{EventType, Request, SessionId, Xid, Zxid};

/// A client's session as its views show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// What its host's clock shows.
    pub now: Instant,
    /// The state that was last told.
    pub state: KeeperState,
    /// The session; the last one after the end.
    pub session: SessionId,
    /// The timeout in force.
    pub timeout: Duration,
    /// The newest transaction that an answer told of.
    pub last_zxid: Zxid,
    /// The wished-for state of the transport.
    pub link: Link,
    /// When it wants to be told the time.
    pub deadline: Option<Instant>,
    /// How many watches it would register again.
    pub watches: usize,
    /// Until when it vouches for the session.
    pub safe_until: Option<Instant>,
    /// Bytes that wait to be sent.
    pub transmit: usize,
    /// Whether all that this client has ever heard was what servers said: no bit of it was changed
    /// on the way.
    pub is_honest: bool,
}

impl View {
    pub(super) fn of(session: &ClientSession<'_>, now: Instant, is_honest: bool) -> Self {
        Self {
            now,
            state: session.state(),
            session: session.session_id(),
            timeout: session.timeout(),
            last_zxid: session.last_zxid(),
            link: session.poll_link(),
            deadline: session.poll_timeout(),
            watches: session.watches(),
            safe_until: session.safe_until(),
            transmit: session.poll_transmit().len(),
            is_honest,
        }
    }
}

/// Something that the world has observed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Fact<'a> {
    /// A client was told something, and looked like this before it could do anything about it.
    Told {
        /// Which.
        client: usize,
        /// What.
        event: &'a Event<'a>,
        /// What the session looks like now.
        view: &'a View,
        /// What the ensemble knows of the session.
        truth: Truth,
    },
    /// A client's request was accepted by its session. The path is that of the server.
    Asked {
        /// Whose.
        client: usize,
        /// Its number.
        xid: Xid,
        /// The request.
        request: &'a Request<'a>,
        /// Where the session's `/` lies.
        chroot: &'a str,
        /// When, by the host's clock.
        now: Instant,
    },
    /// A client's application no longer wants an answer.
    Cancelled {
        /// Whose.
        client: usize,
        /// Which.
        xid: Xid,
    },
    /// A client begins an attempt.
    Attempted {
        /// Which.
        client: usize,
        /// What the session looks like now.
        view: &'a View,
    },
    /// A client's transport, or its attempt at one, is over.
    Failed {
        /// Which.
        client: usize,
        /// What the session looks like now.
        view: &'a View,
        /// It left because it wanted to be elsewhere.
        on_purpose: bool,
    },
    /// Bytes of a client's have left.
    Spoke {
        /// Whose.
        client: usize,
        /// When, by the host's clock.
        now: Instant,
        /// The timeout in force.
        timeout: Duration,
    },
    /// A client was told the time, and has done all it could.
    Woken {
        /// Which.
        client: usize,
        /// What the session looks like now.
        view: &'a View,
    },
    /// A client has done all it could with what it heard.
    Rested {
        /// Which.
        client: usize,
        /// What the session looks like now.
        view: &'a View,
    },
    /// A client's host was asleep until now, or its clock stood still.
    Slept {
        /// Which.
        client: usize,
    },
    /// A client begins anew, with no session or with a ticket.
    Renewed {
        /// Which.
        client: usize,
        /// How many watches its ticket came with.
        watches: usize,
    },
    /// A session speaks through another connection from now on.
    Attached {
        /// Which.
        session: SessionId,
        /// The number of the connection; no other connection has it.
        connection: u64,
    },
    /// What came through a connection has changed znodes.
    Wrote {
        /// The session for which the connection spoke.
        session: SessionId,
        /// Its number.
        connection: u64,
    },
    /// A session is over in the ensemble.
    Ended {
        /// Which.
        session: SessionId,
        /// How many ephemeral znodes it has left behind.
        ephemerals: usize,
    },
    /// The ensemble has let a session expire; this is what one of its holders thinks.
    Outlived {
        /// The holder.
        client: usize,
        /// What its session looks like now.
        view: &'a View,
        /// How much the holder's clock is behind what it has measured at most, or `None` if it
        /// cannot be relied on.
        behind: Option<Duration>,
    },
    /// An ephemeral znode was created, and its creator knows.
    Created {
        /// Whose it is.
        session: SessionId,
        /// The server's path.
        path: &'a str,
    },
    /// Somebody wants a znode deleted.
    Doomed {
        /// The server's path.
        path: &'a str,
    },
    /// An ephemeral znode's owner as the ensemble has it after a transaction, if that is not its living
    /// creator.
    Owned {
        /// The znode.
        path: &'a str,
        /// The session it was created by.
        session: SessionId,
        /// Whether that is alive.
        is_alive: bool,
        /// Whose the znode is now; `None` if it is not there.
        owner: Option<SessionId>,
    },
    /// A znode has changed.
    Changed {
        /// The server's path.
        path: &'a str,
        /// How.
        kind: EventType,
        /// The transaction was not before this one.
        from: Zxid,
        /// It was this one or one before.
        to: Zxid,
    },
    /// The ensemble was told the time.
    EngineWoken {
        /// When.
        now: Instant,
        /// When it wants to be told again.
        deadline: Option<Instant>,
    },
    /// The ensemble has lost all that it had.
    Wiped,
    /// All faults are healed and long over.
    Healed {
        /// A client.
        client: usize,
        /// What its session looks like.
        view: &'a View,
    },
}

/// What the ensemble knows of a client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// It is alive.
    pub is_alive: bool,
    /// Something of it was taken in after the client last heard of it, or somebody else speaks for
    /// it too: then the client's own silence proves nothing.
    pub may_outlast_silence: bool,
}

/// The server's name of what a session calls `path`.
pub(super) fn absolute(chroot: &str, path: &str) -> String {
    if path == "/" && !chroot.is_empty() { chroot.to_owned() } else { [chroot, path].concat() }
}
