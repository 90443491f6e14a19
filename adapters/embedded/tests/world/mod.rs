//! An ensemble, a network, a clock and an executor in memory: nothing sleeps, and all that happens
//! is the same each time.
#![allow(dead_code, reason = "each test uses its part of the world")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_hal_async::delay::DelayNs;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use zk_session::Instant;
use zk_session::client::{ClientConfig, Host};
use zk_session::server::{ConnectionId, Engine, EngineConfig, ServerId, ServerLink};
use zk_session::{Duration, wire::SessionId};
use zk_session_embedded::{Clock, Dial, DialError, Driver, Memory, Session};

pub(crate) type TestSession = Session<'static, NoopRawMutex>;
pub(crate) type TestDriver<'d> = Driver<'d, 'static, NoopRawMutex, Net, Time>;

pub(crate) struct World {
    pub(crate) now: Cell<u64>,
    engine: RefCell<Engine>,
    servers: Vec<ServerId>,
    pub(crate) up: RefCell<Vec<bool>>,
    /// Nothing passes, and nobody is told.
    pub(crate) cut: Cell<bool>,
    /// Reads and writes are pending once before they go on, so that there are more points to stop.
    pub(crate) reluctant: Cell<bool>,
    /// Bytes that are sent instead of the ensemble's first ones on each connection.
    pub(crate) garbage: RefCell<Option<Vec<u8>>>,
    pub(crate) dials: Cell<usize>,
    lines: RefCell<Vec<Rc<Line>>>,
    timers: RefCell<Vec<(u64, Waker)>>,
}

struct Line {
    server: usize,
    conn: Cell<Option<ConnectionId>>,
    to_client: RefCell<VecDeque<u8>>,
    closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    garbage: RefCell<Option<Vec<u8>>>,
}

impl World {
    pub(crate) fn new(servers: usize) -> Rc<Self> {
        let mut config = EngineConfig::default();
        config.tick = Duration::from_millis(100);
        let mut engine = Engine::new(config, Instant::ORIGIN);
        let servers: Vec<_> = (0..servers).map(|_| engine.add_server()).collect();
        Rc::new(Self {
            now: Cell::new(1000),
            engine: RefCell::new(engine),
            up: RefCell::new(vec![true; servers.len()]),
            servers,
            cut: Cell::new(false),
            reluctant: Cell::new(false),
            garbage: RefCell::new(None),
            dials: Cell::new(0),
            lines: RefCell::default(),
            timers: RefCell::default(),
        })
    }

    pub(crate) fn instant(&self) -> Instant {
        Instant::from_millis(self.now.get())
    }

    pub(crate) fn is_alive(&self, session: SessionId) -> bool {
        self.engine.borrow().is_alive(session)
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.engine.borrow().stat(path).is_some()
    }

    pub(crate) fn owner(&self, path: &str) -> Option<i64> {
        self.engine.borrow().stat(path).map(|stat| stat.ephemeral_owner)
    }

    pub(crate) fn sessions(&self) -> usize {
        self.engine.borrow().sessions().count()
    }

    pub(crate) fn expire(&self, session: SessionId) {
        self.engine.borrow_mut().expire_session(self.instant(), session);
    }

    /// The server that is connected.
    pub(crate) fn connected(&self) -> Option<usize> {
        self.lines.borrow().iter().find(|l| !l.closed.get()).map(|l| l.server)
    }

    /// Kills a server: its connections end, and it accepts none.
    pub(crate) fn stop(&self, server: usize) {
        self.up.borrow_mut()[server] = false;
        self.engine.borrow_mut().stop_server(self.instant(), self.servers[server]);
        for line in self.lines.borrow().iter().filter(|l| l.server == server) {
            self.close(line);
        }
    }

    fn close(&self, line: &Line) {
        line.closed.set(true);
        if let Some(conn) = line.conn.take() {
            self.engine.borrow_mut().handle_disconnected(self.instant(), conn);
        }
        if let Some(reader) = line.reader.take() {
            reader.wake();
        }
    }

    /// Moves what the ensemble has to say; says whether there was anything.
    fn pump(&self) -> bool {
        let mut moved = false;
        let now = self.instant();
        self.engine.borrow_mut().handle_timeout(now);
        if self.cut.get() {
            return false;
        }
        for line in self.lines.borrow().iter() {
            let Some(conn) = line.conn.get() else { continue };
            let mut engine = self.engine.borrow_mut();
            let bytes = engine.poll_transmit(conn).to_vec();
            if !bytes.is_empty() {
                moved = true;
                engine.handle_transmitted(now, conn, bytes.len());
                let bytes = line.garbage.take().unwrap_or(bytes);
                line.to_client.borrow_mut().extend(bytes);
                if let Some(reader) = line.reader.take() {
                    reader.wake();
                }
            }
            let over = engine.poll_link(conn) != ServerLink::Up;
            drop(engine);
            if over {
                moved = true;
                self.close(line);
            }
        }
        self.lines.borrow_mut().retain(|l| Rc::strong_count(l) > 1);
        moved
    }

