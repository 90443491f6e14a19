//! The session itself: its state, its inputs and its views.

use super::config::ClientConfig;
use super::connect_string::{ConnectString, Host};
use super::credential::Credentials;
use super::deadline::NEVER;
use super::event::{Cause, KeeperState};
use super::expiry::Expiry;
use super::host_lists::HostLists;
use super::hosts::{HostIndex, Hosts};
use super::inflight::InFlight;
use super::liveness::{Backoff, Liveness};
use super::phase::{After, Closing, Link, Phase};
use super::probe::{OnTime, Prober};
use super::registry::Registry;
use super::sasl::Exchanger;
use super::submit::{Replay, TAIL_RESERVE};
use super::why::Why;
use crate::error::{ConfigError, DisconnectReason};
use crate::machine::{Io, Machine};
use crate::rng::Rng;
use crate::storage::{Inbox, Outbox, Queue, Storage, Text};
use crate::time::{Duration, Instant, Maybe, MaybeSpan};
use crate::wire::{PASSWD_BYTES, Passwd, ReplyHeader, RequestHeader, SessionId, Xid, Zxid};

/// One ZooKeeper client session. It outlives any number of connections.
///
/// See the [module](super) for its states and the driver's loop. Dropping it leaves the session to
/// its timeout; [`close`](ClientSession::close) ends it at once.
pub struct ClientSession<'b> {
    /// The first one: its chroot holds, whatever the hosts are now.
    pub(super) connect_string: Text<'b>,
    /// Where the chroot begins in the connection string; its end if there is none.
    pub(super) chroot_at: usize,
    pub(super) requested_timeout: Duration,
    pub(super) read_only: Option<OnTime>,
    pub(super) close_timeout: Duration,
    new_session_deadline: MaybeSpan,
    pub(super) frame_limit: usize,
    pub(super) sasl: Option<&'static Exchanger>,

    pub(super) inbox: Inbox<'b>,
    pub(super) outbox: Outbox<'b>,
    pub(super) registry: Registry<'b>,
    pub(super) in_flight: Queue<'b, InFlight>,
    pub(super) earliest_deadline: Instant,
    /// What to do when it has passed; there once a request had a deadline.
    pub(super) on_deadline: Option<fn(&mut ClientSession<'_>)>,

    pub(super) rng: Rng,
    pub(super) lists: HostLists<'b>,
    pub(super) hosts: Hosts,
    pub(super) prober: Prober,
    pub(super) live: Liveness,
    pub(super) expiry: Expiry,
    pub(super) backoff: Backoff,
    pub(super) phase: Phase,
    /// The latest time that was told; the clock never runs backwards in here.
    pub(super) clock: Instant,
    pub(super) established_at: Instant,
    /// When to stop looking for a server that gives a session.
    pub(super) give_up_at: Maybe,

    pub(super) session_id: SessionId,
    pub(super) passwd: Passwd,
    /// Whether a server that can write has accepted the session: only then it can be resumed.
    pub(super) resumable: bool,
    pub(super) last_zxid: Zxid,
    pub(super) next_xid: Xid,
    /// The state that the application was last told.
    pub(super) told: KeeperState,
    pub(super) last_disconnect: Option<(HostIndex, DisconnectReason)>,
    pub(super) why: Option<Why>,
    /// When the phase last changed for a reason that the application is told.
    pub(super) changed_at: Instant,
    /// Attempts since a server last accepted the session.
    pub(super) attempts: u32,

    pub(super) replay: Replay,
    /// What there is to do about credentials; there once one has been submitted.
    pub(super) credentials: Option<&'static Credentials>,
    pub(super) closing: Option<Closing>,
    pub(super) odd_events: u32,
}

/// The chroot that begins there in a connection string, borrowed from the string alone.
#[cfg_attr(target_pointer_width = "64", inline)]
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
pub(super) fn chroot(connect_string: &str, at: usize) -> &str {
    // Most sessions have none, and need not look for the boundary of a character.
    if at >= connect_string.len() {
        return "";
    }
    connect_string.get(at..).unwrap_or_default()
}

impl<'b> ClientSession<'b> {
    /// The least a receive buffer can be: a handshake's answer.
    const RECV_LEAST: usize = 4 + 21 + PASSWD_BYTES;
    /// The least a transmit buffer can be: a handshake, or the shortest request beside what is
    /// always kept free.
    const TRANSMIT_LEAST: usize = 4 + 29 + PASSWD_BYTES;

