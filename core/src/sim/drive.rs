//! How the world goes from one thing that happens to the next: the driver of all its sessions.

use alloc::string::String;
use core::cmp::Reverse;

use super::fact::{Fact, Truth, absolute};
use super::peer::{Asked, Peer, Transport};
use super::seen::Seen;
use super::timeline::{What, Who};
use super::world::{Actor, World};
use crate::client::{Event, KeeperState, Link};
use crate::machine::Machine;
use crate::time::Instant;
use crate::wire::Reply;

impl World {
    /// Does what is next, if that is not after `until`.
    pub(super) fn step(&mut self, until: Instant) -> bool {
        let planned = self.agenda.peek().map(|Reverse((at, _))| *at);
        let engine = self.engine.poll_timeout();
        let next = planned.into_iter().chain(engine).min();
        let Some(next) = next.filter(|at| *at <= until) else { return false };
        self.now = self.now.max(next);
        if engine.is_some_and(|at| at <= self.now) {
            self.wake_engine();
            return true;
        }
        let Some(Reverse((at, actor))) = self.agenda.pop() else { return true };
        match actor {
            Actor::Client(client) => {
                let due = self.peers.get_mut(client).and_then(|p| p.due.take_if(|due| *due == at));
                if due.is_some() {
                    self.wake(client);
                }
            }
            Actor::Pipe(pipe) => {
                let slot = self.pipes.get_mut(pipe).and_then(Option::as_mut);
                if slot.and_then(|p| p.due.take_if(|due| *due == at)).is_some() {
                    self.deliver(pipe);
                }
            }
        }
        true
    }

    fn wake_engine(&mut self) {
        self.engine.handle_timeout(self.now);
        let deadline = self.engine.poll_timeout();
        self.observe(&Fact::EngineWoken { now: self.now, deadline });
        self.audit_expiry();
        self.serve();
    }

