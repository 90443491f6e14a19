# Clients of the ensemble in a device. Arguments: its address, and `live` or `die`.
import sys
import threading
import time

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, NodeExistsError, NotEmptyError, NoNodeError

HOSTS, PART = sys.argv[1:]
PATIENCE = 20


def client(timeout):
    made = KazooClient(hosts=HOSTS, timeout=timeout)
    made.start(timeout=PATIENCE)
    return made


def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain until " + what
        time.sleep(0.02)


def fails(error, act, *args, **kwargs):
    try:
        act(*args, **kwargs)
    except error:
        return
    raise AssertionError("%s was expected of %s" % (error, args))


if PART == "die":
    doomed = client(2)
    doomed.create("/doomed", b"", ephemeral=True)
    print("ready", flush=True)
    time.sleep(600)

one, two = client(4), client(4)

# Znodes, and what is wrong with them.
assert one.create("/kazoo", b"1") == "/kazoo"
fails(NodeExistsError, two.create, "/kazoo")
fails(NoNodeError, two.create, "/none/child")
assert one.create("/kazoo/n-", sequence=True) == "/kazoo/n-0000000000"
assert two.create("/kazoo/n-", ephemeral=True, sequence=True) == "/kazoo/n-0000000001"
fails(NotEmptyError, one.delete, "/kazoo")
data, stat = two.get("/kazoo")
assert (data, stat.version, stat.numChildren) == (b"1", 0, 2)
fails(BadVersionError, two.set, "/kazoo", b"2", version=7)

# Each watch tells once, and of the right thing.
told = []
two.get("/kazoo", watch=lambda event: told.append((event.type, event.path)))
two.get_children("/kazoo", watch=lambda event: told.append((event.type, event.path)))
two.exists("/later", watch=lambda event: told.append((event.type, event.path)))
one.set("/kazoo", b"2")
one.set("/kazoo", b"3")
one.create("/kazoo/child", b"")
one.create("/later", b"")
until("all watches have told", lambda: len(told) == 3)
assert sorted(told) == [("CHANGED", "/kazoo"), ("CHILD", "/kazoo"), ("CREATED", "/later")], told

# The lock recipe: one holds it, the other waits for it.
first, second = one.Lock("/lock", "one"), two.Lock("/lock", "two")
assert first.acquire(timeout=PATIENCE)
assert not second.acquire(blocking=False)
got = threading.Event()
waiter = threading.Thread(target=lambda: second.acquire(timeout=PATIENCE) and got.set())
waiter.start()
until("two contend", lambda: first.contenders() == ["one", "two"])
assert not got.is_set()
first.release()
assert got.wait(PATIENCE), "the lock did not pass on"
waiter.join()
second.release()

# A connection that breaks: the same session comes back with its password.
states = []
two.add_listener(lambda state: states.append(state))
before = two.client_id[0]
two._connection._socket.shutdown(2)
until("it is suspended", lambda: KazooState.SUSPENDED in states)
until("it is back", lambda: states[-1] == KazooState.CONNECTED)
assert two.client_id[0] == before and KazooState.LOST not in states, states
assert two.exists("/kazoo/n-0000000001").ephemeralOwner == before

# Who closes its session takes what is ephemeral along.
two.stop()
two.close()
until("it is gone", lambda: one.exists("/kazoo/n-0000000001") is None)
one.delete("/kazoo", recursive=True)
one.delete("/later")
one.delete("/lock", recursive=True)
one.stop()
one.close()
print("done")
