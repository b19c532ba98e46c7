/* SPDX-License-Identifier: MIT */
/*
 * fork while other threads allocate. The child finds the heaps in whatever state the vanished
 * threads left them; it frees their blocks, allocates a lot and starts threads of its own. Also:
 * fork in a signal handler that interrupted malloc, and fork while other threads hold stdio's
 * locks. A child that hangs is killed and is a failure.
 *
 * The child sees a prefix of what each thread of the parent did: of each block it knows whether
 * its thread was in the middle of a call (`in_flight`), and all others must be whole.
 */
#include <signal.h>
#include <spawn.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "race.h"
#include "tcache/process.h"
#include "tcache/thread.h"

enum {
    THREADS = 3,
    OWN = 60,
    TABLE = 100,
    RECORDS = TABLE + (THREADS + 1) * OWN,
    HEAPS = 3, /* the process heap and two private ones; malloc comes after them */
    CHILD_BLOCKS = 600,
    MOST_BYTES = 60000,
};

struct record {
    atomic_bool in_flight;
    char *at;
    size_t bytes;
    uint64_t key;
    uint32_t place; /* HEAPS: malloc */
};

static struct record records[RECORDS];
static _Atomic(struct record *) table[TABLE];
static HANDLE heaps[HEAPS];
static atomic_bool is_over;
static atomic_ullong operations;
static atomic_uint progress; /* what the watchdog watches */

static void allocate(struct record *record, uint64_t *random)
{
    size_t kind = race_below(random, 100);
    size_t limit = kind < 80 ? 300 : kind < 98 ? 5000 : MOST_BYTES;
    record->bytes = race_below(random, limit);
    record->place = (uint32_t)race_below(random, HEAPS + 2);
    if (record->place > HEAPS)
        record->place = HEAPS;
    record->key = race_next(random);
    record->at = record->place == HEAPS
                     ? mh_malloc(record->bytes)
                     : HeapAlloc(heaps[record->place], 0, record->bytes);
    race_require(record->at != NULL, "no memory");
    if (record->at)
        race_stamp(record->at, record->bytes, record->key);
}

static void release(struct record *record)
{
    race_require(race_is_stamped(record->at, record->bytes, record->key),
                 "block %p of %zu bytes, place %u, was disturbed", (void *)record->at,
                 record->bytes, record->place);
    if (record->place == HEAPS)
        mh_free(record->at);
    else
        race_require(HeapFree(heaps[record->place], 0, record->at), "HeapFree refused %p",
                     (void *)record->at);
    record->at = NULL;
}

static void step(struct record **own, uint64_t *random)
{
    struct record **mine = &own[race_below(random, OWN)];
    if (race_below(random, 4) == 0)
        *mine = atomic_exchange(&table[race_below(random, TABLE)], *mine);
    struct record *record = *mine;
    atomic_store(&record->in_flight, true);
    if (record->at)
        release(record);
    else
        allocate(record, random);
    atomic_store_explicit(&record->in_flight, false, memory_order_release);
    atomic_fetch_add_explicit(&operations, 1, memory_order_relaxed);
}

/* What a thread that keeps allocating has. */
struct busy {
    uint64_t random;
    struct record *own[OWN];
};
static struct busy busy_threads[THREADS + 1]; /* the last one is the main thread's */

static void *be_busy(void *argument)
{
    struct busy *busy = argument;
    while (!atomic_load(&is_over) && !atomic_load(&race_failed))
        step(busy->own, &busy->random);
    return NULL;
}

/* --- the child ----------------------------------------------------------------------------- */

/* Allocate many blocks, half of them freed by another order; all of them stamped. */
static void *allocate_many(void *argument)
{
    static _Thread_local struct record many[CHILD_BLOCKS];
    uint64_t random = race_seed ^ (uintptr_t)argument;
    for (size_t i = 0; i < CHILD_BLOCKS; i++)
        allocate(&many[i], &random);
    for (size_t i = 0; i < CHILD_BLOCKS; i += 2)
        release(&many[i]);
    for (size_t i = 0; i < CHILD_BLOCKS; i += 2)
        allocate(&many[i], &random);
    for (size_t i = CHILD_BLOCKS; i-- > 0;)
        release(&many[i]);
    return NULL;
}

/* What nobody was in the middle of: check it, and free it when asked to. */
static size_t visit_records(bool frees)
{
    size_t count = 0;
    for (size_t i = 0; i < RECORDS; i++) {
        struct record *record = &records[i];
        if (atomic_load(&record->in_flight) || !record->at)
            continue;
        count++;
        if (frees)
            release(record);
        else
            race_require(race_is_stamped(record->at, record->bytes, record->key),
                         "a vanished thread's block was disturbed");
    }
    return count;
}

