//! Plays a script on one server.

use std::collections::VecDeque;

use zk_session::wire::{
    Acl, ConnectRequest, ConnectResponse, Create, CreateMode, List, OpCode, Reader, Reply,
    ReplyHeader, Request, RequestHeader, SessionId, Xid, Zxid,
};

use crate::normal::{Got, Origin};
use crate::peer::{Peer, Received, SUPER};
use crate::script::{Call, Hello, Password, ROOT, Seen, Step, What, Who, encode};

/// Connections that a script may have.
pub(crate) const CONNECTIONS: usize = 3;

/// What each connection received in one step, up to the answer to the ping that ended it.
pub(crate) type Answers = Vec<(usize, Vec<Got>)>;

/// A script as it goes on.
struct Player<'p> {
    peer: &'p mut dyn Peer,
    origin: Origin,
    last_zxid: i64,
    passwords: Vec<Vec<u8>>,
    lines: Vec<Option<Line>>,
}

/// A connection of the script.
#[derive(Default)]
struct Line {
    conn: usize,
    greeted: bool,
    xid: i32,
    /// Xid, opcode, and which items are about the root, of what is not answered yet.
    pending: VecDeque<(i32, i32, Vec<bool>)>,
}

/// Plays a script below a znode of the name `d` and six digits; returns what came of each step,
/// and of closing all sessions in the end.
pub(crate) fn play(peer: &mut dyn Peer, name: &str, steps: &[Step]) -> Vec<Answers> {
    peer.begin();
    let origin = Origin::new(name);
    let lines = (0..=CONNECTIONS).map(|_| None).collect();
    let mut player = Player { peer, origin, last_zxid: 0, passwords: Vec::new(), lines };
    player.set_the_scene();
    let mut all: Vec<_> = steps.iter().map(|step| player.step(step)).collect();
    all.push(player.clear_away());
    all
}

/// The connection that sets the scene.
const STAGE: usize = CONNECTIONS;

