//! How many handshakes a server answers in a span of time.

use super::EngineConfig;
use crate::time::Instant;

/// Tokens: a handshake takes some, time brings them back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TokenBucket {
    /// Tokens taken and not come back.
    missing: u32,
    filled: Instant,
}

/// What a handshake asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    New,
    Resume,
}

impl TokenBucket {
    /// Takes the tokens of a handshake; false if there are not enough.
    ///
    /// # Source
    /// `BlueThrottle.checkLimit`, `ZooKeeperServer.processConnectRequest`, 3.8.0.
    pub(super) fn take(
        &mut self,
        now: Instant,
        handshake: Handshake,
        config: &EngineConfig,
    ) -> bool {
        let most = config.connection_throttle_tokens;
        if most == 0 {
            return true;
        }
        let needed = match handshake {
            _ if !config.connection_throttle_weights => 1,
            Handshake::New => 3,
            Handshake::Resume => 2,
        };
        let (passed, span) = (now.since(self.filled), config.connection_throttle_fill_time);
        if passed > span {
            let count = u64::from(config.connection_throttle_fill_count);
            let gained = passed.as_millis().saturating_mul(count);
            let gained = gained.checked_div(span.as_millis().max(1)).unwrap_or(0);
            self.missing = self.missing.saturating_sub(u32::try_from(gained).unwrap_or(u32::MAX));
            self.filled = now;
        }
        let left = most.saturating_sub(self.missing);
        if left < needed {
            return false;
        }
        self.missing = self.missing.saturating_add(needed);
        true
    }
}