static void start_threads(void)
{
    if (!RACE_TSAN) {
        pthread_t threads[2];
        for (uintptr_t i = 0; i < 2; i++)
            threads[i] = race_thread(allocate_many, (void *)(i + 100));
        for (size_t i = 0; i < 2; i++)
            race_join(threads[i]);
    }
}

static void destroy_heaps(void)
{
    for (size_t i = 1; i < HEAPS; i++) {
        size_t left = race_allocated(heaps[i]);
        race_require(left <= THREADS * (size_t)MOST_BYTES,
                     "heap %zu holds %zu bytes though everything was freed", i, left);
        race_require(HeapDestroy(heaps[i]), "HeapDestroy failed");
        heaps[i] = HeapCreate(0, 0, 0);
        race_require(heaps[i] != NULL, "HeapCreate failed");
    }
    size_t left = mole_process_malloc_bytes();
    race_require(left <= THREADS * (size_t)MOST_BYTES + 4096 * THREADS,
                 "malloc holds %zu bytes though everything was freed", left);
}

static int live_as_child(unsigned number)
{
    atomic_store(&race_failed, 0);
    visit_records(false);
    allocate_many(NULL);
    if (number % 4 == 1)
        start_threads();
    visit_records(false);
    visit_records(true);
    if (number % 4 != 3)
        destroy_heaps();
    allocate_many(NULL);
    if (number % 8 == 2) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            allocate_many(NULL);
            _exit(atomic_load(&race_failed) ? 1 : 0);
        }
        int status = 1;
        race_require(waitpid(grandchild, &status, 0) == grandchild && status == 0,
                     "a grandchild ended with %d", status);
    }
    return atomic_load(&race_failed) ? 1 : 0;
}

/* Wait for a child, but not for ever. */
static bool reap(pid_t child, const char *what)
{
    int status = 0;
    double limit = race_now() + (race_brief() ? 120 : 30);
    for (unsigned wait = 0; race_now() < limit; wait++) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        atomic_fetch_add(&progress, 1);
        if (ended == child) {
            race_case(status == 0, "%s: the child ended with status 0x%x", what, status);
            return status == 0;
        }
        race_sleep_ms(wait < 20 ? 1 : 10);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    race_fail("%s: the child hangs", what);
    return false;
}

/*
 * Until all threads are well under way: a thread that starts holds locks of the sanitizers'
 * allocators, which their children would wait for.
 */
static void await_threads(void)
{
    while (atomic_load(&operations) < 1000)
        race_sleep_ms(1);
    race_sleep_ms(200);
}

static void fork_storm(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(be_busy, &busy_threads[i]);
    await_threads();
    size_t forks = race_size(300, 60, 12), hangs = 0;
    for (size_t i = 0; i < forks && hangs < 3; i++) {
        struct busy *own = &busy_threads[THREADS];
        for (size_t steps = race_below(&own->random, 200); steps; steps--)
            step(own->own, &own->random);
        pid_t child = fork();
        if (child == 0)
            _exit(live_as_child((unsigned)i));
        hangs += !reap(child, "fork storm");
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    visit_records(true);
    for (size_t i = 0; i < HEAPS; i++)
        race_case(race_allocated(heaps[i]) == 0,
                  "heap %zu: %zu bytes are left in the parent", i,
                  race_allocated(heaps[i]));
    race_case(atomic_load(&operations) > 20 * forks,
              "exercised too little: %llu operations", atomic_load(&operations));
    printf("fork storm: %zu forks beside %llu operations\n", forks,
           atomic_load(&operations));
}

/* --- fork in a signal handler ---------------------------------------------------------------- */

static volatile sig_atomic_t is_inside, forks_inside, handler_forks, wanted_forks;
static volatile pid_t handler_child;

static void fork_in_handler(int signal)
{
    (void)signal;
    int saved = errno;
    if (handler_child || handler_forks >= wanted_forks)
        return;
    pid_t child = fork();
    if (child == 0) {
        if (handler_forks % 4 == 0)
            execl("/bin/true", "true", (char *)NULL);
        _exit(0);
    }
    handler_child = child;
    handler_forks++;
    forks_inside += is_inside;
    errno = saved;
}

static void fork_in_signal_handlers(void)
{
    struct sigaction action = {.sa_handler = fork_in_handler, .sa_flags = SA_RESTART};
    struct sigaction old;
    struct itimerval timer = {.it_interval = {.tv_usec = 700},
                              .it_value = {.tv_usec = 700}};
    struct busy *own = &busy_threads[THREADS];
    wanted_forks = (int)race_size(200, 40, 10);
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &timer, NULL);
    double limit = race_now() + 60;
    while ((handler_forks < wanted_forks || handler_child) && race_now() < limit) {
        for (size_t i = 0; i < 500; i++) {
            is_inside = 1;
            step(own->own, &own->random);
            is_inside = 0;
        }
        if (handler_child) {
            (void)reap(handler_child, "fork in a signal handler");
            handler_child = 0;
        }
    }
    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, NULL);
    sigaction(SIGALRM, &old, NULL);
    visit_records(true);
    race_case(handler_forks >= wanted_forks, "only %d forks in handlers",
              (int)handler_forks);
    race_case(forks_inside * 2 >= handler_forks, "only %d forks while inside",
              (int)forks_inside);
    printf("signal handlers: %d forks, %d of them interrupted malloc\n",
           (int)handler_forks, (int)forks_inside);
}

