//! A world: machines, messages on their way, and a clock.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use zk_session::client::{Cause, ClientConfig, ClientSession, KeeperState, Link, TicketContents};
use zk_session::server::{Engine, EngineConfig, ServerId, ServerLink};
use zk_session::storage::{Limits, Storage};
use zk_session::{Duration, Instant, Machine};

use crate::client::{Client, Wish};
use crate::law::{Checked, Law};
use crate::link::{Connection, Piece, Way};
use crate::small::Scene;
use crate::truth::Truth;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The next piece of a connection's stream arrives.
    Deliver(usize, Way),
    /// It is a client's deadline, and the client looks.
    ClientTime(usize),
    /// It is the ensemble's deadline, and the ensemble looks.
    EnsembleTime,
    /// An application does what it wishes next.
    Wish(usize),
    /// A connection is reset; what was on its way is lost.
    Reset(usize),
    /// A connection goes silent for ever; nobody is told.
    Silence(usize),
    /// A server stops, and its connections with it.
    Crash(usize),
    /// A server is back.
    Start(usize),
    /// The ensemble ends a client's session before its time.
    Expire(usize),
}

impl Action {
    fn is_fault(self) -> bool {
        matches!(self, Self::Reset(_) | Self::Silence(_) | Self::Crash(_) | Self::Expire(_))
    }

    fn is_time(self) -> bool {
        matches!(self, Self::ClientTime(_) | Self::EnsembleTime)
    }
}

/// The inputs that a machine has had: as good as its state, for it is a function of them.
#[derive(Clone, Debug, Default)]
struct History(DefaultHasher);

impl History {
    fn add(&mut self, now: Instant, input: impl Hash) {
        (now.as_millis(), input).hash(&mut self.0);
    }
}

pub(crate) struct World {
    engine: Engine,
    ensemble: History,
    servers: Vec<(ServerId, bool)>,
    clients: Vec<(Client, History)>,
    connections: Vec<Connection>,
    truth: Truth,
    now: Instant,
    faults: usize,
    times: usize,
}

/// The timeout that clients ask for.
const TIMEOUT: Duration = Duration::from_millis(6000);

impl World {
    /// The world in which a scene begins: all clients are connected.
    pub(crate) fn new(scene: &Scene) -> Self {
        let now = Instant::from_millis(1000);
        let mut engine = Engine::new(EngineConfig::default(), now);
        let servers = (0..2).map(|_| (engine.add_server(), true)).collect();
        let truth = Truth::new(&engine);
        let mut world = Self {
            engine,
            ensemble: History::default(),
            servers,
            clients: Vec::new(),
            connections: Vec::new(),
            truth,
            now,
            faults: scene.faults,
            times: scene.times,
        };
        for (seed, wishes) in (1..).zip(scene.before) {
            world.join(seed, wishes, scene.shared_ticket);
        }
        for ((client, _), wishes) in world.clients.iter_mut().zip(scene.wishes) {
            client.plan(wishes);
        }
        world
    }

    fn join(&mut self, seed: u64, wishes: &'static [Wish], shared: bool) {
        let config = ClientConfig::new("a,b", seed).timeout(TIMEOUT);
        let storage = Storage::owned(Limits::default());
        let session = match self.clients.first().filter(|_| shared) {
            Some((first, _)) => {
                let mut memory = [0; 256];
                let ticket = first.session.ticket(TicketContents::Session, &mut memory);
                ClientSession::resume(config, storage, ticket.expect("a session"), self.now)
            }
            None => ClientSession::new(config, storage, self.now),
        };
        let client = Client::new(session.expect("a sound configuration"), wishes);
        self.clients.push((client, History::default()));
        self.begin(self.clients.len() - 1, shared).expect("the beginning breaks no law");
    }

    fn begin(&mut self, client: usize, shared: bool) -> Checked {
        self.client_time(client)?;
        // With a ticket that is in use, it is connected when its turn comes.
        if shared && client > 0 {
            return Ok(());
        }
        self.deliver_all()?;
        while self.clients[client].0.wish().is_some() {
            self.apply(Action::Wish(client))?;
            self.deliver_all()?;
        }
        Ok(())
    }

    /// All that may happen now.
    pub(crate) fn enabled(&self) -> Vec<Action> {
        let mut enabled = Vec::new();
        for (n, connection) in self.connections.iter().enumerate() {
            for way in [Way::Up, Way::Down] {
                if self.is_due(connection, way) {
                    enabled.push(Action::Deliver(n, way));
                }
            }
        }
        for (n, (client, _)) in self.clients.iter().enumerate() {
            if client.wish().is_some() {
                enabled.push(Action::Wish(n));
            }
            if client.session.poll_timeout().is_some() {
                enabled.push(Action::ClientTime(n));
            }
            let id = client.session.session_id();
            if self.engine.sessions().any(|info| info.session_id == id) {
                enabled.push(Action::Expire(n));
            }
        }
        if self.engine.poll_timeout().is_some() {
            enabled.push(Action::EnsembleTime);
        }
        for (n, connection) in self.connections.iter().enumerate() {
            let is_whole = connection.client_has && connection.server_has;
            if is_whole && !connection.reset && !connection.silent {
                enabled.push(Action::Reset(n));
                enabled.push(Action::Silence(n));
            }
        }
        for (n, (_, is_up)) in self.servers.iter().enumerate() {
            enabled.push(if *is_up { Action::Crash(n) } else { Action::Start(n) });
        }
        enabled.retain(|action| {
            (self.faults > 0 || !action.is_fault()) && (self.times > 0 || !action.is_time())
        });
        enabled
    }

