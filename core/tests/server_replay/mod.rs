//! Plays a capture: its client's frames to an engine, the engine's frames against its server's.

mod compare;
mod words;

use std::collections::{BTreeMap, VecDeque};

use compare::{hex, long, to_hex};
use serde_json::Value;
use zk_session::Duration;
use zk_session::server::{
    Access, ConnectionId, DigestMd5, EngineConfig, FourLetterWords, Release, SaslExchange,
    SaslMechanism, ServerId, ServerLink,
};

use crate::server_common::{World, decode};

/// Scenarios in which several ephemeral znodes go at once: in no particular order.
const UNORDERED: &[&str] = &["session_expiry_events"];

/// Scenarios in which transactions of some earlier one happen in between.
const FOREIGN: &[&str] = &["client_java_reconnect"];

pub(crate) struct Replay<'l> {
    world: World,
    name: String,
    lines: &'l [Value],
    servers: Vec<ServerId>,
    conns: BTreeMap<String, Conn>,
    /// Their session id to ours, with both passwords.
    sessions: BTreeMap<i64, (i64, String, [u8; 16])>,
    zxids: BTreeMap<i64, i64>,
    /// Our clock at their t_ms of 0.
    base: u64,
}

/// With the nonce that the captured client answers to.
struct Captured(DigestMd5);

impl SaslMechanism for Captured {
    fn start(&mut self) -> Box<dyn SaslExchange> {
        self.0.start_with("17O1UIFMxgs0MQDC/+q9gOoXyueKL5wR3bXxJwQ1")
    }
}

struct Conn {
    id: ConnectionId,
    queue: VecDeque<Vec<u8>>,
    /// Paths of the requests not yet answered.
    paths: VecDeque<(i32, String)>,
}

pub(crate) type Step = Result<(), String>;

impl<'l> Replay<'l> {
    pub(crate) fn new(name: &str, lines: &'l [Value]) -> Self {
        let mut config = EngineConfig::default();
        let version = lines[0]["zookeeper"].as_str().unwrap();
        config.release = if version.starts_with("3.8") { Release::V3_8 } else { Release::V3_9 };
        let mut servers = 1;
        match lines[0]["server"].as_str().unwrap() {
            "fast" => config.tick = Duration::from_millis(500),
            "small" => {
                config.frame_limit = 4096;
                config.sessionless_timeout = Duration::from_millis(1000);
                config.max_client_connections = 3;
                config.four_letter_words = FourLetterWords::SRVR;
            }
            "throttle" => {
                config.connection_throttle_tokens = 2;
                config.connection_throttle_fill_time = Duration::from_secs(600);
            }
            "ext" => {
                config.extended_types = true;
                config.enforce_quota = true;
                config.container_check_interval = Duration::from_millis(1000);
                config.super_digest = Some("super:WLNJiU7QDqi2c9alw09v8vrp3hU=".into());
            }
            "quorum" => servers = 3,
            "localno" | "localup" => {
                servers = 3;
                config.local_sessions = true;
                config.local_sessions_upgrading = lines[0]["server"] == "localup";
            }
            "saslreq" => config.require_sasl = true,
            "ro" => config.local_sessions = true,
            _ => {} // "main", and whatever others capture: a plain standalone server
        }
        let mut world = World::new(config);
        let servers: Vec<_> = (0..servers).map(|_| world.engine.add_server()).collect();
        if lines[0]["server"] == "sasl" {
            world.engine.set_sasl(Box::new(Captured(DigestMd5::new(0).user("bob", "bobsecret"))));
        }
        if matches!(lines[0]["server"].as_str(), Some("ro" | "ronolocal")) {
            world.engine.set_access(world.at(), servers[0], Access::ReadOnly);
        }
        // As on the captured server, a session of 1,000 ms ends soon: ticks are multiples of 500.
        world.now = 1400;
        let (name, base) = (name.into(), world.now);
        let (conns, sessions, zxids) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { world, name, lines, servers, conns, sessions, zxids, base }
    }

    /// Our number of one of their servers: their third one leads, our first one.
    fn server(&self, theirs: u8) -> ServerId {
        if self.servers.len() == 1 {
            self.servers[0]
        } else {
            self.servers[usize::from(theirs) % 3]
        }
    }

