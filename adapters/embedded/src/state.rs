//! What the driver and the handles share, under the session's lock.

use core::task::{Poll, Waker};

use embassy_sync::waitqueue::WakerRegistration;
use zk_session::client::{
    Cause, ClientConfig, ClientSession, Event, Held, HeldReply, HostIndex, KeeperState, Link,
    Operation, RawReply,
};
use zk_session::{ConfigError, Duration, Instant, Machine, OpError};

use crate::log::{Entry, Log};
use crate::memory::{Lent, Slot, Subscriber, Told, Wait};
use crate::trace::emit;
use crate::{DialError, End, Error};

/// The least time that a waiter has to fetch its answer.
const FETCH: Duration = Duration::from_millis(100);

pub(crate) struct State<'b> {
    pub(crate) session: ClientSession<'b>,
    slots: &'b mut [Slot],
    subscribers: &'b mut [Subscriber],
    log: Log<'b>,
    /// The driver's, while there is none.
    pub(crate) chunk: Option<&'b mut [u8]>,
    driver: WakerRegistration,
    /// Whether the driver is to look.
    attention: bool,
    wish: Option<Wish>,
    held: Option<Holding>,
    /// How often the session's state has changed.
    changes: u16,
    /// How many new sessions servers have given.
    sessions: u16,
    last: (KeeperState, Cause),
    pub(crate) dial_error: Option<DialError>,
}

/// A reply that waits for whom it is for.
struct Holding {
    reply: HeldReply,
    slot: usize,
    /// How long the session can wait.
    until: Instant,
}

/// What a handle has asked for and only the driver, who knows the time, can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Close,
    Detach,
}

/// What the driver is to do next.
pub(crate) enum Step {
    /// Nothing more: the session is over.
    Over(End),
    /// Close the transport and wait.
    Down,
    /// Wait; the transport stays open and is not to be read.
    Hold,
    /// Open a transport to this host, whose name lies in the chunk.
    Dial { host: HostIndex, name: usize, port: u16 },
    /// Write the first bytes of the chunk, or read at most so many.
    Up { write: usize, read: usize },
}

/// What the driver has done.
pub(crate) enum Done {
    /// A transport to the host that was to be dialled is open.
    Dialled,
    NotDialled(DialError),
    /// The transport has taken so many bytes.
    Sent(usize),
    /// It holds nothing back any more.
    Flushed,
    /// So many bytes lie in the chunk; none is the end of the transport.
    Received(usize),
    /// The transport takes nothing more ever.
    Lost,
}

/// What has become of a request.
enum Progress {
    Pending,
    /// Its answer can be looked at.
    Held,
    Failed(Error),
}

/// What a subscriber is told; a path lies in its memory.
pub(crate) enum News {
    State(KeeperState, Cause),
    Watch { kind: zk_session::wire::EventType, len: usize },
    WatchesLost,
    Missed(u32),
}

impl<'b> State<'b> {
    pub(crate) fn new(
        config: ClientConfig<'b>,
        memory: Lent<'b>,
        ticket: Option<&[u8]>,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        let session = match ticket {
            Some(ticket) => ClientSession::resume(config, memory.storage, ticket, now)?,
            None => ClientSession::new(config, memory.storage, now)?,
        };
        Ok(Self {
            session,
            slots: memory.slots,
            subscribers: memory.subscribers,
            log: Log::new(memory.events),
            chunk: Some(memory.chunk),
            driver: WakerRegistration::new(),
            attention: false,
            wish: None,
            held: None,
            changes: 0,
            sessions: 0,
            last: (KeeperState::Disconnected, Cause::NeverEstablished),
            dial_error: None,
        })
    }

