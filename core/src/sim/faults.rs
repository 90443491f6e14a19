//! What a script's steps do.

use alloc::string::String;
use alloc::vec::Vec;

use super::drive::host_name;
use super::fact::Fact;
use super::peer::Transport;
use super::step::{Asleep, Step, Way, Wish};
use super::timeline::{Ending, What, Who};
use super::world::{Server, World};
use crate::client::{ClientConfig, ClientSession, TICKET_BYTES, TicketContents};
use crate::server::Engine;
use crate::storage::Storage;
use crate::time::Duration;
use crate::wire::{AddWatchMode, CreateMode, Request, WatcherType};

impl World {
    /// Carries a step of a script out.
    pub fn apply(&mut self, step: &Step) {
        if self.timeline.is_kept() {
            self.record_step(step);
        }
        match *step {
            Step::Ask { client, wish } => self.ask(client, wish),
            Step::Close { client } if self.is_awake(client) => self.close(client),
            Step::Reopen { client } if self.is_awake(client) => self.reopen(client),
            Step::Close { .. } | Step::Reopen { .. } => {}
            Step::Copy { from, to } => self.copy(from, to),
            Step::Stop { server } => self.stop(server),
            Step::Start { server } => self.start(server),
            Step::Wipe => self.wipe(),
            Step::Expire { client } => self.expire(client),
            Step::Cut { client, server } => self.break_ways(client, server, [true; 2]),
            Step::HalfOpen { client, server, way: Way::Up } => {
                self.break_ways(client, server, [true, false]);
            }
            Step::HalfOpen { client, server, way: Way::Down } => {
                self.break_ways(client, server, [false, true]);
            }
            Step::Isolate { server } => {
                (0..self.peers.len()).for_each(|client| self.break_ways(client, server, [true; 2]));
            }
            Step::Heal { client, server } => self.break_ways(client, server, [false; 2]),
            Step::HealAll => self.heal_all(),
            Step::Reset { client } => self.reset(client),
            Step::Weather(weather) => self.weather = weather,
            Step::Slow { client, pause } => self.slow(client, pause),
            Step::Garble { client } => self.garble(client),
            Step::ClockRate { client, per_mille } => self.set_rate(client, per_mille),
            Step::Suspend { client, span, clock } => self.suspend(client, span, clock),
            Step::Hosts { client, ref servers } if self.is_awake(client) => {
                let names: Vec<String> = servers.iter().copied().map(host_name).collect();
                // An empty list is refused, and so changes nothing.
                let _ = self.update_hosts(client, &names.join(","));
            }
            Step::Hosts { .. } => {}
            Step::Dns { ref name, server } => {
                self.names.insert(name.clone(), server);
            }
        }
    }

    /// Ends all faults, lets everybody come back, and looks whether they have.
    pub fn heal_and_rest(&mut self) {
        self.apply(&Step::HealAll);
        let longest = self.peers.iter().map(|peer| peer.session.timeout()).max();
        let longest = longest.unwrap_or_default().min(Duration::from_secs(60));
        self.run(longest.scaled(3, 1).max(Duration::from_secs(40)));
        for client in 0..self.peers.len() {
            let Some(peer) = self.peers.get(client).filter(|peer| peer.is_honest) else { continue };
            let view = peer.view(self.now);
            self.observe(&Fact::Healed { client, view: &view });
        }
    }

    fn record_step(&mut self, step: &Step) {
        let who = match *step {
            Step::Ask { .. } => return,
            Step::Stop { server } => {
                self.timeline.push(self.now, Who::Server(server), What::Stopped);
                return;
            }
            Step::Start { server } => {
                self.timeline.push(self.now, Who::Server(server), What::Started);
                return;
            }
            Step::Close { client }
            | Step::Reopen { client }
            | Step::Copy { to: client, .. }
            | Step::Expire { client }
            | Step::Cut { client, .. }
            | Step::HalfOpen { client, .. }
            | Step::Heal { client, .. }
            | Step::Reset { client }
            | Step::Slow { client, .. }
            | Step::Garble { client }
            | Step::ClockRate { client, .. }
            | Step::Suspend { client, .. }
            | Step::Hosts { client, .. } => Who::Client(client),
            Step::Isolate { server } => Who::Server(server),
            Step::Wipe | Step::HealAll | Step::Weather(_) | Step::Dns { .. } => Who::World,
        };
        self.timeline.push(self.now, who, What::Step(step.clone()));
    }

