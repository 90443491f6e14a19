//! Clients that are not ours, against the embedded ensemble: they cannot tell it from ZooKeeper.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod foreign;

use std::time::Duration;

use zk_session_std::EmbeddedEnsemble;
use zk_session_testkit::{Kazoo, Program, ZkCli};

use foreign::{against_both, source};

const PATIENCE: Duration = Duration::from_secs(60);

fn ensemble() -> EmbeddedEnsemble {
    EmbeddedEnsemble::builder().servers(3).tick(Duration::from_millis(500)).start().unwrap()
}

#[test]
fn kazoo_creates_reads_watches_and_sees_ephemerals_go() {
    let script = r#"
import sys, threading
from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError, BadVersionError, NotEmptyError

def client():
    zk = KazooClient(hosts=sys.argv[1], timeout=2.0)
    zk.start(timeout=10)
    return zk

a, b = client(), client()
assert a.client_id[0] != b.client_id[0]
assert a.create("/app", b"v0") == "/app"
data, stat = a.get("/app")
assert data == b"v0" and stat.version == 0 and stat.dataLength == 2
assert a.set("/app", b"v1").version == 1
for error, call in [
    (NodeExistsError, lambda: a.create("/app")),
    (NoNodeError, lambda: a.get("/nope")),
    (BadVersionError, lambda: a.set("/app", b"", version=7)),
]:
    try:
        call()
        raise SystemExit("no %s" % error)
    except error:
        pass

fired = {"data": threading.Event(), "gone": threading.Event(), "child": threading.Event()}
b.get("/app", watch=lambda event: fired["data"].set() if event.type == "CHANGED" else None)
b.get_children("/app", watch=lambda event: fired["child"].set() if event.type == "CHILD" else None)
a.set("/app", b"v2")
assert fired["data"].wait(5), "the data watch did not fire"

member = a.create("/app/member-", b"", ephemeral=True, sequence=True)
assert member == "/app/member-0000000000", member
assert fired["child"].wait(5), "the child watch did not fire"
stat = b.exists(member, watch=lambda event: fired["gone"].set() if event.type == "DELETED" else None)
assert stat.ephemeralOwner == a.client_id[0]
try:
    a.delete("/app")
    raise SystemExit("deleted a znode with children")
except NotEmptyError:
    pass

# Without a word to the server: the session must expire by itself.
a._connection._socket.close() if a._connection._socket else None
a._connection.stop()
assert fired["gone"].wait(10), "the ephemeral did not go with its session"
assert b.exists(member) is None
assert b.get_children("/app") == []

# A session that closes takes its znodes along at once.
c = client()
path = c.create("/app/closing", ephemeral=True)
assert b.exists(path)
c.stop(); c.close()
assert b.exists(path) is None

results = [b.get_async("/app") for _ in range(200)]
assert all(r.get(timeout=5)[0] == b"v2" for r in results)
b.delete("/app")
b.stop(); b.close()
print("all seen")
"#;
    let ensemble = ensemble();
    let output = Kazoo::prepare().unwrap().run(script, &[&ensemble.connect_string()], PATIENCE);
    let output = output.unwrap().success().unwrap();
    assert!(output.stdout.contains("all seen"), "{output}");
}

#[test]
fn kazoo_keeps_its_session_when_its_server_stops_and_learns_of_expiry() {
    let script = r#"
import sys, threading
from kazoo.client import KazooClient, KazooState

zk = KazooClient(hosts=sys.argv[1], timeout=4.0)
states, changed = [], threading.Condition()
def listen(state):
    with changed:
        states.append(state)
        changed.notify_all()
zk.add_listener(listen)
zk.start(timeout=10)
path = zk.create("/mine", ephemeral=True)
session = zk.client_id[0]

def wait_for(*wanted):
    with changed:
        if not changed.wait_for(lambda: states[-len(wanted):] == list(wanted), timeout=20):
            raise SystemExit("states are %s, not %s" % (states, wanted))

print("session %d" % session, flush=True)
assert sys.stdin.readline() == "stopped\n"
wait_for(KazooState.SUSPENDED, KazooState.CONNECTED)
assert zk.client_id[0] == session
assert zk.exists(path).ephemeralOwner == session
print("moved", flush=True)
assert sys.stdin.readline() == "expired\n"
wait_for(KazooState.LOST, KazooState.CONNECTED)
assert zk.client_id[0] != session
assert zk.exists(path) is None
zk.stop(); zk.close()
print("expired", flush=True)
"#;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    let ensemble = ensemble();
    let kazoo = Kazoo::prepare().unwrap();
    let mut child = Command::new(kazoo.python())
        .args(["-c", script, &ensemble.connect_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().expect("kazoo ended early").unwrap();

    let line = next();
    let id: i64 = line.strip_prefix("session ").unwrap().parse().unwrap();
    let session_id = zk_session::wire::SessionId(id);
    let server = ensemble.server_of(session_id).unwrap().expect("a server holds the session");
    ensemble.stop(server).unwrap();
    writeln!(stdin, "stopped").unwrap();
    assert_eq!(next(), "moved");
    assert_ne!(ensemble.server_of(session_id).unwrap(), Some(server));
    assert!(ensemble.expire(session_id).unwrap());
    writeln!(stdin, "expired").unwrap();
    assert_eq!(next(), "expired");
    assert!(child.wait().unwrap().success());
}

#[test]
fn zkcli_creates_reads_lists_and_deletes() {
    let ensemble = ensemble();
    let cli = ZkCli::new(ensemble.addr(0)).timeout(PATIENCE);
    let script = "create /cli hello\nget -s /cli\ncreate -e /cli/gone x\ncreate -s /cli/n- y\nls /cli\n\
                  set /cli world\nstat /cli\ndelete /cli/n-0000000001\ndeleteall /cli\nls /\n";
    let output = cli.script(script).unwrap().success().unwrap();
    let told = format!("{}{}", output.stdout, output.stderr);
    for wanted in [
        "Created /cli",
        "hello",
        "dataLength = 5",
        "Created /cli/gone",
        "Created /cli/n-0000000001",
        "[gone, n-0000000001]",
        "dataVersion = 1",
        "[zookeeper]",
    ] {
        assert!(told.contains(wanted), "no {wanted:?} in\n{output}");
    }
    // Its session is closed, and so its ephemerals are gone.
    let output = cli.run(&["ls", "/"]).unwrap();
    assert!(output.stdout.contains("[zookeeper]"), "{output}");
}

/// All that Apache's own client can do; it finds the same at a real ZooKeeper.
#[test]
fn the_java_client_cannot_tell_the_ensemble_from_zookeeper() {
    against_both(&Program::java(&source("Driver.java")).unwrap(), "/java", 151);
}

/// All that Apache's C client can do; it finds the same at a real ZooKeeper.
#[test]
fn the_c_client_cannot_tell_the_ensemble_from_zookeeper() {
    against_both(&Program::c(&source("driver.c")).unwrap(), "/c", 117);
}

/// All that kazoo can do and its recipes, over stops of their servers; they find the same at a real
/// ZooKeeper.
#[test]
fn kazoo_and_its_recipes_cannot_tell_the_ensemble_from_zookeeper() {
    against_both(&Kazoo::prepare().unwrap().program(&source("recipes.py")), "/kazoo", 127);
}
