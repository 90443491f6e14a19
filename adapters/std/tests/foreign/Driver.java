import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Scanner;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.KeeperException.Code;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * Apache's client against any ensemble. Arguments: its connect string, that of a server behind a
 * relay that can fall silent, and the znode to work under.
 *
 * <p>One line for each fact that holds; "FAILED" and exit status 1 at the first that does not. A
 * line that begins with "? " asks the test for a fault and waits for one line of answer.
 */
public final class Driver {
    private static final long PATIENCE = 15_000;
    private static final int TIMEOUT = 4_000;
    private static final int SHORT = 1_500;
    private static final List<ACL> OPEN = Ids.OPEN_ACL_UNSAFE;
    private static final Scanner ANSWERS = new Scanner(System.in);

    private static String all;
    private static String quiet;
    private static String root;

    public static void main(String[] args) throws Exception {
        all = args[0];
        quiet = args[1];
        root = args[2];
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> fail(error.toString()));
        try (Session a = new Session(all, TIMEOUT); Session b = new Session(all, TIMEOUT)) {
            sessions(a, b);
            modes(a);
            reads(a);
            errors(a);
            transactions(a);
            oneShot(a, b);
            order(a, b);
            persistent(a, b);
            removed(a, b);
            rights(a, b);
            reaped(a);
            wrongPasswd(a);
            moves(a, b);
            reconfigured();
            silence(b);
            takenOver(b);
            expired(b);
            closing(b);
        }
        System.exit(0);
    }

    private static void sessions(Session a, Session b) throws Exception {
        check("a session has an id", a.zk.getSessionId() != 0);
        check("sessions have different ids", a.zk.getSessionId() != b.zk.getSessionId());
        same("a password has 16 bytes", 16, a.zk.getSessionPasswd().length);
        same("a timeout within the limits is granted", TIMEOUT, a.zk.getSessionTimeout());
        try (Session c = new Session(all, 600_000); Session d = new Session(all, 900)) {
            same("a long timeout is cut to 20 ticks", 10_000, c.zk.getSessionTimeout());
            same("a short timeout is raised to 2 ticks", 1_000, d.zk.getSessionTimeout());
        }
        a.zk.create(root, bytes("root"), OPEN, CreateMode.PERSISTENT);
        try (Session c = new Session(all + root, TIMEOUT)) {
            same("a chroot is the root", "root", text(c.zk.getData("/", false, null)));
            same("a path within a chroot", "/x", c.create("/x", CreateMode.PERSISTENT));
            c.zk.delete("/x", -1);
        }
    }

    private static void modes(Session a) throws Exception {
        String dir = a.create(root + "/modes", CreateMode.PERSISTENT);
        same("persistent", dir + "/p", a.create(dir + "/p", CreateMode.PERSISTENT));
        same("persistent sequential", dir + "/s-0000000001",
                a.create(dir + "/s-", CreateMode.PERSISTENT_SEQUENTIAL));
        same("ephemeral", dir + "/e", a.create(dir + "/e", CreateMode.EPHEMERAL));
        same("ephemeral sequential", dir + "/0000000003",
                a.create(dir + "/", CreateMode.EPHEMERAL_SEQUENTIAL));
        same("container", dir + "/c", a.create(dir + "/c", CreateMode.CONTAINER));
        Stat stat = new Stat();
        String path = a.zk.create(
                dir + "/t", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, stat, 60_000);
        same("with a time to live", dir + "/t", path);
        same("nobody owns it", 0L, stat.getEphemeralOwner());
        path = a.zk.create(
                dir + "/t-", null, OPEN, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL, stat, 60_000);
        same("sequential with a time to live", dir + "/t-0000000006", path);
        path = a.zk.create(dir + "/two", bytes("data"), OPEN, CreateMode.EPHEMERAL, stat);
        same("create2 tells the length", 4, stat.getDataLength());
        same("create2 tells the owner", a.zk.getSessionId(), stat.getEphemeralOwner());
        check("create2 tells the zxids", stat.getCzxid() > 0 && stat.getCzxid() == stat.getMzxid()
                && stat.getPzxid() == stat.getCzxid());
        check("create2 tells the time",
                Math.abs(stat.getCtime() - System.currentTimeMillis()) < 60_000
                        && stat.getCtime() == stat.getMtime());
        same("nor a container", 0L, a.zk.exists(dir + "/c", false).getEphemeralOwner());
    }

    private static void reads(Session a) throws Exception {
        String dir = root + "/modes";
        Stat stat = new Stat();
        List<String> children = a.zk.getChildren(dir, false, stat);
        Collections.sort(children);
        same("children", "[0000000003, c, e, p, s-0000000001, t, t-0000000006, two]",
                children.toString());
        same("the parent counts its children", 8, stat.getNumChildren());
        same("and what became of them", 8, stat.getCversion());
        same("children without a stat", 8, a.zk.getChildren(dir, false).size());
        same("all children in depth", 9, a.zk.getAllChildrenNumber(root));
        List<String> ephemerals = a.zk.getEphemerals(dir);
        Collections.sort(ephemerals);
        same("ephemerals of the session",
                Arrays.asList(dir + "/0000000003", dir + "/e", dir + "/two"), ephemerals);
        same("ephemerals by prefix", 1, a.zk.getEphemerals(dir + "/t").size());
        same("ephemerals everywhere", 3, a.zk.getEphemerals().size());
        stat = a.zk.setData(dir + "/p", bytes("one"), 0);
        same("a version", 1, stat.getVersion());
        check("a change has a later zxid", stat.getMzxid() > stat.getCzxid());
        Stat read = new Stat();
        same("data", "one", text(a.zk.getData(dir + "/p", false, read)));
        same("the same stat by both", stat, read);
        same("and by exists", stat, a.zk.exists(dir + "/p", false));
        same("no stat where nothing is", null, a.zk.exists(dir + "/nothing", false));
        same("data may be null", null, a.zk.getData(dir + "/c", false, null));
        a.zk.setData(dir + "/p", new byte[0], -1);
        same("data may be empty", "", text(a.zk.getData(dir + "/p", false, null)));
        byte[] large = new byte[900_000];
        Arrays.fill(large, (byte) 7);
        a.zk.setData(dir + "/p", large, -1);
        check("900,000 bytes", Arrays.equals(large, a.zk.getData(dir + "/p", false, null)));
        CountDownLatch synced = new CountDownLatch(1);
        int[] result = {-1};
        a.zk.sync(root, (rc, path, context) -> {
            result[0] = rc;
            synced.countDown();
        }, null);
        check("sync", synced.await(PATIENCE, TimeUnit.MILLISECONDS) && result[0] == 0);
        check("the configuration can be read", a.zk.getConfig(false, read) != null);
        boolean seen = false;
        for (ClientInfo who : a.zk.whoAmI()) {
            seen |= who.getAuthScheme().equals("ip") && who.getUser().equals("127.0.0.1");
        }
        check("who am I", seen);
        int count = 500;
        CountDownLatch done = new CountDownLatch(count);
        List<Integer> finished = Collections.synchronizedList(new ArrayList<>());
        for (int i = 0; i < count; i++) {
            a.zk.exists(dir, false, (rc, path, context, found) -> {
                finished.add((Integer) context);
                done.countDown();
            }, i);
        }
        check("500 requests in flight", done.await(PATIENCE, TimeUnit.MILLISECONDS));
        List<Integer> sorted = new ArrayList<>(finished);
        Collections.sort(sorted);
        same("are answered in their order", sorted, finished);
    }

    private static void errors(Session a) throws Exception {
        String dir = root + "/modes";
        refused("node exists", Code.NODEEXISTS, () -> a.create(dir + "/p", CreateMode.PERSISTENT));
        refused("no node", Code.NONODE, () -> a.zk.getData(dir + "/nothing", false, null));
        refused("no parent", Code.NONODE, () -> a.create(dir + "/no/where", CreateMode.PERSISTENT));
        refused("bad version", Code.BADVERSION, () -> a.zk.setData(dir + "/p", null, 77));
        refused("bad version of a delete", Code.BADVERSION, () -> a.zk.delete(dir + "/p", 77));
        refused("not empty", Code.NOTEMPTY, () -> a.zk.delete(dir, -1));
        refused("no children for ephemerals", Code.NOCHILDRENFOREPHEMERALS,
                () -> a.create(dir + "/e/x", CreateMode.PERSISTENT));
        refused("invalid acl", Code.INVALIDACL, () -> a.zk.create(dir + "/acl", null,
                Collections.singletonList(new ACL(1, new Id("nobody", "knows"))),
                CreateMode.PERSISTENT));
        refused("the root stays", Code.BADARGUMENTS, () -> a.zk.delete("/", -1));
        refused("no watch to remove", Code.NOWATCHER,
                () -> a.zk.removeAllWatches(dir, WatcherType.Any, false));
    }

    private static void transactions(Session a) throws Exception {
        String dir = a.create(root + "/multi", CreateMode.PERSISTENT);
        List<OpResult> results = a.zk.multi(Arrays.asList(
                Op.create(dir + "/a", bytes("1"), OPEN, CreateMode.PERSISTENT),
                Op.create(dir + "/s-", null, OPEN, CreateMode.EPHEMERAL_SEQUENTIAL),
                Op.setData(dir + "/a", bytes("2"), 0),
                Op.check(dir + "/a", 1),
                Op.create(dir + "/c", null, OPEN, CreateMode.CONTAINER),
                Op.create(dir + "/t", null, OPEN, CreateMode.PERSISTENT_WITH_TTL, 60_000),
                Op.delete(dir + "/c", -1)));
        same("a transaction of seven", 7, results.size());
        same("a created path", dir + "/s-0000000001",
                ((OpResult.CreateResult) results.get(1)).getPath());
        same("a stat of a change", 1,
                ((OpResult.SetDataResult) results.get(2)).getStat().getVersion());
        Stat stat = a.zk.exists(dir + "/a", false);
        same("one transaction has one zxid", stat.getCzxid(), stat.getMzxid());
        try {
            a.zk.multi(Arrays.asList(
                    Op.create(dir + "/b", null, OPEN, CreateMode.PERSISTENT),
                    Op.check(dir + "/a", 9),
                    Op.delete(dir + "/a", -1)));
            fail("a transaction with a wrong version");
        } catch (KeeperException error) {
            same("a transaction fails with the first error", Code.BADVERSION, error.code());
            List<Integer> codes = new ArrayList<>();
            for (OpResult result : error.getResults()) {
                codes.add(((OpResult.ErrorResult) result).getErr());
            }
            same("the others are told so", Arrays.asList(0, -103, -2), codes);
        }
        same("nothing of it is done", null, a.zk.exists(dir + "/b", false));
        results = a.zk.multi(Arrays.asList(
                Op.getData(dir + "/a"), Op.getChildren(dir), Op.getData(dir + "/none")));
        same("a read of several, data", "2",
                text(((OpResult.GetDataResult) results.get(0)).getData()));
        same("children", 3, ((OpResult.GetChildrenResult) results.get(1)).getChildren().size());
        same("and an error of its own", Code.NONODE.intValue(),
                ((OpResult.ErrorResult) results.get(2)).getErr());
    }

    private static void oneShot(Session a, Session b) throws Exception {
        String dir = a.create(root + "/watches", CreateMode.PERSISTENT);
        b.sync();
        Log log = new Log();
        same("an exists watch waits for a znode", null, b.zk.exists(dir + "/x", log));
        b.zk.getChildren(dir, log);
        a.create(dir + "/x", CreateMode.PERSISTENT);
        log.next("created first", "NodeCreated " + dir + "/x");
        log.next("then its parent's children", "NodeChildrenChanged " + dir);
        b.zk.getData(dir + "/x", log, null);
        a.zk.setData(dir + "/x", bytes("1"), -1);
        log.next("a data watch", "NodeDataChanged " + dir + "/x");
        a.zk.setData(dir + "/x", bytes("2"), -1);
        b.sync();
        b.zk.getData(dir + "/x", log, null);
        b.zk.getChildren(dir + "/x", log);
        b.zk.getChildren(dir, log);
        a.zk.delete(dir + "/x", -1);
        log.next("a watch fires once, then deleted", "NodeDeleted " + dir + "/x");
        log.next("the parent's children after it", "NodeChildrenChanged " + dir);
        b.zk.exists(dir, false);
        log.quiet("one deletion is told once");
    }

    private static void order(Session a, Session b) throws Exception {
        String path = a.create(root + "/order", CreateMode.PERSISTENT);
        b.sync();
        boolean right = true;
        for (int i = 1; i <= 50; i++) {
            Log log = new Log();
            b.zk.getData(path, log, null);
            a.zk.setData(path, null, -1);
            int wanted = i;
            for (boolean seen = false; !seen;) {
                CountDownLatch done = new CountDownLatch(1);
                int[] version = new int[1];
                b.zk.getData(path, false, (rc, p, context, data, stat) -> {
                    version[0] = stat.getVersion();
                    log.events.add("reply " + stat.getVersion());
                    done.countDown();
                }, null);
                check(null, done.await(PATIENCE, TimeUnit.MILLISECONDS));
                seen = version[0] >= wanted;
            }
            List<String> events = new ArrayList<>(log.events);
            int event = events.indexOf("NodeDataChanged " + path);
            right &= event >= 0 && event < events.indexOf("reply " + wanted);
        }
        check("an event comes before the reply that shows its change", right);
    }

    private static void persistent(Session a, Session b) throws Exception {
        String dir = a.create(root + "/persistent", CreateMode.PERSISTENT);
        b.sync();
        Log one = new Log();
        Log deep = new Log();
        Session c = new Session(all, TIMEOUT); // before 3.9 a session has one mode for a path
        c.zk.addWatch(dir, one, AddWatchMode.PERSISTENT);
        b.zk.addWatch(dir, deep, AddWatchMode.PERSISTENT_RECURSIVE);
        a.create(dir + "/x", CreateMode.PERSISTENT);
        a.create(dir + "/x/y", CreateMode.PERSISTENT);
        a.zk.multi(Arrays.asList(Op.setData(dir + "/x/y", null, -1), Op.setData(dir, null, -1),
                Op.delete(dir + "/x/y", -1)));
        a.zk.setData(dir, null, -1);
        a.zk.delete(dir + "/x", -1);
        deep.next("recursive: created", "NodeCreated " + dir + "/x");
        deep.next("recursive: created below", "NodeCreated " + dir + "/x/y");
        deep.next("recursive: in the order of a transaction", "NodeDataChanged " + dir + "/x/y");
        deep.next("recursive: its second", "NodeDataChanged " + dir);
        deep.next("recursive: its third", "NodeDeleted " + dir + "/x/y");
        deep.next("recursive: again and again", "NodeDataChanged " + dir);
        deep.next("recursive: deleted", "NodeDeleted " + dir + "/x");
        one.next("persistent: children", "NodeChildrenChanged " + dir);
        one.next("persistent: data", "NodeDataChanged " + dir);
        one.next("persistent: data again", "NodeDataChanged " + dir);
        one.next("persistent: children again", "NodeChildrenChanged " + dir);
        b.zk.exists(dir, false);
        c.zk.exists(dir, false);
        deep.quiet("recursive: no children events");
        one.quiet("persistent: nothing from below");
        b.zk.removeWatches(dir, deep, WatcherType.Any, false);
        deep.next("recursive: removed", "PersistentWatchRemoved " + dir);
        a.zk.setData(dir, null, -1);
        one.next("the other watch stays", "NodeDataChanged " + dir);
        b.zk.exists(dir, false);
        deep.quiet("a removed watch is silent");
        c.zk.removeAllWatches(dir, WatcherType.Any, false);
        one.next("all removed", "PersistentWatchRemoved " + dir);
        c.close();
    }

    private static void removed(Session a, Session b) throws Exception {
        String path = a.create(root + "/removed", CreateMode.PERSISTENT);
        b.sync();
        Log data = new Log();
        Log children = new Log();
        b.zk.getData(path, data, null);
        b.zk.getChildren(path, children);
        b.zk.removeWatches(path, data, WatcherType.Data, false);
        data.next("a data watch is removed", "DataWatchRemoved " + path);
        a.zk.setData(path, null, -1);
        a.create(path + "/x", CreateMode.PERSISTENT);
        children.next("a child watch stays", "NodeChildrenChanged " + path);
        b.zk.exists(path, false);
        data.quiet("a removed data watch is silent");
        b.zk.getChildren(path, children);
        b.zk.removeAllWatches(path, WatcherType.Children, false);
        children.next("a child watch is removed", "ChildWatchRemoved " + path);
        refused("none is left", Code.NOWATCHER,
                () -> b.zk.removeWatches(path, children, WatcherType.Children, false));
    }

    private static void rights(Session a, Session b) throws Exception {
        String dir = a.create(root + "/rights", CreateMode.PERSISTENT);
        refused("creator needs a name", Code.INVALIDACL,
                () -> b.zk.create(dir + "/x", null, Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        a.zk.addAuthInfo("digest", bytes("ann:secret"));
        a.zk.create(dir + "/x", bytes("mine"), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        b.sync();
        refused("not for others to read", Code.NOAUTH, () -> b.zk.getData(dir + "/x", false, null));
        refused("nor to write", Code.NOAUTH, () -> b.zk.setData(dir + "/x", null, -1));
        refused("nor to list", Code.NOAUTH, () -> b.zk.getChildren(dir + "/x", false));
        refused("nor to build under", Code.NOAUTH,
                () -> b.create(dir + "/x/y", CreateMode.PERSISTENT));
        Stat stat = new Stat();
        List<ACL> acl = a.zk.getACL(dir + "/x", stat);
        same("one entry", 1, acl.size());
        same("of the creator's digest", "digest", acl.get(0).getId().getScheme());
        check("by hash", acl.get(0).getId().getId().startsWith("ann:")
                && !acl.get(0).getId().getId().contains("secret"));
        same("with all rights", ZooDefs.Perms.ALL, acl.get(0).getPerms());
        boolean seen = false;
        for (ClientInfo who : a.zk.whoAmI()) {
            seen |= who.getAuthScheme().equals("digest") && who.getUser().equals("ann");
        }
        check("who am I with a name", seen);
        try (Session c = new Session(all, TIMEOUT)) {
            c.zk.addAuthInfo("digest", bytes("ann:wrong"));
            refused("a wrong password", Code.NOAUTH, () -> c.zk.getData(dir + "/x", false, null));
            c.zk.addAuthInfo("digest", bytes("ann:secret"));
            same("the right one on another session", "mine",
                    text(c.zk.getData(dir + "/x", false, null)));
        }
        stat = a.zk.setACL(dir + "/x", Arrays.asList(acl.get(0),
                new ACL(ZooDefs.Perms.READ, Ids.ANYONE_ID_UNSAFE)), 0);
        same("a changed acl has a version", 1, stat.getAversion());
        b.sync();
        same("now others may read", "mine", text(b.zk.getData(dir + "/x", false, null)));
        refused("though not write", Code.NOAUTH, () -> b.zk.setData(dir + "/x", null, -1));
        refused("an old acl version", Code.BADVERSION, () -> a.zk.setACL(dir + "/x", acl, 0));
        a.zk.create(dir + "/ip", bytes("here"), Collections.singletonList(
                new ACL(ZooDefs.Perms.READ, new Id("ip", "127.0.0.0/8"))), CreateMode.PERSISTENT);
        b.sync();
        same("by address", "here", text(b.zk.getData(dir + "/ip", false, null)));
        Session c = new Session(all, TIMEOUT);
        c.zk.addAuthInfo("nonsense", bytes("x"));
        c.states.next("an unknown scheme is refused", "AuthFailed");
        c.zk.close();
    }

    private static void reaped(Session a) throws Exception {
        String dir = root + "/reaped";
        a.create(dir, CreateMode.CONTAINER);
        a.create(dir + "/x", CreateMode.PERSISTENT);
        Log log = new Log();
        a.zk.exists(dir, log);
        a.zk.delete(dir + "/x", -1);
        log.next("an empty container goes", "NodeDeleted " + dir);
        Stat stat = new Stat();
        a.zk.create(dir, null, OPEN, CreateMode.PERSISTENT_WITH_TTL, stat, 200);
        a.zk.exists(dir, log);
        log.next("what is over its time goes", "NodeDeleted " + dir);
    }

    private static void wrongPasswd(Session a) throws Exception {
        Log states = new Log();
        byte[] wrong = a.zk.getSessionPasswd().clone();
        wrong[0] ^= 1;
        ZooKeeper thief = new ZooKeeper(all, TIMEOUT, states, a.zk.getSessionId(), wrong);
        states.next("a wrong password is refused as expired", "Expired");
        thief.close();
        // A server closes the session's older connection before it looks at the password.
        a.settled();
        same("its session is unharmed", "root", text(a.zk.getData(root, false, null)));
    }

    private static void moves(Session a, Session b) throws Exception {
        String dir = b.create(root + "/moves", CreateMode.PERSISTENT);
        b.create(dir + "/data", CreateMode.PERSISTENT);
        a.sync();
        long id = a.zk.getSessionId();
        a.create(dir + "/mine", CreateMode.EPHEMERAL);
        Log once = new Log();
        Log deep = new Log();
        a.zk.getData(dir + "/data", once, null);
        a.zk.exists(dir + "/later", once);
        a.zk.addWatch(dir, deep, AddWatchMode.PERSISTENT_RECURSIVE);
        a.states.events.clear();
        String server = ask("where " + Long.toHexString(id));
        ask("stop " + Long.toHexString(id));
        a.states.next("its server stops", "Disconnected");
        a.states.next("it finds another", "SyncConnected");
        check("which is another", !server.equals(ask("where " + Long.toHexString(id))));
        same("it is the same session", id, a.zk.getSessionId());
        same("with the same timeout", TIMEOUT, a.zk.getSessionTimeout());
        same("its ephemeral is there", id,
                a.zk.exists(dir + "/mine", false).getEphemeralOwner());
        same("its credentials are, too", "mine",
                text(a.zk.getData(root + "/rights/x", false, null)));
        b.settled();
        b.zk.setData(dir + "/data", null, -1);
        b.create(dir + "/later", CreateMode.PERSISTENT);
        once.next("one-shot watches moved along", "NodeDataChanged " + dir + "/data");
        once.next("exists watches, too", "NodeCreated " + dir + "/later");
        deep.next("recursive watches: data", "NodeDataChanged " + dir + "/data");
        deep.next("recursive watches: created", "NodeCreated " + dir + "/later");
        ask("start");
    }

    private static void reconfigured() throws Exception {
        Log states = new Log();
        try (ZooKeeperAdmin admin = new ZooKeeperAdmin(all, TIMEOUT, states)) {
            states.next(null, "SyncConnected");
            refused("reconfiguration is off", Code.RECONFIGDISABLED, () -> admin.reconfigure(
                    "server.9=127.0.0.1:9:99;999", null, (String) null, -1, new Stat()));
        }
        try (Session c = new Session(all, TIMEOUT)) {
            String id = Long.toHexString(c.zk.getSessionId());
            String[] hosts = all.split(",");
            int other = (Integer.parseInt(ask("where " + id)) + 1) % hosts.length;
            c.zk.updateServerList(hosts[other]);
            c.states.next("a client whose server is not on its new list", "Disconnected");
            c.states.next("goes to one that is", "SyncConnected");
            same("with its session", id, Long.toHexString(c.zk.getSessionId()));
            same("which is there now", String.valueOf(other), ask("where " + id));
        }
        ZooKeeper reader = new ZooKeeper(all, TIMEOUT, states, true);
        states.next("its client is closed", "Closed");
        states.next("who would take a read-only server gets a full one", "SyncConnected");
        reader.close();
    }

    private static void silence(Session b) throws Exception {
        String path = root + "/silent";
        try (Session q = new Session(quiet, SHORT)) {
            q.create(path, CreateMode.EPHEMERAL);
            b.sync();
            Log log = new Log();
            b.zk.exists(path, log);
            ask("silence");
            long start = System.nanoTime();
            log.next("the ensemble expires who is silent", "NodeDeleted " + path);
            long took = (System.nanoTime() - start) / 1_000_000;
            // The last ping may be a third of the timeout old, and a tick may be added.
            check("not before its time", took >= SHORT - SHORT / 3 - 100);
            check("nor long after", took <= SHORT + 3_000);
            q.states.next("silence is noticed", "Disconnected");
            ask("heal");
            q.states.next("the ensemble says so", "Expired");
            refused("and no more is done", Code.SESSIONEXPIRED, () -> q.zk.exists(path, false));
        }
    }

    private static void takenOver(Session b) throws Exception {
        String path = root + "/taken";
        Session q = new Session(quiet, TIMEOUT);
        q.create(path, CreateMode.EPHEMERAL);
        ask("silence");
        Session heir = new Session(all, TIMEOUT, q.zk.getSessionId(), q.zk.getSessionPasswd());
        same("id and password are the session", q.zk.getSessionId(), heir.zk.getSessionId());
        heir.sync();
        same("with all it owns", Collections.singletonList(path), heir.zk.getEphemerals());
        heir.zk.close();
        b.sync();
        same("its heir can close it", null, b.zk.exists(path, false));
        ask("heal");
        q.states.next("who comes back late", "Disconnected");
        q.states.next("learns that it is over", "Expired");
        q.zk.close();
    }

    private static void expired(Session b) throws Exception {
        String path = root + "/expired";
        try (Session e = new Session(all, 10_000)) {
            e.create(path, CreateMode.EPHEMERAL);
            b.sync();
            Log log = new Log();
            b.zk.exists(path, log);
            String id = Long.toHexString(e.zk.getSessionId());
            ask("expire " + id + " " + hex(e.zk.getSessionPasswd()));
            log.next("an ephemeral goes with its session", "NodeDeleted " + path);
            e.states.next("its connection is closed", "Disconnected");
            e.states.next("then it learns why", "Expired");
        }
    }

    private static void closing(Session b) throws Exception {
        String path = root + "/closing";
        Session c = new Session(all, 10_000);
        c.create(path, CreateMode.EPHEMERAL);
        b.sync();
        Log log = new Log();
        b.zk.exists(path, log);
        c.zk.close();
        log.next("a closed session's ephemeral goes at once", "NodeDeleted " + path);
        refused("a closed session does no more", Code.SESSIONEXPIRED,
                () -> c.zk.exists(path, false));
        ZooKeeper late = new ZooKeeper(all, 10_000, c.states, c.zk.getSessionId(),
                c.zk.getSessionPasswd());
        c.states.next("its watcher hears of the close", "Closed");
        c.states.next("nor is it resumed", "Expired");
        late.close();
    }

    /** A session, once connected, and what its default watcher hears of its states. */
    private static final class Session implements AutoCloseable {
        final Log states = new Log();
        final ZooKeeper zk;

        Session(String hosts, int timeout) throws Exception {
            zk = new ZooKeeper(hosts, timeout, states);
            states.next(null, "SyncConnected");
        }

        Session(String hosts, int timeout, long id, byte[] passwd) throws Exception {
            zk = new ZooKeeper(hosts, timeout, states, id, passwd);
            states.next(null, "SyncConnected");
        }

        String create(String path, CreateMode mode) throws Exception {
            return zk.create(path, null, OPEN, mode);
        }

        /** Waits until its server has seen all that others have done: it may be behind. */
        void sync() throws Exception {
            CountDownLatch done = new CountDownLatch(1);
            zk.sync("/", (rc, path, context) -> done.countDown(), null);
            check(null, done.await(PATIENCE, TimeUnit.MILLISECONDS));
        }

        /** Waits until it is connected again, should it have lost its server as well. */
        void settled() throws Exception {
            for (long end = System.nanoTime() + PATIENCE * 1_000_000; System.nanoTime() < end;) {
                try {
                    zk.exists("/", false);
                    return;
                } catch (KeeperException.ConnectionLossException lost) {
                    Thread.sleep(10);
                }
            }
            fail("a session finds no server");
        }

        @Override
        public void close() throws Exception {
            zk.close();
        }
    }

    /** Events in the order in which they are told. */
    private static final class Log implements Watcher {
        final BlockingQueue<String> events = new LinkedBlockingQueue<>();

        @Override
        public void process(WatchedEvent event) {
            if (event.getPath() != null) {
                events.add(event.getType() + " " + event.getPath());
            } else {
                events.add(event.getState().toString());
            }
        }

        /** The next event is this one; with no name, that is a step and no fact. */
        void next(String fact, String wanted) throws Exception {
            String event = events.poll(PATIENCE, TimeUnit.MILLISECONDS);
            while (event != null && wanted.contains("/") && !event.contains("/")) {
                event = events.poll(PATIENCE, TimeUnit.MILLISECONDS); // of the session's state
            }
            same(fact, wanted, event);
        }

        /** Nothing is left; a reply has come since, so nothing is on its way. */
        void quiet(String fact) {
            same(fact, null, events.poll());
        }
    }

    private interface Call {
        void make() throws Exception;
    }

    private static void refused(String fact, Code code, Call call) throws Exception {
        try {
            call.make();
        } catch (KeeperException error) {
            same(fact, code, error.code());
            return;
        }
        fail(fact + ": it was done");
    }

    private static void same(String fact, Object wanted, Object found) {
        if (!Objects.equals(wanted, found)) {
            fail(fact + ": wanted " + wanted + ", found " + found);
        }
        check(fact, true);
    }

    private static void check(String fact, boolean holds) {
        if (!holds) {
            fail(fact);
        }
        if (fact != null) {
            System.out.println("ok " + fact);
        }
    }

    private static void fail(String fact) {
        System.out.println("FAILED " + fact);
        System.out.flush();
        new Exception(fact).printStackTrace();
        Runtime.getRuntime().halt(1);
    }

    private static String ask(String request) {
        System.out.println("? " + request);
        return ANSWERS.nextLine();
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte b : bytes) {
            text.append(String.format("%02x", b));
        }
        return text.toString();
    }
}
