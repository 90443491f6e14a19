//! What the system itself takes, so that nobody looks for it in a server.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::process;

const CONNECTIONS: usize = 9_000;
/// As long as the event of a short path.
const EVENT: [u8; 44] = [0; 44];

/// Writes to 9,000 connections one after the other, and nothing else: waiting and processor time.
pub fn sends() -> (Duration, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let pairs: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let client = TcpStream::connect(addr).unwrap();
            let server = listener.accept().unwrap().0;
            server.set_nodelay(true).unwrap();
            (server, client)
        })
        .collect();
    let (start, cpu) = (Instant::now(), process::cpu(std::process::id()));
    for (server, _) in &pairs {
        let mut server = server;
        server.write_all(&EVENT).unwrap();
    }
    (start.elapsed(), process::cpu(std::process::id()) - cpu)
}