    /// A client's host looks at its clock.
    fn wake(&mut self, client: usize) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        if let Some(until) = peer.asleep {
            if until > self.now {
                return self.plan(client);
            }
            return self.wake_up(client);
        }
        peer.session.handle_timeout(peer.clock.read(self.now));
        self.settle(client);
        self.observe_view(client, |client, view| Fact::Woken { client, view });
    }

    /// A host goes on after it has slept: the time has passed and bytes have arrived, and which its
    /// driver sees first is chance.
    pub(super) fn wake_up(&mut self, client: usize) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        peer.asleep = None;
        if peer.clock.rate() == 0 {
            peer.set_rate(self.now, 1000);
        }
        let pipe = match peer.transport {
            Transport::Open(pipe) => Some(pipe),
            _ => None,
        };
        self.observe(&Fact::Slept { client });
        if let Some(pipe) = pipe.filter(|_| self.rng.between(0, 1) == 0) {
            self.deliver(pipe);
        }
        if let Some(peer) = self.peers.get_mut(client) {
            peer.session.handle_timeout(peer.clock.read(self.now));
        }
        self.settle(client);
        if let Some(pipe) = pipe {
            self.deliver(pipe);
        }
    }

    /// A client does all that it can do now.
    pub(super) fn settle(&mut self, client: usize) {
        loop {
            self.pull(client);
            let Some(peer) = self.peers.get(client) else { return };
            match (peer.session.poll_link(), peer.transport) {
                (Link::Dial(_), Transport::None) => self.dial(client),
                (Link::Dial(_), Transport::Dialling { server, until }) if until <= self.now => {
                    if !self.dialled(client, server) {
                        break; // it hangs
                    }
                }
                (Link::Down, Transport::Dialling { .. } | Transport::Open(_)) => {
                    self.hang_up(client);
                }
                _ => break,
            }
        }
        self.send(client);
        self.plan(client);
        self.observe_view(client, |client, view| Fact::Rested { client, view });
    }

    pub(super) fn observe_view(
        &mut self,
        client: usize,
        fact: impl FnOnce(usize, &super::fact::View) -> Fact<'_>,
    ) {
        if self.invariants.is_none() {
            return;
        }
        let Some(view) = self.peers.get(client).map(|peer| peer.view(self.now)) else { return };
        self.observe(&fact(client, &view));
    }

    /// Takes what a session tells its application.
    pub(super) fn pull(&mut self, client: usize) {
        loop {
            let Some(Peer { session, asked, .. }) = self.peers.get_mut(client) else { return };
            let Some(event) = session.poll_event() else { return };
            let (seen, asked) = keep(&event, asked);
            self.told(client, seen, asked);
        }
    }

    fn told(&mut self, client: usize, seen: Seen, asked: Option<Asked>) {
        if self.timeline.is_kept() {
            self.record(client, &seen);
        }
        if self.invariants.is_some() {
            self.observe_told(client, &seen, asked);
        }
        let Some(peer) = self.peers.get_mut(client) else { return };
        if peer.seen.is_empty() {
            self.told.push_back(client);
        }
        peer.seen.push_back(seen);
    }

    fn observe_told(&mut self, client: usize, seen: &Seen, asked: Option<Asked>) {
        let Some(peer) = self.peers.get(client) else { return };
        let view = peer.view(self.now);
        let shared = || {
            let same = |other: &Peer| other.session.session_id() == view.session;
            self.peers.iter().filter(|other| same(other)).count() > 1
        };
        let is_end = matches!(seen, Seen::State { state: KeeperState::Expired, .. });
        let truth = Truth {
            is_alive: self.engine.is_alive(view.session),
            may_outlast_silence: is_end && (peer.taken > peer.heard || shared()),
        };
        let event = seen.event();
        self.observe(&Fact::Told { client, event: &event, view: &view, truth });
        let made = asked.is_some_and(|asked| asked.is_ephemeral);
        let Event::Reply { result: Ok(Reply::Path(path) | Reply::Created(path, _)), .. } = event
        else {
            return;
        };
        let Some(path) = path.as_str().filter(|_| made && view.is_honest) else { return };
        let chroot = self.peers.get(client).map_or("", |peer| peer.session.chroot());
        let path = absolute(chroot, path);
        self.observe(&Fact::Created { session: view.session, path: &path });
    }

    fn record(&mut self, client: usize, seen: &Seen) {
        let session = self.session(client).map(|session| session.session_id());
        let what = match seen {
            Seen::State { state, cause } => What::State {
                state: *state,
                cause: *cause,
                session: session.unwrap_or(crate::wire::SessionId::NONE),
            },
            Seen::Reply { xid, result, .. } => {
                What::Answered { xid: *xid, error: result.as_ref().err().copied() }
            }
            Seen::Notification { kind, path } => What::Notified { kind: *kind, path: path.clone() },
            _ => return,
        };
        self.timeline.push(self.now, Who::Client(client), what);
    }

    /// Notes when a client's host is to do something next.
    pub(super) fn plan(&mut self, client: usize) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        let due = match peer.asleep {
            Some(until) => Some(until),
            None => {
                let timer = peer.session.poll_timeout().and_then(|own| peer.clock.reaches(own));
                let dial = match peer.transport {
                    Transport::Dialling { until, .. } => Some(until).filter(|at| *at > self.now),
                    _ => None,
                };
                timer.into_iter().chain(dial).min()
            }
        };
        let due = due.map(|at| at.max(self.now));
        if peer.due != due {
            peer.due = due;
            self.agenda.extend(due.map(|at| Reverse((at, Actor::Client(client)))));
        }
    }
}

/// Keeps an event, and takes the note of the request that it answers.
fn keep(
    event: &Event<'_>,
    asked: &mut alloc::collections::VecDeque<Asked>,
) -> (Seen, Option<Asked>) {
    let asked = match event {
        Event::Reply { xid, .. } => {
            let at = asked.iter().position(|asked| asked.xid == *xid);
            at.and_then(|at| asked.remove(at))
        }
        _ => None,
    };
    let op = asked.as_ref().map_or(crate::wire::OpCode::Ping, |asked| asked.op);
    (Seen::of(event, op), asked)
}

/// The name of a server's host.
pub(super) fn host_name(server: usize) -> String {
    alloc::format!("s{server}")
}
