/* SPDX-License-Identifier: MIT */
/*
 * Heaps with checks, and hardened ones, under threads that allocate, resize and free each
 * other's blocks, while one of them looks through the heaps again and again: whatever the
 * checks write must be there whenever somebody looks. And in the child of a fork,
 * whatever the other threads were at.
 *
 * Blocks go from hand to hand through a table: a thread puts its own there and has what
 * it finds, mostly another thread's, to resize or to free.
 */
#include <signal.h>
#include <sys/wait.h>

#include "race.h"

enum { THREADS = 3, TABLE = 64, SLOTS = 64, MAXIMUM = 64 << 20 };

struct kind {
    const char *name;
    DWORD flags;
    size_t maximum; /* 0: it grows */
};
static const struct kind kinds[] = {
    {"tails and fills", HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED, 0},
    {"hardened", HEAP_CREATE_HARDENED, 0},
    {"all",
     HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED | HEAP_CREATE_HARDENED |
         HEAP_CREATE_ENABLE_EXECUTE,
     0},
    {"of fixed size", HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED, MAXIMUM},
    {"of fixed size, all",
     HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED | HEAP_CREATE_HARDENED |
         HEAP_CREATE_ENABLE_EXECUTE,
     MAXIMUM},
};

struct block {
    char *at;
    size_t bytes;
    uint64_t key;
    size_t thread; /* that made it */
};

static HANDLE heap;
static _Atomic(struct block *) table[TABLE];
static atomic_bool is_over;
static atomic_size_t operations, far_frees, far_resizes;

static size_t draw_bytes(uint64_t *random)
{
    size_t kind = race_below(random, 200);
    return race_below(random, kind < 160 ? 200 : kind < 198 ? 5000 : 200000);
}

static void fill(struct block *block, uint64_t *random)
{
    block->key = race_next(random);
    race_stamp(block->at, block->bytes, block->key);
}

static void require_whole(const struct block *block)
{
    race_require(race_is_stamped(block->at, block->bytes, block->key) &&
                     HeapSize(heap, 0, block->at) == block->bytes &&
                     HeapValidate(heap, 0, block->at),
                 "a block of %zu bytes is damaged", block->bytes);
}

static void allocate(struct block *block, size_t thread, uint64_t *random)
{
    block->bytes = draw_bytes(random);
    block->at = HeapAlloc(heap, 0, block->bytes);
    race_require(block->at != NULL, "no block of %zu bytes", block->bytes);
    block->thread = thread;
    if (block->at)
        fill(block, random);
}

static void resize(struct block *block, size_t thread, uint64_t *random)
{
    size_t bytes = draw_bytes(random), kept = bytes < block->bytes ? bytes : block->bytes;
    require_whole(block);
    char *at = HeapReAlloc(heap, 0, block->at, bytes);
    race_require(at && race_is_stamped(at, kept, block->key), "%zu to %zu bytes failed",
                 block->bytes, bytes);
    if (!at)
        return;
    atomic_fetch_add(&far_resizes, block->thread != thread);
    block->at = at;
    block->bytes = bytes;
    fill(block, random);
}

static void release(struct block *block, size_t thread)
{
    require_whole(block);
    race_require(HeapFree(heap, 0, block->at), "HeapFree refused a live block");
    atomic_fetch_add(&far_frees, block->thread != thread);
    block->at = NULL;
}

static void step(struct block **own, size_t thread, uint64_t *random)
{
    struct block **mine = &own[race_below(random, SLOTS)];
    if (race_below(random, 2) == 0)
        *mine = atomic_exchange(&table[race_below(random, TABLE)], *mine);
    if (!(*mine)->at)
        allocate(*mine, thread, random);
    else if (race_below(random, 3) == 0)
        resize(*mine, thread, random);
    else
        release(*mine, thread);
    atomic_fetch_add(&operations, 1);
}

static struct block blocks[TABLE + THREADS * SLOTS];

static void *work(void *argument)
{
    size_t thread = (uintptr_t)argument;
    uint64_t random = race_mix(race_seed + thread);
    struct block *own[SLOTS];
    for (size_t i = 0; i < SLOTS; i++)
        own[i] = &blocks[TABLE + thread * SLOTS + i];
    while (!atomic_load(&is_over) && !atomic_load(&race_failed))
        step(own, thread, &random);
    return NULL;
}

