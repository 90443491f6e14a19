//! What is done: steps of several connections, in words that suit both servers.

use std::fmt;

use zk_session::wire::{Multi, MultiOp, OpCode, Request, Writer};

/// Stands for the script's own znode in every path; each run replaces it by a name of the same
/// length that no run had before.
pub(crate) const ROOT: &str = "/ROOT000";

/// Longest request of a script.
const LONGEST: usize = 64 << 10;

/// One step. What it names and is not there (any more) makes it do nothing, so that any steps of a
/// script are a script.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Connection `conn` is opened, hanging up the one that was there.
    Open { conn: usize, hello: Hello },
    /// Connection `conn` ends without a word.
    HangUp { conn: usize },
    /// Requests are sent at once, then every connection is waited for.
    Send { conn: usize, calls: Vec<Call> },
}

/// A handshake.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hello {
    pub(crate) who: Who,
    pub(crate) timeout: i32,
    pub(crate) read_only: Option<bool>,
    pub(crate) seen: Seen,
    /// Bytes that follow the record in its frame.
    pub(crate) surplus: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Who {
    /// Asks for a session.
    New,
    /// The `n`th session that the script was given.
    Session(usize, Password),
    /// An id that no server gave.
    Stranger,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Password {
    Right,
    Wrong,
    Short,
    Null,
}

/// The last zxid that a client says it has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Seen {
    Nothing,
    Last,
    Future,
}

/// One request.
#[derive(Clone, PartialEq)]
pub(crate) struct Call {
    /// `None`: the connection's next.
    pub(crate) xid: Option<i32>,
    pub(crate) what: What,
}

#[derive(Clone, PartialEq)]
pub(crate) enum What {
    /// A request as a client would make it. The zxid of a setWatches counts from the last one seen.
    Request(Request<'static>),
    /// Any body under any opcode.
    Raw { code: i32, body: Vec<u8> },
    /// Bytes as they are, the frame's length included.
    Bytes(Vec<u8>),
}

impl Call {
    pub(crate) fn request(request: Request<'static>) -> Self {
        Self { xid: None, what: What::Request(request) }
    }

    pub(crate) fn code(&self) -> i32 {
        match &self.what {
            What::Request(request) => request.op().to_wire(),
            What::Raw { code, .. } => *code,
            What::Bytes(_) => 0,
        }
    }

    /// The request that a server takes it for.
    fn decoded(&self) -> Option<Request<'_>> {
        match &self.what {
            What::Request(request) => Some(*request),
            What::Raw { code, body } => Request::decode(OpCode::from_wire(*code)?, body).ok(),
            What::Bytes(_) => None,
        }
    }

    /// Whether the server closes the connection rather than answer what follows.
    pub(crate) fn ends_connection(&self) -> bool {
        match (self.decoded(), &self.what) {
            (Some(Request::Auth { scheme, auth, .. }), _) => match scheme.as_bytes() {
                Some(b"digest") => auth.is_none(),
                Some(b"ip") => false,
                _ => true,
            },
            (Some(request), _) => {
                matches!(request, Request::CloseSession | Request::Sasl { token: None })
            }
            (None, What::Raw { code, .. }) => {
                matches!(OpCode::from_wire(*code), None | Some(OpCode::Auth | OpCode::Sasl))
            }
            (None, _) => true,
        }
    }

    /// Whether it closes the session, whose ephemerals then go in an order of their own.
    pub(crate) fn ends_session(&self) -> bool {
        self.code() == OpCode::CloseSession.to_wire()
    }

    /// Whether the network layer answers, which can overtake the answers to earlier requests.
    pub(crate) fn overtakes(&self) -> bool {
        match &self.what {
            What::Bytes(_) => true,
            What::Raw { code, .. } => {
                matches!(OpCode::from_wire(*code), None | Some(OpCode::Auth | OpCode::Sasl))
            }
            What::Request(request) => matches!(request.op(), OpCode::Auth | OpCode::Sasl),
        }
    }

    /// The body that goes out, before the run's own root and zxids are put in.
    pub(crate) fn body(&self) -> Vec<u8> {
        match &self.what {
            What::Request(request) => encode(|w| request.encode(w)),
            What::Raw { body, .. } => body.clone(),
            What::Bytes(bytes) => bytes.clone(),
        }
    }

    /// Whether the zxid at the start of the body counts from the last one seen.
    pub(crate) fn has_zxid(&self) -> bool {
        let set_watches = [OpCode::SetWatches, OpCode::SetWatches2].map(OpCode::to_wire);
        set_watches.contains(&self.code()) && self.body().len() >= 8
    }

