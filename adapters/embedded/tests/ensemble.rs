//! The async and the bare driver over sockets of the operating system, against the embedded ensemble.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::future::{Future, poll_fn};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration as Span;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_hal_async::delay::DelayNs;
use embedded_io::{ErrorKind, ErrorType};
use embedded_nal_async::TcpConnect;
use zk_session::client::{Cause, ClientConfig, ClientSession, Host, KeeperState};
use zk_session::storage::Fixed;
use zk_session::wire::{CreateMode, Request, SessionId};
use zk_session::{Duration, Instant};
use zk_session_embedded::blocking;
use zk_session_embedded::{Clock, DialError, Events, Session, SessionEvent, Small, Tcp, Timer};
use zk_session_std::{Client, EmbeddedEnsemble};

/// A socket that never waits.
struct Socket(TcpStream);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

fn kind(error: io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorKind::ConnectionRefused,
        _ => ErrorKind::Other,
    }
}

impl embedded_io_async::Read for Socket {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| would_wait(self.0.read(buf))).await
    }
}

impl embedded_io_async::Write for Socket {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|_| would_wait(self.0.write(buf))).await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// The test's executor polls everything each millisecond: nobody has to be woken.
fn would_wait<T>(result: io::Result<T>) -> Poll<Result<T, ErrorKind>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result.map_err(kind)),
    }
}

impl embedded_io::Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buf).map_err(kind)
    }
}

impl embedded_io::ReadReady for Socket {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        match self.0.peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            peeked => peeked.map(|_| true).map_err(kind),
        }
    }
}

impl embedded_io::Write for Socket {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.0.write(buf).map_err(kind)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl embedded_io::WriteReady for Socket {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        // Far less is ever written than the socket's buffer takes.
        Ok(true)
    }
}

/// The operating system as a network stack.
struct Stack;

impl Stack {
    fn open(remote: SocketAddr) -> Result<Socket, ErrorKind> {
        let stream = TcpStream::connect_timeout(&remote, Span::from_millis(500)).map_err(kind)?;
        stream.set_nonblocking(true).map_err(kind)?;
        Ok(Socket(stream))
    }
}

impl TcpConnect for Stack {
    type Error = ErrorKind;
    type Connection<'a> = Socket;

    async fn connect(&self, remote: SocketAddr) -> Result<Socket, ErrorKind> {
        Self::open(remote)
    }
}

impl blocking::Dial for Stack {
    type Transport = Socket;

    fn poll_dial(&mut self, host: Host<'_>) -> Poll<Result<Socket, DialError>> {
        let address = host.name.parse::<Ipv4Addr>().map_err(|_| DialError::NotResolved);
        Poll::Ready(address.and_then(|address| {
            Self::open((address, host.port).into()).map_err(DialError::Refused)
        }))
    }
}

#[derive(Clone, Copy)]
struct Wall(std::time::Instant);

impl Wall {
    fn new() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for Wall {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.elapsed().as_millis().try_into().unwrap())
    }
}

impl DelayNs for Wall {
    async fn delay_ns(&mut self, ns: u32) {
        let end = std::time::Instant::now() + Span::from_nanos(ns.into());
        poll_fn(|_| if std::time::Instant::now() < end { Poll::Pending } else { Poll::Ready(()) })
            .await;
    }
}

/// Polls both every millisecond until the first is done.
fn block_on<T>(first: impl Future<Output = T>, beside: impl Future) -> T {
    let (mut first, mut beside) = (pin!(first), pin!(beside));
    let mut cx = Context::from_waker(Waker::noop());
    let (deadline, mut done) = (std::time::Instant::now() + Span::from_secs(30), false);
    loop {
        if let Poll::Ready(value) = first.as_mut().poll(&mut cx) {
            return value;
        }
        done = done || beside.as_mut().poll(&mut cx).is_ready();
        assert!(std::time::Instant::now() < deadline, "stuck");
        std::thread::sleep(Span::from_millis(1));
    }
}

fn ensemble() -> EmbeddedEnsemble {
    EmbeddedEnsemble::builder().servers(3).tick(Span::from_millis(100)).start().unwrap()
}

fn config(ensemble: &EmbeddedEnsemble) -> ClientConfig<'static> {
    ClientConfig::new(ensemble.connect_string(), 4).timeout(Duration::from_secs(2))
}

async fn wait_for(events: &mut Events<'_, '_, NoopRawMutex>, wanted: Cause) {
    let mut path = [0; 32];
    loop {
        match events.next(&mut path).await.unwrap() {
            SessionEvent::State { cause, .. } if cause == wanted => return,
            _ => {}
        }
    }
}