    fn is_due(&self, connection: &Connection, way: Way) -> bool {
        match way {
            Way::Up => connection.server_has && !connection.up.is_empty(),
            Way::Down => connection.client_has && !connection.down.is_empty(),
        }
    }

    /// Lets something happen.
    pub(crate) fn apply(&mut self, action: Action) -> Checked {
        self.faults -= usize::from(action.is_fault());
        self.times -= usize::from(action.is_time());
        match action {
            Action::Deliver(connection, way) => self.deliver(connection, way),
            Action::ClientTime(client) => self.client_time(client),
            Action::EnsembleTime => self.ensemble_time(),
            Action::Wish(client) => {
                let (state, history) = &mut self.clients[client];
                history.add(self.now, "wish");
                state.act(self.now)?;
                self.turn(client)
            }
            Action::Reset(connection) => {
                self.connections[connection].cut();
                Ok(())
            }
            Action::Silence(connection) => {
                self.connections[connection].silence();
                Ok(())
            }
            Action::Crash(server) => {
                self.servers[server].1 = false;
                self.ensemble.add(self.now, ("crash", server));
                self.engine.stop_server(self.now, self.servers[server].0);
                self.serve()
            }
            Action::Start(server) => {
                self.servers[server].1 = true;
                Ok(())
            }
            Action::Expire(client) => {
                let id = self.clients[client].0.session.session_id();
                self.ensemble.add(self.now, ("expire", id.0));
                self.engine.expire_session(self.now, id);
                self.serve()
            }
        }
    }

    fn client_time(&mut self, client: usize) -> Checked {
        let (state, history) = &mut self.clients[client];
        let Some(at) = state.session.poll_timeout() else { return Ok(()) };
        self.now = self.now.max(at);
        history.add(self.now, "time");
        state.session.handle_timeout(self.now);
        self.turn(client)
    }

    fn ensemble_time(&mut self) -> Checked {
        let Some(at) = self.engine.poll_timeout() else { return Ok(()) };
        self.now = self.now.max(at);
        self.ensemble.add(self.now, "time");
        self.engine.handle_timeout(self.now);
        for id in self.truth.ending(&self.engine) {
            for (client, _) in &self.clients {
                if client.session.session_id() == id {
                    Truth::is_safe(id, client.session.safe_until(), self.now)?;
                }
            }
        }
        self.serve()
    }

    fn deliver(&mut self, n: usize, way: Way) -> Checked {
        let connection = &mut self.connections[n];
        let (id, client) = (connection.id, connection.client);
        match way {
            Way::Up => {
                let piece = connection.up.pop_front().expect("something is on its way");
                self.ensemble.add(self.now, (n, &piece));
                match piece {
                    Piece::Bytes(bytes) => {
                        connection.seen.hears(&bytes);
                        let taken = self.engine.handle_bytes(self.now, id, &bytes);
                        assert_eq!(taken, bytes.len(), "the server reads");
                    }
                    Piece::End => {
                        connection.server_has = false;
                        self.engine.handle_disconnected(self.now, id);
                    }
                }
                self.serve()
            }
            Way::Down => {
                let piece = connection.down.pop_front().expect("something is on its way");
                let (state, history) = &mut self.clients[client];
                history.add(self.now, (n, &piece));
                match piece {
                    Piece::Bytes(bytes) => {
                        let mut rest = &bytes[..];
                        while !rest.is_empty() && state.session.poll_link() == Link::Up {
                            let taken = state.session.handle_bytes(self.now, rest);
                            rest = &rest[taken..];
                            while state.pull(&self.truth)? {}
                        }
                    }
                    Piece::End => {
                        connection.client_has = false;
                        state.session.handle_disconnected(self.now);
                    }
                }
                self.turn(client)
            }
        }
    }