    /// Brings the session up to date and says what is to be done, and for how long at the most.
    pub(crate) fn step(&mut self, now: Instant, chunk: &mut [u8], is_open: bool) -> (Step, u32) {
        self.attention = false;
        match self.wish.take() {
            Some(Wish::Close) => self.session.close(now),
            Some(Wish::Detach) => self.session.detach(now),
            None => {}
        }
        if !is_open && self.session.poll_link() == Link::Up {
            // The driver that had the transport is gone.
            self.session.handle_disconnected(now);
        }
        self.session.handle_timeout(now);
        self.give_up_waiter(now);
        self.pull(now);
        let step = self.next_step(now, chunk);
        self.wake_queued();
        (step, self.wait(now))
    }

    fn next_step(&mut self, now: Instant, chunk: &mut [u8]) -> Step {
        if self.session.poll_timeout().is_none() && self.held.is_none() {
            let (state, cause) = self.last;
            return Step::Over(End { state, cause });
        }
        match self.session.poll_link() {
            Link::Down => Step::Down,
            Link::Dial(host) => {
                let Some(named) = self.session.host(host) else { return Step::Hold };
                let (name, port) = (named.name.as_bytes(), named.port);
                match chunk.get_mut(..name.len()) {
                    Some(to) => {
                        to.copy_from_slice(name);
                        Step::Dial { host, name: name.len(), port }
                    }
                    None => {
                        let len = name.len();
                        self.not_dialled(now, host, DialError::NameTooLong { len });
                        Step::Down
                    }
                }
            }
            Link::Up => {
                let transmit = self.session.poll_transmit();
                let write = transmit.len().min(chunk.len());
                if let (Some(to), Some(from)) = (chunk.get_mut(..write), transmit.get(..write)) {
                    to.copy_from_slice(from);
                }
                if self.held.is_some() {
                    return if write > 0 { Step::Up { write, read: 0 } } else { Step::Hold };
                }
                Step::Up { write, read: self.session.poll_io().recv.len().min(chunk.len()) }
            }
        }
    }

    /// Milliseconds until something is due.
    fn wait(&self, now: Instant) -> u32 {
        let due = self.session.poll_timeout().filter(|due| *due > now || self.held.is_none());
        let held = self.held.as_ref().map(|held| held.until);
        let until = due.into_iter().chain(held).min().unwrap_or(now);
        u32::try_from(until.since(now).as_millis()).unwrap_or(u32::MAX)
    }

    /// Takes note of what the driver has done of a step; whether the transport is still wanted.
    pub(crate) fn done(&mut self, now: Instant, step: Step, done: Done, chunk: &[u8]) -> bool {
        match (done, step) {
            (Done::Dialled, Step::Dial { host, .. }) => {
                if self.session.poll_link() != Link::Dial(host) {
                    return false;
                }
                self.dial_error = None;
                self.session.handle_connected(now);
            }
            (Done::NotDialled(error), Step::Dial { host, .. }) => {
                self.not_dialled(now, host, error);
            }
            (Done::Sent(n), _) => self.session.handle_write::<()>(now, Ok(n)),
            // No more was asked for than there is room.
            (Done::Received(n @ 1..), _) => {
                self.session.handle_bytes(now, chunk.get(..n).unwrap_or_default());
            }
            (Done::Flushed, _) => {}
            _ => self.session.handle_disconnected(now),
        }
        true
    }

    fn not_dialled(&mut self, now: Instant, host: HostIndex, error: DialError) {
        emit!(debug, "host {} cannot be reached: {:?}", host.index(), error);
        self.dial_error = Some(error);
        if self.session.poll_link() == Link::Dial(host) {
            self.session.handle_disconnected(now);
        }
    }

    pub(crate) fn wish(&mut self, wish: Wish) {
        self.wish = Some(wish);
        self.call_driver();
    }

    pub(crate) fn call_driver(&mut self) {
        self.attention = true;
        self.driver.wake();
    }

    /// Whether the driver is to look; if not, it will be woken.
    pub(crate) fn poll_attention(&mut self, waker: &Waker) -> bool {
        if !self.attention {
            self.driver.register(waker);
        }
        core::mem::take(&mut self.attention)
    }

