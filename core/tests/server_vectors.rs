//! What real servers answered, asked again: the client's half of each capture goes to an engine,
//! and what comes back is compared with the server's half, frame by frame.
//!
//! Masked is what no two servers share: ids, passwords, times, the order of names, and the
//! numbers that depend on what was in the tree before the capture (root's counters). Session ids
//! must correspond one to one, and zxids must be in the same order with the same ones equal.
#![cfg(all(feature = "server", feature = "alloc"))]

mod server_common;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use serde_json::Value;
use server_common::{World, decode};
use zk_session::Duration;
use zk_session::server::{ConnectionId, EngineConfig, Release, ServerId, ServerLink};
use zk_session::wire::{
    ConnectResponse, MultiResult, OpCode, Reader, Reply, ReplyHeader, Stat, WatcherEvent, Xid,
};

/// Scenarios that are not replayed, and why.
const SKIPPED: &[(&str, &str)] = &[
    ("fourlw_basic", "statistics of another server; wchs is not answered yet"),
    ("fourlw_not_whitelisted", "the white list is not configurable yet: ruok is answered"),
    ("fourlw_sessions", "dump, cons, stat, wchc and wchp are not answered yet"),
    ("limit_connection_throttle", "no connection throttle yet"),
    ("limit_max_client_cnxns", "no limit of connections per address yet"),
    ("local_session_no_upgrade", "no local sessions"),
    ("local_session_upgrade", "no local sessions"),
    ("quota_exceeded", "no quotas yet"),
    ("read_only_mode", "no read-only mode yet"),
    ("read_only_mode_no_local_sessions", "no read-only mode yet"),
    ("read_only_mode_refuses_rw_client", "no read-only mode yet"),
    ("sasl_digest_md5", "no SASL mechanism"),
    ("sasl_required", "no SASL mechanism"),
    (
        "3.8.0/op_check_top_level",
        "3.8.0 leaves a top-level check unanswered; the engine does as 3.9.5",
    ),
    (
        "3.8.0/watch_mode_overwrite_quirk",
        "3.8.0 forgets a persistent watch; the engine does as 3.9.5",
    ),
];

/// Scenarios in which several ephemeral znodes go at once: in no particular order.
const UNORDERED: &[&str] = &["session_expiry_events"];

/// Scenarios in which transactions of some earlier one happen in between.
const FOREIGN: &[&str] = &["client_java_reconnect"];

fn directories() -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut all = vec![own.join("3.8.0"), own.join("3.9.5")];
    if let Ok(more) = std::env::var("ZK_VECTORS") {
        all.extend(more.split(':').filter(|dir| !dir.is_empty()).map(PathBuf::from));
    }
    all
}

#[test]
fn the_engine_answers_as_real_servers_did() {
    let (mut replayed, mut skipped, mut failures) = (0, 0, Vec::new());
    for dir in directories() {
        let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|ext| ext == "jsonl"));
        files.sort();
        assert!(!files.is_empty(), "{} has no vectors", dir.display());
        for file in files {
            let name = file.file_stem().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&file).unwrap();
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let full = format!("{}/{name}", lines[0]["zookeeper"].as_str().unwrap());
            if SKIPPED.iter().any(|(skip, _)| *skip == name || *skip == full) {
                skipped += 1;
                continue;
            }
            let mut replay = Replay::new(name, &lines);
            match lines[1..]
                .iter()
                .try_for_each(|line| replay.step(line))
                .and_then(|()| replay.end())
            {
                Ok(()) => replayed += 1,
                Err(error) => failures.push(format!("{full}: {error}")),
            }
        }
    }
    println!("{replayed} replayed, {skipped} skipped");
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_is_skipped_exists() {
    for (name, _) in SKIPPED {
        let mut dirs = directories();
        dirs.truncate(2);
        let found = dirs.iter().any(|dir| match name.split_once('/') {
            Some((version, name)) => {
                dir.ends_with(version) && dir.join(format!("{name}.jsonl")).exists()
            }
            None => dir.join(format!("{name}.jsonl")).exists(),
        });
        assert!(found, "{name}");
    }
}

struct Replay<'l> {
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

