//! How a session shows itself.

use core::fmt;

use super::session::ClientSession;

/// The password stays out.
impl fmt::Debug for ClientSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSession")
            .field("connect_string", &self.lists.newest(&self.connect_string))
            .field("session_id", &self.session_id)
            .field("timeout", &self.live.timeout)
            .field("state", &self.told)
            .field("phase", &self.phase)
            .field("last_zxid", &self.last_zxid)
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}
