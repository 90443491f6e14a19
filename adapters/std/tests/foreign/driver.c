/*
 * Apache's C client, its multi-threaded library, against any ensemble. Arguments: its connect
 * string, that of a server behind a relay that can fall silent, and the znode to work under.
 *
 * One line for each fact that holds; "FAILED" and exit status 1 at the first that does not. A line
 * that begins with "? " asks the test for a fault and waits for one line of answer.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

enum { TIMEOUT = 4000, SHORT_TIMEOUT = 1500, PATIENCE = 15, EVENTS = 1024, TEXT = 512 };

static const char *all, *quiet_hosts, *root;

static void fail(const char *fact, const char *format, ...)
{
    va_list args;
    printf("FAILED %s: ", fact);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

static void holds(const char *fact)
{
    printf("ok %s\n", fact);
    fflush(stdout);
}

static void check(const char *fact, int is_so)
{
    if (!is_so)
        fail(fact, "it is not so");
    holds(fact);
}

/* A call's result; ZOK or the error that is wanted. */
static void result(const char *fact, int wanted, int found)
{
    if (wanted != found)
        fail(fact, "wanted %s, found %s (%d)", zerror(wanted), zerror(found), found);
    holds(fact);
}

/* A step on the way to a fact. */
static void must(const char *step, int found)
{
    if (found != ZOK)
        fail(step, "%s (%d)", zerror(found), found);
}

static void number(const char *fact, int64_t wanted, int64_t found)
{
    if (wanted != found)
        fail(fact, "wanted %lld, found %lld", (long long)wanted, (long long)found);
    holds(fact);
}

static void text(const char *fact, const char *wanted, const char *found)
{
    if (strcmp(wanted, found) != 0)
        fail(fact, "wanted \"%s\", found \"%s\"", wanted, found);
    holds(fact);
}

static void ask(const char *format, ...)
{
    char answer[TEXT];
    va_list args;
    printf("? ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    if (!fgets(answer, sizeof answer, stdin))
        fail("an answer", "the test has gone");
}

/* The path of a znode under the one to work under; the last 16 of them stay valid. */
static const char *at(const char *name)
{
    static char paths[16][TEXT];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, TEXT, "%s%s", root, name);
    return path;
}

/* Events in the order in which they are told. */
struct log {
    pthread_mutex_t lock;
    pthread_cond_t more;
    int taken, count;
    char events[EVENTS][TEXT];
};

static struct log *new_log(void)
{
    struct log *log = calloc(1, sizeof *log);
    if (!log)
        fail("memory", "there is none");
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->more, NULL);
    return log;
}

static void add(struct log *log, const char *format, ...)
{
    va_list args;
    pthread_mutex_lock(&log->lock);
    if (log->count == EVENTS)
        fail("events", "there are too many");
    va_start(args, format);
    vsnprintf(log->events[log->count++], TEXT, format, args);
    va_end(args);
    pthread_cond_broadcast(&log->more);
    pthread_mutex_unlock(&log->lock);
}

/* The next event is this one; with no fact, that is a step. */
static void next(const char *fact, struct log *log, const char *format, ...)
{
    char wanted[TEXT], found[TEXT] = "nothing";
    struct timespec deadline;
    int late = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(wanted, sizeof wanted, format, args);
    va_end(args);
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE;
    pthread_mutex_lock(&log->lock);
    while (log->taken == log->count && !late)
        late = pthread_cond_timedwait(&log->more, &log->lock, &deadline);
    if (log->taken < log->count)
        strcpy(found, log->events[log->taken++]);
    pthread_mutex_unlock(&log->lock);
    if (strcmp(wanted, found) != 0)
        fail(fact ? fact : "a step", "wanted \"%s\", found \"%s\"", wanted, found);
    if (fact)
        holds(fact);
}

/* Nothing is left; a reply has come since, so nothing is on its way. */
static void quiet(const char *fact, struct log *log)
{
    pthread_mutex_lock(&log->lock);
    if (log->taken < log->count)
        fail(fact, "found \"%s\"", log->events[log->taken]);
    pthread_mutex_unlock(&log->lock);
    holds(fact);
}

