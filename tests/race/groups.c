/* SPDX-License-Identifier: MIT */
/*
 * Threads take and give records of one size, many and few by turns, so that groups are
 * used up, all free, purged and used again all the time. Each record is one thread's, and
 * holds what that wrote. Then the same without a single page to be had: the records there
 * are suffice, so nobody may be refused, whatever another has in hand.
 */
#include "arena/group.h"

#include "os/pages.h"
#include "race.h"

enum {
    BYTES = 1000, /* of a size that no slab has */
    THREADS = 4,
    MOST = 400,
    ALL = 8 * THREADS * MOST,
    UNLUCKY = 3 * THREADS, /* groups made because another was in hand just then */
};

static size_t rounds;
static bool has_memory;
static atomic_size_t taken, found_zero, refused;
static pthread_barrier_t all_met;

struct worker {
    uint64_t random;
    void *records[ALL];
    uint32_t groups[ALL];
    size_t count;
};
static struct worker workers[THREADS], keeper;
static size_t most = MOST; /* records that a thread takes at once */

static uint64_t *words_of(void *record)
{
    return record;
}

/* A record of somebody's has two equal words, a free one has not, or zeros. */
static void take(struct worker *worker)
{
    size_t at = worker->count;
    void *record = mole_group_take(BYTES, &worker->groups[at]);
    if (!record) {
        atomic_fetch_add(&refused, 1);
        return;
    }
    uint64_t *words = words_of(record), mark = race_next(&worker->random) | 1;
    race_require(words[1] == 0 || words[1] != words[2], "a record is two threads'");
    if (words[1] == 0)
        atomic_fetch_add(&found_zero, 1);
    words[1] = words[2] = mark;
    worker->records[at] = record;
    worker->count++;
}

static void give(struct worker *worker)
{
    size_t at = race_below(&worker->random, worker->count);
    uint64_t *words = words_of(worker->records[at]);
    race_require(words[1] != 0 && words[1] == words[2], "what a thread held was changed");
    words[2] = ~words[1];
    uint32_t group = worker->groups[at];
    void *record = worker->records[at];
    worker->count--;
    worker->records[at] = worker->records[worker->count];
    worker->groups[at] = worker->groups[worker->count];
    mole_group_give(group, record);
}

static void *take_and_give(void *argument)
{
    struct worker *worker = argument;
    pthread_barrier_wait(&all_met);
    for (size_t round = 0; round < rounds; round++) {
        size_t wanted = race_below(&worker->random, round % 8 && most > 4 ? 4 : most + 1);
        size_t before = worker->count;
        while (worker->count < wanted && !atomic_load(&refused))
            take(worker);
        while (worker->count > wanted)
            give(worker);
        if (worker->count > before)
            atomic_fetch_add(&taken, worker->count - before);
    }
    while (worker->count > 0)
        give(worker);
    return NULL;
}

static void run_all(void)
{
    pthread_t threads[THREADS];
    atomic_store(&taken, 0);
    atomic_store(&found_zero, 0);
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(take_and_give, &workers[i]);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    printf("%s: %zu taken, %zu of them were zero, %zu groups\n",
           has_memory ? "with memory" : "without", atomic_load(&taken),
           atomic_load(&found_zero), mole_group_figures().groups);
}

/* Groups that hold all that the threads take at most. */
static size_t groups_for_all(void)
{
    size_t before = mole_group_figures().groups;
    for (size_t i = 0; i < THREADS; i++)
        while (workers[i].count < most)
            take(&workers[i]);
    for (size_t i = 0; i < THREADS; i++)
        while (workers[i].count > 0)
            give(&workers[i]);
    return mole_group_figures().groups - before;
}

/* Of all records there are, only as many are free as the threads take at most. */
static void leave_few(void)
{
    while (!atomic_load(&refused)) {
        race_require(keeper.count < ALL, "there are more than %d records", ALL);
        take(&keeper);
    }
    atomic_store(&refused, 0);
    most = 1;
    rounds *= 10;
    for (size_t i = 0; i < THREADS; i++)
        give(&keeper);
}

static void all(void)
{
    (void)GetProcessHeap();
    pthread_barrier_init(&all_met, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++)
        workers[i].random = race_mix(race_seed + i);
    rounds = race_size(40000, 1000, 40);
    size_t before = mole_group_figures().groups, used = mole_group_figures().used_bytes;
    size_t wanted = groups_for_all();
    has_memory = true;
    run_all();
    struct mole_group_figures after = mole_group_figures();
    race_case(after.used_bytes == used, "records are counted wrongly");
    race_case(after.groups <= before + wanted + UNLUCKY, "%zu groups where %zu suffice",
              after.groups - before, wanted);
    race_case(atomic_load(&found_zero) > rounds / 10, "hardly a group was purged");

    has_memory = false;
    mole_pages_inject(1, true);
    leave_few();
    used = mole_group_figures().used_bytes;
    run_all();
    unsigned long calls = mole_pages_inject(0, false);
    race_case(atomic_load(&refused) == 0, "a thread was refused, with records to be had");
    race_case(calls > 0, "no call of the system failed");
    race_case(mole_group_figures().used_bytes == used, "records are counted wrongly");
    printf("%lu calls failed\n", calls);
}

int main(void)
{
    race_begin("groups");
    all();
    return race_end();
}
