//! Session passwords: a keyed hash of the session's id, so that they need no storage.
//!
//! ZooKeeper's own are a fixed function of the id: whoever knows an id can speak for its session.
//! Here they are SipHash-2-4 with 128 bits under a key that only this process knows, unless
//! ZooKeeper's are asked for.

use core::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::rng::Rng;
use crate::wire::{Passwd, SessionId};

/// How the password of a session is made from its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PasswdScheme {
    /// By a keyed hash: nobody can make it without the seed.
    #[default]
    Keyed,
    /// As ZooKeeper does: whoever knows a session's id can make its password. For tests, and for
    /// clients that come from a ZooKeeper with their sessions.
    ZooKeeper,
}

/// The password that ZooKeeper gives to a session.
///
/// # Source
/// `ZooKeeperServer.generatePasswd`, `java.util.Random.nextBytes`; 3.8.0.
pub fn zookeeper_passwd(id: SessionId) -> Passwd {
    const SECRET: u64 = 0xb341_5c00;
    const FACTOR: u64 = 0x5_deec_e66d;
    const STATE: u64 = (1 << 48) - 1;
    let mut state = (id.0.cast_unsigned() ^ SECRET ^ FACTOR) & STATE;
    let mut passwd = [0; 16];
    for four in passwd.chunks_exact_mut(4) {
        state = state.wrapping_mul(FACTOR).wrapping_add(0xb) & STATE;
        let [.., b3, b2, b1, b0] = (state >> 16).to_be_bytes();
        four.copy_from_slice(&[b0, b1, b2, b3]);
    }
    Passwd(passwd)
}

/// Makes and checks the passwords of sessions.
#[derive(Clone)]
pub(super) struct Passwds {
    /// `None`: as ZooKeeper does.
    key: Option<(u64, u64)>,
}

impl Passwds {
    pub(super) fn new(scheme: PasswdScheme, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let key = || (rng.next(), rng.next());
        Self { key: matches!(scheme, PasswdScheme::Keyed).then(key) }
    }

    pub(super) fn of(&self, id: SessionId) -> Passwd {
        let Some((k0, k1)) = self.key else { return zookeeper_passwd(id) };
        let mut hasher = SipHasher24::new_with_keys(k0, k1);
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
        let (ours, others) = {
            let keyed = |seed| Passwds::new(PasswdScheme::Keyed, seed);
            (keyed(1), keyed(2))
        };
        let (id, passwd) = (SessionId(5), ours.of(SessionId(5)));
        assert!(ours.verify(id, Some(&passwd.0)));
        assert!(!ours.verify(SessionId(6), Some(&passwd.0)));
        assert!(!others.verify(id, Some(&passwd.0)));
        assert!(!ours.verify(id, Some(&passwd.0[..15])));
        assert!(!ours.verify(id, None));
        assert!(!ours.verify(SessionId::NONE, Some(&ours.of(SessionId::NONE).0)));
    }

    #[test]
    fn zookeepers_passwords_are_a_function_of_the_id() {
        for (id, passwd) in [
            (0x0123_4567_89ab_cdef, 0xf7cd_1b8b_3f94_6c47_7425_d41b_e3f6_67c6_u128),
            (-2, 0x0dd5_32b5_c441_e392_7c04_b55e_50fd_9421),
        ] {
            assert_eq!(zookeeper_passwd(SessionId(id)).0, passwd.to_be_bytes());
            let passwds = Passwds::new(PasswdScheme::ZooKeeper, 7);
            assert!(passwds.verify(SessionId(id), Some(&passwd.to_be_bytes())));
        }
    }
}
