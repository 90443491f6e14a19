//! `wchs`, `wchc`, `wchp`: the data watches of a server's connections.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::{Engine, Page};
use crate::server::tracker::ServerId;
use crate::wire::SessionId;

impl Engine {
    /// # Source
    /// `WatchManager.toString`, 3.8.0.
    pub(super) fn summarize_watches(&self, server: ServerId, page: &mut Page) {
        let (mut connections, mut paths, mut watches) = (0_usize, BTreeSet::new(), 0_usize);
        for (_, watched) in self.data_watches(server) {
            connections = connections.saturating_add(1);
            watches = watches.saturating_add(watched.len());
            paths.extend(watched);
        }
        page.line(format_args!("{connections} connections watching {} paths", paths.len()));
        page.line(format_args!("Total watches:{watches}"));
    }

    /// # Source
    /// `WatchManager.dumpWatches`, 3.8.0.
    pub(super) fn list_watches(&self, server: ServerId, page: &mut Page) {
        for (session, watched) in self.data_watches(server) {
            page.line(format_args!("{:#x}", session.0));
            for path in watched {
                page.line(format_args!("\t{}", String::from_utf8_lossy(path)));
            }
        }
        page.line(format_args!(""));
    }

    /// # Source
    /// `WatchManager.dumpWatches`, 3.8.0.
    pub(super) fn list_watched(&self, server: ServerId, page: &mut Page) {
        let mut by_path: BTreeMap<&[u8], Vec<SessionId>> = BTreeMap::new();
        for (session, watched) in self.data_watches(server) {
            for path in watched {
                by_path.entry(path).or_default().push(session);
            }
        }
        for (path, sessions) in by_path {
            page.line(format_args!("{}", String::from_utf8_lossy(path)));
            for session in sessions {
                page.line(format_args!("\t{:#x}", session.0));
            }
        }
        page.line(format_args!(""));
    }

    /// The sessions of a server that have data watches, and the paths.
    fn data_watches(&self, server: ServerId) -> impl Iterator<Item = (SessionId, Vec<&[u8]>)> {
        self.connections.of(server).filter_map(|(id, conn)| {
            let session = conn.session?.session.id();
            let paths: Vec<_> = self.watches.data_paths(id).collect();
            (!paths.is_empty()).then_some((session, paths))
        })
    }
}
