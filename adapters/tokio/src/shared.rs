//! What the application's tasks and the session's own task share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;
use zk_session::SubmitError;
use zk_session::client::{Cause, ClientSession, Event, HostIndex, KeeperState};
use zk_session::storage::Limits;

#[cfg(feature = "sasl")]
use zk_session::client::SaslChallenge;

use crate::body::Memory;
use crate::clock::Clock;
use crate::lazy::{Lazy, Wakes};
use crate::line::Line;
use crate::lot::Lot;
use crate::observe::Observer;
use crate::pings::PingLog;
use crate::slots::{Asker, Failure, Slots};
use crate::states::{Listeners, Subscriber, Transition};
use crate::transport::{Layer, Transport};
use crate::watch::Queue;
use crate::watches::Watches;

pub(crate) struct Shared {
    pub(crate) clock: Clock,
    setup: Option<Box<Setup>>,
    /// How many handles there are.
    pub(crate) handles: AtomicUsize,
    /// Where the session is while it has little to do, and its seat there.
    lot: Arc<Lot>,
    seat: AtomicU32,
    /// It has been rung for, and not been seen to since.
    rung: AtomicBool,
    inner: Mutex<Inner>,
}

/// What most sessions have as everybody has it, and take no memory for.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) layer: Option<Arc<dyn Layer>>,
}

pub(crate) struct Inner {
    pub(crate) session: ClientSession<'static>,
    pub(crate) transport: Option<Transport>,
    /// What the transport said when it failed last; of no concern once there is another.
    pub(crate) trouble: Trouble,
    #[cfg(feature = "sasl")]
    pub(crate) sasl: Option<crate::sasl::Authenticator>,
    pub(crate) observer: Observer,
    pub(crate) pings: PingLog,
    pub(crate) slots: Lazy<Slots>,
    memory: Memory,
    pub(crate) line: Lazy<Line>,
    pub(crate) watches: Lazy<Watches>,
    /// Whoever carries the session, when that is to be done.
    pub(crate) driver: Waker,
    /// The driver has been woken and has not run since.
    pub(crate) signalled: bool,
    /// Somebody else's code, such as a layer, makes its connections.
    pub(crate) demanding: bool,
    /// Something was asked since the time last came.
    pub(crate) asked: bool,
    /// Nothing was asked from one time to the next, or ever: memory is given back.
    pub(crate) idle: bool,
    /// New requests have been given the time for others to join them.
    pub(crate) gathered: bool,
    /// The driver is gone: nothing will be answered any more.
    over: Option<Over>,
    /// Whom to wake once the lock is free.
    pub(crate) wakes: Lazy<Wakes>,
    pub(crate) listeners: Lazy<Listeners>,
    transitions: u64,
}

/// What a transport said when it failed. Two words of memory where nothing has failed would be one
/// too many.
pub(crate) type Trouble = Option<Box<Arc<str>>>;

/// Why there is no driver any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The session is over.
    Ended,
    /// Its runtime is.
    NoRuntime,
}

impl From<Over> for Failure {
    fn from(over: Over) -> Self {
        match over {
            Over::Ended => Self::Submit(SubmitError::Ended),
            Over::NoRuntime => Self::NoRuntime,
        }
    }
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
        setup: Setup,
        lot: Arc<Lot>,
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
            slots: Lazy::default(),
            memory: Memory::default(),
            line: Lazy::default(),
            watches: Lazy::default(),
            driver: Waker::noop().clone(),
            signalled: false,
            demanding: setup.layer.is_some(),
            asked: false,
            idle: true,
            gathered: false,
            over: None,
            wakes: Lazy::default(),
            listeners: Lazy::default(),
            transitions: 0,
        });
        let usual = setup.layer.is_none() && setup.limits == Limits::default();
        Self {
            clock,
            setup: (!usual).then(|| Box::new(setup)),
            handles: AtomicUsize::new(0),
            lot,
            seat: AtomicU32::new(0),
            rung: AtomicBool::new(false),
            inner,
        }
    }

    /// Where the session is while it has little to do.
    pub(crate) const fn lot(&self) -> &Arc<Lot> {
        &self.lot
    }

    /// The session has this seat, and is about to be seen to.
    pub(crate) fn sit_down(&self, seat: u32) {
        self.seat.store(seat, Ordering::Relaxed);
        self.rung.store(true, Ordering::Release);
    }

    /// The session is being seen to: how to have that done again.
    pub(crate) fn attended(self: &Arc<Self>) -> Waker {
        self.rung.store(false, Ordering::Release);
        self.clone().into()
    }

    /// How it was to be.
    pub(crate) fn setup(&self) -> &Setup {
        static USUAL: LazyLock<Setup> = LazyLock::new(Setup::default);
        self.setup.as_deref().unwrap_or_else(|| &USUAL)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The point of the core's clock that lies so far ahead.
    pub(crate) fn after(&self, time: Duration) -> zk_session::Instant {
        self.clock.now().after(crate::clock::millis(time))
    }
}

/// Has the session seen to, where it has no task of its own. Long after it has had a seat it may ring
/// for whoever has it now, which does no harm.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.lot.ring(self.seat.load(Ordering::Relaxed));
        }
    }
}

impl Inner {
    /// Wakes the driver, unless that has been done.
    pub(crate) fn signal(&mut self) {
        if !self.signalled {
            self.signalled = true;
            self.driver.wake_by_ref();
        }
    }

