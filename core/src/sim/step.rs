//! The vocabulary of a script: what applications do and what goes wrong, as plain data.

use alloc::string::String;
use alloc::vec::Vec;

use super::pipe::Weather;
use crate::time::Duration;

/// One thing that happens in a [`World`](super::World). Clients and servers are counted from 0 in
/// the order in which they were added; what names one that is not there does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// An application asks for something; nothing happens if the session takes no requests now.
    Ask {
        /// Whose application.
        client: usize,
        /// For what.
        wish: Wish,
    },
    /// An application closes its session.
    Close {
        /// Whose application.
        client: usize,
    },
    /// An application whose session is over wants a new one.
    Reopen {
        /// Whose application.
        client: usize,
    },
    /// A client leaves its own session and goes on with a copy of another one's ticket, while that
    /// one goes on with it, too.
    Copy {
        /// Whose ticket.
        from: usize,
        /// Who uses it.
        to: usize,
    },
    /// A server goes down in an orderly way: its connections are closed, new ones refused.
    Stop {
        /// Which.
        server: usize,
    },
    /// A server is there again.
    Start {
        /// Which.
        server: usize,
    },
    /// All servers restart with empty disks.
    Wipe,
    /// An administrator ends a client's session.
    Expire {
        /// Whose session.
        client: usize,
    },
    /// Nothing comes through between a client and a server, in either direction; nobody is told.
    Cut {
        /// The client.
        client: usize,
        /// The server.
        server: usize,
    },
    /// Nothing comes through in one direction.
    HalfOpen {
        /// The client.
        client: usize,
        /// The server.
        server: usize,
        /// The direction that is broken.
        way: Way,
    },
    /// A server is cut off from all clients, and goes on running.
    Isolate {
        /// Which.
        server: usize,
    },
    /// Between a client and a server everything comes through again; what waited arrives now.
    Heal {
        /// The client.
        client: usize,
        /// The server.
        server: usize,
    },
    /// All servers run, and everything comes through everywhere.
    HealAll,
    /// A client's connection is reset: both ends are told, what was on its way is lost.
    Reset {
        /// Whose connection.
        client: usize,
    },
    /// The network's latency, jitter and pieces from now on.
    Weather(Weather),
    /// A client reads at most 64 bytes at a time, with pauses.
    Slow {
        /// Which.
        client: usize,
        /// The pause; none: it reads as fast as it can again.
        pause: Duration,
    },
    /// One bit of what is on its way to a client is changed, or of what comes next.
    Garble {
        /// To which.
        client: usize,
    },
    /// A host's clock goes this many milliseconds in a second: 1000 is right, 0 stands still.
    ClockRate {
        /// Whose host.
        client: usize,
        /// Milliseconds in a second.
        per_mille: u32,
    },
    /// A host sleeps: its process does nothing, what arrives waits.
    Suspend {
        /// Whose host.
        client: usize,
        /// How long.
        span: Duration,
        /// What its clock does meanwhile.
        clock: Asleep,
    },
    /// A client is given a new list of hosts.
    Hosts {
        /// Which.
        client: usize,
        /// The servers on it; the hosts are called `s0`, `s1` and so on.
        servers: Vec<usize>,
    },
    /// A host's name leads to another server from now on.
    Dns {
        /// The name.
        name: String,
        /// Where it leads; a server that is not there: the name is not known.
        server: usize,
    },
}

/// A direction of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

/// What the clock of a suspended host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asleep {
    /// It goes on, as a clock that counts the time asleep (Linux' `CLOCK_BOOTTIME`) does.
    ClockRuns,
    /// It stands still, as `CLOCK_MONOTONIC` does.
    ClockStops,
}

/// What an application may ask for. Paths are the world's own: `/w0` to `/w9` are znodes to watch and
/// change, `/e` is the parent of ephemeral ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Creates a persistent znode.
    Create(u8),
    /// Creates a child of one.
    CreateChild(u8),
    /// Deletes such a child.
    DeleteChild(u8),
    /// Sets a znode's data.
    SetData(u8),
    /// Deletes a znode.
    Delete(u8),
    /// Creates a sequential ephemeral znode.
    Ephemeral,
    /// Reads a znode's data and watches it.
    WatchData(u8),
    /// Asks whether a znode exists and watches it.
    WatchExists(u8),
    /// Lists a znode's children and watches them.
    WatchChildren(u8),
    /// Adds a persistent watch.
    WatchPersistently(u8),
    /// Adds a persistent recursive watch.
    WatchRecursively(u8),
    /// Removes all watches of a znode.
    Unwatch(u8),
    /// Reads a znode's data and does not watch it.
    Read(u8),
    /// Waits for the leader.
    Sync,
    /// Adds a credential.
    Authenticate,
}
