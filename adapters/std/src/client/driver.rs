//! The session's own two threads: one dials, and reads when nobody else does; one writes. Both tell
//! the session the time.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use zk_session::Machine;
use zk_session::client::Link;

use super::probe;
use super::shared::{Inner, Shared};

/// How long a dial goes on at the most after it is not wanted any more.
const LOOK_UP: Duration = Duration::from_millis(50);

/// Dials and reads until the session is over.
pub(super) fn read_loop(shared: &Arc<Shared>) {
    let mut stopped = 0;
    loop {
        let mut inner = shared.lock();
        let now = shared.clock.now();
        inner.session.handle_timeout(now);
        shared.deliver(inner);

        inner = shared.lock();
        probe::ask(shared, &mut inner);
        let Some(wait) = shared.clock.until(inner.session.poll_timeout()) else {
            hang_up(inner.stream.take());
            return;
        };
        match (inner.session.poll_link(), inner.stream.clone()) {
            (Link::Up, Some(stream)) => {
                let Some(inner) = shared.stand_by(inner, &mut stopped) else { continue };
                drop(inner);
                shared.reader().turn(shared, &stream, wait);
            }
            (Link::Dial(host), _) => {
                hang_up(inner.stream.take());
                let name = inner.session.host(host).map(|h| (h.name.to_owned(), h.port));
                drop(inner);
                let wanted = || shared.lock().session.poll_link() == Link::Dial(host);
                let stream =
                    name.ok_or(io::ErrorKind::NotFound.into()).and_then(|h| dial(&h, wait, wanted));
                shared.reader().renew();
                let mut inner = shared.lock();
                let now = shared.clock.now();
                match stream {
                    // Meanwhile the session may have come to want another host.
                    _ if inner.session.poll_link() != Link::Dial(host) => {}
                    Ok(stream) => {
                        inner.stream = Some(Arc::new(stream));
                        inner.session.handle_connected(now);
                    }
                    Err(error) => {
                        log::debug!("dial failed: {error}");
                        inner.session.handle_disconnected(now);
                    }
                }
                shared.deliver(inner);
            }
            (Link::Up, None) => {
                // The writer saw the transport fail first.
                let now = shared.clock.now();
                inner.session.handle_disconnected(now);
            }
            (Link::Down, _) => {
                hang_up(inner.stream.take());
                let waited = shared.changed.wait_timeout(inner, wait);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}

/// Writes whenever there is something that no application thread writes itself, and keeps time
/// between: the reader looks at the clock only when its socket wakes it.
pub(super) fn write_loop(shared: &Arc<Shared>) {
    loop {
        let mut inner = shared.lock();
        let Some(wait) = shared.clock.until(inner.session.poll_timeout()) else { return };
        if inner.session.poll_transmit().is_empty() || inner.stream.is_none() {
            let waited = shared.to_write.wait_timeout(inner, wait);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let now = shared.clock.now();
        inner.session.handle_timeout(now);
        hang_up_unwanted(&mut inner);
        shared.deliver(inner);
        shared.flush_in_turn();
    }
}

/// Opens a transport to one of the host's addresses, for as long as it is wanted; names are resolved
/// afresh every time.
pub(super) fn dial(
    (name, port): &(String, u16),
    wait: Duration,
    wanted: impl Fn() -> bool,
) -> io::Result<TcpStream> {
    let deadline = Instant::now() + wait;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (name.as_str(), *port).to_socket_addrs()? {
        match connect(address, deadline, &wanted) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Connects in the background, and looks now and then whether that is still wanted.
fn connect(
    address: SocketAddr,
    deadline: Instant,
    wanted: &impl Fn() -> bool,
) -> io::Result<TcpStream> {
    let mut stream = mio::net::TcpStream::connect(address)?;
    let (mut poll, mut events) = (mio::Poll::new()?, mio::Events::with_capacity(1));
    poll.registry().register(&mut stream, mio::Token(0), mio::Interest::WRITABLE)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !wanted() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match poll.poll(&mut events, Some(left.min(LOOK_UP))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        // An event may be there without a reason.
        if !events.is_empty() && stream.peer_addr().is_ok() {
            break;
        }
    }
    poll.registry().deregister(&mut stream)?;
    let stream = TcpStream::from(stream);
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Hangs up if there is to be no transport. The reader wakes up when its stream is shut down under
/// it.
pub(super) fn hang_up_unwanted(inner: &mut Inner) {
    let unwanted = inner.session.poll_link() == Link::Down;
    hang_up(inner.stream.take_if(|_| unwanted));
}

fn hang_up(stream: Option<Arc<TcpStream>>) {
    if let Some(stream) = stream {
        // It may be gone already: then there is nothing left to shut down.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
