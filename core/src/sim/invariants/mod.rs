//! What must be true after every event, whatever happens.
//!
//! | invariant | says |
//! | --- | --- |
//! | [`ExpiryIsFinal`] | nothing is told after the end, and a session keeps its id until then |
//! | [`ExpiryIsTrue`] | whoever is told of an expiry has none left, by the ensemble's own state |
//! | [`OneSpeaker`] | nothing is written through a connection that another has taken over from |
//! | [`EphemeralsLiveWithTheirSession`] | an ephemeral exists exactly while its session does |
//! | [`OneAnswerEach`] | each request is answered once, in order, in time |
//! | [`NobodyTalksNonsense`] | without changed bits, no peer ever sees a protocol error |
//! | [`WatchesFireOnce`] | no watch is lost or fires twice; events come before later replies |
//! | [`ZxidsGoUp`] | no client goes back in time |
//! | [`SafeIsSafe`] | no session expires while its holder may rely on it |
//! | [`AttemptsAreBounded`] | attempts keep the promised distances |
//! | [`NobodyFallsSilent`] | a connected client says something every third of its timeout |
//! | [`BuffersAreBounded`] | nobody has more to send than there is room for |
//! | [`TimeGoesOn`] | nobody who was told the time wants to be told it again |
//! | [`AllComeBack`] | when everything is healed, sessions are connected or over |

mod answers;
mod attempts;
mod bounds;
mod ephemerals;
mod expiry;
mod speaker;
mod watches;

use alloc::string::String;
use core::fmt;

pub use answers::{NobodyTalksNonsense, OneAnswerEach, ZxidsGoUp};
pub use attempts::AttemptsAreBounded;
pub use bounds::{AllComeBack, BuffersAreBounded, NobodyFallsSilent, TimeGoesOn};
pub use ephemerals::EphemeralsLiveWithTheirSession;
pub use expiry::{ExpiryIsFinal, ExpiryIsTrue, SafeIsSafe};
pub use speaker::OneSpeaker;
pub use watches::WatchesFireOnce;

use super::fact::Fact;
use crate::storage::Limits;

/// Something that must be true of all that happens.
pub trait Invariant {
    /// Its name, for reports.
    fn name(&self) -> &'static str;

    /// Takes a fact in.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String>;
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl core::error::Error for Violation {}

/// All invariants of this module.
#[derive(Clone, Debug)]
pub struct Invariants {
    expiry_is_final: ExpiryIsFinal,
    expiry_is_true: ExpiryIsTrue,
    one_speaker: OneSpeaker,
    ephemerals: EphemeralsLiveWithTheirSession,
    answers: OneAnswerEach,
    nonsense: NobodyTalksNonsense,
    watches: WatchesFireOnce,
    zxids: ZxidsGoUp,
    safe: SafeIsSafe,
    attempts: AttemptsAreBounded,
    silence: NobodyFallsSilent,
    buffers: BuffersAreBounded,
    time: TimeGoesOn,
    back: AllComeBack,
}

impl Invariants {
    /// Nothing has been observed. `limits` are those of every client's memory.
    pub fn new(limits: Limits) -> Self {
        Self {
            expiry_is_final: ExpiryIsFinal::default(),
            expiry_is_true: ExpiryIsTrue,
            one_speaker: OneSpeaker::default(),
            ephemerals: EphemeralsLiveWithTheirSession::default(),
            answers: OneAnswerEach::new(limits.requests),
            nonsense: NobodyTalksNonsense,
            watches: WatchesFireOnce::default(),
            zxids: ZxidsGoUp::default(),
            safe: SafeIsSafe,
            attempts: AttemptsAreBounded::default(),
            silence: NobodyFallsSilent::default(),
            buffers: BuffersAreBounded::new(limits.transmit),
            time: TimeGoesOn::default(),
            back: AllComeBack,
        }
    }

    /// The ephemeral znodes that there should be, and whose they are.
    pub fn ephemerals(&self) -> impl Iterator<Item = (&str, crate::wire::SessionId)> + '_ {
        self.ephemerals.expected()
    }

    /// Takes a fact in.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn observe(&mut self, fact: &Fact<'_>) -> Result<(), Violation> {
        match fact {
            // The usual: each is for few invariants.
            Fact::Rested { .. } => {
                check(&mut self.answers, fact)?;
                check(&mut self.watches, fact)?;
                check(&mut self.buffers, fact)
            }
            Fact::Woken { .. } => {
                check(&mut self.expiry_is_final, fact)?;
                check(&mut self.time, fact)
            }
            Fact::Spoke { .. } => check(&mut self.silence, fact),
            Fact::EngineWoken { .. } => check(&mut self.time, fact),
            _ => {
                check(&mut self.expiry_is_final, fact)?;
                check(&mut self.expiry_is_true, fact)?;
                check(&mut self.one_speaker, fact)?;
                check(&mut self.ephemerals, fact)?;
                check(&mut self.nonsense, fact)?;
                check(&mut self.watches, fact)?;
                check(&mut self.answers, fact)?;
                check(&mut self.zxids, fact)?;
                check(&mut self.safe, fact)?;
                check(&mut self.attempts, fact)?;
                check(&mut self.silence, fact)?;
                check(&mut self.back, fact)
            }
        }
    }
}

fn check(invariant: &mut impl Invariant, fact: &Fact<'_>) -> Result<(), Violation> {
    let name = invariant.name();
    invariant.observe(fact).map_err(|what| Violation { invariant: name, what })
}

/// One value for each client, made when it is first asked for.
#[derive(Clone, Debug)]
struct PerClient<T>(alloc::vec::Vec<T>);

impl<T> Default for PerClient<T> {
    fn default() -> Self {
        Self(alloc::vec::Vec::new())
    }
}

impl<T: Default> PerClient<T> {
    /// The value of a client; clients are counted from 0 without gaps.
    fn of(&mut self, client: usize) -> Option<&mut T> {
        if client >= self.0.len() && client < 1 << 20 {
            self.0.resize_with(client.saturating_add(1), T::default);
        }
        self.0.get_mut(client)
    }
}

#[cfg(test)]
mod tests;