impl Player<'_> {
    /// Learns what the script's numbers count from, and creates the script's own znode.
    fn set_the_scene(&mut self) {
        self.open(
            STAGE,
            &Hello {
                who: Who::New,
                timeout: 100_000,
                read_only: Some(false),
                seen: Seen::Nothing,
                surplus: 0,
            },
        );
        let ask = |player: &mut Self, request: Request<'static>| {
            let call = Call::request(request);
            player.write(STAGE, &[call], 0);
            let conn = player.lines[STAGE].as_ref().unwrap().conn;
            match player.peer.receive(conn) {
                Received::Frame(frame) => frame,
                other => panic!("the scene is not set: {other:?}"),
            }
        };
        let frame = ask(
            self,
            Request::Auth { kind: 0, scheme: "digest".into(), auth: Some(SUPER.as_bytes()) },
        );
        assert_eq!(frame.len(), ReplyHeader::BYTES);
        let frame = ask(self, Request::exists("/", false));
        let mut r = Reader::new(&frame);
        let header = ReplyHeader::read(&mut r).unwrap();
        let Ok(Reply::Stat(stat)) = Reply::read(OpCode::Exists, &mut r) else { panic!() };
        (self.origin.zxid, self.origin.root) = (header.zxid.0, Some(stat));
        let frame = ask(self, Request::GetAllChildrenNumber { path: "/".into() });
        let Ok(Reply::Count(count)) =
            Reply::decode(OpCode::GetAllChildrenNumber, &frame[ReplyHeader::BYTES..])
        else {
            panic!()
        };
        self.origin.descendants = count;
        let acl = List::from_slice(Acl::OPEN);
        let flags = CreateMode::Persistent.to_flags();
        let create = Create { path: ROOT.into(), data: Some(b"root"), acl, flags };
        let frame = ask(self, Request::Create(create));
        let header = ReplyHeader::read(&mut Reader::new(&frame)).unwrap();
        assert_eq!(header.err, 0, "the root of a script is new");
        self.last_zxid = header.zxid.0;
        self.lines[STAGE].as_mut().unwrap().pending.clear();
    }

    fn step(&mut self, step: &Step) -> Answers {
        let mut answers = Vec::new();
        match step {
            Step::Open { conn, hello } => {
                let got = self.open(*conn, hello);
                answers.push((*conn, got));
                self.settle(&mut answers, None);
            }
            Step::HangUp { conn } => {
                if let Some(line) = self.lines[*conn].take() {
                    self.peer.hang_up(line.conn);
                }
            }
            Step::Send { conn, calls } => {
                if self.lines[*conn].is_some() {
                    let ends = calls.iter().any(Call::ends_connection);
                    self.write(*conn, calls, usize::from(!ends));
                    let pings = pings(calls) + 1;
                    let got = self.read(*conn, if ends { usize::MAX } else { pings });
                    answers.push((*conn, got));
                    self.settle(&mut answers, Some(*conn));
                    if calls.iter().any(Call::ends_session) {
                        answers.iter_mut().for_each(|(_, got)| sort_events(got));
                    }
                }
            }
        }
        answers
    }

    /// Waits for everything that the step has caused: a ping's answer comes behind it.
    fn settle(&mut self, answers: &mut Answers, but: Option<usize>) {
        let others: Vec<_> = (0..CONNECTIONS)
            .filter(|conn| self.lines[*conn].as_ref().is_some_and(|line| line.greeted))
            .filter(|conn| Some(*conn) != but)
            .collect();
        others.iter().for_each(|conn| self.write(*conn, &[], 1));
        for conn in others {
            let got = self.read(conn, 1);
            match answers.iter_mut().find(|(known, _)| *known == conn) {
                Some((_, before)) => before.extend(got),
                None => answers.push((conn, got)),
            }
        }
    }

    fn open(&mut self, conn: usize, hello: &Hello) -> Vec<Got> {
        if let Some(line) = self.lines[conn].take() {
            self.peer.hang_up(line.conn);
        }
        let (id, passwd) = match hello.who {
            Who::New => (0, Some(vec![0; 16])),
            Who::Stranger => (0x0123_4567_89ab_cdef, Some(vec![7; 16])),
            Who::Session(n, password) => {
                let Some(id) = self.origin.sessions.get(n + 1) else { return Vec::new() };
                let passwd = match password {
                    Password::Right => Some(self.passwords[n + 1].clone()),
                    Password::Wrong => Some(vec![9; 16]),
                    Password::Short => Some(self.passwords[n + 1][..15].to_vec()),
                    Password::Null => None,
                };
                (*id, passwd)
            }
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(match hello.seen {
                Seen::Nothing => 0,
                Seen::Last => self.last_zxid,
                Seen::Future => self.last_zxid + 1_000,
            }),
            timeout: hello.timeout,
            session_id: SessionId(id),
            passwd: passwd.as_deref(),
            read_only: hello.read_only,
        };
        let mut body = encode(|w| request.write(w));
        body.extend(std::iter::repeat_n(1, hello.surplus));
        let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
        bytes.extend(body);
        let number = self.peer.connect();
        self.lines[conn] = Some(Line { conn: number, ..Line::default() });
        self.peer.send(number, &bytes);
        self.greeted(conn)
    }

    /// Receives the answer to a handshake.
    fn greeted(&mut self, conn: usize) -> Vec<Got> {
        let number = self.lines[conn].as_ref().unwrap().conn;
        match self.peer.receive(number) {
            Received::Frame(frame) => {
                let (mut granted, mut refused) = (None, false);
                if let Ok(r) = ConnectResponse::read(&mut Reader::new(&frame)) {
                    refused = r.timeout <= 0;
                    let new = !self.origin.sessions.contains(&r.session_id.0);
                    granted = (!refused && new)
                        .then(|| (r.session_id.0, r.passwd.unwrap_or_default().to_vec()));
                }
                if let Some((id, passwd)) = granted {
                    self.origin.sessions.push(id);
                    self.passwords.push(passwd);
                }
                let mut got = vec![self.origin.hello(frame)];
                if refused {
                    got.extend(self.read(conn, usize::MAX));
                } else {
                    self.lines[conn].as_mut().unwrap().greeted = true;
                }
                got
            }
            Received::Closed => self.closed(conn),
            Received::Silence => vec![Got::Silence],
        }
    }

    /// Sends calls, and pings behind them.
    fn write(&mut self, conn: usize, calls: &[Call], pings: usize) {
        let last_zxid = self.last_zxid;
        let root = self.origin.root_path();
        let Some(line) = &mut self.lines[conn] else { return };
        let mut bytes = Vec::new();
        for call in calls {
            let mut body = call.body();
            if call.has_zxid() {
                let delta = i64::from_be_bytes(*body.first_chunk().unwrap());
                body[..8].copy_from_slice(&last_zxid.saturating_add(delta).max(0).to_be_bytes());
            }
            put_root(&mut body, &root);
            if let What::Bytes(_) = call.what {
                bytes.extend(body);
                continue;
            }
            line.xid += 1;
            let (xid, code) = (call.xid.unwrap_or(line.xid), call.code());
            bytes.extend(((body.len() + RequestHeader::BYTES) as u32).to_be_bytes());
            bytes.extend(xid.to_be_bytes());
            bytes.extend(code.to_be_bytes());
            bytes.extend(body);
            if code != OpCode::Ping.to_wire() {
                line.pending.push_back((xid, code, call.about_root()));
            }
        }
        for _ in 0..pings {
            bytes.extend([0, 0, 0, 8]);
            bytes.extend(Xid::PING.0.to_be_bytes());
            bytes.extend(OpCode::Ping.to_wire().to_be_bytes());
        }
        self.peer.send(line.conn, &bytes);
    }

    /// Receives until so many pings are answered, or nothing more comes.
    fn read(&mut self, conn: usize, pings: usize) -> Vec<Got> {
        let (mut got, mut answered) = (Vec::new(), 0);
        while answered < pings {
            let Some(line) = &mut self.lines[conn] else { return got };
            let frame = match self.peer.receive(line.conn) {
                Received::Frame(frame) => frame,
                Received::Closed => {
                    got.extend(self.closed(conn));
                    return got;
                }
                Received::Silence => {
                    got.push(Got::Silence);
                    return got;
                }
            };
            let Ok(header) = ReplyHeader::read(&mut Reader::new(&frame)) else {
                got.push(Got::Odd(format!("no header: {frame:02x?}")));
                continue;
            };
            match header.xid {
                Xid::NOTIFICATION => got.push(Got::Event(frame)),
                xid => {
                    answered += usize::from(xid == Xid::PING);
                    let line_pending = &mut line.pending;
                    let asked = line_pending.iter().position(|(asked, ..)| *asked == xid.0);
                    let asked = asked.and_then(|at| line_pending.remove(at));
                    let (op, about_root) = match asked {
                        Some((_, op, about_root)) => (Some(op), about_root),
                        None if xid == Xid::PING => (Some(OpCode::Ping.to_wire()), Vec::new()),
                        None => (None, Vec::new()),
                    };
                    self.last_zxid = self.last_zxid.max(header.zxid.0);
                    got.extend(self.origin.reply(op, &about_root, frame));
                }
            }
        }
        got
    }

    fn closed(&mut self, conn: usize) -> Vec<Got> {
        self.lines[conn] = None;
        vec![Got::Closed]
    }

    /// Closes every session, that none of them expires in a later script.
    fn clear_away(&mut self) -> Answers {
        let close = [Call::request(Request::CloseSession)];
        let mut answers = Vec::new();
        for n in 1..self.origin.sessions.len() {
            let who = Who::Session(n - 1, Password::Right);
            let seen = Seen::Last;
            let mut got = self.open(
                0,
                &Hello { who, timeout: 100_000, read_only: Some(false), seen, surplus: 0 },
            );
            if self.lines[0].as_ref().is_some_and(|line| line.greeted) {
                self.write(0, &close, 0);
                got.extend(self.read(0, usize::MAX));
            }
            sort_events(&mut got);
            answers.push((0, got));
        }
        self.write(STAGE, &close, 0);
        self.read(STAGE, usize::MAX);
        answers
    }
}

/// How many of the calls are answered as pings are.
fn pings(calls: &[Call]) -> usize {
    let ping = OpCode::Ping.to_wire();
    calls.iter().filter(|call| call.code() == ping && !matches!(call.what, What::Bytes(_))).count()
}

/// Puts the run's own root in place of the script's; they have the same length.
fn put_root(body: &mut [u8], root: &str) {
    let mut at = 0;
    while let Some(window) = body.get_mut(at..at + ROOT.len()) {
        if window == ROOT.as_bytes() {
            window.copy_from_slice(root.as_bytes());
        }
        at += 1;
    }
}

/// Sorts every run of events: the znodes of a session go in no particular order.
fn sort_events(got: &mut [Got]) {
    let is_event = |got: &Got| matches!(got, Got::Event(_));
    for run in got.chunk_by_mut(|a, b| is_event(a) == is_event(b)) {
        run.sort_by(|a, b| match (a, b) {
            (Got::Event(a), Got::Event(b)) => a.cmp(b),
            _ => std::cmp::Ordering::Equal,
        });
    }
}
