//! What a session's own thread does: it dials, and reads when nobody else does.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use zk_session::Machine;
use zk_session::client::{HostIndex, Link};

use super::shared::{Shared, Stream};
use super::socket;
use crate::clock::deadline;

/// Until the session is over.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut seen = Default::default();
    while turn(shared, &mut seen, Duration::MAX).is_continue() {}
}

/// Does what is to be done for a session without a thread, on the thread of whoever waits for it to
/// be connected. Ends also where a name would have to be looked up, for that may take longer.
pub(super) fn connect(shared: &Arc<Shared>, deadline: Instant) {
    let mut seen = Default::default();
    loop {
        let inner = shared.lock();
        let host = match inner.session.poll_link() {
            Link::Dial(host) => inner.session.host(host),
            _ => None,
        };
        let is_name = host.is_some_and(|host| host.name.parse::<IpAddr>().is_err());
        let left = deadline.saturating_duration_since(Instant::now());
        if inner.session.state().is_connected() || is_name || left.is_zero() {
            return;
        }
        drop(inner);
        if turn(shared, &mut seen, left).is_break() {
            return;
        }
    }
}

/// One step, which takes no longer than the patience, but for the look-up of a name.
fn turn(shared: &Arc<Shared>, seen: &mut (u64, u64), patience: Duration) -> ControlFlow<()> {
    let mut inner = shared.lock();
    let Some(wait) = shared.clock.until(inner.session.poll_timeout()) else {
        return ControlFlow::Break(());
    };
    if wait.is_zero() {
        drop(shared.tell_time(inner));
        return ControlFlow::Continue(());
    }
    match (inner.session.poll_link(), inner.stream.clone()) {
        (Link::Up, Some(stream)) => {
            if let Some((mut reader, inner)) = shared.stand_by(inner, seen) {
                // What has come for others is still to be pulled.
                let inner = shared.deliver(inner);
                let mut inner = reader.turn(shared, inner, &stream, patience);
                inner.reader = Some(reader);
                drop(shared.deliver(inner));
            }
        }
        (Link::Dial(host), _) => {
            drop(inner);
            open(shared, host, wait.min(patience));
        }
        (Link::Up, None) => {
            // Who wrote saw the transport fail first.
            inner.session.handle_disconnected(shared.clock.now());
            drop(shared.deliver(inner));
        }
        (Link::Down, _) => drop(shared.wait(inner, wait.min(patience))),
    }
    ControlFlow::Continue(())
}

/// Dials the host, and tells the session what came of it.
fn open(shared: &Arc<Shared>, host: HostIndex, wait: Duration) {
    let mut inner = shared.lock();
    super::shared::hang_up(inner.stream.take());
    let name = inner.session.host(host).map(|h| (h.name.to_owned(), h.port));
    drop(inner);
    let wanted = || shared.lock().session.poll_link() == Link::Dial(host);
    let socket = name.ok_or(io::ErrorKind::NotFound.into()).and_then(|h| dial(&h, wait, wanted));
    let mut inner = shared.lock();
    // Meanwhile the session may have come to want another host.
    if inner.session.poll_link() == Link::Dial(host) {
        let now = shared.clock.now();
        match socket {
            Ok(socket) => {
                inner.stream = Some(Arc::new(Stream { socket, timeout: AtomicU64::new(0) }));
                inner.session.handle_connected(now);
            }
            Err(error) => {
                log::debug!("dial failed: {error}");
                inner.session.handle_disconnected(now);
            }
        }
    }
    drop(shared.deliver(inner));
}

/// Opens a transport to one of the host's addresses, for as long as it is wanted; names are resolved
/// afresh every time.
pub(super) fn dial(
    (name, port): &(String, u16),
    wait: Duration,
    wanted: impl Fn() -> bool,
) -> io::Result<TcpStream> {
    let deadline = deadline(wait);
    let addresses: Vec<SocketAddr> = (name.as_str(), *port).to_socket_addrs()?.collect();
    connect_any(&addresses, deadline, wanted)
}

/// Connects to the first address that answers.
fn connect_any(
    addresses: &[SocketAddr],
    deadline: Instant,
    wanted: impl Fn() -> bool,
) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (address, others) in addresses.iter().zip((0..addresses.len()).rev()) {
        // A silent address leaves the others their share of the time.
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let share = left / u32::try_from(others + 1).unwrap_or(u32::MAX);
        match socket::connect(*address, now + share, &wanted) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::TcpListener;

    #[test]
    fn an_address_that_is_silent_leaves_time_for_those_that_are_not() {
        // One whose queue is full answers nobody, and refuses nobody.
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        silent.listen(0).unwrap();
        let silent_at = silent.local_addr().unwrap().as_socket().unwrap();
        let soon = || Instant::now() + Duration::from_millis(100);
        let full: Vec<_> = (0..4).map(|_| socket::connect(silent_at, soon(), || true)).collect();
        assert!(full.iter().any(Result::is_err));

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [silent_at, listener.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_millis(600);
        let stream = connect_any(&addresses, deadline, || true).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
        let given_up =
            connect_any(&addresses[..1], Instant::now() + Duration::from_secs(9), || false);
        assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
