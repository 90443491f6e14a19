//! What holds in every world.

/// One of the properties that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Expiry is terminal, and a client is told of it only after the ensemble has ended the session.
    Expiry,
    /// Of two connections with one ticket only one can write; the other is told `SessionMoved` or
    /// loses its connection.
    OneVoice,
    /// An ephemeral znode exists exactly while its owner's session does.
    Ephemerals,
    /// Each accepted request is answered exactly once, before the state that tells of a loss.
    AnsweredOnce,
    /// No reply that tells of a later state than a watched change comes before the watch's event.
    EventsFirst,
    /// The zxid that a client has seen never goes back.
    Zxid,
    /// No watch fires twice; and once all is quiet, none that should have fired is waiting.
    Watches,
    /// `safe_until` is never later than the end of the session by time.
    SafeUntil,
    /// Left alone, every world comes to rest: clients are connected or told of their end, and when
    /// they close, nothing of theirs is left.
    Rest,
}

impl Law {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Expiry,
        Self::OneVoice,
        Self::Ephemerals,
        Self::AnsweredOnce,
        Self::EventsFirst,
        Self::Zxid,
        Self::Watches,
        Self::SafeUntil,
        Self::Rest,
    ];

    /// Its name in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expiry => "expiry is terminal and the ensemble's word",
            Self::OneVoice => "one voice behind a ticket",
            Self::Ephemerals => "ephemerals live as long as their session",
            Self::AnsweredOnce => "each request is answered once",
            Self::EventsFirst => "events come before replies",
            Self::Zxid => "the zxid never goes back",
            Self::Watches => "no watch is lost or doubled",
            Self::SafeUntil => "safe_until is not too late",
            Self::Rest => "every world comes to rest",
        }
    }
}

/// A law that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) law: Law,
    pub(crate) how: String,
}

pub(crate) type Checked = Result<(), Broken>;

impl Law {
    /// Holds, or is broken as `how` says.
    pub(crate) fn check(self, holds: bool, how: impl FnOnce() -> String) -> Checked {
        if holds { Ok(()) } else { Err(Broken { law: self, how: how() }) }
    }
}
