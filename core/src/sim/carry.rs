//! What goes over the network: attempts, transports, and the bytes both ways.

use core::cmp::Reverse;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::fact::Fact;
use super::peer::Transport;
use super::pipe::{Lane, Pipe};
use super::step::Way;
use super::timeline::{What, Who};
use super::world::{Actor, World};
use crate::error::DisconnectReason;
use crate::machine::Machine;
use crate::server::{ConnectionId, ServerLink};
use crate::time::Duration;

/// Bytes that one direction of a transport holds before its writer has to wait.
const WINDOW: usize = 64 << 10;

/// Bytes that a slow client reads at a time.
const SIP: usize = 64;

/// A ping as it stands on the wire.
const PING: [u8; 12] = [0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11];

impl World {
    /// A client begins an attempt.
    pub(super) fn dial(&mut self, client: usize) {
        let weather = self.weather;
        let there_and_back = weather.delay(&mut self.rng).as_millis();
        let there_and_back =
            there_and_back.saturating_add(weather.delay(&mut self.rng).as_millis());
        let until = self.now.after(Duration::from_millis(there_and_back));
        let Some(peer) = self.peers.get_mut(client) else { return };
        let name = peer.dialled_host().unwrap_or_default();
        let server =
            self.names.get(&name).copied().or_else(|| name.strip_prefix('s')?.parse().ok());
        let server = server.filter(|server: &usize| *server < self.servers.len());
        peer.transport = Transport::Dialling { server, until };
        if self.timeline.is_kept() {
            self.timeline.push(self.now, Who::Client(client), What::Attempt { server });
        }
        self.observe_view(client, |client, view| Fact::Attempted { client, view });
    }