static const char *kind(int type)
{
    if (type == ZOO_CREATED_EVENT)
        return "created";
    if (type == ZOO_DELETED_EVENT)
        return "deleted";
    if (type == ZOO_CHANGED_EVENT)
        return "changed";
    return type == ZOO_CHILD_EVENT ? "children" : "other";
}

static const char *state_name(int state)
{
    if (state == ZOO_CONNECTED_STATE)
        return "connected";
    if (state == ZOO_CONNECTING_STATE || state == ZOO_NOTCONNECTED_STATE)
        return "connecting";
    if (state == ZOO_EXPIRED_SESSION_STATE)
        return "expired";
    return state == ZOO_AUTH_FAILED_STATE ? "auth failed" : "other";
}

/* For the watches of single znodes. */
static void on_event(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    (void)zh, (void)state;
    if (type != ZOO_SESSION_EVENT)
        add(context, "%s %s", kind(type), path);
}

/* For a handle: the states of its session. */
static void on_state(zhandle_t *zh, int type, int state, const char *path, void *context)
{
    (void)path, (void)context;
    if (type == ZOO_SESSION_EVENT)
        add((struct log *)zoo_get_context(zh), "%s", state_name(state));
}

struct session {
    zhandle_t *zh;
    struct log *states;
};

static struct session begin(const char *hosts, int timeout, const clientid_t *id)
{
    struct session session = {.states = new_log()};
    session.zh = zookeeper_init(hosts, on_state, timeout, id, session.states, 0);
    if (!session.zh)
        fail("a handle", "there is none");
    return session;
}

static struct session connected(const char *hosts, int timeout)
{
    struct session session = begin(hosts, timeout, NULL);
    next(NULL, session.states, "connected");
    return session;
}

static clientid_t id_of(struct session session)
{
    return *zoo_client_id(session.zh);
}

static int create(struct session s, const char *path, int mode)
{
    return zoo_create(s.zh, path, NULL, -1, &ZOO_OPEN_ACL_UNSAFE, mode, NULL, 0);
}

static int set(struct session s, const char *path)
{
    return zoo_set(s.zh, path, "x", 1, -1);
}

/* A reply that comes behind all events that were on their way. */
static void settle(struct session s)
{
    struct Stat stat;
    int found = ZCONNECTIONLOSS;
    for (int i = 0; i < 500 && found == ZCONNECTIONLOSS; i++) {
        found = zoo_exists(s.zh, "/", 0, &stat);
        if (found == ZCONNECTIONLOSS)
            usleep(20000);
    }
    must("a session that is connected", found);
}

static int get(struct session s, const char *path, char *data, struct Stat *stat)
{
    int length = TEXT - 1;
    int found = zoo_get(s.zh, path, 0, data, &length, stat);
    data[found == ZOK && length > 0 ? length : 0] = 0;
    return found;
}

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t more;
    int done, error;
};

static void finished(int rc, struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->lock);
    waiter->done++;
    if (rc != ZOK)
        waiter->error = rc;
    pthread_cond_broadcast(&waiter->more);
    pthread_mutex_unlock(&waiter->lock);
}

static void on_string(int rc, const char *value, const void *data)
{
    (void)value;
    finished(rc, (struct waiter *)data);
}

static void on_stat(int rc, const struct Stat *stat, const void *data)
{
    (void)stat;
    finished(rc, (struct waiter *)data);
}

static void on_done(int rc, const void *data)
{
    finished(rc, (struct waiter *)data);
}

static struct waiter *new_waiter(void)
{
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        fail("memory", "there is none");
    pthread_mutex_init(&waiter->lock, NULL);
    pthread_cond_init(&waiter->more, NULL);
    return waiter;
}

static int wait_for(struct waiter *waiter, int count)
{
    struct timespec deadline;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += PATIENCE;
    pthread_mutex_lock(&waiter->lock);
    while (waiter->done < count && !late)
        late = pthread_cond_timedwait(&waiter->more, &waiter->lock, &deadline);
    int error = late ? ZOPERATIONTIMEOUT : waiter->error;
    pthread_mutex_unlock(&waiter->lock);
    return error;
}