    /// Sets up a session that will ask for its first transport as soon as it is told the time.
    ///
    /// # Errors
    /// [`ConfigError`] if the connection string is not valid, the timeout is zero or too long, or
    /// the memory is too small to ever connect.
    pub fn new(
        config: ClientConfig<'b>,
        storage: Storage<'b>,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let parsed =
            ConnectString::parse(&config.connect_string).map_err(ConfigError::ConnectString)?;
        let count = parsed.hosts().count();
        let chroot_at = config.connect_string.len().saturating_sub(parsed.chroot().len());
        if config.timeout == Duration::ZERO || i32::try_from(config.timeout.as_millis()).is_err() {
            return Err(ConfigError::Timeout);
        }
        for (buffer, size, needed) in [
            ("receive", storage.recv.limit(), Self::RECV_LEAST),
            ("transmit", storage.transmit.limit(), Self::TRANSMIT_LEAST),
        ] {
            if size < needed {
                return Err(ConfigError::BufferTooSmall { buffer, size, needed });
            }
        }
        if storage.requests.limit() == 0 {
            return Err(ConfigError::NoRequestSlots);
        }
        let mut rng = Rng::new(config.seed);
        Ok(Self {
            chroot_at,
            requested_timeout: config.timeout,
            read_only: config.read_only,
            close_timeout: config.close_timeout,
            new_session_deadline: MaybeSpan::of(config.new_session_deadline),
            frame_limit: config.frame_limit,
            expiry: Expiry::new(&config, now),
            sasl: config.sasl,
            connect_string: config.connect_string,
            inbox: Inbox::new(storage.recv),
            outbox: Outbox::new(storage.transmit),
            registry: Registry::new(storage.registry),
            in_flight: storage.requests,
            earliest_deadline: NEVER,
            on_deadline: None,
            lists: HostLists::default(),
            hosts: Hosts::new(count, 0, &mut rng),
            prober: Prober::new(),
            rng,
            live: Liveness::new(config.timeout, now),
            backoff: Backoff::new(),
            phase: Phase::Backoff { until: now },
            clock: now,
            established_at: now,
            give_up_at: Self::give_up(config.new_session_deadline, now),
            session_id: SessionId::NONE,
            passwd: Passwd::ZERO,
            resumable: false,
            last_zxid: Zxid(0),
            next_xid: Xid(1),
            told: KeeperState::Disconnected,
            last_disconnect: None,
            why: None,
            changed_at: now,
            attempts: 0,
            replay: Replay::default(),
            credentials: None,
            closing: None,
            odd_events: 0,
        })
    }

    fn give_up(span: Option<Duration>, now: Instant) -> Maybe {
        span.map_or(Maybe::NONE, |span| Maybe::at(now.after(span)))
    }

    /// The session's id; none before a server has given one, and the last one after the end.
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The timeout that holds: negotiated once connected, requested before.
    pub const fn timeout(&self) -> Duration {
        self.live.timeout
    }

    /// The newest transaction that an answer told of.
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The state that was last told by an event.
    pub const fn state(&self) -> KeeperState {
        self.told
    }

    /// The host that is connected, or was last tried.
    pub fn current_host(&self) -> HostIndex {
        self.hosts.current()
    }

