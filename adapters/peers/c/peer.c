/* libzookeeper_mt behind the same arguments and figures as the other clients of this benchmark:
 *
 *     peer child c ADDRESS ROW BUDGET THREADS
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#define NODE "/bench/node"
#define BIG_NODE "/bench/big"
#define BIG_WINDOW 16
#define BIG_VALUE 65536
#define WATCHES 256
#define IDLE_TIMEOUT_MS 6000

static const char *address;
static char big[BIG_VALUE];
static char paths[WATCHES][32];

/* How long a loop goes on: until a time, or for so many turns. */
struct budget { double seconds; long turns; };
struct running { struct budget budget; double since; long turns; };

/* Answers and events that are awaited. */
struct window { pthread_mutex_t lock; pthread_cond_t all; int left; int failed; };

static void fail(const char *why) {
    printf("error: %s\n", why);
    fflush(stdout);
    _exit(0);
}

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static int again(struct running *running) {
    int left = running->budget.seconds > 0
        ? running->turns == 0 || now(CLOCK_MONOTONIC) - running->since < running->budget.seconds
        : running->turns < running->budget.turns;
    running->turns += left;
    return left;
}

static struct running start(struct budget budget) {
    return (struct running){ budget, now(CLOCK_MONOTONIC), 0 };
}

static void done(struct window *window, int code) {
    pthread_mutex_lock(&window->lock);
    window->failed |= code != ZOK;
    if (--window->left == 0) pthread_cond_signal(&window->all);
    pthread_mutex_unlock(&window->lock);
}

static void await(struct window *window) {
    pthread_mutex_lock(&window->lock);
    while (window->left > 0) pthread_cond_wait(&window->all, &window->lock);
    pthread_mutex_unlock(&window->lock);
    if (window->failed) fail("a request failed");
}

static void on_data(int code, const char *value, int len, const struct Stat *stat, const void *data) {
    (void)value; (void)len; (void)stat;
    done((struct window *)data, code);
}

static void on_stat(int code, const struct Stat *stat, const void *data) {
    (void)stat;
    done((struct window *)data, code);
}

static void on_event(zhandle_t *handle, int type, int state, const char *path, void *data) {
    (void)handle; (void)state; (void)path;
    done(data, type == ZOO_CHANGED_EVENT ? ZOK : ZSYSTEMERROR);
}

static void on_session(zhandle_t *handle, int type, int state, const char *path, void *data) {
    (void)handle; (void)path;
    if (type == ZOO_SESSION_EVENT && state == ZOO_CONNECTED_STATE) done(data, ZOK);
}

/* Opens a session and waits until it is connected. */
static zhandle_t *open_session(int timeout_ms) {
    struct window window = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 1, 0 };
    zhandle_t *handle = zookeeper_init(address, on_session, timeout_ms, NULL, &window, 0);
    if (!handle) fail("zookeeper_init fails");
    await(&window);
    zoo_set_watcher(handle, NULL);
    return handle;
}

static void get(zhandle_t *handle, const char *path, int times) {
    struct window window = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, times, 0 };
    for (int i = 0; i < times; i++)
        if (zoo_aget(handle, path, 0, on_data, &window) != ZOK) fail("zoo_aget fails");
    await(&window);
}

static void set(zhandle_t *handle, int times) {
    struct window window = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, times, 0 };
    for (int i = 0; i < times; i++)
        if (zoo_aset(handle, BIG_NODE, big, BIG_VALUE, -1, on_stat, &window) != ZOK)
            fail("zoo_aset fails");
    await(&window);
}

static void rearm(zhandle_t *handle) {
    struct window window = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 2 * WATCHES, 0 };
    for (int i = 0; i < WATCHES; i++)
        if (zoo_awget(handle, paths[i], on_event, &window, on_data, &window) != ZOK)
            fail("zoo_awget fails");
    await(&window);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double kib_of(const char *file, const char *name) {
    char line[256];
    double kib = 0;
    FILE *stream = fopen(file, "r");
    while (stream && fgets(line, sizeof line, stream))
        if (strncmp(line, name, strlen(name)) == 0) kib = atof(line + strlen(name));
    if (stream) fclose(stream);
    return kib;
}

static double p50 = -1, session_bytes = -1;