    /// Pulls every event and hands it to whom it concerns. Never waits for the application. Says
    /// whether there were any.
    pub(crate) fn pull_events(&mut self) -> bool {
        let mut any = false;
        let mut host = self.session.current_host();
        self.observer.batch();
        while let Some(event) = self.session.poll_raw() {
            any = true;
            match event {
                Event::Reply { xid, result, .. } => {
                    let slots = &mut *self.slots;
                    let Some(place) = slots.answered(xid) else { continue };
                    self.observer.answered(place, result.as_ref().err().copied().map(Failure::Op));
                    match slots.asker(place) {
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
                                    let coming = slots.wishes_at(queue.path());
                                    self.watches.remove(queue.path(), kind, &coming);
                                }
                            }
                            continue;
                        }
                    }
                    if let Some(waker) = slots.answer(place, result, &mut self.memory) {
                        self.wakes.push(waker);
                    }
                }
                Event::Notification { kind, path } => {
                    self.watches.notify(kind, path, &mut self.wakes);
                }
                Event::State { state, cause } => {
                    self.changed(state, cause, host);
                    host = self.session.current_host();
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
                        self.trouble = Some(Box::new(failure.into()));
                    }
                }
                Event::WatchesLost { .. } => {
                    if let Some(watches) = self.watches.there_mut() {
                        watches.lost(&mut self.wakes);
                    }
                }
                _ => {}
            }
        }
        any
    }

    /// Whether the session is worth a task of its own: requests are made, or what somebody else has
    /// written makes its connection.
    pub(crate) fn is_busy(&self) -> bool {
        let demanding = self.demanding && !self.session.state().is_connected();
        self.slots.in_flight() > 0 || !self.nobody_in_line() || demanding
    }

    /// Whether the driver is gone.
    pub(crate) const fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Nobody waits until the session takes requests.
    #[inline]
    pub(crate) fn nobody_in_line(&self) -> bool {
        self.line.there().is_none_or(Line::is_empty)
    }

    /// What becomes of whatever is asked, if the driver is gone.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.over.map(Failure::from)
    }

    /// The session's state has changed.
    fn changed(&mut self, state: KeeperState, cause: Cause, host: HostIndex) {
        self.transitions += 1;
        log::debug!("session {}: {state:?}, {cause}", self.session.session_id());
        if !state.is_connected() {
            self.pings.disconnected();
        }
        if let Some(watches) = self.watches.there_mut() {
            watches.tell(state, &mut self.wakes);
        }
        let listeners = self.listeners.there_mut();
        let subscribed = listeners.map(|listeners| listeners.show(state, &mut self.wakes));
        if !Observer::LISTENS && subscribed != Some(true) {
            return;
        }
        let session = &self.session;
        let transition = Transition {
            number: self.transitions,
            state,
            cause,
            host: session.host(host).map(|h| h.to_string()).unwrap_or_default(),
            session_id: session.session_id(),
            timeout: Duration::from_millis(session.timeout().as_millis()),
            at: Instant::now(),
            detail: self.trouble.as_deref().cloned(),
            why: session.why().copied(),
        };
        self.observer.changed(&transition);
        if let Some(listeners) = self.listeners.there_mut() {
            listeners.tell(&transition, &mut self.wakes);
        }
    }

    /// The latest state, as a channel.
    pub(crate) fn watch_state(&mut self) -> tokio::sync::watch::Receiver<KeeperState> {
        let now = self.session.state();
        if self.over.is_some() {
            // Nothing follows.
            return tokio::sync::watch::Sender::new(now).subscribe();
        }
        self.listeners.watch_state(now)
    }

    pub(crate) fn subscribe(&mut self) -> Arc<Subscriber> {
        if self.over.is_some() {
            let subscriber = Arc::new(Subscriber::default());
            subscriber.end();
            return subscriber;
        }
        self.listeners.subscribe()
    }

    /// Whatever waits fails, and whatever comes.
    pub(crate) fn fail_all(&mut self, over: Over) {
        let failure = Failure::from(over);
        self.over = Some(over);
        self.observer.all_failed(failure);
        let wakes = &mut self.wakes;
        if let Some(line) = self.line.there_mut() {
            for place in line.clear() {
                wakes.extend(self.slots.fail(place, failure));
            }
            line.call_all_in(wakes);
        }
        if let Some(slots) = self.slots.there_mut() {
            slots.fail_all(failure, wakes);
        }
    }

    /// The driver goes.
    pub(crate) fn end(&mut self, over: Over) {
        self.fail_all(over);
        self.transport = None;
        // It may be what keeps all of this.
        self.driver = Waker::noop().clone();
        self.observer.ended();
        if let Some(watches) = self.watches.there_mut() {
            watches.end_all(&mut self.wakes);
        }
        if let Some(mut listeners) = self.listeners.take_out() {
            listeners.end(&mut self.wakes);
        }
    }

    /// Gives memory back while nothing is under way.
    pub(crate) fn shrink(&mut self) {
        self.session.shrink();
        self.observer.shrink();
        self.slots.shrink();
        self.memory.shrink();
        self.line.shrink();
        self.watches.shrink();
        self.wakes.shrink();
        self.listeners.shrink();
    }
}