/* --- fork beside stdio -------------------------------------------------------------------------- */

static FILE *stream;

/* Holds a stream's lock and wants the allocator's. */
static void *allocate_under_stream(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        flockfile(stream);
        for (size_t i = 1; i < 20; i++) {
            void *block = HeapAlloc(heaps[1], 0, i * 20000);
            mh_free(mh_malloc(i * 10000));
            race_require(HeapFree(heaps[1], 0, block), "HeapFree failed");
        }
        funlockfile(stream);
    }
    return NULL;
}

/* Holds stdio's list lock and wants the streams'. */
static void *flush_all(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        fputc('x', stream);
        fflush(NULL);
    }
    return NULL;
}

/* fork wants stdio's list lock: with one of ours held at that time, nobody would go on. */
static void fork_beside_stdio(void)
{
    atomic_store(&is_over, false);
    stream = fopen("/dev/null", "we");
    race_require(stream != NULL, "/dev/null cannot be opened");
    pthread_t holder = race_thread(allocate_under_stream, NULL);
    pthread_t flusher = race_thread(flush_all, NULL);
    race_sleep_ms(200);
    size_t forks = race_size(100, 20, 5);
    for (size_t i = 0; i < forks; i++) {
        pid_t child = fork();
        if (child == 0) {
            atomic_store(&race_failed, 0);
            allocate_many(NULL);
            _exit(atomic_load(&race_failed) ? 1 : 0);
        }
        if (!reap(child, "fork beside stdio"))
            break;
    }
    atomic_store(&is_over, true);
    race_join(holder);
    race_join(flusher);
    fclose(stream);
}

static void spawn(void)
{
    static char name[] = "true";
    char *arguments[] = {name, NULL};
    pid_t child;
    int error = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, arguments + 1);
    race_case(error == 0, "posix_spawn: %s", strerror(error));
    if (error == 0)
        (void)reap(child, "posix_spawn");
}

/* The parent may hang as well. */
static void *watch(void *argument)
{
    (void)argument;
    unsigned last = atomic_load(&progress);
    for (unsigned quiet = 0; quiet < 150; quiet++) {
        race_sleep_ms(1000);
        if (atomic_load(&progress) != last)
            quiet = 0;
        last = atomic_load(&progress);
    }
    race_fail("the parent hangs");
    (void)race_end();
    _exit(1);
}

static void set_up(void)
{
    heaps[0] = GetProcessHeap();
    for (size_t i = 1; i < HEAPS; i++)
        heaps[i] = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < TABLE; i++)
        atomic_store(&table[i], &records[i]);
    for (size_t i = 0; i < (THREADS + 1) * OWN; i++) {
        struct busy *busy = &busy_threads[i / OWN];
        busy->own[i % OWN] = &records[TABLE + i];
        busy->random = race_mix(race_seed + i / OWN);
    }
}

int main(void)
{
    race_begin("fork");
    if (RACE_TSAN) {
        (void)mh_configure("purger:calls");
        race_skip("threads in a child: ThreadSanitizer does not know how");
    }
    set_up();
    pthread_detach(race_thread(watch, NULL));
    fork_storm();
    if (!RACE_TSAN)
        fork_in_signal_handlers();
    else
        race_skip("signal handlers: ThreadSanitizer runs them later than they come");
    if (!RACE_TSAN)
        fork_beside_stdio();
    else
        race_skip("fork beside stdio: ThreadSanitizer holds locks of its own over fork");
    spawn();
    return race_end();
}
