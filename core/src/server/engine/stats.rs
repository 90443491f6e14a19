//! What a server and its connections have done, in plain integers.
//!
//! # Source
//! `ServerStats`, `ServerCnxn.updateStatsForResponse`, 3.8.0.

use core::fmt;

use crate::server::ServerEvent;
use crate::time::{Duration, Instant};
use crate::wire::{OpCode, Xid, Zxid};

/// How long requests waited, in milliseconds of the engine's clock, from the arrival of their last
/// byte to their answer. They are executed as they arrive, so only those wait whose client does not
/// take its replies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Latency {
    pub(super) last: u64,
    least: Option<u64>,
    pub(super) most: u64,
    total: u64,
    count: u64,
}

impl Latency {
    pub(super) fn record(&mut self, latency: Duration, requests: u64) {
        let millis = latency.as_millis();
        self.last = millis;
        self.least = Some(self.least.map_or(millis, |least| least.min(millis)));
        self.most = self.most.max(millis);
        self.total = self.total.saturating_add(millis.saturating_mul(requests));
        self.count = self.count.saturating_add(requests);
    }

    pub(super) fn least(&self) -> u64 {
        self.least.unwrap_or(0)
    }

    /// The average in whole milliseconds.
    pub(super) fn whole_average(&self) -> u64 {
        self.total.checked_div(self.count).unwrap_or(0)
    }

    pub(super) fn average(&self) -> Average {
        Average { total: self.total, count: self.count }
    }
}

/// An average that prints as ZooKeeper's: four digits behind the point at most, one at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Average {
    total: u64,
    count: u64,
}

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, count) = (u128::from(self.total), u128::from(self.count.max(1)));
        let half = count.checked_div(2).unwrap_or(0);
        let scaled = total.saturating_mul(10_000).saturating_add(half);
        let scaled = scaled.checked_div(count).unwrap_or(0);
        let (mut whole, mut digits, mut width) = (scaled, 0_u128, 4_usize);
        if let (Some(quotient), Some(rest)) =
            (scaled.checked_div(10_000), scaled.checked_rem(10_000))
        {
            (whole, digits) = (quotient, rest);
        }
        while let (true, Some(0), Some(shorter)) =
            (width > 1, digits.checked_rem(10), digits.checked_div(10))
        {
            (digits, width) = (shorter, width.saturating_sub(1));
        }
        write!(f, "{whole}.{digits:0width$}")
    }
}

/// What one connection has done since it was opened or its statistics were reset.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionStats {
    pub(super) received: u64,
    pub(super) sent: u64,
    /// Four letters, `NA` if there was none.
    pub(super) last_op: &'static str,
    /// Of a request with a number of its own.
    pub(super) last_cxid: Option<Xid>,
    pub(super) last_zxid: Zxid,
    pub(super) last_response: Instant,
    pub(super) latency: Latency,
}

impl Default for ConnectionStats {
    fn default() -> Self {
        Self {
            received: 0,
            sent: 0,
            last_op: "NA",
            last_cxid: None,
            last_zxid: Zxid(-1),
            last_response: Instant::ORIGIN,
            latency: Latency::default(),
        }
    }
}

/// What one server has done since it was added or its statistics were reset.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerStats {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) latency: Latency,
}

/// What else one server has counted since it was added or its statistics were reset.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerCounters {
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// Handshakes that asked for a new session or for an old one.
    pub(super) handshakes: u64,
    /// Handshakes among them that asked for an old one.
    pub(super) revalidations: u64,
    /// Connections closed as there were too many already.
    pub(super) rejected: u64,
    /// Handshakes dropped by the throttle.
    pub(super) throttled: u64,
    pub(super) auth_failed: u64,
    /// The leader expires sessions.
    pub(super) sessions_expired: u64,
    pub(super) sessionless_expired: u64,
    pub(super) large_rejected: u64,
}

/// What was executed in one go; all of it had arrived when it began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Executed {
    pub(super) requests: u64,
    /// The last request that counts as an operation.
    pub(super) last: Option<(LastOp, Xid)>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LastOp {
    Request(OpCode),
    Ping,
    Close,
}

impl Executed {
    #[inline]
    pub(super) fn note(&mut self, event: &ServerEvent<'_>) {
        self.requests = self.requests.wrapping_add(1);
        match *event {
            ServerEvent::Request { op: OpCode::Auth | OpCode::Sasl, .. } => {}
            ServerEvent::Request { xid, op, .. } | ServerEvent::Undecodable { xid, op, .. } => {
                self.last = Some((LastOp::Request(op), xid));
            }
            ServerEvent::Ping { .. } => self.last = Some((LastOp::Ping, Xid::PING)),
            ServerEvent::Close { xid } => self.last = Some((LastOp::Close, xid)),
            // A new session's is noted where it is made; words are no requests.
            ServerEvent::Connect(_) | ServerEvent::UnknownOp { .. } => {}
            ServerEvent::FourLetterWord(_) | ServerEvent::SetTraceMask(_) => {
                self.requests = self.requests.wrapping_sub(1);
            }
        }
    }
}

impl LastOp {
    /// # Source
    /// `FinalRequestProcessor.processRequest`, 3.8.0.
    pub(super) fn letters(self) -> &'static str {
        let Self::Request(op) = self else {
            return if matches!(self, Self::Ping) { "PING" } else { "CLOS" };
        };
        match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                "CREA"
            }
            OpCode::Delete => "DELE",
            OpCode::Exists => "EXIS",
            OpCode::GetData => "GETD",
            OpCode::SetData => "SETD",
            OpCode::GetAcl => "GETA",
            OpCode::SetAcl => "SETA",
            OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
            OpCode::Sync => "SYNC",
            OpCode::Multi => "MULT",
            OpCode::MultiRead => "MLTR",
            OpCode::Reconfig => "RECO",
            OpCode::SetWatches => "SETW",
            OpCode::SetWatches2 => "STW2",
            OpCode::AddWatch => "ADDW",
            OpCode::CheckWatches => "CHKW",
            OpCode::RemoveWatches => "REMW",
            OpCode::WhoAmI => "HOMI",
            OpCode::GetEphemerals => "GETE",
            OpCode::GetAllChildrenNumber => "GETACN",
            OpCode::Ping => "PING",
            OpCode::CloseSession => "CLOS",
            _ => "NA",
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn averages_print_as_zookeepers() {
        for (total, count, text) in [
            (0, 0, "0.0"),
            (31, 8, "3.875"),
            (2, 3, "0.6667"),
            (1593, 761, "2.0933"),
            (20, 2, "10.0"),
            (1, 20_000, "0.0001"),
            (u64::MAX, 1, "18446744073709551615.0"),
        ] {
            assert_eq!(Average { total, count }.to_string(), text);
        }
    }

    #[test]
    fn a_latency_has_its_bounds_from_what_was_recorded() {
        let mut latency = Latency::default();
        assert_eq!((latency.least(), latency.most, latency.whole_average()), (0, 0, 0));
        latency.record(Duration::from_millis(7), 3);
        latency.record(Duration::from_millis(2), 1);
        assert_eq!((latency.least(), latency.most, latency.last), (2, 7, 2));
        assert_eq!((latency.whole_average(), latency.average().to_string()), (5, "5.75".into()));
    }
}
