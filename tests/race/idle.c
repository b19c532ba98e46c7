/* SPDX-License-Identifier: MIT */
/*
 * Idle caches are drained while their threads come back. Threads allocate in bursts, free
 * each other's blocks, sleep for a look or two, or end; heaps come and go; the process
 * forks; and one thread looks for idle caches all the time. Blocks keep their contents,
 * and all heaps are in order. Three times: with the system's barrier, or fences where
 * there is none, and with one that is denied from the start or in the middle, for which
 * no heap is to be fenced.
 */
#include <sched.h>

#include "arena/heap.h"
#include "arena/mode.h"
#include "deny.h"
#include "os/barrier.h"
#include "race.h"
#include "tcache/idle.h"

enum { WORKERS = 4, HEAPS = 2, MALLOC = HEAPS, PLACES, SHARED = 64, BURST = 200 };

static HANDLE heaps[HEAPS];
static _Atomic(void *) shared[PLACES][SHARED]; /* stamped blocks that any may take */
static atomic_bool stop;
static atomic_ulong looks;
static atomic_ullong bursts, lives, tenants, forks;

static uint64_t key_of(size_t bytes)
{
    return bytes * 31 + 7;
}

/* A block tells its size, and is stamped behind that. */
static void *allocate(HANDLE heap, uint64_t *random)
{
    size_t bytes = sizeof bytes + race_below(random, race_below(random, 8) ? 500 : 9000);
    void *block = heap ? HeapAlloc(heap, 0, bytes) : mh_malloc(bytes);
    race_require(block != NULL, "no memory");
    memcpy(block, &bytes, sizeof bytes);
    race_stamp((char *)block + sizeof bytes, bytes - sizeof bytes, key_of(bytes));
    return block;
}

static void release(HANDLE heap, void *block)
{
    size_t bytes = 0;
    memcpy(&bytes, block, sizeof bytes);
    race_require(bytes < 10000 && race_is_stamped((char *)block + sizeof bytes,
                                                  bytes - sizeof bytes, key_of(bytes)),
                 "a block of %zu bytes was changed", bytes);
    if (heap)
        race_require(HeapFree(heap, 0, block), "HeapFree refused a live block");
    else
        mh_free(block);
}

static void burst(size_t place, uint64_t *random)
{
    HANDLE heap = place == MALLOC ? NULL : heaps[place];
    void *blocks[BURST];
    for (size_t i = 0; i < BURST; i++)
        blocks[i] = allocate(heap, random);
    for (size_t i = 0; i < BURST; i++) {
        void *block = blocks[i];
        if (race_below(random, 4) == 0)
            block = atomic_exchange(&shared[place][race_below(random, SHARED)], block);
        if (block)
            release(heap, block);
    }
    atomic_fetch_add(&bursts, 1);
}

/* So that the thread comes back at any moment of a look. */
static void be_idle(uint64_t *random)
{
    unsigned long until = atomic_load(&looks) + race_below(random, 4);
    while (atomic_load(&looks) < until && !atomic_load(&stop))
        sched_yield();
    for (size_t turns = race_below(random, 2000); turns > 0; turns--)
        (void)atomic_load(&stop);
}

static void *live(void *argument)
{
    uint64_t random = race_seed + (uintptr_t)argument;
    for (size_t left = 30; left && !atomic_load(&stop); left--) {
        burst(race_below(&random, PLACES), &random);
        be_idle(&random);
    }
    return NULL;
}

static void *live_again_and_again(void *argument)
{
    for (uintptr_t life = (uintptr_t)argument; !atomic_load(&stop); life += WORKERS) {
        race_join(race_thread(live, (void *)life));
        atomic_fetch_add(&lives, 1);
    }
    return NULL;
}

/* A heap that ends while it is looked at, with what is free in it or all its blocks. */
static void *be_tenant(void *argument)
{
    uint64_t random = race_seed ^ (uintptr_t)argument;
    while (!atomic_load(&stop)) {
        HANDLE heap = HeapCreate(0, 0, 0);
        void *blocks[BURST];
        race_require(heap != NULL, "HeapCreate failed");
        for (size_t i = 0; i < BURST; i++)
            blocks[i] = allocate(heap, &random);
        for (size_t i = 0; i < BURST; i++)
            if (race_below(&random, 50))
                release(heap, blocks[i]);
        be_idle(&random);
        race_require(HeapDestroy(heap), "HeapDestroy failed");
        atomic_fetch_add(&tenants, 1);
    }
    return NULL;
}

static int live_as_child(void)
{
    uint64_t random = race_seed;
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        for (size_t place = 0; place < PLACES; place++)
            burst(place, &random);
    for (size_t i = 0; i < HEAPS; i++)
        race_require(HeapValidate(heaps[i], 0, NULL), "a child's heap is not in order");
    return atomic_load(&race_failed) ? 1 : 0;
}

