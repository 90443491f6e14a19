//! Session passwords: a keyed hash of the session's id, so that they need no storage.
//!
//! ZooKeeper's own are a fixed function of the id: whoever knows an id can speak for its session.
//! Here they are SipHash-2-4 with 128 bits under a key that only this process knows.

use core::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::rng::Rng;
use crate::wire::{Passwd, SessionId};

/// Makes and checks the passwords of sessions.
#[derive(Clone)]
pub(super) struct Passwds {
    key: (u64, u64),
}

impl Passwds {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        Self { key: (rng.next(), rng.next()) }
    }

    pub(super) fn of(&self, id: SessionId) -> Passwd {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write(&id.0.to_be_bytes());
        Passwd(hasher.finish128().as_u128().to_be_bytes())
    }

    /// Whether the password is the session's; takes as long for any of 16 bytes.
    pub(super) fn verify(&self, id: SessionId, passwd: Option<&[u8]>) -> bool {
        let Passwd(expected) = self.of(id);
        let given = passwd.unwrap_or_default();
        let difference =
            expected.iter().zip(given).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        id.is_some() & (given.len() == expected.len()) & (core::hint::black_box(difference) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_opens_its_own_session_under_its_own_seed_only() {
        let (ours, others) = (Passwds::new(1), Passwds::new(2));
        let (id, passwd) = (SessionId(5), ours.of(SessionId(5)));
        assert!(ours.verify(id, Some(&passwd.0)));
        assert!(!ours.verify(SessionId(6), Some(&passwd.0)));
        assert!(!others.verify(id, Some(&passwd.0)));
        assert!(!ours.verify(id, Some(&passwd.0[..15])));
        assert!(!ours.verify(id, None));
        assert!(!ours.verify(SessionId::NONE, Some(&ours.of(SessionId::NONE).0)));
    }
}
