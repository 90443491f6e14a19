//! Quotas: how many znodes and bytes a subtree may have, and how many it has.
//!
//! The quota of `/a` stands in `/zookeeper/quota/a/zookeeper_limits`, what `/a` has in
//! `zookeeper_stats` beside it; both are texts, `count=2,bytes=10;countHardLimit=5`. A znode counts
//! for the nearest of its ancestors that has a quota, or for itself.
//!
//! # Source
//! `DataTree.createNode`, `.deleteNode`, `.setData`, `.updateQuotaStat`, `.updateQuotaForPath`;
//! `ZooKeeperServer.checkQuota`; `StatsTrack`, `Quotas`, `PathTrie`; 3.8.0.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

use super::{Node, NodeId, Tree};
use crate::error::ErrorCode;
use crate::trace::warn_event;

const QUOTA: &[u8] = b"/zookeeper/quota";
const LIMITS: &[u8] = b"zookeeper_limits";
const STATS: &[u8] = b"zookeeper_stats";

/// The subtrees that have a quota.
pub(super) type Limited = BTreeSet<Box<[u8]>>;

/// The statistics of a subtree before a change.
pub(in crate::server) struct Recount {
    stats: NodeId,
    before: Option<Box<[u8]>>,
}

/// More or fewer of what is counted.
#[derive(Clone, Copy)]
pub(in crate::server) struct Difference {
    pub(in crate::server) znodes: i64,
    pub(in crate::server) bytes: i64,
}

impl Difference {
    /// Of one znode that comes.
    pub(in crate::server) fn created(data: Option<&[u8]>) -> Self {
        Self { znodes: 1, bytes: length(data) }
    }

    pub(super) fn deleted(data: Option<&[u8]>) -> Self {
        Self { znodes: -1, bytes: length(data).saturating_neg() }
    }

    /// Of one znode's data.
    pub(in crate::server) fn set(before: Option<&[u8]>, after: Option<&[u8]>) -> Self {
        Self { znodes: 0, bytes: length(after).saturating_sub(length(before)) }
    }
}

fn length(data: Option<&[u8]>) -> i64 {
    data.map_or(0, |data| i64::try_from(data.len()).unwrap_or(i64::MAX))
}

/// What a quota allows, and what there is.
#[derive(Clone, Copy)]
struct Quota {
    limits: Amounts,
    stats: Amounts,
}

/// The numbers in a text like `count=2,bytes=10`; -1 is none.
#[derive(Clone, Copy)]
struct Amounts {
    count: i64,
    bytes: i64,
    count_hard: i64,
    bytes_hard: i64,
}

impl Amounts {
    fn read(data: Option<&[u8]>) -> Option<Self> {
        let pairs = pairs(data)?;
        let of = |key: &str| pairs.get(key).copied().unwrap_or(-1);
        Some(Self {
            count: of("count"),
            bytes: of("bytes"),
            count_hard: of("countHardLimit"),
            bytes_hard: of("byteHardLimit"),
        })
    }
}

/// The pairs of key and number in a quota's text; `None` if it is none.
fn pairs(data: Option<&[u8]>) -> Option<BTreeMap<&str, i64>> {
    let text = core::str::from_utf8(data.unwrap_or_default()).ok()?;
    let pairs = text.split([',', ';']).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key, value.parse().ok()?))
        })
        .collect()
}

/// The text of the pairs: count and bytes first.
fn text(pairs: &BTreeMap<&str, i64>) -> Box<[u8]> {
    let of = |key: &str| pairs.get(key).copied().unwrap_or(-1);
    let mut text = format!("count={},bytes={}", of("count"), of("bytes"));
    for (key, value) in pairs.iter().filter(|(key, _)| !matches!(**key, "count" | "bytes")) {
        text.push_str(&format!(";{key}={value}"));
    }
    text.into_bytes().into()
}

/// All quotas as they were at some time.
pub(in crate::server) struct Quotas(BTreeMap<Box<[u8]>, Quota>);

