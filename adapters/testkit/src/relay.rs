//! A wire that can be cut.
//!
//! ```text
//!            cut            mend          blackhole
//! passing ────────▶ cut ─────────▶ passing ─────────▶ silent     and any other way round
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use crate::error::{lock, while_doing};
use crate::port::ReservedPort;

const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
const AFTER_ERROR: Duration = Duration::from_millis(10);
const CHUNK: usize = 16 * 1024;

/// A TCP relay on 127.0.0.1 that forwards every connection to one target, until told otherwise.
///
/// All methods take `&self`, take effect before they return, and may be called in any order. Bytes
/// that the relay or a kernel already took may still arrive after a cut or silence began, as on any
/// wire.
///
/// A target that refuses, or does not accept within a second, closes the client's connection.
#[derive(Debug)]
pub struct Relay {
    port: ReservedPort,
    shared: Arc<Shared>,
    door: Mutex<Option<JoinHandle<()>>>, // the thread that accepts; none while cut
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    shape: Shape,
    state: Mutex<State>,
}

/// How bytes pass while the wire is whole; 0 changes nothing.
#[derive(Debug, Default)]
struct Shape {
    lag_ms: AtomicU64,
    piece: AtomicUsize,
}

#[derive(Debug)]
struct State {
    wire: Wire,
    links: BTreeMap<u64, Arc<Link>>,
    next_link: u64,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Passing,
    Silent,
    Cut,
}

/// One connection of a client; the server's half comes later, or never.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: OnceLock<TcpStream>,
    dark: AtomicBool, // once silenced, a link never forwards again
}

