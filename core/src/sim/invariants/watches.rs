//! A model of what every client watches.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Invariant, PerClient};
use crate::client::{Event, KeeperState, WatchKind, ancestors};
use crate::error::{ErrorCode, OpError};
use crate::sim::fact::{Fact, View, absolute};
use crate::wire::{AddWatchMode, EventType, Request, Ustring, WatcherType, Xid, Zxid};

/// Every watch fires once for what it watches, before any reply that is as new: none is lost, also
/// not across connections, and none fires that is not armed (but for what a server says twice while
/// it catches a client up).
///
/// Changes are taken from the ensemble's znodes, not from what its servers tell: whatever lies
/// between two transactions that the world looks at may be missing, and then nothing is demanded.
#[derive(Clone, Debug, Default)]
pub struct WatchesFireOnce {
    clients: PerClient<Watcher>,
    /// What has happened to each znode that was ever watched, as far as it was seen.
    changes: BTreeMap<String, VecDeque<Change>>,
}

#[derive(Clone, Copy, Debug)]
struct Change {
    kind: EventType,
    from: Zxid,
    to: Zxid,
}

#[derive(Clone, Debug, Default)]
struct Watcher {
    chroot: String,
    /// By the server's path.
    armed: BTreeMap<(String, u8), Armed>,
    wishes: VecDeque<(Xid, String, Wish)>,
    /// It was connected, and no request has been answered since.
    catching_up: bool,
    /// It came with watches of which nothing is known.
    is_unknown: bool,
}

#[derive(Clone, Debug)]
struct Armed {
    kind: WatchKind,
    /// All that happened up to here has been told.
    since: Zxid,
    /// The connection was lost since.
    was_away: bool,
    /// What a persistent one was told since.
    told: Vec<(EventType, String)>,
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Arm(WatchKind),
    Exists,
    Remove(WatcherType),
}

/// How many changes of a znode are remembered.
const MEMORY: usize = 256;

impl WatchesFireOnce {
    fn on_asked(&mut self, client: usize, xid: Xid, request: &Request<'_>, chroot: &str) {
        let wish = match *request {
            Request::Exists { watch: true, .. } => Wish::Exists,
            Request::GetData { watch: true, .. } => Wish::Arm(WatchKind::Data),
            Request::GetChildren { watch: true, .. }
            | Request::GetChildren2 { watch: true, .. } => Wish::Arm(WatchKind::Child),
            Request::AddWatch { mode, .. } => match AddWatchMode::from_wire(mode) {
                Some(AddWatchMode::Persistent) => Wish::Arm(WatchKind::Persistent),
                Some(AddWatchMode::PersistentRecursive) => Wish::Arm(WatchKind::Recursive),
                None => return,
            },
            Request::RemoveWatches { kind, .. } => match WatcherType::from_wire(kind) {
                Some(kind) => Wish::Remove(kind),
                None => return,
            },
            _ => return,
        };
        let path = request.path().and_then(Ustring::as_str).unwrap_or_default();
        if let Some(watcher) = self.clients.of(client) {
            chroot.clone_into(&mut watcher.chroot);
            watcher.wishes.push_back((xid, absolute(chroot, path), wish));
        }
    }

