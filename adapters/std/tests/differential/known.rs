//! What 3.8.0 does and the engine does not. Scripts at random keep away from it, and each entry is
//! checked to be true still.

use zk_session::wire::{
    Acl, ConnectRequest, Create, CreateTtl, List, MultiOp, Request, SessionId, Ustring, Zxid,
};
use zk_session_testkit::RealEnsemble;

use crate::minimise::Pair;
use crate::peer::{Local, Peer, Received, Remote};
use crate::script::{Call, Hello, Seen, Step, What, Who, encode};

/// A difference that is meant to be.
struct Known {
    what: &'static str,
    why: &'static str,
    /// Requests of one connection, sent at once.
    calls: fn() -> Vec<Call>,
}

/// Some depend on how far one thread of ZooKeeper is ahead of the next.
const TRIES: usize = 50;

const ROOT: Ustring<'static> = Ustring::from_bytes(b"/ROOT000");

const KNOWN: &[Known] = &[
    Known {
        what: "a check outside a multi gets no answer",
        why: "nobody can live with that; 3.8.5 and 3.9.3 take it for an unknown operation",
        calls: || vec![call(Request::Check { path: ROOT, version: -1 })],
    },
    Known {
        what: "a connection that watches a path persistently and then once has one watch, once",
        why: "3.9.0 keeps both",
        calls: || {
            let set = || call(Request::SetData { path: ROOT, data: None, version: -1 });
            let watch = call(Request::AddWatch { path: ROOT, mode: 0 });
            vec![watch, call(Request::GetData { path: ROOT, watch: true }), set(), set()]
        },
    },
    Known {
        what: "a recursive watch stands in the table of child watches, too, where it can be removed",
        why: "3.9.0 keeps it in one table",
        calls: || {
            let watch = call(Request::AddWatch { path: ROOT, mode: 1 });
            vec![watch, call(Request::RemoveWatches { path: ROOT, kind: 1 })]
        },
    },
    Known {
        what: "checkWatches of what has no slash fails while anybody watches recursively",
        why: "an index out of bounds where the parents of the path are looked for",
        calls: || {
            let watch = call(Request::AddWatch { path: ROOT, mode: 1 });
            vec![watch, call(Request::CheckWatches { path: "ROOT".into(), kind: 3 })]
        },
    },
    Known {
        what: "a null path in a multi takes a zxid that nobody sees, and its error has a body",
        why: "a null pointer halfway through the preparation",
        calls: || {
            const ITEMS: &[MultiOp<'_>] = &[MultiOp::Check { path: Ustring::NULL, version: -1 }];
            vec![call(Request::multi(ITEMS))]
        },
    },
    Known {
        what: "a multi that cannot be prepared leaves pending changes to the requests behind it",
        why: "a failed cast where only ZooKeeper's own exceptions are taken back",
        calls: || {
            const fn item(path: &'static str, flags: i32) -> MultiOp<'static> {
                let path = Ustring::from_bytes(path.as_bytes());
                let acl = List::from_slice(Acl::OPEN);
                MultiOp::Create(Create { path, data: None, acl, flags })
            }
            const FAILS: &[MultiOp<'_>] = &[item("/ROOT000/a", 0), item("/ROOT000/b", 5)];
            const WORKS: &[MultiOp<'_>] = &[item("/ROOT000/c", 0)];
            let exists = call(Request::Exists { path: ROOT, watch: false });
            vec![call(Request::multi(FAILS)), call(Request::multi(WORKS)), exists]
        },
    },
    Known {
        what: "a connection that watches a null path cannot be closed, nor its watches forgotten",
        why: "a null pointer where its watches are forgotten, before its socket is closed",
        calls: || {
            let watch = call(Request::AddWatch { path: Ustring::NULL, mode: 0 });
            vec![watch, call(Request::CloseSession)]
        },
    },
    Known {
        what: "a client may create a session within a session",
        why: "an operation of the server's own that it forgets to refuse",
        calls: || vec![raw(-10, 60_000_i32.to_be_bytes().to_vec())],
    },
    Known {
        what: "a client may delete a container",
        why: "an operation of the server's own that it forgets to refuse",
        calls: || vec![raw(20, b"/ROOT000/none".to_vec())],
    },
];

fn call(request: Request<'static>) -> Call {
    Call::request(request)
}

fn raw(code: i32, body: Vec<u8>) -> Call {
    Call { xid: None, what: What::Raw { code, body } }
}

fn open(conn: usize) -> Step {
    let (who, seen) = (Who::New, Seen::Nothing);
    let hello = Hello { who, timeout: 100_000, read_only: Some(false), seen, surplus: 0 };
    Step::Open { conn, hello }
}

/// Panics if the two agree where they are known to differ.
pub(crate) fn check(ensemble: &RealEnsemble) {
    let addr = ensemble.addr(0);
    let mut pair = Pair::new(Box::new(Local::new()), Box::new(Remote::new(addr)));
    for Known { what, why, calls } in KNOWN {
        let script = [open(0), Step::Send { conn: 0, calls: calls() }];
        let difference = (0..TRIES).find_map(|_| pair.differ(&script));
        let difference = difference.unwrap_or_else(|| panic!("no longer true: {what} ({why})"));
        println!("{what} ({why}):\n{difference}");
    }
    end_zookeeper(ensemble);
}

/// The last of them, as it leaves no server behind: a createTTL without a TTL mode and with a ttl
/// below zero passes all checks, and ends the server when it is applied.
fn end_zookeeper(ensemble: &RealEnsemble) {
    let acl = List::from_slice(Acl::OPEN);
    let create = Create { path: "/none".into(), data: None, acl, flags: 0 };
    let create = Request::CreateTtl(CreateTtl { create, ttl: -1 });
    let hello = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout: 100_000,
        session_id: SessionId::NONE,
        passwd: None,
        read_only: None,
    };
    let frame = |body: Vec<u8>| [&(body.len() as u32).to_be_bytes()[..], &body].concat();
    let header = [1_i32.to_be_bytes(), create.op().to_wire().to_be_bytes()].concat();
    let body = [header, encode(|w| create.encode(w))].concat();

    let mut real = Remote::new(ensemble.addr(0));
    let mut engine = Local::new();
    let ends = [&mut real as &mut dyn Peer, &mut engine].map(|peer| {
        let conn = peer.connect();
        peer.send(conn, &frame(encode(|w| hello.write(w))));
        assert!(matches!(peer.receive(conn), Received::Frame(_)));
        peer.send(conn, &frame(body.clone()));
        peer.receive(conn)
    });
    let [Received::Closed, Received::Frame(answer)] = ends else { panic!("{ends:?}") };
    assert_eq!(answer[12..16], (-8_i32).to_be_bytes(), "BadArguments");
}
