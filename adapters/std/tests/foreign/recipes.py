"""kazoo, all it can do and its recipes, against any ensemble.

Arguments: the ensemble's connect string, that of a server behind a relay that can fall silent, and
the znode to work under. One line for each fact that holds; "FAILED" and exit status 1 at the first
that does not. A line that begins with "? " asks the test for a fault and waits for one line of
answer.
"""

import os
import sys
import threading
import time
import traceback

from kazoo import exceptions as error
from kazoo.client import KazooClient
from kazoo.protocol.states import EventType, KazooState
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.security import ACL, Id, make_digest_acl

ALL, QUIET, ROOT = sys.argv[1:4]
PATIENCE = 20.0
TIMEOUT = 4.0
SHORT = 1.5


def ok(fact):
    print("ok " + fact, flush=True)


def fail(fact):
    print("FAILED " + fact, flush=True)
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


def check(fact, holds):
    ok(fact) if holds else fail(fact)


def same(fact, wanted, found):
    ok(fact) if wanted == found else fail("%s: wanted %r, found %r" % (fact, wanted, found))


def refused(fact, wanted, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except wanted:
        return ok(fact)
    fail("%s: it was done" % fact)


def wait(condition):
    """Whether it comes true in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def until(fact, condition):
    check(fact, wait(condition))


def ask(*words):
    print("? " + " ".join(words), flush=True)
    return sys.stdin.readline().strip()


class Session(KazooClient):
    """A session that is connected, and the states that it went through."""

    def __init__(self, hosts=ALL, timeout=TIMEOUT, **settings):
        super().__init__(hosts=hosts, timeout=timeout, **settings)
        self.states = []
        self.add_listener(self.states.append)
        self.start(timeout=PATIENCE)

    @property
    def id(self):
        return self.client_id[0]

    def caught_up(self):
        """Its server has seen all that others have done; it may have been behind."""
        self.retry(self.sync, "/")
        return self

    def end(self):
        self.stop()
        self.close()


class Step(threading.Thread):
    """A call that may block."""

    def __init__(self, call, *args, **kwargs):
        super().__init__(daemon=True)
        self.call, self.result = lambda: call(*args, **kwargs), None
        self.start()

    def run(self):
        try:
            self.result = self.call()
        except BaseException:
            fail("a step that blocks: %s" % self.call)

    def ended(self):
        return not self.is_alive()

    def waits(self):
        """It has not ended, though it had some time."""
        self.join(0.2)
        return self.is_alive()


def stop_server(session, *others):
    """Stops a session's server; when it returns, these sessions are connected again."""
    before = session.id
    del session.states[:]
    ask("stop", "%x" % (session.id % 2**64))
    moved = lambda: session.states[-2:] == [KazooState.SUSPENDED, KazooState.CONNECTED]
    if not wait(moved) or session.id != before:
        fail("a session moves: %r" % session.states)
    for other in others:
        other.caught_up()
    ask("start")


def expire(session):
    id, passwd = session.client_id
    ask("expire", "%x" % (id % 2**64), passwd.hex())


def operations(a, b):
    check("a session has an id", a.id != 0 and a.id != b.id)
    same("a password has 16 bytes", 16, len(a.client_id[1]))
    same("create", ROOT, a.create(ROOT, b"root"))
    chrooted = Session(ALL + ROOT)
    same("a chroot is the root", b"root", chrooted.get("/")[0])
    same("a path within a chroot", "/x", chrooted.create("/x"))
    chrooted.delete("/x")
    chrooted.end()
    dir = ROOT + "/modes"
    a.ensure_path(dir + "/deep/er")
    same("ensure_path makes parents", 1, a.exists(dir + "/deep").numChildren)
    same("makepath does", dir + "/a/b/c", a.create(dir + "/a/b/c", makepath=True))
    same("sequential", dir + "/s-0000000002", a.create(dir + "/s-", sequence=True))
    same("ephemeral", dir + "/e", a.create(dir + "/e", ephemeral=True))
    path = a.create(dir + "/", ephemeral=True, sequence=True)
    same("ephemeral sequential", dir + "/0000000004", path)
    path, stat = a.create(dir + "/two", b"data", ephemeral=True, include_data=True)
    same("create2", (dir + "/two", 4, a.id), (path, stat.dataLength, stat.ephemeralOwner))
    children, stat = a.get_children(dir, include_data=True)
    same("children", ["0000000004", "a", "deep", "e", "s-0000000002", "two"], sorted(children))
    same("and a stat", (6, 6), (stat.numChildren, stat.cversion))
    stat = a.set(dir + "/a", b"one", version=0)
    same("a version", 1, stat.version)
    same("data and stat", (b"one", stat), a.get(dir + "/a"))
    same("no stat where nothing is", None, a.exists(dir + "/nothing"))
    large = bytes(900_000)
    a.set(dir + "/a", large)
    check("900,000 bytes", a.get(dir + "/a")[0] == large)
    results = [b.get_async(ROOT) for _ in range(500)]
    check("500 in flight", all(r.get(timeout=PATIENCE)[0] == b"root" for r in results))
    same("sync", "/", b.sync("/"))
    refused("node exists", error.NodeExistsError, a.create, dir + "/e")
    refused("no node", error.NoNodeError, a.get, dir + "/nothing")
    refused("no parent", error.NoNodeError, a.create, dir + "/no/where")
    refused("bad version", error.BadVersionError, a.set, dir + "/a", b"", version=77)
    refused("not empty", error.NotEmptyError, a.delete, dir)
    child = error.NoChildrenForEphemeralsError
    refused("no children for ephemerals", child, a.create, dir + "/e/x")
    acl = [ACL(31, Id("nobody", "knows"))]
    refused("invalid acl", error.InvalidACLError, a.create, dir + "/acl", acl=acl)
    a.delete(dir + "/a", recursive=True)
    same("recursive delete", None, a.exists(dir + "/a"))
    same("ruok", "imok", a.command(b"ruok"))
    same("the server's version", 3, a.server_version()[0])
    check("its statistics", "Zxid: 0x" in a.command(b"srvr"))
    change = ("server.9=127.0.0.1:9:99;999", None, None)
    refused("reconfiguration is off", error.ReconfigDisabledError, a.reconfig, *change)
    reader = Session(read_only=True)
    same("who would take a read-only server gets a full one", KazooState.CONNECTED, reader.state)
    reader.end()


def rights(a, b):
    path = ROOT + "/rights"
    a.add_auth("digest", "ann:secret")
    a.create(path, b"mine", acl=[make_digest_acl("ann", "secret", all=True)])
    b.caught_up()
    refused("not for others to read", error.NoAuthError, b.get, path)
    refused("nor to write", error.NoAuthError, b.set, path, b"")
    acls, stat = a.get_acls(path)
    same("the acl", ("digest", 31, 0), (acls[0].id.scheme, acls[0].perms, stat.aversion))
    check("by hash", acls[0].id.id.startswith("ann:") and "secret" not in acls[0].id.id)
    c = Session(auth_data=[("digest", "ann:secret")])
    same("the password on another session", b"mine", c.get(path)[0])
    c.end()
    acls.append(ACL(1, Id("world", "anyone")))
    same("a changed acl", 1, a.set_acls(path, acls).aversion)
    same("now others may read", b"mine", b.caught_up().get(path)[0])
    refused("though not write", error.NoAuthError, b.set, path, b"")


def transactions(a):
    dir = ROOT + "/multi"
    a.create(dir)
    txn = a.transaction()
    txn.create(dir + "/a", b"1")
    txn.create(dir + "/s-", ephemeral=True, sequence=True)
    txn.set_data(dir + "/a", b"2", version=0)
    txn.check(dir + "/a", version=1)
    txn.create(dir + "/b")
    txn.delete(dir + "/b")
    results = txn.commit()
    same("created paths", [dir + "/a", dir + "/s-0000000001"], results[:2])
    same("a stat of a change", 1, results[2].version)
    same("the rest", [True, dir + "/b", True], results[3:])
    txn = a.transaction()
    txn.create(dir + "/c")
    txn.check(dir + "/a", version=9)
    txn.delete(dir + "/a")
    kinds = [type(result) for result in txn.commit()]
    wanted = [error.RolledBackError, error.BadVersionError, error.RuntimeInconsistency]
    same("all or nothing", wanted, kinds)
    same("nothing of it is done", None, a.exists(dir + "/c"))


def watches(a, b):
    dir, log = ROOT + "/watches", []
    note = lambda event: event.type != EventType.NONE and log.append((event.type, event.path))
    a.create(dir)
    b.caught_up().exists(dir + "/x", watch=note)
    b.get_children(dir, watch=note)
    a.create(dir + "/x")
    wanted = [("CREATED", dir + "/x"), ("CHILD", dir)]
    until("created, then children", lambda: log == wanted)
    b.get(dir + "/x", watch=note)
    a.set(dir + "/x", b"1")
    wanted.append(("CHANGED", dir + "/x"))
    until("changed", lambda: log == wanted)
    a.set(dir + "/x", b"2")
    b.caught_up().get(dir + "/x", watch=note)
    b.get_children(dir, watch=note)
    a.delete(dir + "/x")
    wanted += [("DELETED", dir + "/x"), ("CHILD", dir)]
    until("once each, then deleted", lambda: log == wanted)


def watchers(a, b):
    dir, data, children = ROOT + "/watchers", [], []
    a.ensure_path(dir)
    b.caught_up()
    b.DataWatch(dir + "/x", lambda value, stat: data.append(value))
    b.ChildrenWatch(dir, lambda names: children.append(sorted(names)))
    until("a DataWatch without a znode", lambda: data == [None])
    a.create(dir + "/x", b"1")
    until("a DataWatch sees it made", lambda: data[-1] == b"1")
    until("a ChildrenWatch, too", lambda: children[-1] == ["x"])
    stop_server(b, a)
    a.set(dir + "/x", b"2")
    a.create(dir + "/y")
    until("a DataWatch survives a server", lambda: data[-1] == b"2")
    until("a ChildrenWatch, too", lambda: children[-1] == ["x", "y"])
    a.delete(dir + "/x")
    until("a DataWatch sees it go", lambda: data[-1] is None)


def lock(a, b):
    path = ROOT + "/lock"
    mine, other = a.Lock(path, "a"), b.Lock(path, "b")
    check("Lock: free", mine.acquire(timeout=PATIENCE))
    check("Lock: taken", not other.acquire(blocking=False))
    step = Step(other.acquire, timeout=PATIENCE)
    until("Lock: contenders in order", lambda: a.retry(mine.contenders) == ["a", "b"])
    stop_server(a, b)
    check("Lock: its holder's server stops, it stays held", step.waits())
    same("Lock: by the same", ["a", "b"], b.retry(mine.contenders))
    stop_server(b, a)
    check("Lock: who waits moves, too", step.waits())
    mine.release()
    until("Lock: released to the next", step.ended)
    check("Lock: it has it", step.result and other.is_acquired)
    c = Session()
    third = Step(c.Lock(path, "c").acquire, timeout=PATIENCE)
    until("Lock: a third one waits", lambda: len(a.retry(mine.contenders)) == 2)
    expire(b)
    until("Lock: an expired holder loses it", third.ended)
    until("Lock: and is told", lambda: KazooState.LOST in b.states)
    until("an expired session is followed by another", lambda: b.connected)
    c.end()


def read_write_lock(a, b):
    path = ROOT + "/rwlock"
    one, two, writer = a.ReadLock(path), b.ReadLock(path), a.WriteLock(path)
    one.acquire(timeout=PATIENCE)
    check("ReadLock: shared", two.acquire(timeout=PATIENCE))
    check("WriteLock: not with readers", not writer.acquire(blocking=False))
    step = Step(writer.acquire, timeout=PATIENCE)
    one.release()
    check("WriteLock: not with the last", step.waits())
    stop_server(b, a)
    check("WriteLock: who moved still reads", step.waits())
    two.release()
    until("WriteLock: then it writes", step.ended)
    check("ReadLock: not with a writer", not two.acquire(blocking=False))
    writer.release()
    check("ReadLock: after it", two.acquire(timeout=PATIENCE))
    two.release()


def semaphore(a, b):
    path = ROOT + "/semaphore"
    c = Session()
    leases = [s.Semaphore(path, name, max_leases=2) for s, name in ((a, "a"), (b, "b"), (c, "c"))]
    check("Semaphore: one", leases[0].acquire(timeout=PATIENCE))
    check("Semaphore: two", leases[1].acquire(timeout=PATIENCE))
    check("Semaphore: no third", not leases[2].acquire(blocking=False))
    same("Semaphore: holders", ["a", "b"], sorted(c.caught_up().retry(leases[2].lease_holders)))
    step = Step(leases[2].acquire, timeout=PATIENCE)
    check("Semaphore: it waits", step.waits())
    leases[0].release()
    until("Semaphore: released to who waits", step.ended)
    c.end()
    check("Semaphore: a closed session's is free", leases[0].acquire(timeout=PATIENCE))
    leases[0].release()
    leases[1].release()


def election(a, b):
    path = ROOT + "/election"
    first, second, hold = [], [], threading.Event()
    c = Session()
    leader, next_one = c.Election(path, "c"), a.Election(path, "a")
    lead = lambda: (first.append(c.id), hold.wait(PATIENCE))
    step = Step(leader.run, lead)
    until("Election: the first leads", lambda: len(first) == 1)
    other = Step(next_one.run, lambda: second.append(a.id))
    until("Election: contenders", lambda: b.retry(next_one.contenders) == ["c", "a"])
    stop_server(c, a, b)
    check("Election: a leader moves and leads on", other.waits() and not second)
    hold.set()
    until("Election: it retires", step.ended)
    until("Election: the next leads", lambda: second == [a.id])
    other.join(PATIENCE)
    c.end()


def barriers(a, b):
    barrier = a.Barrier(ROOT + "/barrier")
    barrier.create()
    other = b.caught_up().Barrier(ROOT + "/barrier")
    check("Barrier: closed", not other.wait(0.1))
    step = Step(other.wait, PATIENCE)
    check("Barrier: it waits", step.waits())
    barrier.remove()
    until("Barrier: open", lambda: step.ended() and step.result is True)
    one, two = (s.DoubleBarrier(ROOT + "/double", 2) for s in (a, b))
    step = Step(one.enter)
    check("DoubleBarrier: not alone", step.waits())
    two.enter()
    until("DoubleBarrier: together in", step.ended)
    step = Step(two.leave)
    check("DoubleBarrier: nor out alone", step.waits())
    one.leave()
    until("DoubleBarrier: together out", step.ended)


def party(a, b):
    c = Session()
    one, two = a.Party(ROOT + "/party", "a"), c.Party(ROOT + "/party", "c")
    watcher = b.ShallowParty(ROOT + "/party")
    one.join()
    two.join()
    until("Party: both", lambda: sorted(b.retry(list, one)) == ["a", "c"])
    stop_server(c, a, b)
    same("Party: nobody leaves with a server", 2, b.retry(len, watcher))
    expire(c)
    until("Party: who expires leaves", lambda: b.retry(list, one) == ["a"])
    one.leave()
    until("Party: over", lambda: b.retry(len, watcher) == 0)
    c.end()


def queues(a, b):
    queue, other = a.Queue(ROOT + "/queue"), b.Queue(ROOT + "/queue")
    for value, priority in ((b"low", 200), (b"one", 100), (b"two", 100), (b"high", 1)):
        queue.put(value, priority)
    b.caught_up()
    same("Queue: length", 4, len(other))
    found = [other.get() for _ in range(5)]
    same("Queue: by priority and order", [b"high", b"one", b"two", b"low", None], found)
    queue, c = a.LockingQueue(ROOT + "/locking"), Session()
    queue.put_all([b"one", b"two"])
    taken = c.LockingQueue(ROOT + "/locking")
    same("LockingQueue: taken", b"one", taken.get(timeout=PATIENCE))
    check("LockingQueue: held", taken.holds_lock())
    other = b.LockingQueue(ROOT + "/locking")
    same("LockingQueue: another gets the next", b"two", other.get(timeout=PATIENCE))
    check("LockingQueue: consumed", other.consume())
    stop_server(c, a, b)
    check("LockingQueue: held on another server", c.retry(taken.holds_lock))
    same("LockingQueue: so nothing is left", None, other.get(timeout=0.3))
    expire(c)
    same("LockingQueue: what an expired one held is back", b"one", other.get(timeout=PATIENCE))
    check("LockingQueue: and consumed", other.consume())
    c.end()


def counter(a, b):
    counters = [s.Counter(ROOT + "/counter") for s in (a, b)]

    def count(counter):
        for _ in range(25):
            counter += 1

    steps = [Step(count, counter) for counter in counters]
    stop_server(b, a)
    until("Counter: both count", lambda: all(step.ended() for step in steps))
    # A write whose reply was lost is tried again: kazoo may count it twice, or give it up.
    a.caught_up()
    check("Counter: counted", 50 <= counters[0].value <= 52)


def tree_cache(a, b):
    dir, events = ROOT + "/tree", []
    a.ensure_path(dir + "/x")
    cache = TreeCache(b.caught_up(), dir)
    cache.listen(lambda event: events.append(event.event_type))
    cache.start()
    until("TreeCache: initialised", lambda: TreeEvent.INITIALIZED in events)
    a.create(dir + "/x/y", b"1")
    until("TreeCache: added", lambda: getattr(cache.get_data(dir + "/x/y"), "data", None) == b"1")
    a.set(dir + "/x/y", b"2")
    until("TreeCache: updated", lambda: cache.get_data(dir + "/x/y").data == b"2")
    stop_server(b, a)
    until("TreeCache: suspended", lambda: TreeEvent.CONNECTION_SUSPENDED in events)
    until("TreeCache: reconnected", lambda: TreeEvent.CONNECTION_RECONNECTED in events)
    a.set(dir + "/x/y", b"3")
    until("TreeCache: updated by another server", lambda: cache.get_data(dir + "/x/y").data == b"3")
    same("TreeCache: children", frozenset(["y"]), cache.get_children(dir + "/x"))
    a.delete(dir + "/x", recursive=True)
    until("TreeCache: removed", lambda: cache.get_data(dir + "/x") is None)
    cache.close()


def partition(a, b):
    parts = [
        s.SetPartitioner(ROOT + "/parts", (1, 2, 3, 4), identifier=name, time_boundary=0.2)
        for s, name in ((a, "a"), (b, "b"))
    ]

    def settled():
        for part in parts:
            if part.release:
                part.release_set()
            elif part.allocating:
                part.wait_for_acquire(0.1)
        shares = [set(part) if part.acquired else set() for part in parts]
        return all(len(share) == 2 for share in shares) and not shares[0] & shares[1]

    until("SetPartitioner: two halves", settled)
    for part in parts:
        part.finish()


def wrong_passwd(a):
    id, passwd = a.client_id
    thief = Session(client_id=(id, bytes(16)))
    check("a wrong password gets another session", thief.id != id)
    thief.end()
    same("its session is unharmed", b"root", a.retry(a.get, ROOT)[0])
    same("and the same", (id, passwd), a.client_id)


def silence(b):
    path, gone = ROOT + "/silent", threading.Event()
    q = Session(QUIET, SHORT)
    q.create(path, ephemeral=True)
    id = q.id
    b.caught_up().exists(path, watch=lambda event: event.type == EventType.DELETED and gone.set())
    ask("silence")
    start = time.monotonic()
    check("the ensemble expires who is silent", gone.wait(PATIENCE))
    took = time.monotonic() - start
    # The last ping may be a third of the timeout old, and a tick may be added.
    check("not before its time", took >= SHORT - SHORT / 3 - 0.1)
    check("nor long after", took <= SHORT + 3)
    until("silence is noticed", lambda: q.states[-1] == KazooState.SUSPENDED)
    ask("heal")
    wanted = [KazooState.SUSPENDED, KazooState.LOST, KazooState.CONNECTED]
    until("the ensemble says so", lambda: q.states[-3:] == wanted)
    check("and gives another session", q.id != id)
    q.end()


def closing(b):
    path, gone = ROOT + "/closing", threading.Event()
    c = Session()
    c.create(path, ephemeral=True)
    b.caught_up().exists(path, watch=lambda event: event.type == EventType.DELETED and gone.set())
    c.stop()
    check("a closed session's ephemeral goes at once", gone.wait(SHORT))
    c.close()


def main():
    a, b = Session(), Session()
    operations(a, b)
    rights(a, b)
    transactions(a)
    watches(a, b)
    watchers(a, b)
    lock(a, b)
    read_write_lock(a, b)
    semaphore(a, b)
    election(a, b)
    barriers(a, b)
    party(a, b)
    queues(a, b)
    counter(a, b)
    tree_cache(a, b)
    partition(a, b)
    wrong_passwd(a)
    silence(b)
    closing(b)
    a.end()
    b.end()


try:
    main()
except BaseException as failure:
    fail(repr(failure))
