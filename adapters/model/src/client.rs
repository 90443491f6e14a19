//! An application and its session, and what they were told.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use zk_session::client::{Cause, ClientSession, Event, ExpiryReason, KeeperState};
use zk_session::wire::{CreateMode, Reply, Request, Xid, Zxid};
use zk_session::{ErrorCode, OpError};

use crate::law::{Checked, Law};
use crate::truth::Truth;

/// What an application wishes to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Creates an ephemeral znode.
    Create(&'static str),
    /// Looks whether a znode exists, and watches it.
    Watch(&'static str),
    /// Deletes a znode.
    Delete(&'static str),
    /// Closes the session.
    Close,
}

/// What a client has been told of a path that it watches.
#[derive(Clone, Copy, Debug)]
struct Belief {
    /// As of which transaction.
    at: Zxid,
    /// The transaction that made it, if it is there.
    made: Option<Zxid>,
    /// Whether the watch has stood at one server since then. If not, a change that was undone
    /// while nobody watched need not be told.
    unbroken: bool,
}

impl Belief {
    /// Whether the watch should have fired by a transaction.
    fn is_stale(&self, path: &str, truth: &Truth, by: Zxid) -> bool {
        if self.unbroken {
            truth.has_changed(path, self.at, by)
        } else {
            by > self.at && truth.as_of(path, by) != self.made
        }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) session: ClientSession<'static>,
    wishes: &'static [Wish],
    waiting: BTreeMap<Xid, Wish>,
    used: BTreeSet<Xid>,
    watches: BTreeMap<&'static str, Belief>,
    told: KeeperState,
    cause: Option<Cause>,
    seen: Zxid,
    replied: Zxid,
}

impl Client {
    pub(crate) fn new(session: ClientSession<'static>, wishes: &'static [Wish]) -> Self {
        let seen = session.last_zxid();
        Self {
            session,
            wishes,
            waiting: BTreeMap::new(),
            used: BTreeSet::new(),
            watches: BTreeMap::new(),
            told: KeeperState::Disconnected,
            cause: None,
            seen,
            replied: Zxid(0),
        }
    }

    /// What it wishes from now on.
    pub(crate) fn plan(&mut self, wishes: &'static [Wish]) {
        self.wishes = wishes;
    }

    /// What it wishes next, if that can be done now.
    pub(crate) fn wish(&self) -> Option<Wish> {
        let wish = *self.wishes.first()?;
        (!self.is_over() && (wish == Wish::Close || self.session.can_submit())).then_some(wish)
    }

    pub(crate) fn wishes_left(&self) -> usize {
        self.wishes.len()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.told.is_final()
    }

    /// Connected, and nothing is awaited.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_over() || (self.told.is_connected() && self.waiting.is_empty())
    }

    pub(crate) fn told(&self) -> (KeeperState, Option<Cause>) {
        (self.told, self.cause)
    }

    /// Does the next thing that is wished.
    pub(crate) fn act(&mut self, now: zk_session::Instant) -> Checked {
        let Some((wish, rest)) = self.wishes.split_first() else { return Ok(()) };
        self.wishes = rest;
        let submitted = match wish {
            Wish::Create(path) => {
                self.session.submit(&Request::create(path, b"", CreateMode::Ephemeral))
            }
            Wish::Watch(path) => self.session.submit(&Request::exists(path, true)),
            Wish::Delete(path) => self.session.submit(&Request::delete(path, -1)),
            Wish::Close => {
                self.session.close(now);
                return Ok(());
            }
        };
        let xid = submitted.expect("it can submit");
        self.waiting.insert(xid, *wish);
        let new = self.used.insert(xid);
        Law::AnsweredOnce.check(new, || format!("{xid} is given twice"))
    }

    /// Pulls an event and judges it; false if there is none.
    pub(crate) fn pull(&mut self, truth: &Truth) -> Result<bool, crate::law::Broken> {
        let Some(event) = self.session.poll_event() else { return Ok(false) };
        if self.told.is_final() {
            let how = format!("{event:?} after the end");
            Law::Expiry.check(false, || how)?;
        }
        match event {
            Event::State { state, cause } => self.on_state(state, cause, truth)?,
            Event::Reply { xid, zxid, result } => {
                let answer = match result {
                    Ok(Reply::Stat(_)) => Ok(true),
                    Ok(_) => Ok(false),
                    Err(error) => Err(error),
                };
                self.on_reply(xid, zxid, answer, truth)?;
            }
            Event::Notification { path, .. } => {
                let path = path.to_owned();
                self.on_event(&path, truth)?;
            }
            Event::WatchesLost { .. } => self.watches.clear(),
            other => panic!("not in this world: {other:?}"),
        }
        Ok(true)
    }

    fn on_state(&mut self, state: KeeperState, cause: Cause, truth: &Truth) -> Checked {
        (self.told, self.cause) = (state, Some(cause));
        if state.is_connected() {
            for belief in self.watches.values_mut() {
                belief.unbroken = false;
            }
        } else {
            let open = &self.waiting;
            Law::AnsweredOnce.check(open.is_empty(), || format!("{state:?} overtakes {open:?}"))?;
        }
        if state == KeeperState::Expired {
            let id = self.session.session_id();
            let by_word = cause == Cause::Expired(ExpiryReason::ToldByServer);
            Law::Expiry.check(by_word, || format!("{id} expired, {cause}"))?;
            Law::Expiry.check(truth.has_ended(id), || format!("{id} lives and is told expired"))?;
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        xid: Xid,
        zxid: Zxid,
        answer: Result<bool, OpError>,
        truth: &Truth,
    ) -> Checked {
        let Some(wish) = self.waiting.remove(&xid) else {
            return Law::AnsweredOnce.check(false, || format!("{xid} is answered and not open"));
        };
        if zxid.0 <= 0 {
            return Ok(()); // no server's answer
        }
        let before = self.replied;
        Law::Zxid.check(zxid >= before, || format!("a reply of {zxid:?} after {before:?}"))?;
        self.replied = zxid;
        for (path, belief) in &self.watches {
            let stale = belief.is_stale(path, truth, zxid);
            Law::EventsFirst.check(!stale, || {
                format!("a reply of {zxid:?} comes before the event of {path}, {belief:?}")
            })?;
        }
        let there = match answer {
            Ok(there) => there,
            Err(OpError::Server(ErrorCode::NoNode)) => false,
            Err(_) => return Ok(()),
        };
        if let Wish::Watch(path) = wish {
            let made = truth.as_of(path, zxid);
            let true_answer = made.is_some() == there;
            Law::EventsFirst.check(true_answer, || format!("{path} as of {zxid:?}: {there}"))?;
            self.watches.insert(path, Belief { at: zxid, made, unbroken: true });
        }
        Ok(())
    }

    fn on_event(&mut self, path: &str, truth: &Truth) -> Checked {
        let Some(belief) = self.watches.remove(path) else {
            return Law::Watches.check(false, || format!("an event of {path}, unwatched"));
        };
        let changed = truth.has_changed(path, belief.at, Zxid(i64::MAX));
        Law::Watches.check(changed, || format!("an event of {path}, unchanged"))
    }

    /// What holds after anything.
    pub(crate) fn check(&mut self) -> Checked {
        let (now, before) = (self.session.last_zxid(), self.seen);
        self.seen = now;
        Law::Zxid.check(now >= before, || format!("the zxid goes from {before:?} to {now:?}"))
    }

    /// When all is quiet no watch may be waiting that should have fired.
    pub(crate) fn check_watches(&self, truth: &Truth, last: Zxid) -> Checked {
        for (path, belief) in self.watches.iter().filter(|_| !self.is_over()) {
            let lost = belief.is_stale(path, truth, last);
            Law::Watches.check(!lost, || format!("the watch of {path} is lost, {belief:?}"))?;
        }
        Ok(())
    }
}