    fn on_reply(
        &mut self,
        client: usize,
        xid: Xid,
        zxid: Zxid,
        error: Option<OpError>,
    ) -> Result<(), String> {
        let changes = &self.changes;
        let Some(watcher) = self.clients.of(client) else { return Ok(()) };
        let is_answer = zxid.0 > 0;
        if is_answer {
            watcher.catching_up = false;
            for ((path, _), armed) in &mut watcher.armed {
                armed
                    .demand(path, zxid, changes)
                    .map_err(|what| format!("client {client}: {what}"))?;
            }
        }
        let Some(at) = watcher.wishes.iter().position(|(of, ..)| *of == xid) else { return Ok(()) };
        let Some((_, path, wish)) = watcher.wishes.remove(at) else { return Ok(()) };
        let no_node = error == Some(OpError::Server(ErrorCode::NoNode));
        let no_watch = error == Some(OpError::Server(ErrorCode::NoWatcher));
        let kind = match wish {
            Wish::Arm(kind) if error.is_none() => kind,
            Wish::Exists if error.is_none() => WatchKind::Data,
            Wish::Exists if no_node => WatchKind::Exist,
            Wish::Remove(by) if error.is_none() || no_watch => {
                watcher.armed.retain(|(at, _), armed| *at != path || !armed.kind.is_removed_by(by));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let armed = Armed { kind, since: zxid, was_away: false, told: Vec::new() };
        watcher.armed.entry((path, rank(kind))).or_insert(armed);
        Ok(())
    }

    fn on_notification(
        &mut self,
        client: usize,
        kind: EventType,
        path: &str,
    ) -> Result<(), String> {
        let Some(watcher) = self.clients.of(client).filter(|w| !w.is_unknown) else {
            return Ok(());
        };
        let path = absolute(&watcher.chroot, path);
        let mut is_for_any = false;
        watcher.armed.retain(|(at, _), armed| {
            if !armed.kind.is_told(at, kind, &path) {
                return true;
            }
            is_for_any = true;
            armed.told.push((kind, path.clone()));
            !armed.kind.ends_with(kind)
        });
        if is_for_any || watcher.catching_up {
            return Ok(());
        }
        Err(format!("client {client} is told {kind:?} {path}, which it does not watch"))
    }

    fn on_told(&mut self, client: usize, event: &Event<'_>) -> Result<(), String> {
        match event {
            Event::Reply { xid, zxid, result } => {
                self.on_reply(client, *xid, *zxid, result.as_ref().err().copied())
            }
            Event::Notification { kind, path } => self.on_notification(client, *kind, path),
            Event::WatchesLost { .. } => {
                if let Some(watcher) = self.clients.of(client) {
                    watcher.armed.clear();
                }
                Ok(())
            }
            Event::State { state, .. } => {
                let Some(watcher) = self.clients.of(client) else { return Ok(()) };
                match state {
                    KeeperState::Disconnected => {
                        watcher.armed.values_mut().for_each(|armed| armed.was_away = true);
                    }
                    KeeperState::SyncConnected => watcher.catching_up = true,
                    _ => {}
                }
                Ok(())
            }
            Event::SaslChallenge(_) => Ok(()),
        }
    }

    fn count(&mut self, client: usize, view: &View) -> Result<(), String> {
        let Some(watcher) = self.clients.of(client).filter(|w| !w.is_unknown) else {
            return Ok(());
        };
        if view.state.is_final() || watcher.armed.len() == view.watches {
            return Ok(());
        }
        let armed: Vec<_> = watcher.armed.iter().map(|((path, _), a)| (path, a.kind)).collect();
        Err(format!("client {client} keeps {} watches, not {armed:?}", view.watches))
    }
}

impl Armed {
    /// All that was to be told up to this transaction must have been told.
    fn demand(
        &mut self,
        at: &str,
        upto: Zxid,
        changes: &BTreeMap<String, VecDeque<Change>>,
    ) -> Result<(), String> {
        let was_away = core::mem::take(&mut self.was_away);
        let since = self.since;
        self.since = since.max(upto);
        let told = core::mem::take(&mut self.told);
        if since >= upto {
            return Ok(());
        }
        let is_lasting = matches!(self.kind, WatchKind::Persistent | WatchKind::Recursive);
        if is_lasting && was_away {
            return Ok(()); // servers do not catch these up
        }
        let paths: Vec<&String> = match self.kind {
            WatchKind::Recursive => {
                changes.keys().filter(|path| ancestors(path).any(|up| up == at)).collect()
            }
            _ => Vec::new(),
        };
        let own = changes.get_key_value(at).map(|(path, _)| path);
        for path in paths.into_iter().chain(own) {
            let all = changes.get(path).into_iter().flatten();
            let mut due = all.filter(|change| change.from > since && change.to <= upto);
            let missed = match self.kind {
                // Who came and went meanwhile is not told of.
                WatchKind::Exist if was_away => due
                    .next_back()
                    .filter(|last| !matches!(last.kind, EventType::NodeDeleted))
                    .filter(|last| last.kind != EventType::NodeChildrenChanged),
                kind if !is_lasting => due.find(|change| change.kind.fires(kind)),
                kind => {
                    let mut told: Vec<EventType> =
                        told.iter().filter(|(_, of)| of == path).map(|(kind, _)| *kind).collect();
                    due.find(|change| {
                        if !change.kind.fires(kind) {
                            return false;
                        }
                        match told.iter().position(|told| *told == change.kind) {
                            Some(at) => {
                                told.swap_remove(at);
                                false
                            }
                            None => true,
                        }
                    })
                }
            };
            if let Some(Change { kind, to, .. }) = missed {
                let (watch, to, upto) = (self.kind, to.0, upto.0);
                return Err(format!(
                    "{watch:?} watch of {at} was not told {kind:?} {path} of transaction {to} before \
                     a reply of transaction {upto}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for WatchesFireOnce {
    fn name(&self) -> &'static str {
        "watches fire once"
    }

    fn observe(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match *fact {
            Fact::Asked { client, xid, request, chroot, .. } => {
                self.on_asked(client, xid, request, chroot);
            }
            Fact::Cancelled { client, xid } => {
                if let Some(watcher) = self.clients.of(client) {
                    watcher.wishes.retain(|(of, ..)| *of != xid);
                }
            }
            Fact::Told { client, event, view, .. } if view.is_honest => {
                return self.on_told(client, event);
            }
            Fact::Rested { client, view } if view.is_honest => return self.count(client, view),
            Fact::Changed { path, kind, from, to } => {
                if !self.changes.contains_key(path) {
                    self.changes.insert(path.to_owned(), VecDeque::new());
                }
                if let Some(changes) = self.changes.get_mut(path) {
                    changes.push_back(Change { kind, from, to });
                    if changes.len() > MEMORY {
                        changes.pop_front();
                    }
                }
            }
            Fact::Wiped => self.changes.clear(),
            Fact::Renewed { client, watches } => {
                if let Some(watcher) = self.clients.of(client) {
                    *watcher = Watcher { is_unknown: watches > 0, ..Watcher::default() };
                }
            }
            _ => {}
        }
        Ok(())
    }
}

const fn rank(kind: WatchKind) -> u8 {
    match kind {
        WatchKind::Data => 0,
        WatchKind::Exist => 1,
        WatchKind::Child => 2,
        WatchKind::Persistent => 3,
        WatchKind::Recursive => 4,
    }
}