static void *fork_again_and_again(void *argument)
{
    uint64_t random = race_seed + 99;
    while (!atomic_load(&stop)) {
        burst(race_below(&random, PLACES), &random);
        be_idle(&random);
        pid_t child = fork();
        if (child == 0)
            _exit(live_as_child());
        int status = 0;
        race_require(child > 0 && waitpid(child, &status, 0) == child, "fork failed");
        race_require(status == 0, "a child ended with status 0x%x", (unsigned)status);
        atomic_fetch_add(&forks, 1);
    }
    return argument;
}

static void end(void)
{
    for (size_t place = 0; place < PLACES; place++)
        for (size_t i = 0; i < SHARED; i++) {
            void *block = atomic_exchange(&shared[place][i], NULL);
            if (block)
                release(place == MALLOC ? NULL : heaps[place], block);
        }
    for (size_t i = 0; i < HEAPS; i++) {
        race_case(race_allocated(heaps[i]) == 0, "%zu bytes are left",
                  race_allocated(heaps[i]));
        race_case(HeapValidate(heaps[i], 0, NULL), "a heap is not in order");
        race_case(HeapDestroy(heaps[i]), "HeapDestroy failed");
    }
}

static bool is_any_fenced(void)
{
    bool is_fenced = false;
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap))
        is_fenced |= load_rlx(&heap->word_a) & MOLE_MODE_FENCED;
    return is_fenced;
}

/* Whether there were as many looks as wanted, and the threads had their turns. */
static bool is_enough(size_t looked, size_t count, uint64_t drains, bool may_drain)
{
    bool is_used = atomic_load(&tenants) && atomic_load(&bursts) >= WORKERS;
    return looked >= count && is_used && (drains >= count / 8 || !may_drain);
}

/* The last looks, if what was to happen does not, give the other threads more time. */
static void look(size_t count, bool may_drain)
{
    uint64_t before = mole_idle_drains();
    for (size_t i = 0; i < count + 20000 && !atomic_load(&race_failed); i++) {
        if (is_enough(i, count, mole_idle_drains() - before, may_drain))
            return;
        (void)mole_idle_look();
        atomic_fetch_add(&looks, 1);
        if (i < count)
            sched_yield();
        else
            race_sleep_ms(1);
    }
}

static void look_all(enum when denied, int command, size_t count)
{
    look(count, denied != AT_START);
    if (denied != LATER)
        return;
    if (!deny_barrier(command)) {
        race_skip("the barrier cannot be denied");
        return;
    }
    uint64_t before = mole_idle_drains();
    look(count, false);
    race_case(mole_idle_drains() == before, "caches are drained without the barrier");
}

static void expect_exercised(enum when denied, size_t count, uint64_t drains)
{
    printf("%s: %lu looks, %llu drains, %llu bursts, %llu lives, %llu tenants, "
           "%llu forks\n",
           when_names[denied], atomic_load(&looks), (unsigned long long)drains,
           atomic_load(&bursts), atomic_load(&lives), atomic_load(&tenants),
           atomic_load(&forks));
    race_case(denied == AT_START ? drains == 0 : drains >= count / 8, "%llu drains",
              (unsigned long long)drains);
    race_case(atomic_load(&tenants) > 0 && atomic_load(&bursts) >= WORKERS,
              "exercised too little");
    race_case(denied == NEVER || !is_any_fenced(), "heaps were fenced to be drained");
}

static void run_one(enum when denied, int command, size_t count)
{
    pthread_t threads[WORKERS + 2];
    if (denied == AT_START && !deny_barrier(command)) {
        race_skip("the barrier cannot be denied");
        return;
    }
    if (denied == NEVER && !mole_barrier_all())
        mole_mode_go_fenced();
    for (size_t i = 0; i < HEAPS; i++)
        heaps[i] = HeapCreate(0, 0, 0);
    for (uintptr_t i = 0; i < WORKERS; i++)
        threads[i] = race_thread(live_again_and_again, (void *)i);
    threads[WORKERS] = race_thread(be_tenant, (void *)WORKERS);
    threads[WORKERS + 1] = race_thread(fork_again_and_again, NULL);
    uint64_t before = mole_idle_drains();
    look_all(denied, command, count);
    atomic_store(&stop, true);
    for (size_t i = 0; i < WORKERS + 2; i++)
        race_join(threads[i]);
    expect_exercised(denied, count, mole_idle_drains() - before);
    end();
}

int main(void)
{
    race_begin("idle");
    (void)mh_configure("purger:calls"); /* nobody else looks */
    size_t count = race_size(1000, 300, 30);
    if (!RACE_TSAN && mole_barrier_all()) {
        run_denied(AT_START, ALL, count / 4, run_one);
        run_denied(LATER, ALL, count / 4, run_one);
    } else {
        race_skip("there is no barrier to be denied");
    }
    run_one(NEVER, ALL, count);
    return race_end();
}
