/* SPDX-License-Identifier: MIT */
/*
 * What a walk under HeapLock must show, block by block, while other threads use the heap.
 * All of them work on one set of slots. Before a call that changes a block its slot says
 * so, and after it what became of it; so with all others kept out of the heap, each
 * thread has at most one call of which only it knows whether it is done:
 *
 *   live        the walk shows the block, with its size
 *   in flight   it may show the block, or one of the size that was asked for
 *   none        it shows nothing
 *
 * and nothing else may be shown. Used by api and race tests: plain C, answers are
 * sentences.
 */
#pragma once

#include <molehill/heapapi.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

enum { WALK_SLOTS = 1500, WALK_SHOWN = 4000 };

enum { WALK_LIVE = 1, WALK_IN_FLIGHT = 2 }; /* added to the block's address, or to 0 */

#define WALK_NO_SIZE SIZE_MAX

struct walk_slot {
    _Atomic(uintptr_t) word;
    _Atomic(size_t) bytes;  /* live: its size */
    _Atomic(size_t) wanted; /* in flight: the size asked for, or WALK_NO_SIZE */
};

struct walk_shown {
    uintptr_t block;
    size_t bytes;
    bool is_known;
};

struct walk_oracle {
    HANDLE heap;
    struct walk_slot slots[WALK_SLOTS];
    _Atomic(uint64_t) begun, operations; /* calls */
    atomic_bool is_over;

    /* The walker's. */
    struct walk_shown shown[WALK_SHOWN];
    size_t count;
    size_t unsettled[WALK_SLOTS]; /* sizes asked for in flight */
    size_t unsettled_count;
    size_t seen, in_flight; /* in all walks: live blocks, calls in flight */
};

static inline void walk_oracle_init(struct walk_oracle *oracle, HANDLE heap)
{
    oracle->heap = heap;
    atomic_store(&oracle->begun, 0);
    atomic_store(&oracle->operations, 0);
    atomic_store(&oracle->is_over, false);
    oracle->seen = oracle->in_flight = 0;
}

/* Frees what is left. */
static inline void walk_oracle_finish(struct walk_oracle *oracle)
{
    for (size_t i = 0; i < WALK_SLOTS; i++) {
        uintptr_t word = atomic_exchange(&oracle->slots[i].word, 0);
        HeapFree(oracle->heap, 0, (void *)(word & ~(uintptr_t)15));
    }
}

static inline uint64_t walk_oracle_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 20;
}

/* The call on a slot that is in flight, this thread's; what the slot says after it. */
static inline uintptr_t walk_oracle_call(struct walk_oracle *oracle, uintptr_t block,
                                         size_t wanted, const char **failure)
{
    void *result = (void *)block;
    if (!block)
        result = HeapAlloc(oracle->heap, 0, wanted);
    else if (wanted != WALK_NO_SIZE)
        result = HeapReAlloc(oracle->heap, 0, result, wanted);
    else if (HeapFree(oracle->heap, 0, result))
        return 0;
    else
        *failure = "HeapFree refused a live block";
    if (!result)
        *failure = "no memory";
    return (uintptr_t)result + WALK_LIVE;
}

/* Allocate, resize or free a block of one slot, whoever allocated it. */
static inline const char *walk_oracle_operate(struct walk_oracle *oracle,
                                              uint64_t *random)
{
    const char *failure = NULL;
    struct walk_slot *slot = &oracle->slots[walk_oracle_random(random) % WALK_SLOTS];
    uintptr_t word = atomic_load(&slot->word);
    if (word & WALK_IN_FLIGHT)
        return NULL;
    uintptr_t block = word & ~(uintptr_t)15;
    size_t wanted = walk_oracle_random(random) % 64 ? walk_oracle_random(random) % 700
                                                    : walk_oracle_random(random) % 100000;
    if (block && walk_oracle_random(random) % 4)
        wanted = WALK_NO_SIZE;
    if (!atomic_compare_exchange_strong(&slot->word, &word, block + WALK_IN_FLIGHT + 4))
        return NULL;
    atomic_store(&slot->wanted, wanted);
    atomic_store(&slot->word, block + WALK_IN_FLIGHT);
    atomic_fetch_add(&oracle->begun, 1);
    word = walk_oracle_call(oracle, block, wanted, &failure);
    atomic_store(&slot->bytes, wanted);
    atomic_store(&slot->word, word);
    atomic_fetch_add(&oracle->operations, 1);
    return failure;
}