struct Conn {
    id: ConnectionId,
    queue: VecDeque<Vec<u8>>,
    /// Paths of the requests not yet answered.
    paths: VecDeque<(i32, String)>,
}

type Step = Result<(), String>;

impl<'l> Replay<'l> {
    fn new(name: &str, lines: &'l [Value]) -> Self {
        let mut config = EngineConfig::default();
        let version = lines[0]["zookeeper"].as_str().unwrap();
        config.release = if version.starts_with("3.8") { Release::V3_8 } else { Release::V3_9 };
        let mut servers = 1;
        match lines[0]["server"].as_str().unwrap() {
            "fast" => config.tick = Duration::from_millis(500),
            "small" => {
                config.frame_limit = 4096;
                config.sessionless_timeout = Duration::from_millis(1000);
            }
            "ext" => {
                config.extended_types = true;
                config.container_check_interval = Duration::from_millis(1000);
                config.super_digest = Some("super:WLNJiU7QDqi2c9alw09v8vrp3hU=".into());
            }
            "quorum" => servers = 3,
            "main" => {}
            other => panic!("{name}: what is a server {other:?}?"),
        }
        let mut world = World::new(config);
        let servers = (0..servers).map(|_| world.engine.add_server()).collect();
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

    fn step(&mut self, line: &Value) -> Step {
        let at = line["t_ms"].as_u64().unwrap() + self.base;
        self.world.pass(at.saturating_sub(self.world.now));
        let label = line["conn"].as_str().unwrap_or_default().to_owned();
        let done = match (line["event"].as_str(), line["dir"].as_str()) {
            (Some(event), _) => self.event(event, &label),
            (_, Some("c2s")) => self.to_server(&label, line),
            (_, Some("s2c")) => self.to_client(&label, line),
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

    fn end(&mut self) -> Step {
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

    fn to_server(&mut self, label: &str, line: &Value) -> Step {
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

    fn to_client(&mut self, label: &str, line: &Value) -> Step {
        self.receive(label);
        if self.conns.get(label).ok_or("not open")?.queue.is_empty() {
            let id = self.conns[label].id;
            self.wait(label, |world| !world.engine.poll_transmit(id).is_empty());
            self.receive(label);
        }
        let theirs = hex(line["hex"].as_str().unwrap());
        let theirs = &theirs[4..];
        let kind = line["kind"].as_str().unwrap();
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

    fn compare_handshakes(&mut self, ours: &[u8], theirs: &[u8]) -> Step {
        let read =
            |bytes| ConnectResponse::read(&mut Reader::new(bytes)).map_err(|e| e.to_string());
        let (ours, theirs) = (read(ours)?, read(theirs)?);
        same("protocol version", ours.protocol_version, theirs.protocol_version)?;
        same("timeout", ours.timeout, theirs.timeout)?;
        same("read-only", ours.read_only, theirs.read_only)?;
        same("session", ours.session_id.is_some(), theirs.session_id.is_some())?;
        let (Some(our_passwd), Some(their_passwd)) = (ours.passwd, theirs.passwd) else {
            return Err("a null password".into());
        };
        if theirs.timeout <= 0 {
            return same("password", our_passwd, their_passwd);
        }
        let their_server = theirs.session_id.0.to_be_bytes()[0];
        same("server", ours.session_id.0.to_be_bytes()[0], self.server(their_server).0)?;
        let known = (ours.session_id.0, to_hex(their_passwd), our_passwd.try_into().unwrap());
        match self.sessions.get(&theirs.session_id.0) {
            Some(before) => same("session", before, &known),
            None => {
                self.sessions.insert(theirs.session_id.0, known);
                Ok(())
            }
        }
    }

    fn compare_events(&mut self, ours: &[u8], theirs: &[u8]) -> Step {
        let (ours, theirs) = (&mut Reader::new(ours), &mut Reader::new(theirs));
        self.compare_headers(ours, theirs)?;
        let read = |reader: &mut Reader<'_>| WatcherEvent::read(reader).map(|e| format!("{e:?}"));
        same("event", read(ours), read(theirs))
    }

    fn compare_headers(
        &mut self,
        ours: &mut Reader<'_>,
        theirs: &mut Reader<'_>,
    ) -> Result<ReplyHeader, String> {
        let read = |reader: &mut Reader<'_>| ReplyHeader::read(reader).map_err(|e| e.to_string());
        let (ours, theirs) = (read(ours)?, read(theirs)?);
        same("xid", ours.xid, theirs.xid)?;
        same("error", ours.err, theirs.err)?;
        self.same_zxid("zxid", ours.zxid.0, theirs.zxid.0)?;
        Ok(theirs)
    }

    fn compare_replies(&mut self, label: &str, ours: &[u8], theirs: &[u8], line: &Value) -> Step {
        let (ours, theirs) = (&mut Reader::new(ours), &mut Reader::new(theirs));
        let header = self.compare_headers(ours, theirs)?;
        let paths = &mut self.conns.get_mut(label).unwrap().paths;
        let at = paths.iter().position(|(xid, _)| *xid == header.xid.0 || header.xid == Xid::PING);
        let path = at.and_then(|at| paths.remove(at)).map(|(_, path)| path).unwrap_or_default();
        let name = line["decoded"]["op"].as_str().unwrap();
        let Some(op) = op_of(name) else { return same("body", ours.rest(), theirs.rest()) };
        if header.err != 0 {
            return same("body", ours.rest(), theirs.rest());
        }
        let read = |reader: &mut Reader<'_>| reader.rest().to_vec();
        let (ours, theirs) = (read(ours), read(theirs));
        let (ours, theirs) = (server_common::reply(op, &ours), server_common::reply(op, &theirs));
        self.compare_bodies(&path, &ours, &theirs)
    }

    fn compare_bodies(&mut self, path: &str, ours: &Reply<'_>, theirs: &Reply<'_>) -> Step {
        match (ours, theirs) {
            (Reply::Path(ours), Reply::Path(theirs)) => same_path(ours.as_str(), theirs.as_str()),
            (Reply::Created(ours, our_stat), Reply::Created(theirs, their_stat)) => {
                same_path(ours.as_str(), theirs.as_str())?;
                self.same_stat(path, our_stat, their_stat)
            }
            (Reply::Stat(ours), Reply::Stat(theirs)) => self.same_stat(path, ours, theirs),
            (Reply::Data(ours), Reply::Data(theirs)) => {
                same("data", ours.data, theirs.data)?;
                self.same_stat(path, &ours.stat, &theirs.stat)
            }
            (Reply::Acl(ours, our_stat), Reply::Acl(theirs, their_stat)) => {
                same("acl", ours, theirs)?;
                self.same_stat(path, our_stat, their_stat)
            }
            (Reply::Children(ours), Reply::Children(theirs)) => {
                same_names(ours.iter(), theirs.iter())
            }
            (Reply::Children2(ours, our_stat), Reply::Children2(theirs, their_stat)) => {
                same_names(ours.iter(), theirs.iter())?;
                self.same_stat(path, our_stat, their_stat)
            }
            (Reply::Multi(ours), Reply::Multi(theirs)) => {
                same("items", ours.iter().count(), theirs.iter().count())?;
                for (ours, theirs) in ours.iter().zip(theirs.iter()) {
                    self.same_result(&ours, &theirs)?;
                }
                Ok(())
            }
            (Reply::WhoAmI(ours), Reply::WhoAmI(theirs)) => {
                let sorted = |list: &zk_session::wire::List<'_, _>| {
                    let mut all: Vec<String> = list
                        .iter()
                        .map(|info: zk_session::wire::ClientInfo<'_>| format!("{info:?}"))
                        .collect();
                    all.sort();
                    all
                };
                same("identities", sorted(ours), sorted(theirs))
            }
            _ => same("body", ours, theirs),
        }
    }

    fn same_result(&mut self, ours: &MultiResult<'_>, theirs: &MultiResult<'_>) -> Step {
        match (ours, theirs) {
            (MultiResult::Create2(ours, our_stat), MultiResult::Create2(theirs, their_stat)) => {
                same_path(ours.as_str(), theirs.as_str())?;
                self.same_stat("", our_stat, their_stat)
            }
            (MultiResult::SetData(ours), MultiResult::SetData(theirs)) => {
                self.same_stat("", ours, theirs)
            }
            (MultiResult::Data(ours), MultiResult::Data(theirs)) => {
                same("data", ours.data, theirs.data)?;
                self.same_stat("", &ours.stat, &theirs.stat)
            }
            (MultiResult::Children(ours), MultiResult::Children(theirs)) => {
                same_names(ours.iter(), theirs.iter())
            }
            _ => same("result", ours, theirs),
        }
    }

    fn same_stat(&mut self, path: &str, ours: &Stat, theirs: &Stat) -> Step {
        self.same_zxid("czxid", ours.czxid.0, theirs.czxid.0)?;
        self.same_zxid("mzxid", ours.mzxid.0, theirs.mzxid.0)?;
        same("version", ours.version, theirs.version)?;
        same("aversion", ours.aversion, theirs.aversion)?;
        same("length", ours.data_length, theirs.data_length)?;
        same("children", ours.num_children, theirs.num_children)?;
        same("created at 0", ours.ctime == 0, theirs.ctime == 0)?;
        same("changed since", ours.mtime > ours.ctime, theirs.mtime > theirs.ctime)
            .or_else(|e| if ours.version > 0 { Ok(()) } else { Err(e) })?;
        match (ours.ephemeral_owner, theirs.ephemeral_owner) {
            (ours, 0) => same("owner", ours, 0)?,
            (ours, theirs) => {
                let known = self.sessions.get(&theirs).map(|(id, ..)| *id);
                same("owner", Some(ours), known)?;
            }
        }
        if path.is_empty() || path == "/" {
            // Of the root, and of what may be it, the history is in these.
            return Ok(());
        }
        self.same_zxid("pzxid", ours.pzxid.0, theirs.pzxid.0)?;
        same("cversion", ours.cversion, theirs.cversion)
    }

    fn same_zxid(&mut self, what: &str, ours: i64, theirs: i64) -> Step {
        if theirs <= 0 {
            return same(what, ours, theirs);
        }
        match self.zxids.get(&theirs) {
            Some(before) => same(what, ours, *before),
            None => {
                self.zxids.insert(theirs, ours);
                Ok(())
            }
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: T, theirs: T) -> Step {
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours:?} instead of {theirs:?}")) }
}

/// The number of a sequential child of the root depends on what else the root ever had.
fn same_path(ours: Option<&str>, theirs: Option<&str>) -> Step {
    fn stem(path: &str) -> &str {
        let digits = path.len().saturating_sub(10);
        match path.get(digits..) {
            Some(tail)
                if path.rfind('/') == Some(0) && tail.bytes().all(|b| b.is_ascii_digit()) =>
            {
                &path[..digits]
            }
            _ => path,
        }
    }
    same("path", ours.map(stem), theirs.map(stem))
}

fn same_names<'a>(
    ours: impl Iterator<Item = zk_session::wire::Ustring<'a>>,
    theirs: impl Iterator<Item = zk_session::wire::Ustring<'a>>,
) -> Step {
    let sorted = |names: Vec<_>| {
        let mut names = names;
        names.sort();
        names
    };
    same("names", sorted(ours.collect()), sorted(theirs.collect()))
}

fn op_of(name: &str) -> Option<OpCode> {
    Some(match name {
        "create" => OpCode::Create,
        "delete" => OpCode::Delete,
        "exists" => OpCode::Exists,
        "getData" => OpCode::GetData,
        "setData" => OpCode::SetData,
        "getACL" => OpCode::GetAcl,
        "setACL" => OpCode::SetAcl,
        "getChildren" => OpCode::GetChildren,
        "sync" => OpCode::Sync,
        "getChildren2" => OpCode::GetChildren2,
        "multi" => OpCode::Multi,
        "create2" => OpCode::Create2,
        "createContainer" => OpCode::CreateContainer,
        "createTTL" => OpCode::CreateTtl,
        "multiRead" => OpCode::MultiRead,
        "sasl" => OpCode::Sasl,
        "getEphemerals" => OpCode::GetEphemerals,
        "getAllChildrenNumber" => OpCode::GetAllChildrenNumber,
        "addWatch" => OpCode::AddWatch,
        "whoAmI" => OpCode::WhoAmI,
        _ => return None,
    })
}

fn long(value: &Value) -> i64 {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap().cast_signed()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