impl Quotas {
    /// Whether a change of `path` stays within the hard limits. Soft ones only warn.
    ///
    /// # Errors
    /// `QuotaExceeded`.
    pub(in crate::server) fn check(&self, path: &[u8], more: Difference) -> Result<(), ErrorCode> {
        nearest(path, |prefix| self.0.get(prefix)).map_or(Ok(()), |quota| quota.check(more))
    }
}

impl Quota {
    fn check(&self, more: Difference) -> Result<(), ErrorCode> {
        let Self { limits, stats } = self;
        within(limits.count, limits.count_hard, stats.count, more.znodes)?;
        within(limits.bytes, limits.bytes_hard, stats.bytes, more.bytes)
    }
}

fn within(soft: i64, hard: i64, now: i64, more: i64) -> Result<(), ErrorCode> {
    let (is_hard, limit) = (hard > -1, if hard > -1 { hard } else { soft });
    let then = now.saturating_add(more);
    if more == 0 || limit < 0 || then <= limit {
        return Ok(());
    }
    warn_event!("quota exceeded: {} of {}", then, limit);
    if is_hard { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
}

/// What is found for a path or else for its nearest ancestor, the root excepted.
fn nearest<T>(path: &[u8], find: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let mut end = path.len();
    while end > 1 {
        let prefix = path.get(..end)?;
        let found = find(prefix);
        if found.is_some() {
            return found;
        }
        end = prefix.iter().rposition(|byte| *byte == b'/')?;
    }
    None
}

/// The subtree whose limits or statistics a znode holds: `/a` of `/zookeeper/quota/a/<name>`.
fn subtree<'p>(path: &'p [u8], name: &[u8]) -> Option<&'p [u8]> {
    let prefix = path.strip_prefix(QUOTA)?.strip_suffix(name)?.strip_suffix(b"/")?;
    (prefix.len() > 1).then_some(prefix)
}

fn beside(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    [QUOTA, prefix, b"/", name].concat()
}

/// Whether a znode of this name may be a quota's.
pub(super) fn is_own(name: &[u8]) -> bool {
    matches!(name, LIMITS | STATS)
}

impl Tree {
    /// Whether any subtree has a quota.
    pub(in crate::server) fn has_quotas(&self) -> bool {
        !self.limited.is_empty()
    }

    /// All quotas as they are now.
    pub(in crate::server) fn quotas(&self) -> Quotas {
        let all = self.limited.iter();
        Quotas(all.filter_map(|prefix| Some((prefix.clone(), self.quota(prefix)?))).collect())
    }

    /// As [`Quotas::check`], now.
    ///
    /// # Errors
    /// `QuotaExceeded`.
    pub(in crate::server) fn check_quota(
        &self,
        path: &[u8],
        more: Difference,
    ) -> Result<(), ErrorCode> {
        let prefix = nearest(path, |prefix| self.limited.get(prefix));
        let quota = prefix.and_then(|prefix| self.quota(prefix));
        quota.map_or(Ok(()), |quota| quota.check(more))
    }

    fn quota(&self, prefix: &[u8]) -> Option<Quota> {
        let read = |name| Amounts::read(self.look(&beside(prefix, name))?.data.as_deref());
        Some(Quota { limits: read(LIMITS)?, stats: read(STATS)? })
    }

    /// A znode has come: it may be a quota's own, and it is counted.
    pub(super) fn quota_created(&mut self, id: NodeId) -> Option<Recount> {
        let path = self.path(id);
        if let Some(prefix) = subtree(&path, LIMITS) {
            self.limited.insert(prefix.into());
        }
        if let Some(prefix) = subtree(&path, STATS) {
            let counted = self.counted(prefix);
            if let Some(node) = self.node_mut(id) {
                node.data = Some(counted);
            }
        }
        let more = Difference::created(self.node(id)?.data.as_deref());
        self.count(&path, more)
    }

    /// A znode is about to go.
    pub(super) fn quota_deleted(&mut self, id: NodeId) -> Option<Recount> {
        let path = self.path(id);
        self.quota_forgotten(&path);
        let fewer = Difference::deleted(self.node(id)?.data.as_deref());
        self.count(&path, fewer)
    }

