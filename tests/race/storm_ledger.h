/* SPDX-License-Identifier: MIT */
/*
 * For storm.c: spies that are attached throughout and keep books. What is allocated was
 * not there, what is freed or resized was, with the size that was told; a destroyed heap
 * takes its blocks along. A sampling spy's books have to be right just as well.
 */
#pragma once

#include <molehill/spy.h>

#include "race.h"

enum { SHARDS = 512, SHARD_ROOM = 256 };

struct entry {
    void *heap;
    void *block;
    size_t bytes;
};

/* The blocks whose addresses lead here. */
struct shard {
    pthread_mutex_t lock;
    size_t count;
    struct entry entries[SHARD_ROOM];
};

struct ledger {
    struct mh_spy spy;
    struct shard shards[SHARDS];
    atomic_ullong allocated, freed, reallocated, created, destroyed;
};

/* In the children of forks, where books may be torn, these only count. */
static atomic_bool books_are_closed;

/* Spies whose callbacks the thread is in: a bit each. */
static _Thread_local uint64_t inside;

static bool is_open(atomic_ullong *count)
{
    atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    return !atomic_load_explicit(&books_are_closed, memory_order_relaxed);
}

static struct shard *shard_of(struct ledger *ledger, const void *block)
{
    return &ledger->shards[race_mix((uintptr_t)block) % SHARDS];
}

/* Under the shard's lock. */
static struct entry *find_entry(struct shard *shard, const void *block)
{
    for (size_t i = 0; i < shard->count; i++)
        if (shard->entries[i].block == block)
            return &shard->entries[i];
    return NULL;
}

static void enter_block(struct ledger *ledger, struct entry entry)
{
    struct shard *shard = shard_of(ledger, entry.block);
    pthread_mutex_lock(&shard->lock);
    race_require(!find_entry(shard, entry.block), "%s: %p came twice", ledger->spy.name,
                 entry.block);
    race_require(shard->count < SHARD_ROOM, "%s: too many blocks", ledger->spy.name);
    if (shard->count < SHARD_ROOM)
        shard->entries[shard->count++] = entry;
    pthread_mutex_unlock(&shard->lock);
}

static void strike_block(struct ledger *ledger, struct entry gone)
{
    struct shard *shard = shard_of(ledger, gone.block);
    pthread_mutex_lock(&shard->lock);
    struct entry *entry = find_entry(shard, gone.block);
    race_require(entry, "%s: %p goes and never came", ledger->spy.name, gone.block);
    if (entry) {
        race_require(entry->heap == gone.heap && entry->bytes == gone.bytes,
                     "%s: %p came with %zu bytes in %p and goes with %zu in %p",
                     ledger->spy.name, gone.block, entry->bytes, entry->heap, gone.bytes,
                     gone.heap);
        *entry = shard->entries[--shard->count];
    }
    pthread_mutex_unlock(&shard->lock);
}

static void book_allocated(void *context, void *heap, void *block, size_t bytes)
{
    struct ledger *ledger = context;
    if (is_open(&ledger->allocated))
        enter_block(ledger, (struct entry){heap, block, bytes});
}

static void book_freed(void *context, void *heap, void *block, size_t bytes)
{
    struct ledger *ledger = context;
    if (is_open(&ledger->freed))
        strike_block(ledger, (struct entry){heap, block, bytes});
}

static void book_reallocated(void *context, void *heap, void *old_block, size_t old_bytes,
                             void *block, size_t bytes)
{
    struct ledger *ledger = context;
    if (!is_open(&ledger->reallocated))
        return;
    strike_block(ledger, (struct entry){heap, old_block, old_bytes});
    enter_block(ledger, (struct entry){heap, block, bytes});
}

/* Blocks and bytes of a heap, or of all. */
struct sum {
    size_t blocks, bytes;
};

static struct sum sum_up(struct ledger *ledger, const void *heap)
{
    struct sum sum = {0};
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &ledger->shards[i];
        pthread_mutex_lock(&shard->lock);
        for (size_t k = 0; k < shard->count; k++)
            if (!heap || shard->entries[k].heap == heap) {
                sum.blocks++;
                sum.bytes += shard->entries[k].bytes;
            }
        pthread_mutex_unlock(&shard->lock);
    }
    return sum;
}

static void book_created(void *context, void *heap)
{
    struct ledger *ledger = context;
    if (is_open(&ledger->created))
        race_require(sum_up(ledger, heap).blocks == 0, "%s: a new heap has blocks",
                     ledger->spy.name);
}

static void book_destroyed(void *context, void *heap)
{
    struct ledger *ledger = context;
    if (!is_open(&ledger->destroyed))
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &ledger->shards[i];
        pthread_mutex_lock(&shard->lock);
        for (size_t k = 0; k < shard->count;)
            if (shard->entries[k].heap == heap)
                shard->entries[k] = shard->entries[--shard->count];
            else
                k++;
        pthread_mutex_unlock(&shard->lock);
    }
}

static void open_ledger(struct ledger *ledger, const char *name, size_t sample_bytes)
{
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&ledger->shards[i].lock, NULL);
    ledger->spy = (struct mh_spy){
        .size = sizeof ledger->spy,
        .name = name,
        .context = ledger,
        .sample_bytes = sample_bytes,
        .allocated = book_allocated,
        .freed = book_freed,
        .reallocated = book_reallocated,
        .heap_created = book_created,
        .heap_destroyed = book_destroyed,
    };
    race_require(mh_spy_attach(&ledger->spy, MH_SPY_ALL) == 0, "%s: not attached", name);
}

/* The entry of a block that is live; NULL: not in the books. */
static struct entry *look_up(struct ledger *ledger, const void *block)
{
    return find_entry(shard_of(ledger, block), block);
}