    /// What a client's driver does after each input.
    fn turn(&mut self, n: usize) -> Checked {
        loop {
            let (client, history) = &mut self.clients[n];
            while client.pull(&self.truth)? {}
            client.check()?;
            let mut own = self.connections.iter_mut().filter(|c| c.client == n && c.client_has);
            let connection = own.next();
            match (client.session.poll_link(), connection) {
                (Link::Dial(host), None) => {
                    let (server, is_up) = self.servers[host.index()];
                    history.add(self.now, is_up);
                    if is_up {
                        self.ensemble.add(self.now, ("accept", server));
                        let peer = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
                        let id = self.engine.accept(self.now, server, peer);
                        self.connections.push(Connection::new(id, n));
                        client.session.handle_connected(self.now);
                    } else {
                        client.session.handle_disconnected(self.now);
                    }
                    continue;
                }
                (Link::Up, Some(connection)) => {
                    let bytes = client.session.poll_transmit().to_vec();
                    if !bytes.is_empty() {
                        client.session.handle_transmitted(self.now, bytes.len());
                        connection.put(Way::Up, Piece::Bytes(bytes));
                        continue;
                    }
                }
                (_, Some(connection)) => {
                    connection.client_has = false;
                    connection.down.clear();
                    connection.put(Way::Up, Piece::End);
                    continue;
                }
                (Link::Up, None) => panic!("a link that is up without a connection"),
                (Link::Down, None) => {}
            }
            return Ok(());
        }
    }

    /// Takes what the servers say, and judges it.
    fn serve(&mut self) -> Checked {
        while let Some(id) = self.engine.poll_ready() {
            let bytes = self.engine.poll_transmit(id).to_vec();
            self.engine.handle_transmitted(self.now, id, bytes.len());
            let ended = self.engine.poll_link(id) == ServerLink::Down;
            let all = &mut self.connections;
            let connection = all.iter_mut().find(|c| c.id == id && c.server_has);
            let connection = connection.expect("a connection that is known");
            if !bytes.is_empty() {
                for said in connection.seen.says(&bytes)? {
                    self.truth.on_said(&self.engine, id, &said)?;
                }
                connection.put(Way::Down, Piece::Bytes(bytes));
            }
            if ended {
                connection.server_has = false;
                connection.up.clear();
                connection.put(Way::Down, Piece::End);
                self.engine.handle_disconnected(self.now, id);
            }
        }
        self.truth.look(&self.engine)
    }

    /// All that is known of the world, as a number: the machines' inputs and what is on its way.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = self.ensemble.0.clone();
        for (client, history) in &self.clients {
            hasher.write_u64(history.0.finish());
            client.wishes_left().hash(&mut hasher);
        }
        for connection in self.connections.iter().filter(|c| !c.is_gone()) {
            let Connection { up, down, client_has, server_has, silent, reset, .. } = connection;
            (up, down, client_has, server_has, silent, reset).hash(&mut hasher);
        }
        (self.now.as_millis(), &self.servers, self.faults, self.times).hash(&mut hasher);
        hasher.finish()
    }

    fn deliver_all(&mut self) -> Checked {
        for _ in 0..1000 {
            let mut due = self.connections.iter().enumerate().flat_map(|(n, connection)| {
                [Way::Up, Way::Down].map(|way| (n, way, self.is_due(connection, way)))
            });
            let Some((n, way, _)) = due.find(|(.., due)| *due) else { return Ok(()) };
            self.deliver(n, way)?;
        }
        Law::Rest.check(false, || "messages go to and fro without end".to_owned())
    }

    /// Lets everything arrive and everybody look at the time, until all is as `done` says.
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Checked {
        for _ in 0..500 {
            self.deliver_all()?;
            if done(self) {
                return Ok(());
            }
            let deadlines = self.clients.iter().map(|(client, _)| client.session.poll_timeout());
            let next = (0..).zip(deadlines).filter_map(|(n, at)| Some((at?, n))).min();
            match (next, self.engine.poll_timeout()) {
                (Some((at, _)), Some(ensemble)) if ensemble <= at => self.ensemble_time()?,
                (Some((_, client)), _) => self.client_time(client)?,
                (None, Some(_)) => self.ensemble_time()?,
                (None, None) => break,
            }
        }
        Law::Rest.check(done(self), || format!("it does not come to this: {what}"))
    }

    /// Heals the world and lets it come to rest; then everybody closes.
    pub(crate) fn rest(&mut self) -> Checked {
        for (_, is_up) in &mut self.servers {
            *is_up = true;
        }
        self.until("all clients are connected or over", |world| {
            let open = |n| world.connections.iter().find(|c| c.client == n && c.client_has);
            let heard = |n| open(n).is_none_or(|c: &Connection| !c.silent && !c.reset);
            let mut clients = world.clients.iter().enumerate();
            clients.all(|(n, (client, _))| client.is_quiet() && (client.is_over() || heard(n)))
        })?;
        for (client, _) in &self.clients {
            client.check_watches(&self.truth, self.engine.last_zxid())?;
        }
        for n in 0..self.clients.len() {
            self.clients[n].0.session.close(self.now);
            self.turn(n)?;
        }
        self.until("all clients are over", |world| {
            world.clients.iter().all(|(client, _)| client.is_over())
        })?;
        for (client, _) in &self.clients {
            let id = client.session.session_id();
            let confirmed = client.told() == (KeeperState::Closed, Some(Cause::Closed));
            let gone = !id.is_some() || self.truth.has_ended(id);
            Law::Rest.check(!confirmed || gone, || format!("{id} is closed and lives"))?;
        }
        self.until("all sessions are over", |world| world.engine.sessions().next().is_none())?;
        self.truth.is_clean(&self.engine)
    }
}
