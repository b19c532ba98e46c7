/* SPDX-License-Identifier: MIT */
/*
 * Spies attached and detached as fast as they can, in several ways and by several threads
 * at once, one of them from a library that is unloaded at once, COM spies too, while
 * threads allocate,
 * resize, free each other's blocks, make and destroy heaps, lock them, end and fork. When
 * mh_spy_detach has returned, nobody calls; spies attached throughout have right books to
 * the last block. Smaller ones where the system's barrier is denied, from the start or in
 * the middle.
 *
 * MOLE_CYCLES sets how often spies are attached and detached at least in a full run, with
 * 200 allocations each.
 */
#include <sys/wait.h>

#include "deny.h"
#include "os/grace.h"
#include "race.h"
#include "storm_cycles.h"
#include "storm_ledger.h"
#include "storm_workers.h"
#include "tcache/process.h"

enum { OVERTIME = 280 };

static bool is_bare; /* nobody is attached throughout: at times one spy is the only one */
static struct ledger all, sampled;
static struct cycler cyclers[CYCLERS + 1];
static struct sum before[HEAPS];
static atomic_ullong children, locks;

/* --- what a fork's child does -- */

static void *use_in_thread(void *unused)
{
    (void)unused;
    uint64_t random = 1;
    for (int i = 0; i < 20; i++)
        use_places(&random);
    return NULL;
}

static unsigned long long heard_by(const struct ledger *ledger)
{
    return atomic_load(&ledger->allocated) + atomic_load(&ledger->freed);
}

static int use_child(void)
{
    alarm(100); /* rather than hang */
    atomic_store(&race_failed, 0);
    atomic_store(&books_are_closed, true);
    unsigned long long heard = heard_by(&all);
    struct cycler *cycler = &cyclers[0]; /* the child's own: nobody else is here */
    struct churn *churn = &cycler->spies[0];
    use_in_thread(NULL);
    race_require(is_bare || heard_by(&all) > heard, "a child hears nothing");
    (void)mh_spy_detach(&churn->spy);
    make_spy(churn, MH_SPY_ALL, 0, false);
    race_require(mh_spy_attach(&churn->spy, MH_SPY_ALL) == 0, "attaching in a child");
    use_in_thread(NULL);
    race_join(race_thread(use_in_thread, NULL));
    race_require(mh_spy_detach(&churn->spy) == 0, "detaching in a child");
    race_require(atomic_load(&churn->calls) > 0, "a spy attached in a child is deaf");
    churn->life = GONE;
    use_in_thread(NULL);
    race_require(mh_spy_detach(&all.spy) == (is_bare ? MH_DETACHED : 0),
                 "detaching a parent's spy in a child");
    heard = heard_by(&all);
    use_in_thread(NULL);
    race_require(heard_by(&all) == heard, "a spy detached in a child is called");
    return atomic_load(&race_failed) ? 1 : 0;
}

static pthread_t forker;

static void *end_child(void *unused)
{
    (void)unused;
    _exit(pthread_join(forker, NULL));
}

static void *fork_often(void *unused)
{
    (void)unused;
    while (!is_over()) {
        use_in_thread(NULL); /* a section before, too */
        pthread_mutex_lock(&start_lock);
        pid_t child = fork();
        pthread_mutex_unlock(&start_lock);
        if (child == 0) {
            if (use_child() != 0)
                _exit(1);
            forker = pthread_self();
            race_thread(end_child, NULL);
            return NULL; /* a thread ends in a child, too */
        }
        int status = 0;
        race_require(child > 0 && waitpid(child, &status, 0) == child, "fork failed");
        race_require(status == 0, "a child ended with status 0x%x", (unsigned)status);
        atomic_fetch_add(&children, 1);
        race_sleep_ms(50);
    }
    return NULL;
}

/* --- and the rest of the storm -- */

static void *lock_often(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    while (!is_over()) {
        HANDLE heap = heaps[race_below(&random, HEAPS)];
        race_require(HeapLock(heap), "HeapLock failed");
        owns_lock = true;
        void *block = HeapAlloc(heap, 0, 100);
        race_require(!block || HeapFree(heap, 0, block), "HeapFree refused a live block");
        owns_lock = false;
        race_require(HeapUnlock(heap), "HeapUnlock failed");
        count(block ? &locks : &done.refused);
        race_sleep_ms(1);
    }
    return NULL;
}

