/* SPDX-License-Identifier: MIT */
/*
 * Programs whose blocks change their size, by several threads that free each other's: of
 * what they had before a few blocks live on in each slab, and the pages between those go
 * back to the system while all goes on. Each block keeps its contents, new ones are zero
 * where that was asked for, and pages must go in the ordinary course of things.
 */
#include "arena/holes.h"
#include "race.h"

enum { THREADS = 4, LIVE = 2000, SHARED = 512, PHASES = 6, LOOP = 400, PATIENCE = 2000 };

static const size_t phase_bytes[PHASES] = {512, 3000, 900, 6000, 600, 1500};

static HANDLE heap;
static _Atomic(size_t *) shared[SHARED];
static atomic_uint arrived;
static atomic_ullong verified, zeroed, exchanged;
static size_t wanted; /* pages that are to go in a phase */

struct lane {
    uint64_t random;
    size_t *blocks[LIVE], *kept[LIVE];
};

/* A third of the blocks is malloc's. The first word has the size, and whose it is. */
static size_t *allocate(struct lane *lane, size_t about)
{
    size_t bytes = about - about / 8 + race_below(&lane->random, about / 8);
    size_t of_malloc = race_below(&lane->random, 3) == 0;
    bool is_zero = race_below(&lane->random, 4) == 0;
    size_t *block = of_malloc
                        ? is_zero ? mh_calloc(1, bytes) : mh_malloc(bytes)
                        : HeapAlloc(heap, is_zero ? HEAP_ZERO_MEMORY : 0, (SIZE_T)bytes);
    if (!block) {
        race_fail("no memory");
        _exit(race_end());
    }
    for (size_t i = 0; is_zero && i < bytes; i++)
        if (((char *)block)[i]) {
            race_fail("byte %zu of %zu is not zero", i, bytes);
            break;
        }
    atomic_fetch_add(&zeroed, is_zero);
    block[0] = bytes << 1 | of_malloc;
    race_stamp(block + 1, bytes - sizeof *block, bytes);
    return block;
}

static void release(size_t *block)
{
    if (!block)
        return;
    size_t bytes = block[0] >> 1;
    race_require(race_is_stamped(block + 1, bytes - sizeof *block, bytes),
                 "a block of %zu bytes was disturbed", bytes);
    atomic_fetch_add(&verified, 1);
    if (block[0] & 1)
        mh_free(block);
    else
        race_require(HeapFree(heap, 0, block), "HeapFree refused a live block");
}

/* Replace some of the lane's blocks; every eighth goes by way of another thread. */
static void replace(struct lane *lane, size_t about)
{
    for (size_t i = 0; i < LOOP; i++) {
        size_t **place = &lane->blocks[race_below(&lane->random, LIVE)];
        size_t *old = *place;
        if (race_below(&lane->random, 8) == 0) {
            old = atomic_exchange(&shared[race_below(&lane->random, SHARED)], old);
            atomic_fetch_add(&exchanged, 1);
        }
        release(old);
        *place = allocate(lane, about);
    }
}

/* Of the sizes of before, one block in 32 lives on, through the next phase. */
static void evict(struct lane *lane)
{
    for (size_t i = 0; i < LIVE; i++) {
        release(lane->kept[i]);
        bool is_kept = race_below(&lane->random, 32) == 0;
        lane->kept[i] = is_kept ? lane->blocks[i] : NULL;
        if (!is_kept)
            release(lane->blocks[i]);
        lane->blocks[i] = NULL;
    }
}

static void await_others(unsigned phase)
{
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < THREADS * (phase + 1) && !atomic_load(&race_failed))
        race_sleep_ms(1);
}

/* A phase has no end before pages went: it takes some ticks of the clock. */
static void *run(void *argument)
{
    struct lane *lane = argument;
    uint64_t before = mole_holes_purged();
    for (unsigned phase = 0; phase < PHASES; phase++) {
        evict(lane);
        for (size_t loop = 0; loop < PATIENCE && !atomic_load(&race_failed); loop++) {
            replace(lane, phase_bytes[phase]);
            race_sleep_ms(2);
            if (phase == 0 ? loop > 5 : mole_holes_purged() - before >= wanted)
                break;
        }
        await_others(phase);
        before = mole_holes_purged();
    }
    evict(lane);
    evict(lane);
    return NULL;
}

int main(void)
{
    static struct lane lanes[THREADS];
    pthread_t threads[THREADS];
    race_begin("holes");
    heap = HeapCreate(0, 0, 0);
    wanted = race_size(200, 100, 50);
    for (unsigned i = 0; i < THREADS; i++) {
        lanes[i].random = race_seed + i;
        threads[i] = race_thread(run, &lanes[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        race_join(threads[i]);
    for (size_t i = 0; i < SHARED; i++)
        release(atomic_load(&shared[i]));
    unsigned long long pages = mole_holes_purged();
    printf("%llu pages given back; %llu blocks verified, %llu zeroed, %llu exchanged\n",
           pages, atomic_load(&verified), atomic_load(&zeroed), atomic_load(&exchanged));
    race_case(!atomic_load(&race_failed), "see above");
    race_case(race_allocated(heap) == 0 && HeapValidate(heap, 0, NULL),
              "the heap is not in order");
    race_case(pages >= wanted * (PHASES - 1), "exercised too little: %llu pages", pages);
    race_case(atomic_load(&exchanged) >= LOOP / 16 * PHASES,
              "exercised too little: %llu blocks went another way",
              atomic_load(&exchanged));
    race_case(HeapDestroy(heap), "HeapDestroy failed");
    return race_end();
}
