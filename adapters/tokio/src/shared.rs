//! What the application's tasks and the session's own task share.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;
use zk_session::client::{ClientSession, Event, KeeperState};
use zk_session::storage::Limits;
use zk_session::wire::{Request, Xid};
use zk_session::{Machine, SubmitError};

#[cfg(feature = "sasl")]
use zk_session::client::SaslChallenge;

use crate::body::Cutter;
use crate::clock::Clock;
use crate::line::{Line, Parcel};
use crate::observe::Observer;
use crate::pending::Place;
use crate::pings::PingLog;
use crate::slots::{Asker, Failure, Slots};
use crate::states::{Subscriber, Transition};
use crate::transport::{Layer, Transport};
use crate::watch::Queue;
use crate::watches::Watches;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) layer: Option<Arc<dyn Layer>>,
    pub(crate) limits: Limits,
    inner: Mutex<Inner>,
}

pub(crate) struct Inner {
    pub(crate) session: ClientSession<'static>,
    pub(crate) transport: Option<Transport>,
    /// What the transport said when it failed last; of no concern once there is another.
    pub(crate) trouble: Option<Arc<str>>,
    #[cfg(feature = "sasl")]
    pub(crate) sasl: Option<crate::sasl::Authenticator>,
    pub(crate) observer: Observer,
    pub(crate) pings: PingLog,
    pub(crate) slots: Slots,
    cutter: Cutter,
    pub(crate) line: Line,
    pub(crate) watches: Watches,
    /// The session's own task, when it is to be woken.
    pub(crate) driver: Waker,
    /// The driver has been woken and has not run since.
    pub(crate) signalled: bool,
    /// Something was asked since the driver last looked.
    pub(crate) asked: bool,
    /// The driver is gone: nothing will be answered any more.
    pub(crate) failure: Option<Failure>,
    /// Whom to wake once the lock is free.
    pub(crate) wakes: Vec<Waker>,
    state: Option<tokio::sync::watch::Sender<KeeperState>>,
    subscribers: Vec<Weak<Subscriber>>,
    transitions: u64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lock().session.fmt(f)
    }
}

impl Shared {
    pub(crate) fn new(
        session: ClientSession<'static>,
        clock: Clock,
        limits: Limits,
        layer: Option<Arc<dyn Layer>>,
        observer: Observer,
    ) -> Self {
        let inner = Mutex::new(Inner {
            session,
            transport: None,
            trouble: None,
            #[cfg(feature = "sasl")]
            sasl: None,
            observer,
            pings: PingLog::default(),
            slots: Slots::default(),
            cutter: Cutter::default(),
            line: Line::default(),
            watches: Watches::default(),
            driver: Waker::noop().clone(),
            signalled: false,
            asked: false,
            failure: None,
            wakes: Vec::new(),
            state: None,
            subscribers: Vec::new(),
            transitions: 0,
        });
        Self { clock, layer, limits, inner }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The point of the core's clock that lies so far ahead.
    pub(crate) fn after(&self, time: Duration) -> zk_session::Instant {
        self.clock.now().after(crate::clock::millis(time))
    }
}

impl Inner {
    /// Hands a request in: to the session, or to the line before it.
    pub(crate) fn place(
        &mut self,
        limits: &Limits,
        request: &Request<'_>,
        deadline: Option<zk_session::Instant>,
        wish: Option<Arc<Queue>>,
    ) -> Place {
        self.asked = true;
        if self.line.is_empty() && self.failure.is_none() {
            match self.submit(request, deadline) {
                Ok(xid) => {
                    let place = self.slots.open(wish, None);
                    self.slots.sent(xid, place);
                    self.observer.asked(place, request.op(), || shown_path(request));
                    return Place::At(place);
                }
                Err(error) if error.is_temporary() => {}
                Err(error) => {
                    self.observer.refused(request.op(), Failure::Submit(error));
                    return Place::Failed(Failure::Submit(error));
                }
            }
        }
        self.place_parcel(limits, Box::new(Parcel::new(request, deadline, wish)), None)
    }

    /// Hands a request in that the session cannot take at once. `number`: its number outside the line,
    /// if it has been there.
    #[cold]
    pub(crate) fn place_parcel(
        &mut self,
        limits: &Limits,
        mut parcel: Box<Parcel>,
        number: Option<u64>,
    ) -> Place {
        let (needed, limit) = (parcel.len(), limits.transmit);
        let too_large = Failure::Submit(SubmitError::TooLarge { needed, limit });
        if let Some(failure) = self.failure.or((needed > limit).then_some(too_large)) {
            self.observer.refused(parcel.op(), failure);
            return Place::Failed(failure);
        }
        if !self.line.has_room(limits, parcel.len()) {
            let number = number.unwrap_or_else(|| self.line.number());
            return Place::Outside { number, parcel: Some(parcel) };
        }
        let number = self.line.number();
        let place = self.slots.open(parcel.wish.take(), NonZeroU64::new(number));
        self.observer.asked(place, parcel.op(), || {
            parcel.request().map(|request| shown_path(&request)).unwrap_or_default()
        });
        self.line.join(number, place, *parcel);
        self.signal();
        Place::At(place)
    }