/* Waits until its server has seen all that others have done: it may be behind. */
static void catch_up(struct session s)
{
    struct waiter *waiter = new_waiter();
    must("a sync", zoo_async(s.zh, "/", on_string, waiter));
    must("a sync", wait_for(waiter, 1));
}

static int authenticate(struct session s, const char *secret)
{
    struct waiter *waiter = new_waiter();
    must("a credential", zoo_add_auth(s.zh, "digest", secret, strlen(secret), on_done, waiter));
    return wait_for(waiter, 1);
}

static void sessions(struct session a, struct session b)
{
    char data[TEXT], hosts[TEXT], path[TEXT];
    struct Stat stat;
    check("a session has an id", id_of(a).client_id != 0);
    check("sessions have different ids", id_of(a).client_id != id_of(b).client_id);
    number("a timeout within the limits is granted", TIMEOUT, zoo_recv_timeout(a.zh));
    struct session c = connected(all, 600000), d = connected(all, 900);
    number("a long timeout is cut to 20 ticks", 10000, zoo_recv_timeout(c.zh));
    number("a short timeout is raised to 2 ticks", 1000, zoo_recv_timeout(d.zh));
    result("a session is closed", ZOK, zookeeper_close(c.zh));
    must("the other, too", zookeeper_close(d.zh));
    must("the root", zoo_create(a.zh, root, "root", 4, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0));
    snprintf(hosts, sizeof hosts, "%s%s", all, root);
    c = connected(hosts, TIMEOUT);
    must("the root by a chroot", get(c, "/", data, &stat));
    text("a chroot is the root", "root", data);
    must("a path within a chroot", zoo_create(c.zh, "/x", NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, path,
                                              sizeof path));
    text("a path within a chroot", "/x", path);
    must("a delete within a chroot", zoo_delete(c.zh, "/x", -1));
    must("a close", zookeeper_close(c.zh));
}

static void made(const char *fact, const char *wanted, struct session s, const char *path, int mode)
{
    char found[TEXT];
    must(fact, zoo_create(s.zh, path, NULL, -1, &ZOO_OPEN_ACL_UNSAFE, mode, found, sizeof found));
    text(fact, wanted, found);
}