/* What was exercised, and how much of it there has to be. */
static struct figure {
    const char *name;
    atomic_ullong *figure;
    size_t least;
    bool is_rare; /* asked of the whole storm only */
} figures[] = {
    {"cycles", &cycles, 0, false},
    {"allocations", &done.allocations, 0, false},
    {"resizes", &done.resizes, 0, false},
    {"remote frees", &done.remote_frees, 0, false},
    {"threads", &done.threads, WORKERS, false},
    {"destructors", &done.farewells, WORKERS, false},
    {"heaps destroyed", &done.tenants, WORKERS, false},
    {"calls", &calls, 1, false},
    {"calls of the unloaded spy", &calls_of_library, 1, false},
    {"in the sample", &sampled.allocated, 1, false},
    {"vetoes", &vetoes, 1, false},
    {"detached inside", &detached_inside, 1, false},
    {"detached under a lock", &detached_owning, 1, false},
    {"attached already", &lost_attaches, 1, true},
    {"detached already", &lost_detaches, 1, true},
    {"heap gone", &gone_heaps, 1, true},
    {"COM spies", &com_spies, 1, false},
    {"COM spies that waited for blocks", &pending_com_spies, 1, true},
    {"blocks past them", &task_blocks, 1, false},
    {"locks", &locks, 1, false},
    {"children", &children, CAN_FORK, false},
};
enum { FIGURES = sizeof figures / sizeof *figures };

static bool is_enough(void)
{
    for (size_t i = 0; i < FIGURES; i++)
        if (atomic_load(figures[i].figure) < figures[i].least)
            return false;
    return true;
}

static void set_least(size_t least_cycles, bool is_whole)
{
    for (size_t i = 0; i < FIGURES && !is_whole; i++)
        if (figures[i].is_rare)
            figures[i].least = 0;
    figures[0].least = least_cycles;
    figures[1].least = least_cycles * 200;
    figures[2].least = figures[3].least = least_cycles * 20;
    if (!library_path)
        figures[8].least = 0;
    if (is_bare)
        figures[9].least = 0;
}

static size_t start_all(pthread_t *threads)
{
    size_t started = 0;
    for (size_t i = 0; i < WORKERS; i++)
        threads[started++] = race_thread(supervise, (void *)(i + 1));
    for (size_t i = 0; i < CYCLERS; i++)
        threads[started++] = race_thread(cycle, &cyclers[i]);
    threads[started++] = race_thread(cycle_libraries, &cyclers[CYCLERS]);
    threads[started++] = race_thread(cycle_com, (void *)100);
    threads[started++] = race_thread(lock_often, (void *)1);
    if (CAN_FORK)
        threads[started++] = race_thread(fork_often, NULL);
    return started;
}

static void run(enum when denied, int command)
{
    pthread_t threads[WORKERS + CYCLERS + 4];
    size_t started = start_all(threads);
    double deadline = race_now() + OVERTIME;
    while (!is_enough() && race_now() < deadline && !atomic_load(&race_failed)) {
        race_sleep_ms(20);
        if (denied == LATER && atomic_load(&cycles) >= figures[0].least / 2) {
            if (!deny_barrier(command))
                race_skip("seccomp filters cannot be set here");
            denied = NEVER; /* no more */
        }
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < started; i++)
        race_join(threads[i]);
}

static void set_up(void)
{
    static char path[4096];
    const char *build = getenv("MOLEHILL_BUILD");
    snprintf(path, sizeof path, "%s/tests/libstorm_spy.so", build ? build : "build/gcc");
    if (access(path, R_OK) == 0)
        library_path = path;
    else
        race_skip("no spy is unloaded: there is no %s", path);
    pthread_key_create(&farewell_key, take_leave);
    heaps[0] = GetProcessHeap();
    for (size_t i = 1; i < HEAPS; i++)
        heaps[i] = HeapCreate(0, 0, 0);
    before[0].bytes = race_allocated(heaps[0]);
    for (size_t i = 0; i <= CYCLERS; i++) {
        cyclers[i].random = race_mix(race_seed + i);
        for (size_t k = 0; k < OWN_SPIES; k++)
            cyclers[i].spies[k].bit = (uint64_t)1 << (COMMON_SPIES + i * OWN_SPIES + k);
    }
    begin_common();
    if (is_bare)
        return;
    begin_noise();
    open_ledger(&all, "attached throughout", 0);
    open_ledger(&sampled, "sampling throughout", 3000);
}

