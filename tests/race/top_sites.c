/* SPDX-License-Identifier: MIT */
/*
 * The tables of the spy top-sites, as its callbacks use them: blocks entered by one
 * thread are found and taken out by another, with what was entered, while a third looks
 * for the blocks of a heap; a call stack has one place, whoever entered it.
 */
#include <sched.h>

#include "observers/blocks.h"
#include "observers/sites.h"
#include "race.h"

enum { WORKERS = 3, SHELVES = 64, STACKS = 6000, NEW = 4, OWN = 50 };

/* Where workers leave a block for whoever comes next; 0: none. */
static _Atomic(uintptr_t) shelves[SHELVES];
static _Atomic(size_t) handed_over;
static atomic_bool is_over;
static _Atomic(size_t) arrived; /* at a meeting of all workers, ever */

static char heaps[2]; /* their addresses stand for two heaps */

struct worker {
    pthread_t thread;
    uint64_t random;
    uintptr_t last;         /* the block entered last; its own, by the highest bits */
    size_t rounds;          /* for each NEW stacks */
    uint32_t place[STACKS]; /* where it found each stack */
};

/* What is to be found with a block. */
static struct sample sample_of(uintptr_t block, void *heap)
{
    return (struct sample){.heap = heap,
                           .bytes = race_mix(block),
                           .blocks = (float)(block >> 4 & 0xffff),
                           .site = (uint32_t)race_mix(block + 1)};
}

static bool is_equal(const struct sample *a, const struct sample *b)
{
    return a->heap == b->heap && a->bytes == b->bytes && a->blocks == b->blocks &&
           a->site == b->site;
}

static struct stack stack_of(size_t number)
{
    struct stack stack = {.depth = number % STACK_MOST + 1};
    for (size_t i = 0; i < stack.depth; i++)
        stack.frame[i] = (void *)(uintptr_t)(race_mix(number * STACK_MOST + i) | 1);
    return stack;
}

static void take(uintptr_t block)
{
    struct sample found;
    struct sample right = sample_of(block, &heaps[0]);
    if (!blocks_take((const void *)block, &found))
        race_fail("a block that was entered is not found");
    else if (!is_equal(&found, &right))
        race_fail("a block is found with what was entered for another");
}

/* Enter a block and take out the one that was left where it is left. */
static void hand_over(struct worker *worker)
{
    uintptr_t block = worker->last += 16;
    struct sample sample = sample_of(block, &heaps[0]);
    if (!blocks_add((const void *)block, &sample)) {
        race_fail("there is no room for a few blocks");
        return;
    }
    block = atomic_exchange(&shelves[race_below(&worker->random, SHELVES)], block);
    if (!block)
        return;
    take(block);
    atomic_fetch_add(&handed_over, block >> 40 != worker->last >> 40);
}

static void count(struct worker *worker, size_t number)
{
    struct stack stack = stack_of(number);
    uint32_t place = sites_find(&stack);
    if (worker->place[number] && worker->place[number] != place)
        race_fail("a call stack has two places");
    worker->place[number] = place;
    atomic_fetch_add_explicit(&sites[place].samples_a, 1, memory_order_relaxed);
}

/* Wait for the others, and go on at the same moment as they. */
static void meet(void)
{
    size_t turn = atomic_fetch_add(&arrived, 1) / WORKERS;
    for (size_t i = 0; atomic_load(&arrived) < (turn + 1) * WORKERS; i++)
        if (i % 1000 == 999)
            sched_yield();
}

/* All meet the same new stacks at the same time. */
static void *work(void *argument)
{
    struct worker *worker = argument;
    for (size_t first = 0; first < STACKS; first += NEW) {
        meet();
        for (size_t i = 0; i < worker->rounds; i++) {
            count(worker, first + i % NEW);
            hand_over(worker);
            if (i % 16 == 0)
                sched_yield();
        }
    }
    return NULL;
}

