//! `dump`: sessions, their ephemeral znodes, and connections, by when they expire.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::date::Date;
use super::{Engine, Page, Role};
use crate::server::tracker::ServerId;
use crate::time::Instant;
use crate::wire::SessionId;

impl Engine {
    /// # Source
    /// `DumpCommand`, `SessionTrackerImpl.dumpSessions`, `LearnerSessionTracker.dumpSessions`,
    /// `DataTree.dumpEphemerals`, `NIOServerCnxnFactory.dumpConnections`, `ExpiryQueue.dump`, 3.8.0.
    /// Sets without members are left out.
    pub(super) fn dump(&self, server: ServerId, page: &mut Page) {
        page.line(format_args!("SessionTracker dump:"));
        if self.role(server) == Role::Follower {
            self.list_sessions(page);
        } else {
            let sets = sets(self.tracker.expiries().map(|(id, expiry)| (expiry, id)));
            page.add(format_args!("Session "));
            self.list_sets(&sets, page, |id, page| page.line(format_args!("\t{:#x}", id.0)));
        }
        page.line(format_args!("ephemeral nodes dump:"));
        page.line(format_args!("Sessions with Ephemerals ({}):", self.tree.owners().count()));
        for (session, ephemerals) in self.tree.owners() {
            page.line(format_args!("{:#x}:", session.0));
            for id in ephemerals {
                page.line(format_args!("\t{}", String::from_utf8_lossy(&self.tree.path(*id))));
            }
        }
        page.line(format_args!("Connections dump:"));
        let conns = self.connections.of(server).map(|(_, conn)| {
            (conn.idle_at(&self.config), (conn.peer, conn.session.map(|known| known.session.id())))
        });
        page.add(format_args!("Connections "));
        self.list_sets(&sets(conns), page, |(peer, session), page| {
            let session = session.unwrap_or(SessionId::NONE).0;
            page.line(format_args!("\tip: /{peer} sessionId: {session:#x}"));
        });
    }

    fn list_sessions(&self, page: &mut Page) {
        let mut sessions: Vec<_> = self.tracker.sessions().collect();
        sessions.sort_unstable_by_key(|(id, ..)| *id);
        page.line(format_args!("Global Sessions({}):", sessions.len()));
        for (id, timeout, _) in sessions {
            page.line(format_args!("{:#x}\t{}ms", id.0, timeout.as_millis()));
        }
    }

    fn list_sets<T>(
        &self,
        sets: &BTreeMap<Instant, Vec<T>>,
        page: &mut Page,
        member: impl Fn(&T, &mut Page),
    ) {
        let members = sets.values().map(Vec::len).fold(0, usize::saturating_add);
        page.line(format_args!("Sets ({})/({members}):", sets.len()));
        for (at, set) in sets {
            let date = Date(self.unix_millis(*at));
            page.line(format_args!("{} expire at {date}:", set.len()));
            for one in set {
                member(one, page);
            }
        }
    }
}

fn sets<T>(members: impl Iterator<Item = (Instant, T)>) -> BTreeMap<Instant, Vec<T>> {
    let mut sets: BTreeMap<Instant, Vec<T>> = BTreeMap::new();
    for (at, member) in members {
        sets.entry(at).or_default().push(member);
    }
    sets
}
