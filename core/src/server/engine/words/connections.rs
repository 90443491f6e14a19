//! `cons`, and the part of `stat` that lists connections.

use super::{Engine, Page};
use crate::server::event::ServerLink;
use crate::server::tracker::ServerId;

impl Engine {
    /// # Source
    /// `ServerCnxn.dumpConnectionInfo`, 3.8.0.
    pub(super) fn list_connections(&self, server: ServerId, whole: bool, page: &mut Page) {
        for (id, conn) in self.connections.of(server) {
            let stats = &conn.stats;
            let (peer, queued) = (conn.peer, conn.owed);
            // 1: it is read from; 4: it is written to.
            let reads = conn.connection.poll_link() == ServerLink::Up
                && conn.session.is_some()
                && !self.connections.is_paused(id, &self.config);
            let writes = !conn.connection.answers.pending().is_empty();
            let interest = u8::from(reads) | (u8::from(writes) << 2);
            page.add(format_args!(
                " /{peer}[{interest}](queued={queued},recved={},sent={}",
                stats.received, stats.sent
            ));
            if let Some(attached) = conn.session.filter(|_| whole) {
                page.add(format_args!(
                    ",sid={:#x},lop={},est={},to={}",
                    attached.session.id().0,
                    stats.last_op,
                    self.unix_millis(conn.opened),
                    attached.timeout.as_millis()
                ));
                if let Some(cxid) = stats.last_cxid.filter(|cxid| cxid.0 >= 0) {
                    page.add(format_args!(",lcxid={:#x}", cxid.0));
                }
                let latency = &stats.latency;
                page.add(format_args!(
                    ",lzxid={:#x},lresp={},llat={},minlat={},avglat={},maxlat={}",
                    stats.last_zxid.0,
                    stats.last_response.as_millis(),
                    latency.last,
                    latency.least(),
                    latency.whole_average(),
                    latency.most
                ));
            }
            page.line(format_args!(")"));
        }
    }
}
