//! Four-letter words: a fresh connection asks in four letters, is answered in text, and is closed.

use alloc::format;
use alloc::vec::Vec;

use super::{ConnectionId, Engine};
use crate::server::event::CloseReason;

/// Words that ZooKeeper knows and that are not answered here.
const REFUSED: [&[u8; 4]; 16] = [
    b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"gtmk", b"hash", b"mntr", b"stmk",
    b"srst", b"stat", b"wchc", b"wchp", b"wchs", b"orst",
];

impl Engine {
    pub(super) fn four_letter(&mut self, conn: ConnectionId, word: [u8; 4]) {
        let text: Vec<u8> = match &word {
            b"ruok" => b"imok".to_vec(),
            b"isro" => b"rw".to_vec(),
            b"srvr" => self.describe(conn),
            known if REFUSED.contains(&known) => {
                let refusal: &[u8] = b" is not executed because it is not in the whitelist.\n";
                [known.as_slice(), refusal].concat()
            }
            _ => {
                let len = i32::from_be_bytes(word);
                return self.cut(conn, CloseReason::BadFrameLength { len });
            }
        };
        self.send(conn, |answers| answers.text(&text));
    }

    /// # Source
    /// `SrvrCommand`, 3.8.0.
    fn describe(&self, conn: ConnectionId) -> Vec<u8> {
        let server = self.connections.get(conn).map(|state| state.server);
        let mode = match (self.servers.len(), self.servers.first().copied() == server) {
            (0 | 1, _) => "standalone",
            (_, true) => "leader",
            (_, false) => "follower",
        };
        let version = env!("CARGO_PKG_VERSION");
        let connections = server.map_or(0, |server| self.connections(server).count());
        // ZooKeeper counts the root twice, once for its alias.
        let nodes = self.tree.len().saturating_add(1);
        format!(
            "Zookeeper version: 3.9.5-zk-session-{version}, built on rust\n\
             Latency min/avg/max: 0/0.0/0\nReceived: 0\nSent: 0\nConnections: {connections}\n\
             Outstanding: 0\nZxid: {:#x}\nMode: {mode}\nNode count: {nodes}\n",
            self.zxid.0
        )
        .into_bytes()
    }
}