    fn is_awake(&self, client: usize) -> bool {
        self.peers.get(client).is_some_and(|peer| peer.asleep.is_none())
    }

    fn ask(&mut self, client: usize, wish: Wish) {
        if !self.is_awake(client) || !self.session(client).is_some_and(|s| s.can_submit()) {
            return;
        }
        let (Wish::Create(n)
        | Wish::CreateChild(n)
        | Wish::DeleteChild(n)
        | Wish::SetData(n)
        | Wish::Delete(n)
        | Wish::WatchData(n)
        | Wish::WatchExists(n)
        | Wish::WatchChildren(n)
        | Wish::WatchPersistently(n)
        | Wish::WatchRecursively(n)
        | Wish::Unwatch(n)
        | Wish::Read(n)) = wish
        else {
            let request = match wish {
                Wish::Ephemeral => Request::create("/e/n-", b"", CreateMode::EphemeralSequential),
                Wish::Sync => Request::sync("/"),
                _ => Request::add_auth("digest", b"user:secret"),
            };
            let _ = self.submit(client, &request);
            return;
        };
        let path = alloc::format!("/w{n}");
        let child = alloc::format!("/w{n}/c");
        let lasting = CreateMode::Persistent;
        let request = match wish {
            Wish::Create(_) => Request::create(&path, b"", lasting),
            Wish::CreateChild(_) => Request::create(&child, b"", lasting),
            Wish::DeleteChild(_) => Request::delete(&child, -1),
            Wish::SetData(_) => Request::set_data(&path, b"data", -1),
            Wish::Delete(_) => Request::delete(&path, -1),
            Wish::WatchData(_) => Request::get_data(&path, true),
            Wish::WatchExists(_) => Request::exists(&path, true),
            Wish::WatchChildren(_) => Request::get_children(&path, true),
            Wish::WatchPersistently(_) => Request::add_watch(&path, AddWatchMode::Persistent),
            Wish::WatchRecursively(_) => {
                Request::add_watch(&path, AddWatchMode::PersistentRecursive)
            }
            Wish::Unwatch(_) => Request::remove_watches(&path, WatcherType::Any),
            _ => Request::get_data(&path, false),
        };
        // Refused: the application would ask again later.
        let _ = self.submit(client, &request);
    }

    fn copy(&mut self, from: usize, to: usize) {
        let mut memory = [0; TICKET_BYTES];
        let Some(source) = self.session(from) else { return };
        let timeout = source.timeout();
        let is_honest = self.peers.get(from).is_some_and(|peer| peer.is_honest);
        let Ok(ticket) = source.ticket(TicketContents::Session, &mut memory) else { return };
        if from == to || !self.is_awake(to) {
            return;
        }
        let hosts: Vec<String> = (0..self.servers.len()).map(host_name).collect();
        let config = ClientConfig::new(hosts.join(","), self.rng.next());
        let config = config.timeout(timeout).stolen_after(8);
        let Some(now) = self.clock(to) else { return };
        let storage = Storage::owned(self.config.limits);
        let Ok(session) = ClientSession::resume(config, storage, ticket, now) else { return };
        self.detach(to);
        self.observe(&Fact::Renewed { client: to, watches: 0 });
        if let Some(peer) = self.peers.get_mut(to) {
            (peer.session, peer.is_honest) = (session, is_honest);
            (peer.heard, peer.due) = (self.now, None);
        }
        self.settle(to);
    }

    fn stop(&mut self, server: usize) {
        let Some(Server { id, is_up }) = self.servers.get_mut(server) else { return };
        *is_up = false;
        let id = *id;
        self.engine.stop_server(self.now, id);
        self.serve();
    }

    fn start(&mut self, server: usize) {
        if let Some(server) = self.servers.get_mut(server) {
            server.is_up = true;
        }
    }

