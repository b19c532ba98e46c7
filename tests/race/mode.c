/* SPDX-License-Identifier: MIT */
/*
 * A mode of malloc's heap comes and goes while threads allocate, resize and free, each
 * other's blocks too. No block is handed out twice or lost, whichever paths a block has
 * gone.
 */
#include "malloc_mode.h"
#include "race.h"
#include "tcache/process.h"

enum { THREADS = 4, HELD = 64, SHARED = 256, BATCH = 32, MOST_BYTES = 6000 };

struct block {
    uint64_t key; /* of the stamp behind this */
    size_t bytes; /* all of it */
};

/*
 * How far the switch is: ON, GOING_OFF, OFF, GOING_ON, round and round. A batch of
 * operations is counted by what it saw before and after.
 */
enum { ON, GOING_OFF, OFF, GOING_ON, PHASES };
static atomic_uint phase;
static atomic_size_t batches_on, batches_off, batches_across, frees;
static atomic_bool is_over;
static _Atomic(struct block *) exchange[SHARED];

static void stamp(struct block *block, size_t bytes, uint64_t key)
{
    block->key = key;
    block->bytes = bytes;
    race_stamp(block + 1, bytes - sizeof *block, key);
}

static void check_block(const struct block *block, const char *what)
{
    race_require(race_is_stamped(block + 1, block->bytes - sizeof *block, block->key),
                 "%s: a block of %zu bytes changed", what, block->bytes);
    race_require(mh_malloc_usable_size((void *)block) >= block->bytes,
                 "%s: a block of %zu bytes has fewer", what, block->bytes);
}

static void give(struct block *block)
{
    if (!block)
        return;
    check_block(block, "free");
    mh_free(block);
    atomic_fetch_add(&frees, 1);
}

static size_t some_bytes(uint64_t *random)
{
    size_t most = race_below(random, 64) ? MOST_BYTES : 100000;
    return sizeof(struct block) + race_below(random, most);
}

static struct block *take(uint64_t *random)
{
    size_t bytes = some_bytes(random);
    bool is_zeroed = race_below(random, 4) == 0;
    struct block *block = is_zeroed ? mh_calloc(1, bytes) : mh_malloc(bytes);
    if (!block) {
        race_fail("no block of %zu bytes", bytes);
        return NULL;
    }
    race_require(!is_zeroed || race_is_zero(block, bytes), "calloc gave dirt");
    stamp(block, bytes, race_next(random));
    return block;
}

static struct block *resize(struct block *block, uint64_t *random)
{
    size_t bytes = some_bytes(random);
    size_t kept = bytes < block->bytes ? bytes : block->bytes;
    uint64_t key = block->key;
    check_block(block, "realloc");
    block = mh_realloc(block, bytes);
    if (!block) {
        race_fail("realloc to %zu bytes failed", bytes);
        return NULL;
    }
    race_require(race_is_stamped(block + 1, kept - sizeof *block, key),
                 "realloc to %zu bytes lost contents", bytes);
    stamp(block, bytes, race_next(random));
    return block;
}

static void do_operation(struct block **held, uint64_t *random)
{
    struct block **place = &held[race_below(random, HELD)];
    switch (race_below(random, 4)) {
    case 0:
        give(*place);
        *place = take(random);
        break;
    case 1:
        *place = *place ? resize(*place, random) : take(random);
        break;
    default: /* what another thread took is freed here */
        give(atomic_exchange(&exchange[race_below(random, SHARED)], *place));
        *place = take(random);
    }
}

static void do_batch(struct block **held, uint64_t *random)
{
    unsigned before = atomic_load(&phase);
    for (size_t i = 0; i < BATCH; i++)
        do_operation(held, random);
    if (atomic_load(&phase) != before)
        atomic_fetch_add(&batches_across, 1);
    else if (before % PHASES == ON)
        atomic_fetch_add(&batches_on, 1);
    else if (before % PHASES == OFF)
        atomic_fetch_add(&batches_off, 1);
}

static void *work(void *argument)
{
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    struct block *held[HELD] = {NULL};
    while (!atomic_load(&is_over) && !atomic_load(&race_failed))
        do_batch(held, &random);
    for (size_t i = 0; i < HELD; i++)
        give(held[i]);
    return NULL;
}

static bool is_enough(size_t wanted)
{
    return atomic_load(&batches_on) >= wanted && atomic_load(&batches_off) >= wanted &&
           atomic_load(&batches_across) >= wanted;
}

/* Until each kind of batch was seen often enough. How often it was switched off. */
static size_t switch_on_and_off(size_t wanted)
{
    uint64_t random = race_mix(race_seed - 1);
    size_t times = 0;
    while (!is_enough(wanted) && !atomic_load(&race_failed)) {
        atomic_fetch_add(&phase, 1);
        malloc_switch(false);
        atomic_fetch_add(&phase, 1);
        race_sleep_ms((unsigned)race_below(&random, 3));
        atomic_fetch_add(&phase, 1);
        malloc_switch(true);
        atomic_fetch_add(&phase, 1);
        race_sleep_ms((unsigned)race_below(&random, 3));
        times++;
    }
    return times;
}

/* Whether they are in the statistics, which leave out what the purger has in hand. */
static bool are_told(uint64_t before)
{
    for (int wait = 0; wait < 1000; wait++) {
        if (race_stats().malloc_frees - before >= atomic_load(&frees))
            return true;
        race_sleep_ms(10);
    }
    return false;
}

int main(void)
{
    race_begin("mode");
    mh_free(mh_malloc(1));
    size_t before = mole_process_malloc_bytes();
    uint64_t frees_before = race_stats().malloc_frees;
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(work, (void *)i);
    size_t times = switch_on_and_off(race_size(2000, 300, 20));
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    for (size_t i = 0; i < SHARED; i++)
        give(atomic_load(&exchange[i]));
    printf("mode: switched off %zu times; batches on %zu, off %zu, across %zu\n", times,
           atomic_load(&batches_on), atomic_load(&batches_off),
           atomic_load(&batches_across));
    size_t after = mole_process_malloc_bytes();
    race_case(after == before, "%zu bytes are left of %zu", after, before);
    race_case(are_told(frees_before), "frees were lost");
    race_case(times > 0 && !atomic_load(&race_failed), "blocks were lost or mixed up");
    return race_end();
}