    /// A znode has gone that may have held limits.
    pub(super) fn quota_forgotten(&mut self, path: &[u8]) {
        if let Some(prefix) = subtree(path, LIMITS) {
            self.limited.remove(prefix);
        }
    }

    /// A znode is back that may hold limits; its statistics are as they were.
    pub(super) fn quota_restored(&mut self, id: NodeId) {
        let path = self.path(id);
        if let Some(prefix) = subtree(&path, LIMITS) {
            self.limited.insert(prefix.into());
        }
    }

    /// A znode's data has changed.
    pub(super) fn quota_set(&mut self, id: NodeId, more: Difference) -> Option<Recount> {
        let path = self.path(id);
        self.count(&path, more)
    }

    /// Takes a count back.
    pub(super) fn uncount(&mut self, recount: Recount) {
        if let Some(node) = self.node_mut(recount.stats) {
            node.data = recount.before;
            self.note_modified(recount.stats);
        }
    }

    /// Changes the statistics that `path` counts for. A text that is none stays as it is.
    fn count(&mut self, path: &[u8], more: Difference) -> Option<Recount> {
        let prefix = nearest(path, |prefix| self.limited.get(prefix))?;
        let stats = self.find(&beside(prefix, STATS))?;
        let node = self.node_mut(stats)?;
        let mut pairs = pairs(node.data.as_deref())?;
        for (key, more) in [("count", more.znodes), ("bytes", more.bytes)] {
            let number = pairs.entry(key).or_insert(-1);
            *number = number.saturating_add(more);
        }
        let after = text(&pairs);
        let before = node.data.replace(after);
        self.note_modified(stats);
        Some(Recount { stats, before })
    }

    /// The statistics of a subtree, counted anew.
    fn counted(&self, prefix: &[u8]) -> Box<[u8]> {
        let (mut count, mut bytes) = (0_i64, 0_i64);
        let mut open: Vec<NodeId> = self.find(prefix).into_iter().collect();
        while let Some(Node { data, children, .. }) = open.pop().and_then(|id| self.node(id)) {
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(length(data.as_deref()));
            open.extend(children.values());
        }
        text(&BTreeMap::from([("count", count), ("bytes", bytes)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_ancestor_has_the_say() {
        let known = |prefix: &[u8]| matches!(prefix, b"/a" | b"/a/b").then(|| prefix.len());
        assert_eq!(nearest(b"/a/b/c/d", known), Some(4));
        assert_eq!(nearest(b"/a/bc", known), Some(2));
        assert_eq!(nearest(b"/a", known), Some(2));
        assert_eq!(nearest(b"/ab", known), None);
        assert_eq!(nearest(b"/", known), None);
    }

    #[test]
    fn texts_are_those_of_zookeeper() {
        let read = pairs(Some(b"bytes=5,count=2;byteHardLimit=-1;countHardLimit=7")).unwrap();
        assert_eq!(*text(&read), *b"count=2,bytes=5;byteHardLimit=-1;countHardLimit=7");
        assert_eq!(*text(&pairs(None).unwrap()), *b"count=-1,bytes=-1");
        assert!(pairs(Some(b"count")).is_none());
        assert!(pairs(Some(b"count=x")).is_none());
        assert!(pairs(Some(&[0xff])).is_none());
    }

    #[test]
    fn a_quotas_znodes_are_known_by_their_paths() {
        assert_eq!(subtree(b"/zookeeper/quota/a/b/zookeeper_limits", LIMITS), Some(&b"/a/b"[..]));
        assert_eq!(subtree(b"/zookeeper/quota/zookeeper_limits", LIMITS), None);
        assert_eq!(subtree(b"/zookeeper/quota//zookeeper_limits", LIMITS), None);
        assert_eq!(subtree(b"/zookeeper/quota/a/xzookeeper_limits", LIMITS), None);
        assert_eq!(subtree(b"/quota/a/zookeeper_limits", LIMITS), None);
    }
}