    fn wipe(&mut self) {
        self.wipes = self.wipes.saturating_add(1);
        let end = self.now.after(self.weather.latency);
        for pipe in self.pipes.iter_mut().flatten().filter(|pipe| pipe.far) {
            pipe.far = false;
            pipe.up.clear();
            pipe.down.finish(end);
        }
        self.owners.clear();
        (0..self.pipes.len()).for_each(|pipe| self.plan_pipe(pipe));
        let mut config = self.config.engine.clone();
        config.seed = config.seed.wrapping_add(self.wipes.into());
        self.engine = Engine::new(config, self.now);
        for server in &mut self.servers {
            server.id = self.engine.add_server();
        }
        self.audited = 0;
        for session in core::mem::take(&mut self.sessions) {
            self.timeline.push(self.now, Who::World, What::Ended { session, how: Ending::Removed });
            self.observe(&Fact::Ended { session, ephemerals: 0 });
        }
        for stat in self.znodes.values_mut() {
            *stat = None;
        }
        self.observe(&Fact::Wiped);
    }

    fn expire(&mut self, client: usize) {
        let Some(session) = self.session(client).map(|session| session.session_id()) else {
            return;
        };
        if self.engine.expire_session(self.now, session) {
            self.audit_sessions(Ending::Removed);
            self.serve();
        }
    }

    /// From now on bytes do, or do not, come through in either direction.
    fn break_ways(&mut self, client: usize, server: usize, [up, down]: [bool; 2]) {
        if client >= self.peers.len() || server >= self.servers.len() {
            return;
        }
        if up || down {
            self.broken.insert((client, server), [up, down]);
        } else {
            self.broken.remove(&(client, server));
        }
        let at = self.now.after(self.weather.latency);
        for pipe in 0..self.pipes.len() {
            let Some(Some(state)) = self.pipes.get_mut(pipe) else { continue };
            if (state.client, state.server) != (client, server) {
                continue;
            }
            for (lane, is_broken) in [(&mut state.up, up), (&mut state.down, down)] {
                if is_broken {
                    lane.stall();
                } else if lane.is_stalled() {
                    lane.resume(at);
                }
            }
            self.plan_pipe(pipe);
        }
        if let Some(peer) = self.peers.get_mut(client) {
            if let Transport::Dialling { server: Some(to), until } = &mut peer.transport {
                if *to == server && !up && !down {
                    *until = (*until).max(at);
                }
            }
        }
        self.plan(client);
    }

    fn heal_all(&mut self) {
        (0..self.servers.len()).for_each(|server| self.start(server));
        self.weather = self.config.weather;
        self.names.clear();
        let broken: Vec<_> = self.broken.keys().copied().collect();
        for (client, server) in broken {
            self.break_ways(client, server, [false; 2]);
        }
        for client in 0..self.peers.len() {
            self.slow(client, Duration::ZERO);
            self.set_rate(client, 1000);
            if !self.is_awake(client) {
                self.wake_up(client);
            }
        }
    }

    fn reset(&mut self, client: usize) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        let Transport::Open(at) = peer.transport else { return };
        let Some(Some(pipe)) = self.pipes.get_mut(at) else { return };
        pipe.up.clear();
        pipe.down.clear();
        pipe.down.finish(self.now);
        let conn = pipe.conn;
        if core::mem::replace(&mut pipe.far, false) {
            self.engine.handle_disconnected(self.now, conn);
            self.disown(conn);
            self.serve();
        }
        self.plan_pipe(at);
    }

    fn slow(&mut self, client: usize, pause: Duration) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        (peer.pause, peer.reads_at) = (pause, self.now);
        if let Transport::Open(pipe) = peer.transport {
            self.plan_pipe(pipe);
        }
    }

    fn garble(&mut self, client: usize) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        peer.to_garble = true;
        if let Transport::Open(pipe) = peer.transport {
            if let Some(Some(pipe)) = self.pipes.get_mut(pipe) {
                if pipe.down.garble(&mut self.rng) {
                    (peer.to_garble, peer.is_honest) = (false, false);
                }
            }
        }
    }

    fn set_rate(&mut self, client: usize, per_mille: u32) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        if peer.clock.rate() == per_mille {
            return;
        }
        peer.set_rate(self.now, per_mille);
        self.observe(&Fact::Slept { client });
        self.plan(client);
    }

    fn suspend(&mut self, client: usize, span: Duration, clock: Asleep) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        if peer.asleep.is_some() {
            return;
        }
        peer.asleep = Some(self.now.after(span));
        if clock == Asleep::ClockStops {
            peer.set_rate(self.now, 0);
        }
        let transport = peer.transport;
        self.plan(client);
        if let Transport::Open(pipe) = transport {
            self.plan_pipe(pipe);
        }
    }
}