    /// The name and port of a host, of the list in use or of the one before.
    pub fn host(&self, host: HostIndex) -> Option<Host<'_>> {
        self.lists.host(&self.connect_string, host)
    }

    /// Where this session's `/` lies on the server; empty for the server's own root.
    pub fn chroot(&self) -> &str {
        chroot(&self.connect_string, self.chroot_at)
    }

    /// Which host was lost or could not be reached last, and why. Failed attempts raise no event
    /// while the session is disconnected anyway.
    pub const fn last_disconnect(&self) -> Option<(HostIndex, DisconnectReason)> {
        self.last_disconnect
    }

    /// How many watches would be registered again on a new connection.
    pub fn watches(&self) -> usize {
        self.registry.watches()
    }

    /// The dialled transport is open.
    pub fn handle_connected(&mut self, now: Instant) {
        self.tick(now);
        if let Phase::Dialling { deadline } = self.phase {
            self.phase = Phase::Priming { deadline };
            self.live.heard(self.clock);
            self.send_handshake();
        }
    }

    /// What is to become of the transport.
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn poll_link(&self) -> Link {
        match self.phase {
            Phase::Dialling { .. } => Link::Dial(self.hosts.current()),
            Phase::Priming { .. } | Phase::Authenticating(_) | Phase::Connected => Link::Up,
            Phase::Backoff { .. } | Phase::Draining { .. } | Phase::Ended => Link::Down,
        }
    }

    /// Asks for the end of the session: its ephemeral znodes go at once. Requests in flight are
    /// still answered; new ones are refused. The final `Closed` comes with the ensemble's answer,
    /// or without it after the configured close timeout.
    pub fn close(&mut self, now: Instant) {
        self.tick(now);
        if self.closing.is_some() || self.is_ending() {
            return;
        }
        let deadline = self.clock.after(self.close_timeout);
        self.closing = Some(Closing { deadline, xid: None });
        if !self.claim().is_some() && !self.is_up() {
            // No server knows of a session that could be resumed and closed.
            return self.end(KeeperState::Closed, Cause::Closed);
        }
        self.send_what_is_due();
    }

    /// Starts a new session after the last one has ended, with the same memory and configuration.
    /// Watches and credentials of the old session are forgotten. Does nothing before the end.
    pub fn reopen(&mut self, now: Instant) {
        self.tick(now);
        if !matches!(self.phase, Phase::Ended) {
            return;
        }
        self.inbox.clear();
        self.outbox.clear();
        self.registry.clear();
        self.in_flight.clear();
        self.live = Liveness::new(self.requested_timeout, self.clock);
        self.expiry.reset(self.clock);
        (self.session_id, self.passwd) = (SessionId::NONE, Passwd::ZERO);
        self.resumable = false;
        self.last_zxid = Zxid(0);
        self.told = KeeperState::Disconnected;
        self.closing = None;
        self.give_up_at = Self::give_up(self.new_session_deadline.get(), self.clock);
        let delay = self.backoff.draw(self.live.timeout, Duration::ZERO, &mut self.rng);
        self.phase = Phase::Backoff { until: self.clock.after(delay) };
    }

    /// Gives back what owned buffers have grown by, as far as nothing lies in them: for sessions that
    /// are idle. They grow again as they are needed; lent memory is left alone.
    #[cfg(feature = "alloc")]
    pub fn shrink(&mut self) {
        self.inbox.shrink(0);
        self.outbox.shrink(0);
        self.in_flight.shrink();
    }

    /// Whether the end has come, told or not.
    pub(super) const fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Draining { after: After::End(..), .. })
    }

    /// Whether there is to be a transport and it is open.
    const fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Priming { .. } | Phase::Authenticating(_) | Phase::Connected)
    }

    pub(super) const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected)
    }

    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn tick(&mut self, now: Instant) {
        self.clock = self.clock.max(now);
    }
}

impl Machine for ClientSession<'_> {
    fn handle_received(&mut self, now: Instant, n: usize) {
        self.tick(now);
        if self.is_up() && n > 0 {
            self.inbox.received(n);
            self.live.heard(self.clock);
            if self.is_connected() {
                self.expiry.heard(self.clock);
            }
        }
    }

    fn handle_transmitted(&mut self, now: Instant, n: usize) {
        self.tick(now);
        if self.is_up() && n > 0 && !self.outbox.is_empty() {
            self.outbox.transmitted(n);
            if !matches!(self.phase, Phase::Authenticating(_)) {
                self.live.sent(self.clock); // SASL tokens do not keep a session alive
            }
            self.send_what_is_due();
        }
    }

    fn handle_disconnected(&mut self, now: Instant) {
        self.tick(now);
        match self.phase {
            Phase::Dialling { .. } => self.lose(DisconnectReason::DialFailed),
            Phase::Priming { .. } => self.lose(DisconnectReason::ClosedInHandshake),
            Phase::Authenticating(_) | Phase::Connected => {
                self.lose(DisconnectReason::TransportClosed);
            }
            Phase::Backoff { .. } | Phase::Draining { .. } | Phase::Ended => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.tick(now);
        self.on_time();
    }

    fn poll_transmit(&self) -> &[u8] {
        self.outbox.pending()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let mut next = match self.phase {
            Phase::Backoff { until } | Phase::Draining { until, .. } => until,
            Phase::Dialling { deadline } | Phase::Priming { deadline } => deadline,
            Phase::Authenticating(exchange) => exchange.deadline,
            Phase::Connected => {
                let ping = self.live.ping_deadline();
                self.read_deadline().map_or(ping, |read| ping.min(read))
            }
            Phase::Ended => return None,
        };
        let mut no_later_than = |at: Option<Instant>| {
            if let Some(at) = at {
                next = next.min(at);
            }
        };
        if !self.is_ending() {
            no_later_than(self.closing.map(|closing| closing.deadline));
            no_later_than(self.give_up_at.get());
        }
        no_later_than(self.probe_timeout());
        no_later_than(self.local_end());
        no_later_than(self.request_deadline());
        Some(next)
    }

    fn poll_io(&mut self) -> Io<'_> {
        let recv: &mut [u8] = if self.is_up() { self.inbox.spare() } else { &mut [] };
        Io { recv, transmit: self.outbox.pending() }
    }
}

const _: () = assert!(TAIL_RESERVE >= 2 * (4 + RequestHeader::BYTES));
const _: () = assert!(ClientSession::RECV_LEAST >= 4 + ReplyHeader::BYTES);