    /// Which items are about the tree's root, under either of its names; one item unless it is a
    /// multi.
    pub(crate) fn about_root(&self) -> Vec<bool> {
        let is_root = |path: Option<&[u8]>| matches!(path, Some(b"/" | b""));
        match self.decoded() {
            Some(Request::Multi(items) | Request::MultiRead(items)) => {
                items.iter().map(|item| is_root(item.path().as_bytes())).collect()
            }
            Some(request) => vec![is_root(request.path().and_then(|path| path.as_bytes()))],
            None => Vec::new(),
        }
    }
}

/// What `write` writes.
pub(crate) fn encode(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut memory = vec![0; LONGEST];
    let mut w = Writer::new(&mut memory);
    write(&mut w);
    w.finish().expect("a script's requests are short").to_vec()
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Request(request) => f.write_str(&describe(request))?,
            What::Raw { code, body } => {
                let name = OpCode::from_wire(*code);
                write!(f, "op {code} {name:?} with body \"{}\"", body.escape_ascii())?;
            }
            What::Bytes(bytes) => write!(f, "bytes \"{}\"", bytes.escape_ascii())?,
        }
        match self.xid {
            Some(xid) => write!(f, " as xid {xid}"),
            None => Ok(()),
        }
    }
}

/// A request with all that is in it; its own `Debug` shows no data, which may be secret.
fn describe(request: &Request<'_>) -> String {
    let data = |data: &Option<&[u8]>| match data {
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        None => "null".to_owned(),
    };
    let items = |items: &Multi<'_, MultiOp<'_>>| {
        items.iter().map(|item| format!("\n        {item:?}")).collect::<String>()
    };
    match request {
        Request::Create(c) | Request::Create2(c) | Request::CreateContainer(c) => {
            let (op, bytes) = (request.op(), data(&c.data));
            format!("{op:?} {:?} data {bytes} acl {:?} flags {}", c.path, c.acl, c.flags)
        }
        Request::CreateTtl(t) => {
            let (c, bytes) = (t.create, data(&t.create.data));
            let acl = c.acl;
            format!(
                "CreateTtl {:?} data {bytes} acl {acl:?} flags {} ttl {}",
                c.path, c.flags, t.ttl
            )
        }
        Request::Delete { path, version } | Request::Check { path, version } => {
            format!("{:?} {path:?} version {version}", request.op())
        }
        Request::SetData { path, data: new, version } => {
            format!("SetData {path:?} data {} version {version}", data(new))
        }
        Request::SetAcl { path, acl, version } => {
            format!("SetAcl {path:?} acl {acl:?} version {version}")
        }
        Request::Exists { path, watch }
        | Request::GetData { path, watch }
        | Request::GetChildren { path, watch }
        | Request::GetChildren2 { path, watch } => {
            format!("{:?} {path:?}{}", request.op(), if *watch { " watched" } else { "" })
        }
        Request::CheckWatches { path, kind } | Request::RemoveWatches { path, kind } => {
            format!("{:?} {path:?} kind {kind}", request.op())
        }
        Request::AddWatch { path, mode } => format!("AddWatch {path:?} mode {mode}"),
        Request::GetEphemerals { prefix } => format!("GetEphemerals {prefix:?}"),
        Request::Auth { scheme, auth, .. } => format!("Auth {scheme:?} {}", data(auth)),
        Request::Sasl { token } => format!("Sasl {}", data(token)),
        Request::Multi(list) | Request::MultiRead(list) => {
            format!("{:?}{}", request.op(), items(list))
        }
        Request::SetWatches(watches) | Request::SetWatches2(watches) => {
            format!("{:?} {watches:?}", request.op())
        }
        Request::Reconfig(reconfig) => format!("{reconfig:?}"),
        other => format!("{other:?}"),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { conn, hello } => write!(
                f,
                "c{conn} opens as {:?}, timeout {}, read-only {:?}, seen {:?}{}",
                hello.who,
                hello.timeout,
                hello.read_only,
                hello.seen,
                if hello.surplus > 0 { ", with surplus bytes" } else { "" }
            ),
            Self::HangUp { conn } => write!(f, "c{conn} hangs up"),
            Self::Send { conn, calls } => {
                write!(f, "c{conn} sends")?;
                match calls.as_slice() {
                    [one] => write!(f, " {one:?}"),
                    many => many.iter().try_for_each(|call| write!(f, "\n      {call:?}")),
                }
            }
        }
    }
}