fn owner(other: &Client, path: &str) -> Option<i64> {
    other.exists(path).unwrap().map(|stat| stat.ephemeral_owner)
}

fn server_of(ensemble: &EmbeddedEnsemble, session: SessionId) -> usize {
    ensemble.server_of(session).unwrap().expect("it is connected")
}

#[test]
fn a_session_outlives_its_server_and_its_driver_and_tells_of_changes() {
    let ensemble = ensemble();
    let other = Client::builder(ensemble.connect_string()).connect().unwrap();
    other.create("/config", b"v1", CreateMode::Persistent).unwrap();

    let mut memory = Small::new();
    let session = Session::<NoopRawMutex>::new();
    let time = Wall::new();
    session.open(config(&ensemble), &mut memory, time.now()).unwrap();
    let dial = Tcp::new(Stack);
    let mut events = session.events().unwrap();
    let id = {
        let mut driver = session.driver(&dial, Timer::new(time, time)).unwrap();
        let test = async {
            wait_for(&mut events, Cause::Established).await;
            session.create("/me", b"", CreateMode::Ephemeral).await.unwrap();
            let mut data = [0; 16];
            session.get_data_watched("/config", &mut data).await.unwrap();
            other.set_data("/config", b"v2", None).unwrap();
            let mut path = [0; 16];
            let event = events.next(&mut path).await.unwrap();
            assert!(matches!(event, SessionEvent::Watch { path: "/config", .. }), "{event:?}");
            let (data, _) = session.get_data_watched("/config", &mut data).await.unwrap();
            assert_eq!(data, b"v2");

            let id = session.session_id();
            ensemble.stop(server_of(&ensemble, id)).unwrap();
            wait_for(&mut events, Cause::Resumed).await;
            // The watch came along.
            other.set_data("/config", b"v3", None).unwrap();
            let event = events.next(&mut path).await.unwrap();
            assert!(matches!(event, SessionEvent::Watch { path: "/config", .. }), "{event:?}");
            id
        };
        block_on(test, driver.run())
    };
    assert_eq!(owner(&other, "/me"), Some(id.0));
    // The driver is gone, and with it its connection; another one goes on.
    let mut driver = session.driver(&dial, Timer::new(time, time)).unwrap();
    block_on(wait_for(&mut events, Cause::Resumed), driver.run());
    assert_eq!((session.session_id(), owner(&other, "/me")), (id, Some(id.0)));
    session.close();
    let end = block_on(driver.run(), std::future::pending::<()>());
    assert_eq!((end.state, end.cause), (KeeperState::Closed, Cause::Closed));
    assert_eq!(owner(&other, "/me"), None);
}

#[test]
fn a_bare_loop_outlives_its_server() {
    let ensemble = ensemble();
    let other = Client::builder(ensemble.connect_string()).connect().unwrap();
    let mut memory = Fixed::<512, 256, 64, 2>::new();
    let time = Wall::new();
    let session = ClientSession::new(config(&ensemble), memory.lend(), time.now()).unwrap();
    let mut driver = blocking::Driver::new(session, Stack, time);
    let create = Request::create("/bare", b"", CreateMode::Ephemeral);
    driver.call(&create, |_| Ok(()), |_| {}).unwrap();
    let id = driver.session().session_id();
    ensemble.stop(server_of(&ensemble, id)).unwrap();
    let sync = Request::sync("/");
    while driver.call(&sync, |_| Ok(()), |_| {}).is_err() {}
    assert_eq!((driver.session().session_id(), owner(&other, "/bare")), (id, Some(id.0)));
}

#[test]
fn a_frozen_server_is_left_for_another_within_the_timeout() {
    let ensemble = ensemble();
    let mut memory = Small::new();
    let session = Session::<NoopRawMutex>::new();
    let time = Wall::new();
    session.open(config(&ensemble), &mut memory, time.now()).unwrap();
    let dial = Tcp::new(Stack);
    let mut events = session.events().unwrap();
    let mut driver = session.driver(&dial, Timer::new(time, time)).unwrap();
    block_on(
        async {
            wait_for(&mut events, Cause::Established).await;
            let id = session.session_id();
            let server = server_of(&ensemble, id);
            ensemble.freeze(server).unwrap();
            wait_for(&mut events, Cause::Resumed).await;
            assert_eq!(session.session_id(), id);
            assert_ne!(server_of(&ensemble, id), server);
            ensemble.thaw(server).unwrap();
        },
        driver.run(),
    );
}