static void begin(const struct kind *kind, pthread_t *threads)
{
    heap = HeapCreate(kind->flags, 0, kind->maximum);
    race_require(heap != NULL, "HeapCreate failed");
    memset(blocks, 0, sizeof blocks);
    for (size_t i = 0; i < TABLE; i++)
        atomic_store(&table[i], &blocks[i]);
    atomic_store(&is_over, false);
    atomic_store(&operations, 0);
    atomic_store(&far_frees, 0);
    atomic_store(&far_resizes, 0);
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(work, (void *)i);
}

static void end(const struct kind *kind, const pthread_t *threads)
{
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        if (blocks[i].at)
            release(&blocks[i], THREADS);
    race_case(HeapValidate(heap, 0, NULL), "%s: the heap is not valid", kind->name);
    race_case(race_allocated(heap) == 0, "%s: %zu bytes are left", kind->name,
              race_allocated(heap));
    race_case(HeapDestroy(heap), "%s: HeapDestroy failed", kind->name);
}

/* How much it takes depends on how the threads are run: until it was enough, or never. */
static bool is_enough(size_t looks, size_t least)
{
    return looks >= 20 && atomic_load(&operations) >= least &&
           atomic_load(&far_frees) >= least / 200 &&
           atomic_load(&far_resizes) >= least / 400;
}

/* Nothing in it is ever seen half done. */
static void look_through(const struct kind *kind)
{
    pthread_t threads[THREADS];
    size_t looks = 0, least = race_size(60000, 20000, 2000);
    double limit = race_now() + 90;
    begin(kind, threads);
    while (!is_enough(looks, least) && race_now() < limit && !atomic_load(&race_failed)) {
        race_require(HeapValidate(heap, 0, NULL), "%s: it does not validate", kind->name);
        if (++looks % 16 == 0)
            (void)HeapCompact(heap, 0);
    }
    printf("checked: %s: %zu looks, %zu operations, %zu far frees, %zu far resizes\n",
           kind->name, looks, atomic_load(&operations), atomic_load(&far_frees),
           atomic_load(&far_resizes));
    race_case(is_enough(looks, least), "%s: exercised too little", kind->name);
    end(kind, threads);
}

/* The child of a fork, with what the vanished threads left. */
static int live_as_child(void)
{
    uint64_t random = race_seed;
    struct block own = {0};
    atomic_store(&race_failed, 0);
    race_require(HeapValidate(heap, 0, NULL), "it does not validate in a child");
    for (size_t i = 0; i < 2000 && !atomic_load(&race_failed); i++) {
        allocate(&own, 0, &random);
        resize(&own, 0, &random);
        release(&own, 0);
    }
    race_require(HeapValidate(heap, 0, NULL), "nor after a while");
    return atomic_load(&race_failed) ? 1 : 0;
}

static void fork_beside(const struct kind *kind)
{
    pthread_t threads[THREADS];
    size_t forks = race_size(60, 20, 5);
    begin(kind, threads);
    /* A thread that starts holds locks of the sanitizers' that a child would wait for. */
    while (atomic_load(&operations) < 500 && !atomic_load(&race_failed))
        race_sleep_ms(1);
    race_sleep_ms(100);
    for (size_t i = 0; i < forks && !atomic_load(&race_failed); i++) {
        race_seed = race_mix(race_seed);
        pid_t child = fork();
        if (child == 0) {
            alarm(race_brief() ? 200 : 60);
            _exit(live_as_child());
        }
        int status = 1;
        race_case(child > 0 && waitpid(child, &status, 0) == child && status == 0,
                  "%s: child %zu ended with status 0x%x", kind->name, i,
                  (unsigned)status);
    }
    race_case(atomic_load(&operations) > forks * 10, "%s: exercised too little",
              kind->name);
    end(kind, threads);
}

int main(void)
{
    race_begin("checked");
    if (RACE_TSAN)
        (void)mh_configure("purger:calls"); /* it knows no threads in a child */
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        look_through(&kinds[i]);
        fork_beside(&kinds[i]);
    }
    return race_end();
}