    /// The server that a connection goes to: the one whose number is in the id of the session it
    /// is given, else as the scenario tells.
    fn server_of(&self, conn: &str) -> ServerId {
        if self.servers.len() == 1 {
            return self.servers[0];
        }
        let of_conn = |kind: &str| {
            self.lines
                .iter()
                .find(|l| l["conn"] == conn && l["kind"] == kind)
                .map(|l| &l["decoded"]["body"])
        };
        let fresh = of_conn("connect_request").is_some_and(|body| long(&body["sessionId"]) == 0);
        match of_conn("connect_response") {
            Some(body) if fresh => self.server(long(&body["sessionId"]).to_be_bytes()[0]),
            _ => match (self.name.as_str(), conn) {
                ("quorum_session_moves_from_leader" | "quorum_move_and_back", "new" | "a2") => {
                    self.server(1)
                }
                _ => self.server(2),
            },
        }
    }

    pub(crate) fn step(&mut self, line: &Value) -> Step {
        let at = line["t_ms"].as_u64().unwrap() + self.base;
        self.world.pass(at.saturating_sub(self.world.now));
        let label = line["conn"].as_str().unwrap_or_default().to_owned();
        let done = match (line["event"].as_str(), line["dir"].as_str()) {
            (Some(event), _) => self.event(event, &label),
            (_, Some("c2s")) => self.request(&label, line),
            (_, Some("s2c")) => self.answer(&label, line),
            _ => Err("neither event nor frame".into()),
        };
        done.map_err(|error| format!("line {}, {label}: {error}", line["n"]))
    }

    fn event(&mut self, event: &str, label: &str) -> Step {
        match event {
            "open" => {
                let server = self.server_of(label);
                let id = self.world.open(server);
                let (queue, paths) = (VecDeque::new(), VecDeque::new());
                self.conns.insert(label.into(), Conn { id, queue, paths });
            }
            "client_closed" | "cut" => {
                let conn = self.conns.remove(label).ok_or("no such connection")?;
                self.world.engine.handle_disconnected(self.world.at(), conn.id);
            }
            "server_closed" => {
                let id = self.conns[label].id;
                self.wait(label, |world| world.engine.poll_link(id) == ServerLink::Down);
                self.receive(label);
                let conn = self.conns.remove(label).ok_or("no such connection")?;
                if let Some(frame) = conn.queue.front() {
                    return Err(format!("{:?} before the end", decode(frame)));
                }
                if self.world.engine.poll_link(conn.id) != ServerLink::Down {
                    return Err("still open".into());
                }
                self.world.engine.handle_disconnected(self.world.at(), conn.id);
            }
            "sleep" => {}
            "silence" => {
                self.receive(label);
                let conn = &self.conns[label];
                if let Some(frame) = conn.queue.front() {
                    return Err(format!("{:?} instead of silence", decode(frame)));
                }
            }
            other => return Err(format!("what is a {other:?}?")),
        }
        Ok(())
    }

    pub(crate) fn end(&mut self) -> Step {
        let labels: Vec<_> = self.conns.keys().cloned().collect();
        for label in labels {
            self.receive(&label);
            if let Some(frame) = self.conns[&label].queue.front() {
                return Err(format!("{label}: {:?} at the end", decode(frame)));
            }
        }
        // In both numberings later means greater.
        let ours: Vec<_> = self.zxids.values().collect();
        let foreign = FOREIGN.contains(&self.name.as_str());
        match ours.windows(2).find(|pair| pair[0] > pair[1] || (pair[0] == pair[1] && !foreign)) {
            Some(pair) => Err(format!("zxids out of order: {pair:?} in {:x?}", self.zxids)),
            None => Ok(()),
        }
    }

    /// Lets time pass until something is so, at most three ticks of ours.
    fn wait(&mut self, label: &str, done: impl Fn(&World) -> bool) {
        let start = self.world.now;
        while !done(&self.world) && self.world.now < start + 6000 {
            self.receive(label);
            if done(&self.world) {
                break;
            }
            self.world.pass(10);
        }
        self.base += self.world.now - start;
    }

    fn receive(&mut self, label: &str) {
        let Some(conn) = self.conns.get_mut(label) else { return };
        while let Some(frame) = self.world.frame(conn.id) {
            conn.queue.push_back(frame);
        }
    }