static inline int walk_oracle_compare(const void *left, const void *right)
{
    const struct walk_shown *a = left, *b = right;
    return (a->block > b->block) - (a->block < b->block);
}

static inline const char *walk_oracle_collect(struct walk_oracle *oracle)
{
    PROCESS_HEAP_ENTRY entry = {0};
    oracle->count = 0;
    while (HeapWalk(oracle->heap, &entry)) {
        if (!(entry.wFlags & PROCESS_HEAP_ENTRY_BUSY))
            continue;
        if (oracle->count == WALK_SHOWN)
            return "the walk shows more blocks than there can be";
        if (!HeapValidate(oracle->heap, 0, entry.lpData))
            return "a block that the walk shows does not validate";
        oracle->shown[oracle->count++] =
            (struct walk_shown){(uintptr_t)entry.lpData, entry.cbData, false};
    }
    if (GetLastError() != ERROR_NO_MORE_ITEMS)
        return "a walk under the lock ended early";
    qsort(oracle->shown, oracle->count, sizeof *oracle->shown, walk_oracle_compare);
    oracle->seen += oracle->count;
    return NULL;
}

static inline struct walk_shown *walk_oracle_find(struct walk_oracle *oracle,
                                                  uintptr_t block)
{
    struct walk_shown key = {.block = block};
    return bsearch(&key, oracle->shown, oracle->count, sizeof key, walk_oracle_compare);
}

static inline const char *walk_oracle_check_slot(struct walk_oracle *oracle,
                                                 struct walk_slot *slot)
{
    uintptr_t word = atomic_load(&slot->word);
    struct walk_shown *shown = walk_oracle_find(oracle, word & ~(uintptr_t)15);
    if (word & WALK_IN_FLIGHT) {
        size_t wanted = atomic_load(&slot->wanted);
        oracle->in_flight++;
        if (!(word & 4) && wanted != WALK_NO_SIZE)
            oracle->unsettled[oracle->unsettled_count++] = wanted;
        if (shown)
            shown->is_known = true;
        return NULL;
    }
    if (!word)
        return NULL;
    if (!shown)
        return "a live block is not shown";
    shown->is_known = true;
    return shown->bytes == atomic_load(&slot->bytes) ? NULL
                                                     : "a live block's size is wrong";
}

/* Whether a call in flight may have made this block; each makes one. */
static inline bool walk_oracle_settle(struct walk_oracle *oracle, size_t bytes)
{
    for (size_t i = 0; i < oracle->unsettled_count; i++) {
        if (oracle->unsettled[i] != bytes)
            continue;
        oracle->unsettled[i] = oracle->unsettled[--oracle->unsettled_count];
        return true;
    }
    return false;
}

/* Let the others run until one waits; and a call that the lock missed, to its end. */
static inline void walk_oracle_wait(struct walk_oracle *oracle)
{
    sched_yield();
    for (int turns = 0; turns < 100; turns++) {
        if (atomic_load(&oracle->begun) > atomic_load(&oracle->operations))
            return;
        sched_yield();
    }
}

static inline const char *walk_oracle_check(struct walk_oracle *oracle)
{
    const char *failure = walk_oracle_collect(oracle);
    walk_oracle_wait(oracle);
    oracle->unsettled_count = 0;
    for (size_t i = 0; i < WALK_SLOTS && !failure; i++)
        failure = walk_oracle_check_slot(oracle, &oracle->slots[i]);
    for (size_t i = 0; i < oracle->count && !failure; i++)
        if (!oracle->shown[i].is_known &&
            !walk_oracle_settle(oracle, oracle->shown[i].bytes))
            failure = "a block is shown that nobody has";
    return failure;
}

/* Walk under the lock and check. */
static inline const char *walk_oracle_inspect(struct walk_oracle *oracle)
{
    if (!HeapLock(oracle->heap))
        return "HeapLock failed";
    const char *failure = walk_oracle_check(oracle);
    if (!HeapUnlock(oracle->heap) && !failure)
        failure = "HeapUnlock failed";
    return failure;
}

/* Wait until the others have gone on. False: they did not for a minute. */
static inline bool walk_oracle_moves_on(struct walk_oracle *oracle, uint64_t before)
{
    for (int turns = 0; turns < 60000; turns++) {
        if (atomic_load(&oracle->operations) > before)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = turns < 100 ? 1000 : 1000000}, NULL);
    }
    return false;
}