static void compare(size_t place)
{
    void *name = place == MALLOC ? MH_SPY_MALLOC : heaps[place];
    struct sum told = sum_up(&all, name);
    size_t blocks = 0;
    for (size_t i = 0; i < SHARED; i++) {
        void *block = atomic_load(&shared[place][i]);
        if (!block)
            continue;
        blocks++;
        const struct entry *entry = look_up(&all, block);
        race_require(entry && entry->heap == name, "a live block is in no book");
        race_require(!entry || place == MALLOC || entry->bytes == size_of(place, block),
                     "a block's size in the books is %zu, not %zu", entry->bytes,
                     size_of(place, block));
    }
    race_case(told.blocks == blocks, "place %zu has %zu blocks, the books %zu", place,
              blocks, told.blocks);
    if (place == MALLOC)
        return;
    size_t bytes = race_allocated(heaps[place]) - before[place].bytes;
    race_case(told.bytes == bytes, "heap %zu has %zu bytes, the books %zu", place, bytes,
              told.bytes);
}

/* The books are right to the last block. */
static void close_books(void)
{
    for (size_t place = 0; place < PLACES; place++)
        compare(place);
    for (size_t place = 0; place < PLACES; place++)
        for (size_t i = 0; i < SHARED; i++)
            release_shared(place, atomic_exchange(&shared[place][i], NULL));
    struct sum left = sum_up(&all, NULL), left_sampled = sum_up(&sampled, NULL);
    race_case(left.blocks == 0, "%zu blocks are left in the books", left.blocks);
    race_case(left_sampled.blocks == 0, "%zu blocks are left in the sample",
              left_sampled.blocks);
    race_case(mh_spy_detach(&all.spy) == 0 && mh_spy_detach(&sampled.spy) == 0,
              "the spies attached throughout were not");
}

static void tear_down(void)
{
    end_common();
    if (!is_bare) {
        detach(&noisy);
        close_books();
    }
    for (size_t place = 0; place < PLACES; place++)
        for (size_t i = 0; i < SHARED; i++)
            release_shared(place, atomic_load(&shared[place][i]));
    race_case(mole_process_malloc_bytes() == 0, "malloc holds %zu bytes at the end",
              mole_process_malloc_bytes());
    for (size_t i = 1; i < HEAPS; i++)
        race_case(HeapDestroy(heaps[i]), "HeapDestroy failed");
    race_case(atomic_load(&vetoes) == atomic_load(&done.refused),
              "%llu vetoes, and %llu calls that failed", atomic_load(&vetoes),
              atomic_load(&done.refused));
}

static void report(double seconds)
{
    printf("%.1f s", seconds);
    for (size_t i = 0; i < FIGURES; i++)
        printf("%s%s %llu", i % 5 ? "; " : "\n", figures[i].name,
               atomic_load(figures[i].figure));
    putchar('\n');
    for (size_t i = 0; i < FIGURES; i++)
        race_case(atomic_load(figures[i].figure) >= figures[i].least,
                  "exercised too little: %s is %llu, not %zu", figures[i].name,
                  atomic_load(figures[i].figure), figures[i].least);
}

static void run_one(enum when denied, int command, size_t least_cycles)
{
    if (denied == AT_START && !deny_barrier(command)) {
        race_skip("seccomp filters cannot be set here");
        return;
    }
    set_up();
    set_least(least_cycles, denied == NEVER && !is_bare && race_brief() == 0);
    double start = race_now();
    run(denied, command);
    double seconds = race_now() - start;
    tear_down();
    printf("%s%s: ", when_names[denied], is_bare ? ", nobody throughout" : "");
    report(seconds);
    race_case(denied != LATER || RACE_TSAN || atomic_load(&race_skipped) ||
                  load_rlx(&mole_grace_state.is_fenced_a),
              "sections do without fences");
}

int main(void)
{
    race_begin("storm");
    const char *given = getenv("MOLE_CYCLES");
    size_t least = race_size(given ? strtoull(given, NULL, 0) : 50000, 1500, 100);
    if (!CAN_FORK)
        race_skip("forks: sanitizers hold locks of their own over them");
    run_denied(AT_START, ALL, least / 16, run_one);
    run_denied(LATER, ALL, least / 8, run_one);
    if (race_brief() < 2) {
        run_denied(AT_START, MEMBARRIER_CMD_QUERY, least / 16, run_one);
        run_denied(AT_START, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, least / 16,
                   run_one);
        run_denied(AT_START, MEMBARRIER_CMD_PRIVATE_EXPEDITED, least / 16, run_one);
        run_denied(LATER, MEMBARRIER_CMD_PRIVATE_EXPEDITED, least / 8, run_one);
    }
    is_bare = true;
    run_denied(NEVER, ALL, least / 4, run_one);
    is_bare = false;
    run_one(NEVER, ALL, least);
    return race_end();
}
