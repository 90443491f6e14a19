//! What is measured: the rows of the table.

use std::time::Duration;

/// The znode of 128 bytes.
pub(crate) const NODE: &str = "/bench/node";
pub(crate) const VALUE: [u8; 128] = [1; 128];
/// The znode of 64 KiB.
pub(crate) const BIG_NODE: &str = "/bench/big";
pub(crate) const BIG_VALUE: usize = 64 * 1024;
/// `exists` of this and a number makes the canned server send so many events of [`FLOODED`].
pub(crate) const FLOOD: &str = "/flood/";
pub(crate) const FLOODED: &str = "/flooded";
/// Events that one request sets off: few enough for clients whose queues are bounded.
pub(crate) const FLOOD_EVENTS: usize = 1_000;
/// Watches armed at a time.
pub(crate) const WATCHES: usize = 256;
/// Values of 64 KiB in flight.
pub(crate) const BIG_WINDOW: usize = 16;
/// The timeout of the sessions whose pings are counted, short so that there are some to count.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(6);
/// The timeout that the cost of pings is told for.
pub(crate) const TOLD_TIMEOUT: Duration = Duration::from_secs(30);

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// getData of 128 B, so many in flight, from so many tasks that share a client.
    Get { in_flight: usize, tasks: usize },
    /// getData of 64 KiB.
    BigGet,
    /// setData of 64 KiB.
    BigSet,
    /// getData that arms a watch, and its event.
    Rearm,
    /// Events of a persistent watch.
    Persistent,
    /// A session from its connection to its close.
    OpenClose,
    /// Sessions that do nothing but ping.
    Idle { sessions: usize },
}

pub(crate) const ROWS: [(&str, Work); 12] = [
    ("one", Work::Get { in_flight: 1, tasks: 1 }),
    ("get256", Work::Get { in_flight: 256, tasks: 1 }),
    ("get1000", Work::Get { in_flight: 1000, tasks: 1 }),
    ("get256x64", Work::Get { in_flight: 256, tasks: 64 }),
    ("get1000x64", Work::Get { in_flight: 1000, tasks: 64 }),
    ("get64k", Work::BigGet),
    ("set64k", Work::BigSet),
    ("rearm", Work::Rearm),
    ("persistent", Work::Persistent),
    ("open", Work::OpenClose),
    ("idle1000", Work::Idle { sessions: 1_000 }),
    ("idle10000", Work::Idle { sessions: 10_000 }),
];

impl Work {
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        ROWS.iter().find(|(row, _)| *row == name).map(|(_, work)| *work)
    }

    pub(crate) fn name(self) -> &'static str {
        ROWS.iter().find(|(_, work)| *work == self).map_or("", |(row, _)| row)
    }

    /// The row's title, with what one operation is.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Get { in_flight: 1, .. } => "getData of 128 B, one at a time".to_owned(),
            Self::Get { in_flight, tasks: 1 } => format!("getData of 128 B, {in_flight} in flight"),
            Self::Get { in_flight, tasks } => {
                format!("getData of 128 B, {in_flight} in flight, from {tasks} tasks")
            }
            Self::BigGet => format!("getData of 64 KiB, {BIG_WINDOW} in flight"),
            Self::BigSet => format!("setData of 64 KiB, {BIG_WINDOW} in flight"),
            Self::Rearm => format!("re-armed watch and its event, {WATCHES} armed"),
            Self::Persistent => "event of a persistent watch".to_owned(),
            Self::OpenClose => "session, opened and closed".to_owned(),
            Self::Idle { sessions } => format!("idle session, of {sessions} in one process"),
        }
    }

    pub(crate) const fn is_idle(self) -> bool {
        matches!(self, Self::Idle { .. })
    }

    /// Whether the row can be had of a server that is none of ours: it needs no other client.
    pub(crate) const fn runs_anywhere(self) -> bool {
        !matches!(self, Self::Rearm | Self::Persistent | Self::Idle { .. })
    }

    /// Operations in one turn of the row's loop.
    pub(crate) const fn window(self) -> usize {
        match self {
            Self::Get { in_flight, .. } => in_flight,
            Self::BigGet | Self::BigSet => BIG_WINDOW,
            Self::Rearm => WATCHES,
            Self::Persistent => FLOOD_EVENTS,
            Self::OpenClose => 1,
            Self::Idle { sessions } => sessions,
        }
    }
}

/// How many of `total` requests are the share of one of so many tasks.
pub(crate) const fn share(total: usize, tasks: usize, task: usize) -> usize {
    total / tasks + if task < total % tasks { 1 } else { 0 }
}

/// The paths that are watched one by one.
pub(crate) fn watched_paths() -> Vec<String> {
    (0..WATCHES).map(|n| format!("/bench/watched/{n:04}")).collect()
}
