//! While a session reads from a server that has no quorum: looking for one that has.

use super::event::KeeperState;
use super::hosts::{HostIndex, Hosts};
use super::session::ClientSession;
use crate::error::DisconnectReason;
use crate::time::{Duration, Instant};

/// What a host said when it was asked whether it can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ProbeAnswer {
    /// It belongs to a quorum.
    ReadWrite,
    /// It serves reads only.
    ReadOnly,
    /// It does not serve, could not be reached, or did not answer in time.
    Failed,
}

impl ProbeAnswer {
    /// What to send, first and alone, over a transport of its own.
    pub const QUESTION: [u8; 4] = *b"isro";

    /// The longest answer there is, in bytes; the server closes behind it.
    pub const LONGEST: usize = 5;

    /// Reads all that a server answered to the [question](Self::QUESTION): `rw`, `ro`, or `null`
    /// from one that does not serve. Anything else, nothing included, counts as a failure.
    ///
    /// # Source
    /// `IsroCommand`, 3.8.0.
    pub fn parse(bytes: &[u8]) -> Self {
        match bytes.trim_ascii() {
            b"rw" => Self::ReadWrite,
            b"ro" => Self::ReadOnly,
            _ => Self::Failed,
        }
    }
}

/// What a session that may be connected to a read-only server does about it as time passes.
pub(super) type OnTime = fn(&mut Prober, Instant, &Hosts);

/// Asks one host after the other, ever less often.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    gap: Duration,
    /// The host last asked, in the shuffled order.
    cursor: u8,
    /// The host that is being asked; none at rest.
    asked: Option<HostIndex>,
    /// When it was asked; at rest, until when.
    at: Instant,
}

impl Prober {
    /// From the read-only connection to the first probe.
    const FIRST: Duration = Duration::from_millis(100);
    /// The longest time from one probe to the next.
    const LONGEST: Duration = Duration::from_secs(60);
    /// How long a probe may take, connecting included.
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) const fn new() -> Self {
        Self { gap: Self::FIRST, cursor: 0, asked: None, at: Instant::ORIGIN }
    }

    /// A server that can write has accepted the session, or is about to.
    pub(super) fn reset(&mut self) {
        self.gap = Self::FIRST;
    }

    /// A read-only server has accepted the session. Another one's turn does not make the probes
    /// come faster.
    pub(super) fn start(&mut self, now: Instant, hosts: &Hosts) {
        self.cursor = hosts.cursor();
        (self.asked, self.at) = (None, now.after(self.gap));
    }

    /// The hosts are others.
    pub(super) fn restart(&mut self, hosts: &Hosts) {
        self.cursor = hosts.cursor();
        self.rest();
    }

    pub(super) fn on_time(&mut self, now: Instant, hosts: &Hosts) {
        if self.asked.is_some() && now >= self.timeout() {
            self.rest();
        }
        if self.asked.is_none() && now >= self.timeout() {
            self.gap = self.gap.share(2, 1).min(Self::LONGEST);
            self.cursor = hosts.after(self.cursor);
            (self.asked, self.at) = (Some(hosts.at(self.cursor)), now);
        }
    }

    /// The next question comes a gap after this one.
    fn rest(&mut self) {
        if self.asked.take().is_some() {
            self.at = self.at.after(self.gap);
        }
    }

    fn timeout(&self) -> Instant {
        if self.asked.is_some() { self.at.after(Self::PATIENCE) } else { self.at }
    }
}

impl ClientSession<'_> {
    /// The host that is to be asked whether it can write, while a read-only server is connected. A
    /// level like [`poll_link`](Self::poll_link), and independent of it: open a second transport to
    /// this host, send [`ProbeAnswer::QUESTION`], and hand what comes back to
    /// [`handle_probed`](Self::handle_probed). `None` also takes a question back: whatever becomes
    /// of it no longer matters.
    ///
    /// A driver that never looks here is sound; its session then stays read-only until the
    /// connection is lost.
    ///
    /// The first question comes 100 ms after the connection, the gaps double up to 60 s, and each
    /// goes to the next host. None takes longer than a second.
    pub fn poll_probe(&self) -> Option<HostIndex> {
        self.prober.asked.filter(|_| self.is_probing())
    }

    /// What came of asking `host`; an answer that [`poll_probe`](Self::poll_probe) does not wait for
    /// is ignored. If the host can write, the connection to the read-only server is dropped with
    /// [`DisconnectReason::FoundReadWrite`] and that host is dialled next.
    pub fn handle_probed(&mut self, now: Instant, host: HostIndex, answer: ProbeAnswer) {
        self.tick(now);
        if self.poll_probe() != Some(host) {
            return;
        }
        self.prober.rest();
        if answer == ProbeAnswer::ReadWrite {
            self.prober.reset();
            self.hosts.prefer(host);
            self.lose(DisconnectReason::FoundReadWrite);
        }
    }

    pub(super) fn probe_on_time(&mut self) {
        if let Some(on_time) = self.read_only.filter(|_| self.is_probing()) {
            on_time(&mut self.prober, self.clock, &self.hosts);
        }
    }

    /// When the next probe is due, or the one under way over.
    pub(super) fn probe_timeout(&self) -> Option<Instant> {
        self.is_probing().then(|| self.prober.timeout())
    }

    fn is_probing(&self) -> bool {
        self.read_only.is_some()
            && self.is_connected()
            && self.told == KeeperState::ConnectedReadOnly
            && self.closing.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_those_of_isro() {
        for (bytes, answer) in [
            (&b"rw"[..], ProbeAnswer::ReadWrite),
            (b"rw\n", ProbeAnswer::ReadWrite),
            (b"ro", ProbeAnswer::ReadOnly),
            (b"null", ProbeAnswer::Failed),
            (b"", ProbeAnswer::Failed),
            (b"r", ProbeAnswer::Failed),
            (b"rwx", ProbeAnswer::Failed),
            (b"isro is not executed because it is not in the whitelist.\n", ProbeAnswer::Failed),
            (&[0xff; 40], ProbeAnswer::Failed),
        ] {
            assert_eq!(ProbeAnswer::parse(bytes), answer, "{bytes:?}");
        }
    }
}