    /// Runs the tasks until the first is done; panics if it is not within this many milliseconds of
    /// virtual time.
    pub(crate) fn run<T>(
        &self,
        at_most: u64,
        main: impl Future<Output = T>,
        rest: &mut [Task<'_>],
    ) -> T {
        let mut main = std::pin::pin!(main);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let end = self.now.get() + at_most;
        loop {
            let mut idle = true;
            if flag.0.swap(false, Ordering::Relaxed) {
                idle = false;
                if let Poll::Ready(value) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return value;
                }
            }
            for task in rest.iter_mut() {
                idle &= !task.poll();
            }
            if self.pump() || !idle {
                continue;
            }
            let next = self.timers.borrow().iter().map(|(at, _)| *at).min();
            let next = next.into_iter().chain(self.due()).min().expect("something is awaited");
            assert!(next <= end, "not done within {at_most} ms");
            self.now.set(self.now.get().max(next));
            let now = self.now.get();
            self.timers.borrow_mut().retain(|(at, waker)| {
                if *at <= now {
                    waker.wake_by_ref();
                }
                *at > now
            });
        }
    }

    fn due(&self) -> Option<u64> {
        let due = self.engine.borrow().poll_timeout()?.as_millis();
        // What was due and is not done is the engine's own affair.
        (due > self.now.get()).then_some(due)
    }

    /// Lets a bare loop's world go on by a millisecond.
    pub(crate) fn tick(&self) {
        while self.pump() {}
        self.now.set(self.now.get() + 1);
    }

    /// Lets the tasks run for so long.
    pub(crate) fn pass(self: &Rc<Self>, millis: u64, rest: &mut [Task<'_>]) {
        let mut time = Time(self.clone());
        self.run(millis + 1, async move { time.delay_ms(millis as u32).await }, rest);
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A future that runs beside the one that is looked at.
pub(crate) struct Task<'t> {
    future: Option<Pin<Box<dyn Future<Output = ()> + 't>>>,
    flag: Arc<Flag>,
}

impl<'t> Task<'t> {
    pub(crate) fn new(future: impl Future<Output = ()> + 't) -> Self {
        Self { future: Some(Box::pin(future)), flag: Arc::new(Flag(AtomicBool::new(true))) }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.future.is_none()
    }

    fn poll(&mut self) -> bool {
        if !self.flag.0.swap(false, Ordering::Relaxed) {
            return false;
        }
        let waker = Waker::from(self.flag.clone());
        if let Some(future) = &mut self.future
            && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            self.future = None;
        }
        true
    }
}

#[derive(Clone)]
pub(crate) struct Time(pub(crate) Rc<World>);

impl Clock for Time {
    fn now(&self) -> Instant {
        self.0.instant()
    }
}

impl DelayNs for Time {
    async fn delay_ns(&mut self, ns: u32) {
        self.delay_ms(ns.div_ceil(1_000_000)).await;
    }