static void modes(struct session a)
{
    char path[TEXT];
    struct Stat stat;
    must("a parent", create(a, at("/modes"), 0));
    made("persistent", at("/modes/p"), a, at("/modes/p"), ZOO_PERSISTENT);
    made("persistent sequential", at("/modes/s-0000000001"), a, at("/modes/s-"),
         ZOO_PERSISTENT_SEQUENTIAL);
    made("ephemeral", at("/modes/e"), a, at("/modes/e"), ZOO_EPHEMERAL);
    made("ephemeral sequential", at("/modes/0000000003"), a, at("/modes/"),
         ZOO_EPHEMERAL_SEQUENTIAL);
    made("container", at("/modes/c"), a, at("/modes/c"), ZOO_CONTAINER);
    result("with a time to live", ZOK,
           zoo_create_ttl(a.zh, at("/modes/t"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE,
                          ZOO_PERSISTENT_WITH_TTL, 60000, NULL, 0));
    must("sequential with a time to live",
         zoo_create2_ttl(a.zh, at("/modes/t-"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE,
                         ZOO_PERSISTENT_SEQUENTIAL_WITH_TTL, 60000, path, sizeof path, &stat));
    text("sequential with a time to live", at("/modes/t-0000000006"), path);
    must("create2", zoo_create2(a.zh, at("/modes/two"), "data", 4, &ZOO_OPEN_ACL_UNSAFE,
                                ZOO_EPHEMERAL, path, sizeof path, &stat));
    text("create2 tells the path", at("/modes/two"), path);
    number("create2 tells the length", 4, stat.dataLength);
    number("create2 tells the owner", id_of(a).client_id, stat.ephemeralOwner);
    check("create2 tells the zxids",
          stat.czxid > 0 && stat.czxid == stat.mzxid && stat.czxid == stat.pzxid);
    must("a container", zoo_create2(a.zh, at("/modes/c2"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE,
                                    ZOO_CONTAINER, path, sizeof path, &stat));
    number("nobody owns a container", 0, stat.ephemeralOwner);
}

static void reads(struct session a)
{
    char data[TEXT], *large = malloc(900000), *back = malloc(900001);
    struct String_vector names;
    struct Stat stat, other;
    int length = 900001;
    must("children", zoo_get_children2(a.zh, at("/modes"), 0, &names, &stat));
    number("children", 9, names.count);
    number("the parent counts its children", 9, stat.numChildren);
    number("and what became of them", 9, stat.cversion);
    deallocate_String_vector(&names);
    must("children", zoo_get_children(a.zh, at("/modes"), 0, &names));
    number("children without a stat", 9, names.count);
    deallocate_String_vector(&names);
    must("a change", zoo_set2(a.zh, at("/modes/p"), "one", 3, 0, &stat));
    number("a version", 1, stat.version);
    check("a change has a later zxid", stat.mzxid > stat.czxid);
    must("data", get(a, at("/modes/p"), data, &other));
    text("data", "one", data);
    check("the same stat by both",
          stat.czxid == other.czxid && stat.mzxid == other.mzxid && stat.ctime == other.ctime
              && stat.mtime == other.mtime && stat.version == other.version
              && stat.cversion == other.cversion && stat.aversion == other.aversion
              && stat.ephemeralOwner == other.ephemeralOwner && stat.pzxid == other.pzxid
              && stat.dataLength == other.dataLength && stat.numChildren == other.numChildren);
    must("exists", zoo_exists(a.zh, at("/modes/p"), 0, &other));
    number("and by exists", stat.mzxid, other.mzxid);
    result("no stat where nothing is", ZNONODE, zoo_exists(a.zh, at("/nothing"), 0, &stat));
    length = TEXT;
    must("null data", zoo_get(a.zh, at("/modes/c"), 0, data, &length, &stat));
    number("data may be null", -1, length);
    if (!large || !back)
        fail("memory", "there is none");
    memset(large, 7, 900000);
    must("large data", zoo_set(a.zh, at("/modes/p"), large, 900000, -1));
    length = 900001;
    must("large data", zoo_get(a.zh, at("/modes/p"), 0, back, &length, &stat));
    check("900,000 bytes", length == 900000 && memcmp(large, back, 900000) == 0);
    struct waiter *waiter = new_waiter();
    must("sync", zoo_async(a.zh, root, on_string, waiter));
    result("sync", ZOK, wait_for(waiter, 1));
    length = TEXT;
    result("the configuration can be read", ZOK, zoo_getconfig(a.zh, 0, data, &length, &stat));
    waiter = new_waiter();
    for (int i = 0; i < 500; i++)
        must("a request", zoo_aexists(a.zh, root, 0, on_stat, waiter));
    result("500 requests in flight", ZOK, wait_for(waiter, 500));
    free(large);
    free(back);
}

static void errors(struct session a)
{
    char data[TEXT];
    struct Stat stat;
    struct ACL nobody = {ZOO_PERM_ALL, {"nobody", "knows"}};
    struct ACL_vector acl = {1, &nobody};
    result("node exists", ZNODEEXISTS, create(a, at("/modes/p"), 0));
    result("no node", ZNONODE, get(a, at("/nothing"), data, &stat));
    result("no parent", ZNONODE, create(a, at("/no/where"), 0));
    result("bad version", ZBADVERSION, zoo_set(a.zh, at("/modes/p"), "", 0, 77));
    result("bad version of a delete", ZBADVERSION, zoo_delete(a.zh, at("/modes/p"), 77));
    result("not empty", ZNOTEMPTY, zoo_delete(a.zh, at("/modes"), -1));
    result("no children for ephemerals", ZNOCHILDRENFOREPHEMERALS, create(a, at("/modes/e/x"), 0));
    result("invalid acl", ZINVALIDACL,
           zoo_create(a.zh, at("/acl"), NULL, -1, &acl, 0, NULL, 0));
    result("the root stays", ZBADARGUMENTS, zoo_delete(a.zh, "/", -1));
    result("no watch to remove", ZNOWATCHER,
           zoo_remove_all_watches(a.zh, at("/modes"), ZWATCHTYPE_ANY, 0));
}

static void transactions(struct session a)
{
    char path[TEXT];
    struct Stat stat, after;
    zoo_op_t ops[5];
    zoo_op_result_t results[5];
    must("a parent", create(a, at("/multi"), 0));
    zoo_create_op_init(&ops[0], at("/multi/a"), "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    zoo_create_op_init(&ops[1], at("/multi/s-"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE,
                       ZOO_EPHEMERAL_SEQUENTIAL, path, sizeof path);
    zoo_set_op_init(&ops[2], at("/multi/a"), "2", 1, 0, &stat);
    zoo_check_op_init(&ops[3], at("/multi/a"), 1);
    zoo_delete_op_init(&ops[4], at("/multi/a"), 1);
    result("a transaction of four", ZOK, zoo_multi(a.zh, 4, ops, results));
    text("a created path", at("/multi/s-0000000001"), path);
    number("a stat of a change", 1, stat.version);
    must("what was created", zoo_exists(a.zh, at("/multi/a"), 0, &after));
    number("one transaction has one zxid", after.czxid, after.mzxid);
    zoo_create_op_init(&ops[0], at("/multi/b"), NULL, -1, &ZOO_OPEN_ACL_UNSAFE, 0, NULL, 0);
    zoo_check_op_init(&ops[1], at("/multi/a"), 9);
    result("a transaction fails with the first error", ZBADVERSION,
           zoo_multi(a.zh, 3, ops, results));
    number("what came before it", ZOK, results[0].err);
    number("itself", ZBADVERSION, results[1].err);
    number("and what comes after it", ZRUNTIMEINCONSISTENCY, results[2].err);
    result("nothing of it is done", ZNONODE, zoo_exists(a.zh, at("/multi/b"), 0, &after));
}

static void one_shot(struct session a, struct session b)
{
    struct log *log = new_log();
    struct String_vector names;
    struct Stat stat;
    char data[TEXT];
    int length = TEXT;
    const char *dir = at("/watches"), *path = at("/watches/x");
    must("a parent", create(a, dir, 0));
    catch_up(b);
    result("an exists watch waits for a znode", ZNONODE,
           zoo_wexists(b.zh, path, on_event, log, &stat));
    must("a child watch", zoo_wget_children(b.zh, dir, on_event, log, &names));
    deallocate_String_vector(&names);
    must("a create", create(a, path, 0));
    next("created first", log, "created %s", path);
    next("then its parent's children", log, "children %s", dir);
    must("a data watch", zoo_wget(b.zh, path, on_event, log, data, &length, &stat));
    must("a set", set(a, path));
    next("a data watch", log, "changed %s", path);
    must("a set", set(a, path));
    catch_up(b);
    length = TEXT;
    must("a data watch", zoo_wget(b.zh, path, on_event, log, data, &length, &stat));
    must("a child watch", zoo_wget_children2(b.zh, path, on_event, log, &names, &stat));
    deallocate_String_vector(&names);
    must("a child watch", zoo_wget_children(b.zh, dir, on_event, log, &names));
    deallocate_String_vector(&names);
    must("a delete", zoo_delete(a.zh, path, -1));
    next("a watch fires once, then deleted", log, "deleted %s", path);
    next("the parent's children after it", log, "children %s", dir);
    settle(b);
    quiet("one deletion is told once", log);
    length = TEXT;
    must("a watch", zoo_wget(b.zh, dir, on_event, log, data, &length, &stat));
    must("a watch", zoo_wget_children(b.zh, dir, on_event, log, &names));
    deallocate_String_vector(&names);
    result("a data watch is removed", ZOK,
           zoo_remove_watches(b.zh, dir, ZWATCHTYPE_DATA, on_event, log, 0));
    must("a set", set(a, dir));
    must("a create", create(a, path, 0));
    next("a child watch stays", log, "children %s", dir);
    settle(b);
    quiet("a removed watch is silent", log);
    result("none is left", ZNOWATCHER,
           zoo_remove_watches(b.zh, dir, ZWATCHTYPE_DATA, on_event, log, 0));
}

struct order {
    struct log *log;
    struct waiter *waiter;
    int version;
};

static void on_data(int rc, const char *value, int length, const struct Stat *stat,
                    const void *data)
{
    struct order *order = (struct order *)data;
    (void)value, (void)length;
    order->version = rc == ZOK ? stat->version : -1;
    add(order->log, "reply %d", order->version);
    finished(rc, order->waiter);
}

static void order(struct session a, struct session b)
{
    const char *path = at("/order");
    struct log *log = new_log();
    must("a znode", create(a, path, 0));
    catch_up(b);
    for (int version = 1; version <= 50; version++) {
        struct Stat stat;
        char data[TEXT], event[TEXT];
        int length = TEXT, event_at = -1, reply_at = -1;
        struct order seen = {.log = log};
        log->taken = log->count = 0;
        must("a watch", zoo_wget(b.zh, path, on_event, log, data, &length, &stat));
        must("a set", set(a, path));
        while (seen.version < version) {
            seen.waiter = new_waiter();
            must("a get", zoo_aget(b.zh, path, 0, on_data, &seen));
            must("a get", wait_for(seen.waiter, 1));
        }
        snprintf(event, sizeof event, "changed %s", path);
        pthread_mutex_lock(&log->lock);
        for (int i = 0; i < log->count; i++) {
            if (strcmp(log->events[i], event) == 0)
                event_at = i;
            else
                reply_at = i;
        }
        pthread_mutex_unlock(&log->lock);
        if (event_at < 0 || event_at > reply_at)
            fail("an event comes before the reply that shows its change", "not so in round %d",
                 version);
    }
    holds("an event comes before the reply that shows its change");
}

static void rights(struct session a, struct session b)
{
    char data[TEXT];
    struct Stat stat;
    struct ACL_vector acl;
    must("a parent", create(a, at("/rights"), 0));
    result("creator needs a name", ZINVALIDACL,
           zoo_create(b.zh, at("/rights/x"), NULL, -1, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    result("a credential", ZOK, authenticate(a, "ann:secret"));
    must("a znode", zoo_create(a.zh, at("/rights/x"), "mine", 4, &ZOO_CREATOR_ALL_ACL, 0, NULL, 0));
    catch_up(b);
    result("not for others to read", ZNOAUTH, get(b, at("/rights/x"), data, &stat));
    result("nor to write", ZNOAUTH, set(b, at("/rights/x")));
    result("nor to build under", ZNOAUTH, create(b, at("/rights/x/y"), 0));
    must("an acl", zoo_get_acl(a.zh, at("/rights/x"), &acl, &stat));
    number("one entry", 1, acl.count);
    text("of the creator's digest", "digest", acl.data[0].id.scheme);
    const char *user = acl.data[0].id.id;
    check("by hash", strncmp(user, "ann:", 4) == 0 && !strstr(user, "secret"));
    number("with all rights", ZOO_PERM_ALL, acl.data[0].perms);
    struct session c = connected(all, TIMEOUT);
    must("a wrong password", authenticate(c, "ann:wrong"));
    result("a wrong password", ZNOAUTH, get(c, at("/rights/x"), data, &stat));
    must("the right one", authenticate(c, "ann:secret"));
    must("the right one", get(c, at("/rights/x"), data, &stat));
    text("the right one on another session", "mine", data);
    must("a close", zookeeper_close(c.zh));
    struct ACL entries[2] = {acl.data[0], {ZOO_PERM_READ, ZOO_ANYONE_ID_UNSAFE}};
    struct ACL_vector both = {2, entries};
    result("a changed acl", ZOK, zoo_set_acl(a.zh, at("/rights/x"), 0, &both));
    catch_up(b);
    must("a read", get(b, at("/rights/x"), data, &stat));
    text("now others may read", "mine", data);
    number("a changed acl has a version", 1, stat.aversion);
    result("an old acl version", ZBADVERSION, zoo_set_acl(a.zh, at("/rights/x"), 0, &both));
    deallocate_ACL_vector(&acl);
    c = connected(all, TIMEOUT);
    must("an unknown scheme", zoo_add_auth(c.zh, "nonsense", "x", 1, NULL, NULL));
    next("an unknown scheme is refused", c.states, "auth failed");
    zookeeper_close(c.zh);
}

static void reaped(struct session a)
{
    struct log *log = new_log();
    struct Stat stat;
    const char *dir = at("/reaped");
    must("a container", create(a, dir, ZOO_CONTAINER));
    must("a child", create(a, at("/reaped/x"), 0));
    must("a watch", zoo_wexists(a.zh, dir, on_event, log, &stat));
    must("a delete", zoo_delete(a.zh, at("/reaped/x"), -1));
    next("an empty container goes", log, "deleted %s", dir);
    must("a time to live", zoo_create_ttl(a.zh, dir, NULL, -1, &ZOO_OPEN_ACL_UNSAFE,
                                          ZOO_PERSISTENT_WITH_TTL, 200, NULL, 0));
    must("a watch", zoo_wexists(a.zh, dir, on_event, log, &stat));
    next("what is over its time goes", log, "deleted %s", dir);
}

static void wrong_passwd(struct session a)
{
    clientid_t id = id_of(a);
    char data[TEXT];
    struct Stat stat;
    id.passwd[0] ^= 1;
    struct session thief = begin(all, TIMEOUT, &id);
    next("a wrong password is refused as expired", thief.states, "expired");
    zookeeper_close(thief.zh);
    settle(a); /* a server closes the session's older connection before it looks at the password */
    must("data", get(a, root, data, &stat));
    text("its session is unharmed", "root", data);
}

static void moves(struct session a, struct session b)
{
    struct log *log = new_log();
    struct String_vector names;
    struct Stat stat;
    char data[TEXT], before[TEXT], after[TEXT];
    int length = TEXT;
    int64_t id = id_of(a).client_id;
    must("a parent", create(b, at("/moves"), 0));
    must("data", create(b, at("/moves/data"), 0));
    catch_up(a);
    must("an ephemeral", create(a, at("/moves/mine"), ZOO_EPHEMERAL));
    must("a data watch", zoo_wget(a.zh, at("/moves/data"), on_event, log, data, &length, &stat));
    if (zoo_wexists(a.zh, at("/moves/later"), on_event, log, &stat) != ZNONODE)
        fail("an exists watch", "there is such a znode");
    must("a child watch", zoo_wget_children(a.zh, at("/moves"), on_event, log, &names));
    deallocate_String_vector(&names);
    a.states->taken = a.states->count;
    snprintf(before, sizeof before, "%s", zoo_get_current_server(a.zh));
    ask("stop %llx", (unsigned long long)id);
    next("its server stops", a.states, "connecting");
    next("it finds another", a.states, "connected");
    snprintf(after, sizeof after, "%s", zoo_get_current_server(a.zh));
    check("which is another", strcmp(before, after) != 0);
    number("it is the same session", id, id_of(a).client_id);
    number("with the same timeout", TIMEOUT, zoo_recv_timeout(a.zh));
    must("its ephemeral", zoo_exists(a.zh, at("/moves/mine"), 0, &stat));
    number("its ephemeral is there", id, stat.ephemeralOwner);
    result("its credentials are, too", ZOK, set(a, at("/rights/x")));
    settle(b);
    must("a set", set(b, at("/moves/data")));
    must("a create", create(b, at("/moves/later"), 0));
    next("data watches moved along", log, "changed %s", at("/moves/data"));
    next("exists watches, too", log, "created %s", at("/moves/later"));
    next("child watches, too", log, "children %s", at("/moves"));
    ask("start");
}

static void reconfigured(void)
{
    char data[TEXT];
    struct Stat stat;
    int length = TEXT;
    struct session c = connected(all, TIMEOUT);
    result("reconfiguration is off", ZRECONFIGDISABLED,
           zoo_reconfig(c.zh, "server.9=127.0.0.1:9:99;999", NULL, NULL, -1, data, &length, &stat));
    must("a close", zookeeper_close(c.zh));
    struct session reader = {.states = new_log()};
    reader.zh = zookeeper_init(all, on_state, TIMEOUT, NULL, reader.states, ZOO_READONLY);
    next("who would take a read-only server gets a full one", reader.states, "connected");
    must("a close", zookeeper_close(reader.zh));
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void silence(struct session b)
{
    struct log *log = new_log();
    struct Stat stat;
    const char *path = at("/silent");
    struct session q = connected(quiet_hosts, SHORT_TIMEOUT);
    must("an ephemeral", create(q, path, ZOO_EPHEMERAL));
    catch_up(b);
    must("a watch", zoo_wexists(b.zh, path, on_event, log, &stat));
    ask("silence");
    double start = now();
    next("the ensemble expires who is silent", log, "deleted %s", path);
    double took = now() - start;
    /* The last ping may be a third of the timeout old, and a tick may be added. */
    check("not before its time", took >= SHORT_TIMEOUT - SHORT_TIMEOUT / 3 - 100);
    check("nor long after", took <= SHORT_TIMEOUT + 3000);
    next("silence is noticed", q.states, "connecting");
    ask("heal");
    next("the ensemble says so", q.states, "expired");
    result("and no more is done", ZINVALIDSTATE, zoo_exists(q.zh, path, 0, &stat));
    zookeeper_close(q.zh);
}

static void taken_over(struct session b)
{
    struct Stat stat;
    const char *path = at("/taken");
    struct session q = connected(quiet_hosts, TIMEOUT);
    clientid_t id = id_of(q);
    must("an ephemeral", create(q, path, ZOO_EPHEMERAL));
    catch_up(b);
    ask("silence");
    struct session heir = begin(all, TIMEOUT, &id);
    next("id and password are enough", heir.states, "connected");
    number("to be the session", id.client_id, id_of(heir).client_id);
    catch_up(heir);
    must("an ephemeral", zoo_exists(heir.zh, path, 0, &stat));
    number("that owns what it owned", id.client_id, stat.ephemeralOwner);
    must("a close", zookeeper_close(heir.zh));
    catch_up(b);
    result("its heir can close it", ZNONODE, zoo_exists(b.zh, path, 0, &stat));
    ask("heal");
    next("who comes back late", q.states, "connecting");
    next("learns that it is over", q.states, "expired");
    zookeeper_close(q.zh);
}

static void expired(struct session b)
{
    struct log *log = new_log();
    struct Stat stat;
    char passwd[33] = "";
    const char *path = at("/expired");
    struct session e = connected(all, 10000);
    clientid_t id = id_of(e);
    must("an ephemeral", create(e, path, ZOO_EPHEMERAL));
    catch_up(b);
    must("a watch", zoo_wexists(b.zh, path, on_event, log, &stat));
    for (int i = 0; i < 16; i++)
        sprintf(passwd + 2 * i, "%02x", (unsigned char)id.passwd[i]);
    ask("expire %llx %s", (unsigned long long)id.client_id, passwd);
    next("an ephemeral goes with its session", log, "deleted %s", path);
    next("its connection is closed", e.states, "connecting");
    next("then it learns why", e.states, "expired");
    check("for good", is_unrecoverable(e.zh) == ZINVALIDSTATE);
    zookeeper_close(e.zh);
}

static void closing(struct session b)
{
    struct log *log = new_log();
    struct Stat stat;
    const char *path = at("/closing");
    struct session c = connected(all, 10000);
    clientid_t id = id_of(c);
    must("an ephemeral", create(c, path, ZOO_EPHEMERAL));
    catch_up(b);
    must("a watch", zoo_wexists(b.zh, path, on_event, log, &stat));
    result("a session is closed by its client", ZOK, zookeeper_close(c.zh));
    next("a closed session's ephemeral goes at once", log, "deleted %s", path);
    struct session late = begin(all, 10000, &id);
    next("nor is it resumed", late.states, "expired");
    zookeeper_close(late.zh);
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    all = arguments[1];
    quiet_hosts = arguments[2];
    root = arguments[3];
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    struct session a = connected(all, TIMEOUT), b = connected(all, TIMEOUT);
    sessions(a, b);
    modes(a);
    reads(a);
    errors(a);
    transactions(a);
    one_shot(a, b);
    order(a, b);
    rights(a, b);
    reaped(a);
    wrong_passwd(a);
    moves(a, b);
    reconfigured();
    silence(b);
    taken_over(b);
    expired(b);
    closing(b);
    zookeeper_close(a.zh);
    zookeeper_close(b.zh);
    return 0;
}