impl Relay {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`.
    ///
    /// # Errors
    /// No port or no thread is left.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let state =
            State { wire: Wire::Cut, links: BTreeMap::new(), next_link: 0, workers: Vec::new() };
        let shape = Shape::default();
        let shared = Arc::new(Shared { target, shape, state: Mutex::new(state) });
        let relay = Self { port: ReservedPort::new()?, shared, door: Mutex::new(None) };
        relay.mend()?;
        Ok(relay)
    }

    /// The address to connect to; the same for the relay's whole life.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Closes all connections on both sides and refuses new ones.
    ///
    /// The listener is closed, so a client's dial fails at once. The port stays reserved: nobody
    /// else gets it meanwhile.
    pub fn cut(&self) {
        let mut door = lock(&self.door);
        self.shared.set(Wire::Cut);
        if let Some(accepting) = door.take() {
            // Accepting blocks; a last connection wakes it to find that the wire is cut.
            while !accepting.is_finished()
                && TcpStream::connect_timeout(&self.addr(), DIAL_TIMEOUT).is_err()
            {
                thread::sleep(AFTER_ERROR);
            }
            let _ = accepting.join();
        }
        self.shared.clear();
    }

    /// Falls silent: open connections stay open, new ones are accepted, and all their bytes are
    /// swallowed.
    ///
    /// Closing is not forwarded either: each side sees a peer that is there and says nothing.
    ///
    /// # Errors
    /// After a cut: the port cannot be listened on again.
    pub fn blackhole(&self) -> io::Result<()> {
        self.open(Wire::Silent)
    }

    /// Back to normal: listens again after a cut, closes the connections that were silenced,
    /// forwards new ones.
    ///
    /// # Errors
    /// After a cut: the port cannot be listened on again.
    pub fn mend(&self) -> io::Result<()> {
        self.open(Wire::Passing)
    }

    /// Holds whatever passes from now on back for `lag` in each direction, to the millisecond; zero
    /// for a wire without latency.
    ///
    /// What comes meanwhile follows in one piece, so a long lag does not make a queue.
    pub fn lag(&self, lag: Duration) {
        let millis = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        self.shared.shape.lag_ms.store(millis, Ordering::SeqCst);
    }

    /// Passes bytes on in pieces of at most `bytes` from now on, each in a packet of its own where
    /// the system lets it; 0 for as they come.
    pub fn split(&self, bytes: usize) {
        self.shared.shape.piece.store(bytes, Ordering::SeqCst);
    }

    /// How many connections of clients are open now; one counts until both of its sides are gone.
    pub fn connections(&self) -> usize {
        lock(&self.shared.state).links.len()
    }

    fn open(&self, wire: Wire) -> io::Result<()> {
        let mut door = lock(&self.door);
        if door.is_none() {
            let listen = || {
                let listener = TcpListener::bind(self.addr())?;
                self.shared.set(wire);
                let shared = Arc::clone(&self.shared);
                Builder::new().name("relay".into()).spawn(move || accept(&listener, &shared))
            };
            let opened = listen().inspect_err(|_| self.shared.set(Wire::Cut));
            *door = Some(opened.map_err(while_doing(format_args!(
                "the relay cannot listen on {}",
                self.addr()
            )))?);
        }
        self.shared.set(wire);
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    /// What befalls the links that are open when the wire changes.
    fn set(&self, wire: Wire) {
        let mut state = lock(&self.state);
        state.wire = wire;
        state.links.retain(|_, link| {
            let keep = match wire {
                Wire::Passing => !link.dark.load(Ordering::SeqCst),
                Wire::Silent => {
                    link.dark.store(true, Ordering::SeqCst);
                    true
                }
                Wire::Cut => false,
            };
            if !keep {
                link.close();
            }
            keep
        });
    }

    /// Waits for the threads of all links that were closed.
    fn clear(&self) {
        let workers = std::mem::take(&mut lock(&self.state).workers);
        for worker in workers {
            let _ = worker.join();
        }
    }

    /// Takes a new connection; false when the wire is cut, which closes it and ends the accepting.
    fn admit(self: &Arc<Self>, client: TcpStream) -> bool {
        let mut state = lock(&self.state);
        if state.wire == Wire::Cut {
            return false;
        }
        let _ = client.set_nodelay(true); // fails for a client that is gone, as reading will show
        let dark = AtomicBool::new(state.wire == Wire::Silent);
        let link = Arc::new(Link { client, server: OnceLock::new(), dark });
        let (id, shared) = (state.next_link, Arc::clone(self));
        let worker = {
            let link = Arc::clone(&link);
            Builder::new().name("relay link".into()).spawn(move || shared.serve(id, &link))
        };
        state.workers.retain(|worker| !worker.is_finished());
        if let Ok(worker) = worker {
            state.next_link += 1;
            state.links.insert(id, link);
            state.workers.push(worker);
        }
        true
    }

    /// A link's life, on a thread of its own.
    fn serve(&self, id: u64, link: &Link) {
        if link.is_dark() {
            link.pump(&link.client, None, &self.shape);
        } else if let Ok(server) = TcpStream::connect_timeout(&self.target, DIAL_TIMEOUT) {
            let _ = server.set_nodelay(true);
            if let Some(server) = self.attach(id, link, server) {
                thread::scope(|scope| {
                    let back = || link.pump(server, Some(&link.client), &self.shape);
                    match Builder::new().name("relay link back".into()).spawn_scoped(scope, back) {
                        Ok(_) => link.pump(&link.client, Some(server), &self.shape),
                        Err(_) => link.close(),
                    }
                });
            }
        } else if link.is_dark() {
            link.pump(&link.client, None, &self.shape); // silenced while dialling
        }
        lock(&self.state).links.remove(&id);
        link.close();
    }

    /// Gives the link its server half, unless it was closed meanwhile.
    fn attach<'l>(&self, id: u64, link: &'l Link, server: TcpStream) -> Option<&'l TcpStream> {
        let state = lock(&self.state);
        state.links.contains_key(&id).then(|| link.server.get_or_init(|| server))
    }
}

impl Shape {
    fn hold_back(&self) {
        let lag = self.lag_ms.load(Ordering::SeqCst);
        if lag > 0 {
            thread::sleep(Duration::from_millis(lag));
        }
    }

    fn pass_on(&self, bytes: &[u8], mut to: &TcpStream) -> io::Result<()> {
        match self.piece.load(Ordering::SeqCst) {
            0 => to.write_all(bytes),
            piece => bytes.chunks(piece).try_for_each(|piece| to.write_all(piece)),
        }
    }
}

impl Link {
    /// Moves bytes until the sender ends or the link is closed; a dark link moves them nowhere.
    fn pump(&self, mut from: &TcpStream, to: Option<&TcpStream>, shape: &Shape) {
        let mut bytes = vec![0; CHUNK];
        loop {
            let read = from.read(&mut bytes);
            shape.hold_back();
            let to = to.filter(|_| !self.is_dark());
            match (read, to) {
                (Err(error), _) if error.kind() == io::ErrorKind::Interrupted => {}
                (Ok(0), Some(to)) => {
                    let _ = to.shutdown(Shutdown::Write); // the other way may go on
                    return;
                }
                (Err(_), Some(_)) => return self.close(),
                (Ok(0) | Err(_), None) => return,
                (Ok(n), Some(to)) => {
                    if shape.pass_on(bytes.get(..n).unwrap_or_default(), to).is_err() {
                        let dark = self.is_dark();
                        return if dark { self.pump(from, None, shape) } else { self.close() };
                    }
                }
                (Ok(_), None) => {}
            }
        }
    }

    fn is_dark(&self) -> bool {
        self.dark.load(Ordering::SeqCst)
    }

    fn close(&self) {
        for stream in [Some(&self.client), self.server.get()].into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                if !shared.admit(client) {
                    return;
                }
            }
            Err(_) if lock(&shared.state).wire == Wire::Cut => return,
            Err(_) => thread::sleep(AFTER_ERROR), // out of descriptors, perhaps: they come back
        }
    }
}