static long one_at_a_time(zhandle_t *handle, struct budget budget) {
    struct running running = start(budget);
    size_t room = 1 << 20, count = 0;
    double *each = malloc(room * sizeof *each);
    char value[BIG_VALUE];
    struct Stat stat;
    while (again(&running)) {
        int len = sizeof value;
        double since = now(CLOCK_MONOTONIC);
        if (zoo_get(handle, NODE, 0, value, &len, &stat) != ZOK) fail("zoo_get fails");
        if (count < room) each[count++] = now(CLOCK_MONOTONIC) - since;
    }
    qsort(each, count, sizeof *each, by_value);
    p50 = count ? each[count / 2] : 0;
    free(each);
    return running.turns;
}

struct task { zhandle_t *handle; int share; struct budget budget; long operations; };

static void *run_task(void *data) {
    struct task *task = data;
    struct running running = start(task->budget);
    while (again(&running)) get(task->handle, NODE, task->share);
    task->operations = running.turns * task->share;
    return NULL;
}

static long crowd(zhandle_t *handle, int in_flight, int tasks, struct budget budget) {
    struct task task[64];
    pthread_t thread[64];
    long operations = 0;
    for (int i = 0; i < tasks; i++) {
        task[i] = (struct task){ handle, in_flight / tasks + (i < in_flight % tasks), budget, 0 };
        if (pthread_create(&thread[i], NULL, run_task, &task[i])) fail("no thread");
    }
    for (int i = 0; i < tasks; i++) {
        pthread_join(thread[i], NULL);
        operations += task[i].operations;
    }
    return operations;
}

/* One row's loop; returns the operations done. */
static long play(zhandle_t *handle, const char *row, struct budget budget) {
    struct running running = start(budget);
    int in_flight, tasks = 1, window;
    if (strcmp(row, "one") == 0) return one_at_a_time(handle, budget);
    if (sscanf(row, "get%dx%d", &in_flight, &tasks) == 2)
        return crowd(handle, in_flight, tasks, budget);
    if (strcmp(row, "get64k") == 0)
        for (window = BIG_WINDOW; again(&running);) get(handle, BIG_NODE, window);
    else if (strcmp(row, "set64k") == 0)
        for (window = BIG_WINDOW; again(&running);) set(handle, window);
    else if (strcmp(row, "rearm") == 0)
        for (window = WATCHES; again(&running);) rearm(handle);
    else if (strcmp(row, "open") == 0)
        for (window = 1; again(&running);) zookeeper_close(open_session(30000));
    else if (sscanf(row, "get%d", &in_flight) == 1)
        for (window = in_flight; again(&running);) get(handle, NODE, window);
    else
        fail("it has no persistent watches");
    return running.turns * window;
}

static long idle(int sessions) {
    open_session(IDLE_TIMEOUT_MS);
    double before = kib_of("/proc/self/smaps_rollup", "Rss:");
    for (int i = 0; i < sessions; i++) open_session(IDLE_TIMEOUT_MS);
    usleep(IDLE_TIMEOUT_MS * 500);
    session_bytes = (kib_of("/proc/self/smaps_rollup", "Rss:") - before) * 1024 / sessions;
    return sessions;
}

int main(int argc, char **argv) {
    if (argc != 7) fail("usage: peer child c ADDRESS ROW BUDGET THREADS");
    address = argv[3];
    const char *row = argv[4];
    char *end;
    double number = strtod(argv[5], &end);
    struct budget budget = { *end ? number / 1000 : 0, *end ? 0 : (long)number };
    struct budget warm_up = { budget.seconds / 10, 0 };
    for (int i = 0; i < WATCHES; i++) snprintf(paths[i], sizeof paths[i], "/bench/watched/%04d", i);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);

    int sessions = 0;
    long operations;
    double cpu, wall;
    if (sscanf(row, "idle%d", &sessions) == 1) {
        operations = idle(sessions);
        cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
        usleep(IDLE_TIMEOUT_MS * 1000);
    } else {
        zhandle_t *handle = strcmp(row, "open") == 0 ? NULL : open_session(30000);
        play(handle, row, warm_up);
        cpu = now(CLOCK_PROCESS_CPUTIME_ID), wall = now(CLOCK_MONOTONIC);
        operations = play(handle, row, budget);
    }
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu, wall = now(CLOCK_MONOTONIC) - wall;
    printf("operations=%ld cpu_ns=%.0f wall_ns=%.0f peak_bytes=%.0f", operations, cpu * 1e9,
           wall * 1e9, kib_of("/proc/self/status", "VmHWM:") * 1024);
    if (p50 >= 0) printf(" p50_ns=%.0f", p50 * 1e9);
    if (session_bytes >= 0) printf(" session_bytes=%.0f", session_bytes);
    printf("\n");
    fflush(stdout);
    _exit(0);
}