    fn submit(
        &mut self,
        request: &Request<'_>,
        deadline: Option<zk_session::Instant>,
    ) -> Result<Xid, SubmitError> {
        match deadline {
            None => self.session.submit(request),
            Some(deadline) => self.session.submit_before(request, deadline),
        }
    }

    /// Hands the session what it can take of the line, and of the removals of watches.
    pub(crate) fn advance_line(&mut self, limits: &Limits, now: zk_session::Instant) {
        for place in self.line.expired(now) {
            self.observer.answered(place, Some(Failure::NotSent));
            let wake = self.slots.settle(place, || Err(Failure::NotSent));
            self.wakes.extend(wake);
        }
        while let Some((path, kind)) = self.watches.removal() {
            if self
                .session
                .submit(&Request::remove_watches(path, *kind))
                .is_err_and(|e| e.is_temporary())
            {
                break;
            }
            self.watches.removal_asked();
        }
        let waited = !self.line.is_empty();
        while let Some((number, place, parcel)) = self.line.first() {
            let submitted = parcel.request().and_then(|request| match parcel.deadline {
                None => self.session.submit(&request),
                Some(deadline) => self.session.submit_before(&request, deadline),
            });
            match submitted {
                Ok(xid) => self.slots.sent_from_line(xid, place),
                Err(error) if error.is_temporary() => break,
                Err(error) => {
                    self.observer.answered(place, Some(Failure::Submit(error)));
                    let wake = self.slots.settle(place, || Err(Failure::Submit(error)));
                    self.wakes.extend(wake);
                }
            }
            self.line.leave(number);
        }
        if waited {
            self.line.call_in(limits, &mut self.wakes);
        }
    }

    /// A watch is dropped: it is removed, on the server too.
    pub(crate) fn unwatch(&mut self, queue: &Arc<Queue>) {
        if let Some(kind) = self.watches.forget(queue) {
            let coming = self.slots.wishes_at(queue.path());
            self.watches.remove(queue.path(), kind, &coming);
            self.signal();
        }
    }

    /// Wakes the driver, unless that has been done.
    pub(crate) fn signal(&mut self) {
        if !self.signalled {
            self.signalled = true;
            self.driver.wake_by_ref();
        }
    }

    /// Sees to it that what was submitted leaves. A request that is alone leaves at once, from here;
    /// where more are under way or about to come, the driver sends them together.
    pub(crate) fn flush(&mut self, clock: &Clock) {
        if self.slots.in_flight() == 1 && !self.slots.has_untaken() && self.line.is_empty() {
            // If the transport is busy the driver waits for it.
            let mut cx = Context::from_waker(Waker::noop());
            if let Some(transport) = &mut self.transport {
                let bytes = self.session.poll_transmit();
                if let Poll::Ready(Ok(n @ 1..)) = transport.poll_write(&mut cx, bytes) {
                    self.session.handle_transmitted(clock.now(), n);
                    let flushed = transport.poll_flush(&mut cx);
                    if flushed.is_ready() && self.session.poll_transmit().is_empty() {
                        return;
                    }
                }
            }
        }
        self.signal();
    }