    /// The time that a dial takes has passed; says whether anything came of it.
    pub(super) fn dialled(&mut self, client: usize, server: Option<usize>) -> bool {
        let hangs = server.is_some_and(|server| {
            self.is_broken(client, server, Way::Up) || self.is_broken(client, server, Way::Down)
        });
        if hangs {
            return false;
        }
        let up = server.filter(|server| self.servers.get(*server).is_some_and(|s| s.is_up));
        let Some(peer) = self.peers.get_mut(client) else { return false };
        let own = peer.clock.read(self.now);
        let Some(server) = up else {
            peer.session.handle_disconnected(own);
            return true;
        };
        let Some(id) = self.servers.get(server).map(|server| server.id) else { return false };
        let [.., high, low] = client.to_be_bytes();
        let port = 1024_u16.saturating_add(u16::try_from(self.serials & 0x7fff).unwrap_or(0));
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), port);
        let conn = self.engine.accept(self.now, id, address);
        self.serials = self.serials.saturating_add(1);
        let pipe = self.free.pop().unwrap_or_else(|| {
            self.pipes.push(None);
            self.pipes.len().saturating_sub(1)
        });
        let new = Pipe {
            client,
            server,
            conn,
            serial: self.serials,
            up: Lane::default(),
            down: Lane::default(),
            near: true,
            far: true,
            due: None,
        };
        if let Some(slot) = self.pipes.get_mut(pipe) {
            *slot = Some(new);
        }
        if self.owners.len() <= conn.index() {
            self.owners.resize(conn.index().saturating_add(1), None);
        }
        if let Some(owner) = self.owners.get_mut(conn.index()) {
            *owner = Some(pipe);
        }
        peer.transport = Transport::Open(pipe);
        peer.session.handle_connected(own);
        true
    }

    /// A client has no transport any more.
    pub(super) fn hang_up(&mut self, client: usize) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        let transport = core::mem::replace(&mut peer.transport, Transport::None);
        let on_purpose = matches!(
            peer.session.last_disconnect(),
            Some((_, DisconnectReason::HostsChanged | DisconnectReason::FoundReadWrite))
        );
        if let Transport::Open(pipe) = transport {
            let end = self.now.after(self.weather.latency);
            if let Some(Some(pipe)) = self.pipes.get_mut(pipe) {
                pipe.near = false;
                pipe.down.clear();
                pipe.up.finish(end);
            }
            self.plan_pipe(pipe);
        }
        if self.timeline.is_kept() {
            self.timeline.push(self.now, Who::Client(client), What::Down);
        }
        self.observe_view(client, |client, view| Fact::Failed { client, view, on_purpose });
    }

    /// Puts what a client has to say on its way.
    pub(super) fn send(&mut self, client: usize) {
        let Some(peer) = self.peers.get_mut(client) else { return };
        let Transport::Open(at) = peer.transport else { return };
        let Some(Some(pipe)) = self.pipes.get_mut(at) else { return };
        let own = peer.clock.read(self.now);
        let mut any = false;
        loop {
            let bytes = peer.session.poll_transmit();
            let room = WINDOW.saturating_sub(pipe.up.in_flight());
            let n = bytes.len().min(room);
            let Some(bytes) = bytes.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
            if self.timeline.is_kept() && bytes == PING {
                self.timeline.push(self.now, Who::Client(client), What::Ping);
            }
            pipe.up.send(self.now, bytes, &self.weather, &mut self.rng);
            peer.session.handle_transmitted(own, n);
            any = true;
        }
        if any {
            let timeout = peer.session.timeout();
            self.stall_if_broken(at);
            self.plan_pipe(at);
            self.observe(&Fact::Spoke { client, now: own, timeout });
        }
    }

    /// Brings what is due to either end of a transport.
    pub(super) fn deliver(&mut self, pipe: usize) {
        self.deliver_up(pipe);
        self.deliver_down(pipe);
        self.plan_pipe(pipe);
    }

    fn deliver_up(&mut self, at: usize) {
        let Some(Some(pipe)) = self.pipes.get_mut(at) else { return };
        if !pipe.far {
            return pipe.up.clear();
        }
        let (conn, client) = (pipe.conn, pipe.client);
        let bytes = pipe.up.arrived(self.now);
        let before = self.engine.session_of(conn);
        if !bytes.is_empty() {
            let len = bytes.len();
            let n = self.engine.handle_bytes(self.now, conn, bytes);
            pipe.up.take(n);
            if n < len {
                // The server does not read now.
                pipe.up.defer(self.now.after(Duration::from_millis(1)));
            }
            if let Some(peer) = self.peers.get_mut(client).filter(|_| n > 0) {
                peer.taken = self.now;
            }
            self.audit_connection(at, before);
        }
        let Some(Some(pipe)) = self.pipes.get_mut(at) else { return };
        if pipe.far && pipe.up.has_ended(self.now) {
            pipe.far = false;
            self.engine.handle_disconnected(self.now, conn);
            self.disown(conn);
        }
        self.serve();
        let waits = self.peers.get(client).is_some_and(|peer| {
            peer.transport == Transport::Open(at) && !peer.session.poll_transmit().is_empty()
        });
        if waits {
            self.send(client);
        }
    }

    fn deliver_down(&mut self, at: usize) {
        let Some(Some(pipe)) = self.pipes.get_mut(at) else { return };
        let (client, conn, far) = (pipe.client, pipe.conn, pipe.far);
        if !pipe.near {
            return pipe.down.clear();
        }
        let Some(peer) = self.peers.get_mut(client) else { return };
        let is_ready = peer.asleep.is_none() && peer.reads_at <= self.now;
        if !is_ready || pipe.down.due().is_none_or(|due| due > self.now) {
            return;
        }
        let own = peer.clock.read(self.now);
        let is_slow = peer.pause > Duration::ZERO;
        if is_slow {
            peer.reads_at = self.now.after(peer.pause);
        }
        // Nothing else touches it while the client reads.
        let mut lane = core::mem::take(&mut pipe.down);
        loop {
            let bytes = lane.arrived(self.now);
            let bytes = bytes.get(..SIP.min(bytes.len())).filter(|_| is_slow).unwrap_or(bytes);
            let Some(peer) = self.peers.get_mut(client).filter(|_| !bytes.is_empty()) else {
                break;
            };
            let n = peer.session.handle_bytes(own, bytes);
            lane.take(n);
            if n > 0 && peer.session.state().is_connected() {
                peer.heard = self.now;
            }
            self.pull(client);
            if n == 0 || is_slow {
                break;
            }
        }
        let ended = lane.has_ended(self.now);
        if let Some(Some(pipe)) = self.pipes.get_mut(at) {
            pipe.down = lane;
        }
        if let Some(peer) = self.peers.get_mut(client) {
            if peer.session.state().is_connected() {
                peer.heard = self.now;
            }
            if ended {
                peer.session.handle_disconnected(own);
            }
        }
        self.settle(client);
        if far && !self.engine.poll_transmit(conn).is_empty() {
            self.flush(conn);
            self.serve();
        }
    }

    /// Puts what the ensemble has to say on its way.
    pub(super) fn serve(&mut self) {
        while let Some(conn) = self.engine.poll_ready() {
            self.flush(conn);
        }
    }

    fn flush(&mut self, conn: ConnectionId) {
        let owner = self.owners.get(conn.index()).copied().flatten();
        let Some(at) = owner else { return };
        let Some(Some(pipe)) = self.pipes.get_mut(at) else { return };
        let bytes = self.engine.poll_transmit(conn);
        let mut n = bytes.len();
        if pipe.near {
            n = n.min(WINDOW.saturating_sub(pipe.down.in_flight()));
            let bytes = bytes.get(..n).unwrap_or_default();
            pipe.down.send(self.now, bytes, &self.weather, &mut self.rng);
            let peer = self.peers.get_mut(pipe.client);
            if let Some(peer) = peer.filter(|peer| peer.to_garble && n > 0) {
                peer.to_garble = !pipe.down.garble(&mut self.rng);
                peer.is_honest = false;
            }
        }
        self.engine.handle_transmitted(self.now, conn, n);
        if self.engine.poll_link(conn) == ServerLink::Down {
            pipe.far = false;
            pipe.down.finish(self.now.after(self.weather.latency));
            self.engine.handle_disconnected(self.now, conn);
            self.disown(conn);
        }
        self.stall_if_broken(at);
        self.plan_pipe(at);
    }

    pub(super) fn disown(&mut self, conn: ConnectionId) {
        if let Some(owner) = self.owners.get_mut(conn.index()) {
            *owner = None;
        }
    }

    /// What is sent into a broken network waits there.
    fn stall_if_broken(&mut self, at: usize) {
        if self.broken.is_empty() {
            return;
        }
        let Some((client, server)) = self.pipe(at).map(|pipe| (pipe.client, pipe.server)) else {
            return;
        };
        let ways = [Way::Up, Way::Down].map(|way| self.is_broken(client, server, way));
        if let Some(Some(pipe)) = self.pipes.get_mut(at) {
            for (lane, is_broken) in [&mut pipe.up, &mut pipe.down].into_iter().zip(ways) {
                if is_broken {
                    lane.stall();
                }
            }
        }
    }

    /// Notes when something arrives at either end of a transport; forgets one that nobody has.
    pub(super) fn plan_pipe(&mut self, at: usize) {
        let Some(slot) = self.pipes.get_mut(at) else { return };
        let Some(pipe) = slot else { return };
        if !pipe.near && !pipe.far {
            *slot = None;
            self.free.push(at);
            return;
        }
        let up = pipe.up.due().filter(|_| pipe.far);
        let peer = self.peers.get(pipe.client).filter(|peer| peer.asleep.is_none() && pipe.near);
        let down = peer.and_then(|peer| Some(pipe.down.due()?.max(peer.reads_at)));
        let due = up.into_iter().chain(down).min().map(|due| due.max(self.now));
        if pipe.due != due {
            pipe.due = due;
            self.agenda.extend(due.map(|due| Reverse((due, Actor::Pipe(at)))));
        }
    }
}
