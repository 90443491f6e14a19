//! The ensemble between its sockets and its clock: bytes and time go in, bytes go out.

use core::cell::RefCell;
use core::future::pending;

use embassy_futures::select::{Either3, select, select3};
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::Timer;
use static_cell::StaticCell;
use zk_session::Instant;
use zk_session::server::tiny::{
    Config, ConnectionId, ConnectionSlot, Ensemble, Memory, NodeSlot, WatchSlot,
};
use zk_session::server::{ServerLink, SessionSlot};

/// Clients that are connected at a time.
pub(crate) const CLIENTS: usize = 4;
/// Clients that are known, connected or not.
const SESSIONS: usize = 8;
const NODES: usize = 32;
const WATCHES: usize = 16;
/// Names and data of znodes, paths of watches.
const BYTES: usize = 4096;
/// The longest request, and the longest answer.
const BUFFER: usize = 1024;
/// What TCP holds for each direction.
const SOCKET: usize = 1024;
/// ZooKeeper's own.
const PORT: u16 = 2181;
/// How long a dead client's socket is kept when it owes us an acknowledgement.
const SILENCE: embassy_time::Duration = embassy_time::Duration::from_secs(20);

/// The ensemble, shared by the tasks that serve it; all run on one executor.
pub(crate) struct Server {
    ensemble: RefCell<Ensemble<'static>>,
    /// A connection has something to send, may be read again, or is to be closed.
    ready: [Signal<NoopRawMutex, ()>; CLIENTS],
    /// Something is due at another time than before.
    due: Signal<NoopRawMutex, ()>,
}

impl Server {
    /// `None` the second time.
    pub(crate) fn start(config: Config) -> Option<&'static Self> {
        static SERVER: StaticCell<Server> = StaticCell::new();
        static BUFFERS: StaticCell<[[[u8; BUFFER]; 2]; CLIENTS]> = StaticCell::new();
        static CONNECTIONS: StaticCell<[ConnectionSlot<'static>; CLIENTS]> = StaticCell::new();
        static NODE_SLOTS: StaticCell<[NodeSlot; NODES]> = StaticCell::new();
        static WATCH_SLOTS: StaticCell<[WatchSlot; WATCHES]> = StaticCell::new();
        static SESSION_SLOTS: StaticCell<[SessionSlot; SESSIONS]> = StaticCell::new();
        static TREE: StaticCell<[u8; BYTES]> = StaticCell::new();

        let buffers = BUFFERS.try_init([[[0; BUFFER]; 2]; CLIENTS])?;
        let slots = buffers.each_mut().map(|[recv, transmit]| ConnectionSlot::lent(recv, transmit));
        let memory = Memory {
            nodes: NODE_SLOTS.try_init([NodeSlot::EMPTY; NODES])?,
            watches: WATCH_SLOTS.try_init([WatchSlot::EMPTY; WATCHES])?,
            sessions: SESSION_SLOTS.try_init([SessionSlot::EMPTY; SESSIONS])?,
            connections: CONNECTIONS.try_init(slots)?,
            bytes: TREE.try_init([0; BYTES])?,
        };
        let ensemble = RefCell::new(Ensemble::new(config, memory, now()).ok()?);
        let ready = [const { Signal::new() }; CLIENTS];
        SERVER.try_init(Self { ensemble, ready, due: Signal::new() }).map(|server| &*server)
    }

    /// Does something with the ensemble, and wakes the tasks for which there is something to do.
    fn with<T>(&self, act: impl FnOnce(&mut Ensemble<'static>) -> T) -> T {
        let mut ensemble = self.ensemble.borrow_mut();
        let due = ensemble.poll_timeout();
        let outcome = act(&mut ensemble);
        while let Some(conn) = ensemble.poll_ready() {
            if let Some(ready) = self.ready.get(conn.index()) {
                ready.signal(());
            }
        }
        if ensemble.poll_timeout() != due {
            self.due.signal(());
        }
        outcome
    }

    /// Moves a connection's bytes until one side has ended it.
    async fn carry(&self, conn: ConnectionId, socket: &mut TcpSocket<'_>) {
        let Some(ready) = self.ready.get(conn.index()) else { return };
        let (mut reader, mut writer) = socket.split();
        loop {
            let (link, sending, room) = self.with(|ensemble| {
                let io = ensemble.poll_io(conn);
                let (sending, room) = (!io.transmit.is_empty(), !io.recv.is_empty());
                (ensemble.poll_link(conn), sending, room)
            });
            if link == ServerLink::Down {
                return;
            }
            let read = async {
                if !room {
                    return pending().await;
                }
                let take = |bytes: &mut [u8]| {
                    (self.with(|ensemble| ensemble.handle_bytes(now(), conn, bytes)), ())
                };
                reader.read_with(take).await
            };
            let write = async {
                if !sending {
                    return pending().await;
                }
                let give = |room: &mut [u8]| {
                    let n = self.with(|ensemble| {
                        let n = copy(ensemble.poll_transmit(conn), room);
                        ensemble.handle_transmitted(now(), conn, n);
                        n
                    });
                    (n, ())
                };
                writer.write_with(give).await
            };
            match select3(read, write, ready.wait()).await {
                Either3::First(Ok(())) | Either3::Second(Ok(())) | Either3::Third(()) => {}
                // Closed by the client, or lost.
                Either3::First(Err(_)) | Either3::Second(Err(_)) => return,
            }
        }
    }
}

/// Serves one client after the other.
#[embassy_executor::task(pool_size = CLIENTS)]
pub(crate) async fn serve(server: &'static Server, stack: Stack<'static>) -> ! {
    let (mut receive, mut transmit) = ([0; SOCKET], [0; SOCKET]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
        socket.set_timeout(Some(SILENCE));
        // Small frames that someone waits for.
        socket.set_nagle_enabled(false);
        if socket.accept(PORT).await.is_err() {
            continue;
        }
        // There are as many slots as sockets.
        if let Some(conn) = server.with(|ensemble| ensemble.accept(now())) {
            server.carry(conn, &mut socket).await;
            let _why = server.with(|ensemble| {
                let why = ensemble.poll_reason(conn);
                ensemble.handle_disconnected(now(), conn);
                (why, ensemble.session_count(), ensemble.node_count())
            });
            #[cfg(feature = "defmt")]
            {
                let (why, sessions, nodes) = _why;
                defmt::info!("closed: {}; {} sessions, {} znodes", why, sessions, nodes);
            }
        }
        // What has been written leaves before the end.
        socket.close();
        let _ = socket.flush().await;
        socket.abort();
        let _ = socket.flush().await;
    }
}

/// Tells the ensemble the time whenever it wants to know.
#[embassy_executor::task]
pub(crate) async fn keep_time(server: &'static Server) -> ! {
    loop {
        let due = server.with(|ensemble| {
            ensemble.handle_timeout(now());
            ensemble.poll_timeout()
        });
        match due {
            Some(at) => {
                let at = embassy_time::Instant::from_millis(at.as_millis());
                select(Timer::at(at), server.due.wait()).await;
            }
            None => server.due.wait().await,
        }
    }
}

fn now() -> Instant {
    Instant::from_millis(embassy_time::Instant::now().as_millis())
}

/// Copies as much as there is room for.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    if let (Some(from), Some(to)) = (from.get(..n), to.get_mut(..n)) {
        to.copy_from_slice(from);
    }
    n
}
