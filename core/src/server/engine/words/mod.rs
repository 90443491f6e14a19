//! Four-letter words: a fresh connection asks in four letters, is answered in text, and is closed.
//!
//! # Source
//! `FourLetterCommands` and the classes in `server.command`, 3.8.0; compared with a running 3.8.0
//! line by line.

mod connections;
mod date;
mod monitor;
mod sessions;
mod settings;
mod watches;
mod whitelist;

use alloc::string::String;
use core::fmt::{self, Write as _};

pub(super) use settings::DataDir;
pub use whitelist::FourLetterWords;

use super::{ConnectionId, Engine, Release};
use crate::server::event::{Access, CloseReason};
use crate::server::tracker::ServerId;

/// The trace mask that ZooKeeper starts with.
pub(super) const TRACE_MASK: u64 = 306;

/// An answer being written.
#[derive(Default)]
struct Page(String);

impl Page {
    fn add(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(text); // a string takes everything
    }

    fn line(&mut self, text: fmt::Arguments<'_>) {
        self.add(text);
        self.0.push('\n');
    }
}

/// What part a server plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Standalone,
    Leader,
    Follower,
    ReadOnly,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::ReadOnly => "read-only",
        }
    }

    /// The answer to `isro`.
    fn access(self) -> &'static str {
        match self {
            Self::ReadOnly => "ro",
            _ => "rw",
        }
    }
}

impl Engine {
    pub(super) fn four_letter(&mut self, conn: ConnectionId, word: [u8; 4]) {
        let Some(server) = self.connections.get(conn).map(|state| state.server) else { return };
        if !FourLetterWords::is_known(word) {
            let len = i32::from_be_bytes(word);
            return self.cut(conn, CloseReason::BadFrameLength { len });
        }
        self.connections.word_received(conn);
        let mut page = Page::default();
        if self.config.four_letter_words.contains(word) {
            self.answer_word(server, &word, &mut page);
        } else {
            let word = core::str::from_utf8(&word).unwrap_or_default();
            page.line(format_args!("{word} is not executed because it is not in the whitelist."));
        }
        self.send(conn, |answers| answers.text(page.0.as_bytes()));
    }

    /// The word that brings a number with it.
    pub(super) fn set_trace_mask(&mut self, conn: ConnectionId, mask: u64) {
        if self.config.four_letter_words.contains(*b"stmk") {
            self.trace_mask = mask;
        }
        self.four_letter(conn, *b"stmk");
    }

    fn answer_word(&mut self, server: ServerId, word: &[u8; 4], page: &mut Page) {
        match word {
            b"ruok" => page.add(format_args!("imok")),
            b"isro" => page.add(format_args!("{}", self.role(server).access())),
            b"srvr" => self.describe(server, false, page),
            b"stat" => self.describe(server, true, page),
            b"cons" => {
                self.list_connections(server, true, page);
                page.line(format_args!(""));
            }
            b"dump" => self.dump(server, page),
            b"wchs" => self.summarize_watches(server, page),
            b"wchc" => self.list_watches(server, page),
            b"wchp" => self.list_watched(server, page),
            b"mntr" => self.monitor(server, page),
            b"conf" => self.list_settings(server, page),
            b"envi" => self.list_environment(page),
            b"dirs" => self.list_dirs(page),
            b"srst" => {
                let front = self.connections.fronts.get_mut(server);
                (front.stats, front.counters) = Default::default();
                page.line(format_args!("Server stats reset."));
            }
            b"crst" => {
                self.connections.reset_stats(server);
                page.line(format_args!("Connection stats reset."));
            }
            // Traces are not kept; the number is.
            b"gtmk" | b"stmk" => page.add(format_args!("{}", self.trace_mask.cast_signed())),
            // `hash` lists digests of the tree that ZooKeeper records every 128 transactions. None
            // are recorded here.
            _ => {}
        }
    }

    fn role(&self, server: ServerId) -> Role {
        match (self.servers.len(), self.leader() == Some(server)) {
            _ if self.access(server) == Access::ReadOnly => Role::ReadOnly,
            (0 | 1, _) => Role::Standalone,
            (_, true) => Role::Leader,
            (_, false) => Role::Follower,
        }
    }

    /// The release whose behaviour is shown, in the form that tools look for.
    fn version(&self) -> impl fmt::Display + use<> {
        match self.config.release {
            Release::V3_8 => {
                concat!("3.8.0-zk-session-", env!("CARGO_PKG_VERSION"), ", built on rust")
            }
            Release::V3_9 => {
                concat!("3.9.5-zk-session-", env!("CARGO_PKG_VERSION"), ", built on rust")
            }
        }
    }

    /// ZooKeeper counts the root twice, once for its alias.
    fn znode_count(&self) -> usize {
        self.tree.len().saturating_add(1)
    }

    /// `srvr`, and `stat` with the connections.
    fn describe(&self, server: ServerId, connections: bool, page: &mut Page) {
        page.line(format_args!("Zookeeper version: {}", self.version()));
        if connections {
            page.line(format_args!("Clients:"));
            self.list_connections(server, false, page);
            page.line(format_args!(""));
        }
        let front = self.connections.fronts.get(server);
        let (stats, role) = (&front.stats, self.role(server));
        let latency = &stats.latency;
        let (least, average, most) = (latency.least(), latency.average(), latency.most);
        page.line(format_args!("Latency min/avg/max: {least}/{average}/{most}"));
        page.line(format_args!("Received: {}", stats.received));
        page.line(format_args!("Sent: {}", stats.sent));
        page.line(format_args!("Connections: {}", front.connections));
        page.line(format_args!("Outstanding: {}", front.outstanding));
        page.line(format_args!("Zxid: {:#x}", self.zxid.0));
        page.line(format_args!("Mode: {}", role.name()));
        page.line(format_args!("Node count: {}", self.znode_count()));
        if role == Role::Leader {
            // As of a leader that has proposed nothing: no transaction needs a proposal here.
            page.line(format_args!("Proposal sizes last/min/max: -1/-1/-1"));
        }
    }
}