/* A heap whose blocks nobody frees: all of them are found, and no others. */
static void *destroy(void *unused)
{
    uintptr_t last = (uintptr_t)(WORKERS + 1) << 40;
    size_t rounds = 0;
    (void)unused;
    do {
        struct sample found;
        size_t at = 0;
        size_t count = 0;
        for (size_t i = 0; i < OWN; i++) {
            struct sample sample = sample_of(last += 16, &heaps[1]);
            if (!blocks_add((const void *)last, &sample))
                race_fail("there is no room for a heap's blocks");
        }
        while (blocks_take_of(&heaps[1], &at, &found)) {
            count++;
            if (found.heap != &heaps[1])
                race_fail("another heap's block is taken out");
        }
        if (count != OWN)
            race_fail("%zu blocks of a heap are found, not %d", count, OWN);
        rounds++;
    } while (!atomic_load(&is_over) || rounds < 3);
    return NULL;
}

static void check_places(const struct worker *workers)
{
    for (size_t number = 0; number < STACKS; number++) {
        struct stack stack = stack_of(number);
        const struct site *site = &sites[sites_find(&stack)];
        for (size_t i = 0; i < WORKERS; i++)
            if (workers[i].place[number] && &sites[workers[i].place[number]] != site)
                race_fail("two threads have different places for one stack");
        if (site == &sites[SITES_OTHER])
            race_fail("there is no room for a few stacks");
        size_t depth = atomic_load_explicit(&site->depth_a, memory_order_acquire);
        if (depth != stack.depth ||
            memcmp(site->frame, stack.frame, depth * sizeof stack.frame[0]) != 0)
            race_fail("a place has another stack's frames");
    }
}

/* Each sample was counted once. */
static void check_counts(size_t all)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < SITES_MOST; i++)
        sum += atomic_load(&sites[i].samples_a);
    race_case(sum == all, "%llu samples are counted of %zu", (unsigned long long)sum,
              all);
}

static void side_by_side(void)
{
    static struct worker workers[WORKERS];
    size_t rounds = race_size(200, 40, 8);
    size_t all = rounds * (STACKS / NEW) * WORKERS;
    struct sample found;
    size_t at = 0;
    pthread_t destroyer = race_thread(destroy, NULL);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){
            .random = race_seed + i, .last = (uintptr_t)(i + 1) << 40, .rounds = rounds};
        workers[i].thread = race_thread(work, &workers[i]);
    }
    for (size_t i = 0; i < WORKERS; i++)
        race_join(workers[i].thread);
    atomic_store(&is_over, true);
    race_join(destroyer);
    for (size_t i = 0; i < SHELVES; i++)
        if (atomic_load(&shelves[i]))
            take(atomic_load(&shelves[i]));
    race_case(!blocks_take_of(&heaps[0], &at, &found), "a block is there twice");
    race_case(atomic_load(&handed_over) > all / 50,
              "only %zu blocks were taken by another thread than entered them",
              atomic_load(&handed_over));
    check_places(workers);
    check_counts(all);
}

/* More than there is room for: what was entered is found again, the rest was refused. */
static void overfull(void)
{
    enum { MANY = 300000, MORE_STACKS = 10000 };
    static bool is_in[MANY];
    struct sample found;
    size_t refused = 0;
    blocks_clear();
    sites_clear();
    for (uintptr_t i = 0; i < MANY; i++) {
        struct sample sample = sample_of((i + 1) * 16, &heaps[0]);
        is_in[i] = blocks_add((const void *)((i + 1) * 16), &sample);
        refused += !is_in[i];
    }
    for (uintptr_t i = 0; i < MANY; i++)
        if (is_in[i])
            take((i + 1) * 16);
        else if (blocks_take((const void *)((i + 1) * 16), &found))
            race_fail("a block that was refused is found");
    race_case(refused > 0 && refused < MANY / 2, "%zu blocks of %d were refused", refused,
              MANY);
    size_t others = 0;
    for (size_t i = 0; i < MORE_STACKS; i++) {
        struct stack stack = stack_of(i);
        others += sites_find(&stack) == SITES_OTHER;
    }
    race_case(others > 0 && others < MORE_STACKS / 2, "%zu stacks of %d have no place",
              others, MORE_STACKS);
}

int main(void)
{
    race_begin("top_sites");
    side_by_side();
    overfull();
    race_case(true, "it does not end");
    return race_end();
}
