//! Containers that are empty again, and znodes whose time to live is over.
//!
//! # Source
//! `ContainerManager`, 3.8.0.

use alloc::vec::Vec;

use super::Engine;
use crate::server::tree::{Kind, Node};

/// Deletions at one check, at most.
const MOST: usize = 10_000;

impl Engine {
    /// Deletes what has had its time, if it is time to look: one transaction each.
    pub(super) fn reap(&mut self) {
        if self.now < self.reap_at || self.leader().is_none() {
            return;
        }
        self.reap_at = self.now.after(self.config.container_check_interval.max(MIN_INTERVAL));
        let unix = self.config.unix_time_at_origin.saturating_add_unsigned(self.now.as_millis());
        let never_used = self.config.container_never_used;
        let over = |node: &Node| {
            let age = u64::try_from(unix.saturating_sub(node.mtime)).unwrap_or(0);
            node.children.is_empty()
                && match node.kind {
                    Kind::Container if node.creations != 0 => true,
                    Kind::Container => never_used.is_some_and(|most| age > most.as_millis()),
                    Kind::Ttl(ttl) => age > ttl.unsigned_abs(),
                    _ => false,
                }
        };
        let doomed: Vec<_> = self
            .tree
            .reapable()
            .filter(|id| self.tree.node(*id).is_some_and(over))
            .take(MOST)
            .collect();
        for id in doomed {
            let txn = self.begin();
            let mut changes = Vec::new();
            self.delete_node(id, txn, &mut changes);
            self.publish(&changes, txn.zxid);
        }
    }
}

const MIN_INTERVAL: crate::Duration = crate::Duration::from_millis(1);