    /// Pulls every event and hands it to whom it concerns. Never waits for the application. Says
    /// whether there were any.
    pub(crate) fn pull_events(&mut self) -> bool {
        let mut any = false;
        loop {
            let host = self.session.current_host();
            let Some(event) = self.session.poll_event() else { return any };
            any = true;
            match event {
                Event::Reply { xid, result, .. } => {
                    let Some(place) = self.slots.answered(xid) else { continue };
                    self.observer.answered(place, result.as_ref().err().copied().map(Failure::Op));
                    match self.slots.asker(place) {
                        Asker::Somebody(None) => {}
                        Asker::Somebody(wish) => {
                            let armed = |queue: &mut Arc<Queue>| {
                                let kind = queue.armed(&result)?;
                                self.watches.add(queue.clone(), kind);
                                Some(())
                            };
                            if wish.as_mut().and_then(armed).is_none() {
                                *wish = None;
                            }
                        }
                        Asker::Nobody(wish) => {
                            if let Some(queue) = wish {
                                if let Some(kind) = queue.armed(&result) {
                                    let coming = self.slots.wishes_at(queue.path());
                                    self.watches.remove(queue.path(), kind, &coming);
                                }
                            }
                            continue;
                        }
                    }
                    let among_many = self.slots.in_flight() > 0;
                    let cutter = &mut self.cutter;
                    let result = || match &result {
                        Ok(reply) => Ok(cutter.body(reply, among_many)),
                        Err(error) => Err(Failure::Op(*error)),
                    };
                    if let Some(waker) = self.slots.settle(place, result) {
                        self.wakes.push(waker);
                    }
                }
                Event::Notification { kind, path } => {
                    self.watches.notify(kind, path, &mut self.wakes);
                }
                Event::State { state, cause } => {
                    self.transitions += 1;
                    let session = &self.session;
                    let transition = Transition {
                        number: self.transitions,
                        state,
                        cause,
                        host: session.host(host).map(|h| h.to_string()).unwrap_or_default(),
                        session_id: session.session_id(),
                        timeout: Duration::from_millis(session.timeout().as_millis()),
                        at: Instant::now(),
                        detail: self.trouble.clone(),
                        why: session.why().copied(),
                    };
                    log::debug!("session {}: {state:?}, {cause}", transition.session_id);
                    if !state.is_connected() {
                        self.pings.disconnected();
                    }
                    self.observer.changed(&transition);
                    self.tell(&transition);
                }
                #[cfg(feature = "sasl")]
                Event::SaslChallenge(challenge) => {
                    let Some(sasl) = &mut self.sasl else { continue };
                    let answer = match challenge {
                        SaslChallenge::Begin => {
                            let server = self.session.host(host).map(|h| h.name.to_owned());
                            sasl.begin(&server.unwrap_or_default())
                        }
                        challenge => sasl.answer(challenge),
                    };
                    if let Some(failure) = crate::sasl::say(&mut self.session, answer) {
                        self.trouble = Some(failure.into());
                    }
                }
                Event::WatchesLost { .. } => self.watches.lost(&mut self.wakes),
                _ => {}
            }
        }
    }

    fn tell(&mut self, transition: &Transition) {
        self.watches.tell(transition.state, &mut self.wakes);
        let wakes = &mut self.wakes;
        self.subscribers.retain(|weak| {
            let Some(subscriber) = weak.upgrade() else { return false };
            wakes.extend(subscriber.push(transition.clone()));
            true
        });
        if let Some(state) = &self.state {
            state.send_replace(transition.state);
        }
    }

    /// The latest state, as a channel.
    pub(crate) fn watch_state(&mut self) -> tokio::sync::watch::Receiver<KeeperState> {
        let now = self.session.state();
        if self.failure.is_some() {
            // Nothing follows.
            return tokio::sync::watch::Sender::new(now).subscribe();
        }
        self.state.get_or_insert_with(|| tokio::sync::watch::Sender::new(now)).subscribe()
    }

    pub(crate) fn subscribe(&mut self) -> Arc<Subscriber> {
        let subscriber = Arc::new(Subscriber::default());
        if self.failure.is_some() {
            subscriber.end();
        }
        self.subscribers.retain(|weak| weak.strong_count() > 0);
        self.subscribers.push(Arc::downgrade(&subscriber));
        subscriber
    }

    /// Whatever waits fails, and whatever comes.
    pub(crate) fn fail_all(&mut self, failure: Failure) {
        self.failure = Some(failure);
        self.observer.all_failed(failure);
        let wakes = &mut self.wakes;
        for place in self.line.clear() {
            wakes.extend(self.slots.settle(place, || Err(failure)));
        }
        self.line.call_all_in(wakes);
        self.slots.fail_all(failure, wakes);
    }

    /// The driver goes.
    pub(crate) fn end(&mut self, failure: Failure) {
        self.fail_all(failure);
        self.transport = None;
        self.observer.ended();
        let wakes = &mut self.wakes;
        self.watches.end_all(wakes);
        for subscriber in self.subscribers.drain(..).filter_map(|weak| weak.upgrade()) {
            wakes.extend(subscriber.end());
        }
        // Its receivers learn that nothing follows.
        self.state = None;
    }

    /// Gives memory back while nothing is under way.
    pub(crate) fn shrink(&mut self) {
        self.session.shrink();
        self.slots.shrink();
        self.observer.shrink();
        self.cutter.shrink();
        self.watches.shrink();
        if self.wakes.is_empty() {
            self.wakes = Vec::new();
        }
        if !self.subscribers.is_empty() {
            self.subscribers.retain(|weak| weak.strong_count() > 0);
            self.subscribers.shrink_to_fit();
        }
        self.drop_unwatched_state();
    }

    /// Gives the channel of the latest state back if nobody looks at it.
    pub(crate) fn drop_unwatched_state(&mut self) {
        self.state.take_if(|state| state.receiver_count() == 0);
    }
}

/// The path of a request, for whom it is shown to.
fn shown_path(request: &Request<'_>) -> String {
    request.path().and_then(|path| path.as_str()).unwrap_or_default().to_owned()
}

/// What a session that is over says to whoever still asks.
pub(crate) const ENDED: Failure = Failure::Submit(SubmitError::Ended);
