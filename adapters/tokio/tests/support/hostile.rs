//! Servers that nobody should have, and what is to be left of a client that has met them.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cpu_time::ThreadTime;

use crate::support::soon;

/// A server that does to every connection, each on a thread of its own, what a script says. Where the
/// script ends the connection is closed.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    broken: Arc<AtomicBool>,
}

/// A connection that is served; says so if the script has panicked.
struct Served(Arc<AtomicUsize>, Arc<AtomicBool>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
        self.1.fetch_or(thread::panicking(), Ordering::SeqCst);
    }
}

impl Server {
    /// The script is given the connection and how many were there before it.
    pub(crate) fn start<S>(script: S) -> Self
    where
        S: Fn(&mut Peer, usize) -> io::Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (over, broken) = (Arc::default(), Arc::default());
        let server = Self { addr, accepted, open, over, broken };
        let (accepted, open) = (server.accepted.clone(), server.open.clone());
        let (over, broken) = (server.over.clone(), server.broken.clone());
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let before = accepted.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (served, script) = (Served(open.clone(), broken.clone()), script.clone());
                thread::spawn(move || {
                    let _served = served;
                    // A connection that fails is one that the client has closed.
                    let _ = script(&mut Peer::new(stream), before);
                });
            }
        });
        server
    }

    pub(crate) fn hosts(&self) -> String {
        self.addr.to_string()
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How many of them are open, as far as the server has noticed.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        assert!(thread::panicking() || !self.broken.load(Ordering::SeqCst), "the script is wrong");
    }
}

/// A client's connection.
pub(crate) struct Peer(pub(crate) TcpStream);

/// What a client asks.
pub(crate) struct Asked {
    pub(crate) xid: i32,
    pub(crate) op: i32,
}

/// Pings have a number of their own.
pub(crate) const PING: i32 = -2;

impl Peer {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        // A test that fails leaves no thread for ever.
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    /// Takes the handshake.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        self.frame().map(drop)
    }

    /// Takes the handshake and gives a session with this id and timeout.
    pub(crate) fn accept(&mut self, id: u8, timeout: i32) -> io::Result<()> {
        self.handshake()?;
        self.0.write_all(&accepted(id, timeout))
    }

    fn frame(&mut self) -> io::Result<Vec<u8>> {
        let mut len = [0; 4];
        self.0.read_exact(&mut len)?;
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap()];
        self.0.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Takes the next request.
    pub(crate) fn asked(&mut self) -> io::Result<Asked> {
        let frame = self.frame()?;
        let number = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        Ok(Asked { xid: number(0), op: number(4) })
    }

    /// Sends a frame with the header of a reply.
    pub(crate) fn reply(&mut self, xid: i32, zxid: i64, err: i32, body: &[u8]) -> io::Result<()> {
        self.0.write_all(&reply(xid, zxid, err, body))
    }

    /// Waits until the client hangs up.
    pub(crate) fn wait_for_the_end(&mut self) -> io::Result<()> {
        io::copy(&mut self.0, &mut io::sink()).map(drop)
    }
}

/// The answer to a handshake.
pub(crate) fn accepted(id: u8, timeout: i32) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 0];
    body.extend(timeout.to_be_bytes());
    body.extend([0, 0, 0, 0, 0, 0, 0, id, 0, 0, 0, 16]);
    body.extend([7; 16]);
    body.push(0);
    framed(&body)
}

/// Four bytes of length, and the rest.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    [&len.to_be_bytes()[..], body].concat()
}

pub(crate) fn reply(xid: i32, zxid: i64, err: i32, body: &[u8]) -> Vec<u8> {
    let header = [&xid.to_be_bytes()[..], &zxid.to_be_bytes(), &err.to_be_bytes()].concat();
    framed(&[&header, body].concat())
}

/// A frame that tells of a change.
pub(crate) fn event(kind: i32, state: i32, path: &[u8]) -> Vec<u8> {
    let len = u32::try_from(path.len()).unwrap();
    let body = [&kind.to_be_bytes()[..], &state.to_be_bytes(), &len.to_be_bytes(), path].concat();
    reply(-1, -1, 0, &body)
}

/// Plays a client's story on a thread and a runtime of its own: when it is over and all handles are
/// gone, no task is left, and no more processor time is gone than it may take.
pub(crate) fn played(most: Duration, story: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let began = ThreadTime::now();
        story().await;
        let took = began.elapsed();
        assert!(took < most, "{took:?} of processor time");
        let metrics = tokio::runtime::Handle::current().metrics();
        soon(async {
            while metrics.num_alive_tasks() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    });
}