    async fn delay_ms(&mut self, ms: u32) {
        let end = self.0.now.get() + u64::from(ms);
        poll_fn(|cx| {
            if self.0.now.get() >= end {
                return Poll::Ready(());
            }
            self.0.timers.borrow_mut().push((end, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Net {
    fn connect(&self, host: Host<'_>) -> Result<Stream, DialError> {
        let world = &self.0;
        let server = host.name.strip_prefix('s').and_then(|n| n.parse::<usize>().ok());
        let server = server.filter(|n| *n < world.servers.len()).ok_or(DialError::NotResolved)?;
        if !world.up.borrow()[server] {
            return Err(DialError::Refused(ErrorKind::ConnectionRefused));
        }
        let peer = ([10, 0, 0, 1], 4000).into();
        let conn = world.engine.borrow_mut().accept(world.instant(), world.servers[server], peer);
        let line = Rc::new(Line {
            server,
            conn: Cell::new(Some(conn)),
            to_client: RefCell::default(),
            closed: Cell::new(false),
            reader: RefCell::default(),
            garbage: RefCell::new(world.garbage.borrow().clone()),
        });
        world.lines.borrow_mut().push(line.clone());
        Ok(Stream { world: world.clone(), line })
    }
}

impl zk_session_embedded::blocking::Dial for Net {
    type Transport = Stream;

    fn poll_dial(&mut self, host: Host<'_>) -> Poll<Result<Stream, DialError>> {
        if self.0.cut.get() {
            return Poll::Pending;
        }
        self.0.dials.set(self.0.dials.get() + 1);
        Poll::Ready(self.connect(host))
    }
}

/// Dials the servers of a world: host `s0` is the first, and so on.
pub(crate) struct Net(pub(crate) Rc<World>);

pub(crate) struct Stream {
    world: Rc<World>,
    line: Rc<Line>,
}

impl Dial for Net {
    type Connection<'d> = Stream;

    async fn dial(&self, host: Host<'_>) -> Result<Stream, DialError> {
        let world = &self.0;
        world.dials.set(world.dials.get() + 1);
        if world.reluctant.get() {
            hesitate().await;
        }
        if world.cut.get() {
            std::future::pending::<()>().await;
        }
        self.connect(host)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.world.cut.get() {
            // The server is not told.
            self.line.closed.set(true);
            self.line.conn.set(None);
        } else {
            self.world.close(&self.line);
        }
    }
}

/// Pending once.
pub(crate) async fn hesitate() {
    let mut asked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl ErrorType for Stream {
    type Error = ErrorKind;
}

impl Read for Stream {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.world.reluctant.get() {
            hesitate().await;
        }
        poll_fn(|cx| match self.take(buf) {
            Some(n) => Poll::Ready(Ok(n)),
            None => {
                *self.line.reader.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl Stream {
    /// What has arrived; none before anything has.
    fn take(&self, buf: &mut [u8]) -> Option<usize> {
        let mut bytes = self.line.to_client.borrow_mut();
        if bytes.is_empty() && !self.line.closed.get() {
            return None;
        }
        let n = bytes.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(bytes.drain(..n)) {
            *to = from;
        }
        Some(n)
    }

    fn give(&self, buf: &[u8]) -> Result<usize, ErrorKind> {
        if self.world.cut.get() {
            return Ok(buf.len());
        }
        let Some(conn) = self.line.conn.get() else { return Err(ErrorKind::BrokenPipe) };
        // A reluctant network takes little at once.
        let most = if self.world.reluctant.get() { 7 } else { buf.len() };
        let bytes = &buf[..buf.len().min(most)];
        Ok(self.world.engine.borrow_mut().handle_bytes(self.world.instant(), conn, bytes))
    }
}

impl embedded_io::Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(self.take(buf).expect("asked whether it would wait"))
    }
}

impl embedded_io::ReadReady for Stream {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.line.closed.get() || !self.line.to_client.borrow().is_empty())
    }
}

impl embedded_io::Write for Stream {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.give(buf)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl embedded_io::WriteReady for Stream {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(true)
    }
}

impl Write for Stream {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        if self.world.reluctant.get() {
            hesitate().await;
        }
        self.give(buf)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        if self.world.reluctant.get() {
            hesitate().await;
        }
        Ok(())
    }
}

/// Memory for ever, as a `static` gives.
pub(crate) fn memory<const R: usize, const T: usize, const G: usize, const Q: usize>()
-> &'static mut Memory<R, T, G, Q> {
    Box::leak(Box::default())
}

/// A session of two seconds on all servers.
pub(crate) fn open(world: &World) -> &'static TestSession {
    let hosts: Vec<_> = (0..world.servers.len()).map(|n| format!("s{n}")).collect();
    let config = ClientConfig::new(hosts.join(","), 7).timeout(Duration::from_secs(2));
    let session: &'static TestSession = Box::leak(Box::new(Session::new()));
    session.open(config, memory::<1024, 512, 256, 4>(), world.instant()).unwrap();
    session
}

/// Polls a future once in every round, and drops it after so many of them.
pub(crate) async fn dropped_after<T>(rounds: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Some(Box::pin(future));
    let mut left = rounds;
    poll_fn(move |cx| {
        let Some(running) = future.as_mut().filter(|_| left > 0) else {
            future = None;
            return Poll::Ready(None);
        };
        left -= 1;
        cx.waker().wake_by_ref();
        running.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Both at once.
pub(crate) async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut left, mut right) = (None, None);
    poll_fn(move |cx| {
        if left.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            left = Some(value);
        }
        if right.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            right = Some(value);
        }
        match (left.take(), right.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (l, r) => {
                (left, right) = (l, r);
                Poll::Pending
            }
        }
    })
    .await
}
