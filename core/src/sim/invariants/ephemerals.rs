//! Ephemeral znodes and their sessions.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;

use super::Invariant;
use crate::sim::fact::Fact;
use crate::wire::SessionId;

/// An ephemeral znode that its creator knows of exists exactly while the creator's session does,
/// unless somebody wants it deleted.
#[derive(Clone, Debug, Default)]
pub struct EphemeralsLiveWithTheirSession {
    expected: BTreeMap<String, SessionId>,
    doomed: BTreeSet<String>,
}

impl EphemeralsLiveWithTheirSession {
    pub(super) fn expected(&self) -> impl Iterator<Item = (&str, SessionId)> + '_ {
        self.expected.iter().map(|(path, session)| (path.as_str(), *session))
    }
}

impl Invariant for EphemeralsLiveWithTheirSession {
    fn name(&self) -> &'static str {
        "an ephemeral exists exactly while its session does"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Created { session, path } if !self.doomed.contains(path) => {
                self.expected.insert(path.to_owned(), session);
            }
            Fact::Doomed { path } => {
                self.doomed.insert(path.to_owned());
                self.expected.remove(path);
            }
            Fact::Owned { path, session, is_alive, owner } => {
                if is_alive && owner != Some(session) {
                    return Err(format!(
                        "session {session} is alive, but its {path} belongs to {owner:?}"
                    ));
                }
                if !is_alive {
                    if owner == Some(session) {
                        return Err(format!("session {session} is over, but its {path} is there"));
                    }
                    self.expected.remove(path);
                }
            }
            Fact::Wiped => self.expected.clear(),
            Fact::Ended { session, ephemerals } if ephemerals > 0 => {
                return Err(format!(
                    "session {session} is over and still owns {ephemerals} znodes"
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