    /// The answer must not wait longer for its waiter.
    fn give_up_waiter(&mut self, now: Instant) {
        if let Some(late) = self.held.take_if(|held| now >= held.until) {
            emit!(warn, "an answer was not fetched in time");
            if let Some(slot) = self.slots.get_mut(late.slot) {
                slot.settle(Wait::NotTaken);
            }
        }
    }

    fn pull(&mut self, now: Instant) {
        while self.held.is_none() {
            match self.session.poll_held() {
                None => return,
                Some(Held::Reply(reply)) => {
                    let waits = |slot: &Slot| slot.wait == Wait::InFlight(reply.xid());
                    if let Some(slot) = self.slots.iter().position(waits) {
                        let due = self.session.poll_timeout().unwrap_or(now);
                        let until = due.max(now.after(FETCH));
                        self.held = Some(Holding { reply, slot, until });
                        if let Some(slot) = self.slots.get_mut(slot) {
                            slot.settle(Wait::Held);
                        }
                    }
                }
                Some(Held::Event(event)) => {
                    let listened = self.subscribers.iter().any(|s| s.told.is_some());
                    match event {
                        Event::Reply { xid, result, .. } => {
                            let error = result.err().unwrap_or(OpError::ConnectionLoss);
                            let waits = |slot: &&mut Slot| slot.wait == Wait::InFlight(xid);
                            if let Some(slot) = self.slots.iter_mut().find(waits) {
                                slot.settle(Wait::Failed(error));
                            }
                            continue;
                        }
                        Event::State { state, cause } => {
                            emit!(info, "session is {:?}: {:?}", state, cause);
                            self.last = (state, cause);
                            self.changes = self.changes.wrapping_add(1);
                            let new = u16::from(matches!(cause, Cause::Established));
                            self.sessions = self.sessions.wrapping_add(new);
                        }
                        Event::Notification { kind, path } if listened => {
                            self.log.push(Entry::Watch { kind, path });
                        }
                        Event::WatchesLost { error } => {
                            emit!(warn, "all watches are lost: {:?}", error);
                            if listened {
                                self.log.push(Entry::WatchesLost);
                            }
                        }
                        // Nothing that this adapter can do anything about.
                        _ => continue,
                    }
                    self.subscribers.iter_mut().for_each(|s| s.waker.wake());
                }
            }
        }
    }

    /// Requests that could not be taken may try again.
    fn wake_queued(&mut self) {
        if self.session.can_submit() || self.session.poll_timeout().is_none() {
            self.slots
                .iter_mut()
                .filter(|slot| slot.wait == Wait::Queued)
                .for_each(|slot| slot.waker.wake());
        }
    }

    /// A place for a request.
    fn take_slot(&mut self) -> Option<usize> {
        let free = self.slots.iter().position(|slot| slot.wait == Wait::Free)?;
        self.slots.get_mut(free)?.wait = Wait::Queued;
        Some(free)
    }

    /// Looks after a request until its answer has been shown to `take`, or there is none.
    pub(crate) fn poll_call(
        &mut self,
        slot: &mut Option<usize>,
        operation: &dyn Operation,
        waker: &Waker,
        take: &mut dyn FnMut(RawReply<'_>),
    ) -> Poll<Error> {
        let Some(place) = slot.or_else(|| self.take_slot()) else {
            return Poll::Ready(Error::NoPlace);
        };
        *slot = Some(place);
        let outcome = match self.progress(place, operation, waker) {
            Progress::Pending => return Poll::Pending,
            Progress::Failed(error) => error,
            Progress::Held => match self.answer() {
                Ok(reply) => {
                    take(reply);
                    Error::NotTaken
                }
                Err(error) => Error::Op(error),
            },
        };
        self.free_slot(place);
        *slot = None;
        Poll::Ready(outcome)
    }

    /// Looks after the request in this place.
    fn progress(&mut self, slot: usize, operation: &dyn Operation, waker: &Waker) -> Progress {
        let Some(place) = self.slots.get_mut(slot) else {
            return Progress::Failed(Error::NotOpen);
        };
        match place.wait {
            Wait::Queued => match self.session.submit_operation(operation) {
                Ok(xid) => {
                    place.wait = Wait::InFlight(xid);
                    place.waker.register(waker);
                    self.call_driver();
                    Progress::Pending
                }
                Err(error) if error.is_temporary() => {
                    place.waker.register(waker);
                    Progress::Pending
                }
                Err(error) => Progress::Failed(Error::Submit(error)),
            },
            Wait::InFlight(_) => {
                place.waker.register(waker);
                Progress::Pending
            }
            Wait::Held => Progress::Held,
            Wait::Failed(error) => Progress::Failed(Error::Op(error)),
            Wait::NotTaken => Progress::Failed(Error::NotTaken),
            Wait::Free => Progress::Failed(Error::NotOpen),
        }
    }

    /// The answer that lies in the receive buffer.
    fn answer(&self) -> Result<RawReply<'_>, OpError> {
        match &self.held {
            Some(held) => self.session.raw_reply(&held.reply),
            None => Err(OpError::ConnectionLoss),
        }
    }