    fn request(&mut self, label: &str, line: &Value) -> Step {
        let mut bytes = hex(line["hex"].as_str().unwrap());
        let decoded = &line["decoded"];
        match line["kind"].as_str().unwrap() {
            "connect_request" if !decoded.is_null() => self.patch_handshake(&mut bytes),
            "request" => {
                let op = decoded["op"].as_str().unwrap();
                if op.starts_with("setWatches") && decoded["body_hex"].is_null() {
                    let zxid = self.our_zxid(i64::from_be_bytes(bytes[12..20].try_into().unwrap()));
                    bytes[12..20].copy_from_slice(&zxid.to_be_bytes());
                }
                let xid = i32::try_from(decoded["header"]["xid"].as_i64().unwrap()).unwrap();
                let path = decoded["body"]["path"].as_str().unwrap_or_default().to_owned();
                self.conns.get_mut(label).ok_or("not open")?.paths.push_back((xid, path));
            }
            _ => {}
        }
        let conn = self.conns.get(label).ok_or("not open")?;
        self.world.send(conn.id, &bytes); // what is not taken goes to a closed connection
        Ok(())
    }

    /// Their ids, passwords and zxids become ours.
    fn patch_handshake(&mut self, bytes: &mut [u8]) {
        let zxid = self.our_zxid(i64::from_be_bytes(bytes[8..16].try_into().unwrap()));
        bytes[8..16].copy_from_slice(&zxid.to_be_bytes());
        let theirs = i64::from_be_bytes(bytes[20..28].try_into().unwrap());
        if let Some((ours, known, passwd)) = self.sessions.get(&theirs) {
            bytes[20..28].copy_from_slice(&ours.to_be_bytes());
            if bytes[32..48] == *hex(known) {
                bytes[32..48].copy_from_slice(passwd);
            }
        }
    }

    fn our_zxid(&self, theirs: i64) -> i64 {
        match self.zxids.range(..=theirs).next_back() {
            _ if theirs == i64::MAX => theirs,
            Some((_, ours)) => *ours,
            None => 0,
        }
    }

    /// The whole answer to a four-letter word.
    fn text(&mut self, label: &str, line: &Value) -> Step {
        let conn = self.conns.get(label).ok_or("not open")?;
        let ours = String::from_utf8(self.world.drain(conn.id)).map_err(|e| e.to_string())?;
        let theirs = line["decoded"]["text"].as_str().unwrap();
        let known = self.sessions.iter().map(|(theirs, (ours, ..))| (*theirs, *ours)).collect();
        let mine = self.sessions.values().map(|(ours, ..)| (*ours, *ours)).collect();
        let (our_lines, their_lines) = (words::lines(&ours, &mine), words::lines(theirs, &known));
        if our_lines != their_lines || ours.ends_with('\n') != theirs.ends_with('\n') {
            return Err(format!("{ours}\n  instead of\n{theirs}"));
        }
        Ok(())
    }

    fn answer(&mut self, label: &str, line: &Value) -> Step {
        if line["kind"] == "fourlw" {
            return self.text(label, line);
        }
        self.receive(label);
        if self.conns.get(label).ok_or("not open")?.queue.is_empty() {
            let id = self.conns[label].id;
            self.wait(label, |world| !world.engine.poll_transmit(id).is_empty());
            self.receive(label);
        }
        let theirs = hex(line["hex"].as_str().unwrap());
        let kind = line["kind"].as_str().unwrap();
        let theirs = &theirs[4..];
        let conn = self.conns.get_mut(label).unwrap();
        // Auth replies may overtake others; of znodes that go at once any may be first.
        let at = match kind {
            "reply" if theirs[..4] == (-4_i32).to_be_bytes() => {
                conn.queue.iter().position(|frame| frame[..4] == theirs[..4])
            }
            "notification" if UNORDERED.contains(&self.name.as_str()) => {
                conn.queue.iter().position(|frame| *frame == theirs)
            }
            _ => None,
        };
        let Some(ours) = conn.queue.remove(at.unwrap_or(0)) else {
            return Err(format!("nothing instead of {}", line["decoded"]));
        };
        match kind {
            "connect_response" => self.compare_handshakes(&ours, theirs),
            "reply" => self.compare_replies(label, &ours, theirs, line),
            "notification" => self.compare_events(&ours, theirs),
            other => Err(format!("what is a {other:?}?")),
        }
        .map_err(|error| {
            format!("{error}\n    ours   {}\n    theirs {}", to_hex(&ours), to_hex(theirs))
        })
    }
}
