//! Who may write in the name of a session.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::Invariant;
use crate::sim::fact::Fact;
use crate::wire::SessionId;

/// One speaks for a session at a time: once a connection has resumed it, nothing is written through
/// an older one, be it another holder of the ticket or a packet that was late.
#[derive(Clone, Debug, Default)]
pub struct OneSpeaker(BTreeMap<SessionId, u64>);

impl Invariant for OneSpeaker {
    fn name(&self) -> &'static str {
        "one speaks for a session"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Attached { session, connection } => {
                self.0.insert(session, connection);
            }
            Fact::Ended { session, .. } => {
                self.0.remove(&session);
            }
            Fact::Wrote { session, connection } => {
                if let Some(newest) = self.0.get(&session).filter(|newest| **newest != connection) {
                    return Err(format!(
                        "session {session} has moved to connection {newest}, but connection \
                         {connection} has written"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