    /// Nobody waits in this place any more.
    pub(crate) fn free_slot(&mut self, slot: usize) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        match place.wait {
            Wait::InFlight(xid) => {
                self.session.cancel(xid);
            }
            Wait::Held => {
                self.held = None;
                self.call_driver();
            }
            _ => {}
        }
        if let Some(place) = self.slots.get_mut(slot) {
            place.wait = Wait::Free;
        }
    }

    /// A place for a subscriber, who is told the state that is.
    pub(crate) fn subscribe(&mut self) -> Option<usize> {
        let free = self.subscribers.iter().position(|s| s.told.is_none())?;
        let state = self.changes.wrapping_sub(u16::from(self.changes > 0));
        self.subscribers.get_mut(free)?.told =
            Some(Told { state, sessions: 0, next: self.log.next() });
        Some(free)
    }

    pub(crate) fn unsubscribe(&mut self, place: usize) {
        if let Some(subscriber) = self.subscribers.get_mut(place) {
            *subscriber = Subscriber::new();
        }
        self.forget_what_all_know();
    }

    /// What the subscriber is to be told next; its path is copied.
    pub(crate) fn poll_news(
        &mut self,
        place: usize,
        memory: &mut [u8],
        waker: &Waker,
    ) -> Result<Option<News>, Error> {
        let subscriber = self.subscribers.get_mut(place).ok_or(Error::NotOpen)?;
        let told = subscriber.told.as_mut().ok_or(Error::NotOpen)?;
        if told.state != self.changes {
            told.state = self.changes;
            let (state, mut cause) = self.last;
            // A new session may have been lost and resumed since this subscriber last looked.
            if matches!(cause, Cause::Resumed) && told.sessions != self.sessions {
                cause = Cause::Established;
            }
            if matches!(cause, Cause::Established | Cause::Resumed) {
                told.sessions = self.sessions;
            }
            return Ok(Some(News::State(state, cause)));
        }
        let missed = self.log.missed(told.next);
        if missed > 0 {
            told.next = told.next.wrapping_add(missed);
            return Ok(Some(News::Missed(missed)));
        }
        let news = match self.log.entry(told.next) {
            None => {
                subscriber.waker.register(waker);
                return Ok(None);
            }
            Some(Entry::WatchesLost) => News::WatchesLost,
            Some(Entry::Watch { kind, path }) => {
                let len = path.len();
                let Some(to) = memory.get_mut(..len) else {
                    return Err(Error::BufferTooSmall { needed: len });
                };
                to.copy_from_slice(path.as_bytes());
                News::Watch { kind, len }
            }
        };
        told.next = told.next.wrapping_add(1);
        self.forget_what_all_know();
        Ok(Some(news))
    }

    fn forget_what_all_know(&mut self) {
        let waiting = self.subscribers.iter().filter_map(|s| s.told);
        let behind = |next: u32| self.log.next().wrapping_sub(next);
        let slowest = waiting.map(|told| told.next).max_by_key(|next| behind(*next));
        self.log.forget_before(slowest.unwrap_or(self.log.next()));
    }
}
