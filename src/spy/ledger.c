/* SPDX-License-Identifier: MIT */
#include "spy/ledger.h"

#include <assert.h>
#include <stdalign.h>

#include "base/atom.h"
#include "os/pages.h"
#include "os/thread.h"

/*
 * What a record is doing: in its pool, in the tables, or in a thread's hand, by serial.
 */
enum { IN_POOL = 0, RECORDED = 1, IN_HAND = 2 };

struct link {
    struct link *next;
};

/* The thread that has it in hand may write it; in the tables, whoever has their locks. */
struct mole_record {
    struct link by_client; /* or the next of its pool */
    struct link by_block;
    const void *client;
    const void *block;
    uint64_t state;    /* IN_HAND + the thread's serial */
    struct pool *home; /* const */
};

enum {
    POOLS = 32,
    SHARDS = 64,
    FIRST_BUCKETS = 32,
    FIRST_CHUNK = 1 << 14,
    LARGEST_CHUNK = 1 << 24,
};

/* A mapping full of records. */
struct chunk {
    struct chunk *next;
    size_t count;
    struct mole_record records[];
};

/* By the thread that reserves; a record returns to where it came from. */
struct pool {
    alignas(MOLE_CACHE_LINE) struct mole_lock lock;
    struct link *free;    /* under the lock */
    struct chunk *chunks; /* under the lock */
    size_t next_bytes;    /* under the lock: of the next chunk */

    /*
     * owed_a: records out of this pool.
     *   writers  under the lock
     *   readers  mole_ledger_is_empty, first without the lock
     *   orders   relaxed: the lock orders
     *   keeps    rises before a record is handed out
     */
    _Atomic(size_t) owed_a;
};

/* A part of a table: buckets, twice as many whenever they become full. Under the lock. */
struct shard {
    alignas(MOLE_CACHE_LINE) struct mole_lock lock;
    struct link **buckets; /* NULL: `first` */
    size_t bucket_count;   /* a power of two; 0 stands for FIRST_BUCKETS */
    size_t count;
    struct link *first[FIRST_BUCKETS];
};

static struct pool pools[POOLS];
static struct shard by_client[SHARDS];
static struct shard by_block[SHARDS];

/* The common count of locks is one line for all threads: only those who wait go there. */
static void lock(struct mole_lock *some)
{
    if (unlikely(!mole_lock_try(some)))
        mole_lock_acquire(some);
}

static uint64_t hash(const void *pointer)
{
    return ((uint64_t)(uintptr_t)pointer >> 3) * 0x9e3779b97f4a7c15u;
}

static struct shard *shard_of(struct shard *table, const void *pointer)
{
    return &table[hash(pointer) >> 58];
}
static_assert(SHARDS == 1 << (64 - 58), "the top bits choose a shard");

static size_t bucket_count(const struct shard *shard)
{
    return shard->bucket_count ? shard->bucket_count : FIRST_BUCKETS;
}

static struct link **buckets(struct shard *shard)
{
    return shard->buckets ? shard->buckets : shard->first;
}

/* Where the list begins that has the pointer, if any. */
static struct link **bucket(struct shard *shard, const void *pointer)
{
    return &buckets(shard)[hash(pointer) >> 20 & (bucket_count(shard) - 1)];
}

static struct mole_record *of_client(struct link *link)
{
    return (struct mole_record *)((char *)link - offsetof(struct mole_record, by_client));
}

static struct mole_record *of_block(struct link *link)
{
    return (struct mole_record *)((char *)link - offsetof(struct mole_record, by_block));
}

static const void *key_of(const struct shard *shard, struct link *link)
{
    bool is_client = shard >= by_client && shard < by_client + SHARDS;
    return is_client ? of_client(link)->client : of_block(link)->block;
}

/* Of a table of its own. */
static size_t table_bytes(size_t buckets)
{
    return mole_round_up(buckets * sizeof(void *), MOLE_PAGE);
}

/* Without memory for it the lists become longer, nothing else. */
static mole_slow void grow(struct shard *shard)
{
    size_t old_count = bucket_count(shard);
    struct link **old = buckets(shard);
    size_t bytes = table_bytes(2 * old_count);
    struct link **new = mole_pages_reserve(bytes, MOLE_PAGE);
    if (!new)
        return;
    if (!mole_pages_commit(new, bytes)) {
        mole_pages_release(new, bytes);
        return;
    }
    shard->buckets = new;
    shard->bucket_count = bytes / sizeof(void *);
    for (size_t i = 0; i < old_count; i++)
        for (struct link *link = old[i]; link;) {
            struct link *next = link->next;
            struct link **at = bucket(shard, key_of(shard, link));
            link->next = *at;
            *at = link;
            link = next;
        }
    if (old != shard->first)
        mole_pages_release(old, table_bytes(old_count));
}

static void insert(struct shard *shard, struct link *link)
{
    if (unlikely(shard->count >= 2 * bucket_count(shard)))
        grow(shard);
    struct link **at = bucket(shard, key_of(shard, link));
    link->next = *at;
    *at = link;
    shard->count++;
}

static void take_out(struct shard *shard, struct link *link)
{
    struct link **at = bucket(shard, key_of(shard, link));
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    shard->count--;
}

/* The first with this key; the record recorded last. */
static struct link *find(struct shard *shard, const void *pointer)
{
    struct link *link = *bucket(shard, pointer);
    while (link && key_of(shard, link) != pointer)
        link = link->next;
    return link;
}

/* More records for the pool. */
static mole_slow bool supply(struct pool *pool)
{
    size_t bytes = pool->next_bytes ? pool->next_bytes : FIRST_CHUNK;
    struct chunk *chunk = mole_pages_reserve(bytes, MOLE_PAGE);
    if (!chunk)
        return false;
    if (!mole_pages_commit(chunk, bytes)) {
        mole_pages_release(chunk, bytes);
        return false;
    }
    pool->next_bytes = bytes < LARGEST_CHUNK ? 2 * bytes : bytes;
    chunk->count = (bytes - sizeof *chunk) / sizeof *chunk->records;
    for (size_t i = chunk->count; i-- > 0;) {
        chunk->records[i].home = pool;
        chunk->records[i].by_client.next = pool->free;
        pool->free = &chunk->records[i].by_client;
    }
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    return true;
}

struct mole_record *mole_ledger_reserve(void)
{
    uint64_t serial = mole_thread_serial();
    struct pool *pool = &pools[serial % POOLS];
    struct mole_record *record = NULL;
    lock(&pool->lock);
    if (likely(pool->free) || supply(pool)) {
        record = of_client(pool->free);
        pool->free = record->by_client.next;
        record->state = IN_HAND + serial;
        add_rlx(&pool->owed_a, 1);
    }
    mole_lock_release(&pool->lock);
    return record;
}

void mole_ledger_drop(struct mole_record *record)
{
    if (!record)
        return;
    struct pool *pool = record->home;
    lock(&pool->lock);
    record->state = IN_POOL;
    record->by_client.next = pool->free;
    pool->free = &record->by_client;
    sub_rlx(&pool->owed_a, 1);
    mole_lock_release(&pool->lock);
}

void mole_ledger_record_again(struct mole_record *record)
{
    struct shard *client = shard_of(by_client, record->client);
    struct shard *block = shard_of(by_block, record->block);
    lock(&client->lock);
    record->state = RECORDED;
    insert(client, &record->by_client);
    lock(&block->lock);
    insert(block, &record->by_block);
    mole_lock_release(&block->lock);
    mole_lock_release(&client->lock);
}

void mole_ledger_record(struct mole_record *record, const void *client, const void *block)
{
    record->client = client;
    record->block = block;
    mole_ledger_record_again(record);
}

bool mole_ledger_has(const void *client)
{
    struct shard *shard = shard_of(by_client, client);
    lock(&shard->lock);
    bool is_found = find(shard, client) != NULL;
    mole_lock_release(&shard->lock);
    return is_found;
}

/* Out of both tables. Under the lock of its client's shard. */
static void take_record(struct shard *client, struct mole_record *record)
{
    take_out(client, &record->by_client);
    struct shard *block = shard_of(by_block, record->block);
    lock(&block->lock);
    take_out(block, &record->by_block);
    mole_lock_release(&block->lock);
    record->state = IN_HAND + mole_thread_serial();
}

struct mole_record *mole_ledger_take(const void *client)
{
    struct shard *shard = shard_of(by_client, client);
    struct mole_record *record = NULL;
    lock(&shard->lock);
    struct link *link = find(shard, client);
    if (link) {
        record = of_client(link);
        take_record(shard, record);
    }
    mole_lock_release(&shard->lock);
    return record;
}

/* The client's pointer of a block. */
static bool find_client(const void *block, const void **client)
{
    struct shard *shard = shard_of(by_block, block);
    lock(&shard->lock);
    struct link *link = find(shard, block);
    if (link)
        *client = of_block(link)->client;
    mole_lock_release(&shard->lock);
    return link != NULL;
}

/* Nobody else is to free or resize the block meanwhile, so its record stays the same. */
struct mole_record *mole_ledger_take_block(const void *block)
{
    const void *client;
    if (likely(!find_client(block, &client)))
        return NULL;
    struct shard *shard = shard_of(by_client, client);
    struct mole_record *record = NULL;
    lock(&shard->lock);
    struct link *link = *bucket(shard, client);
    while (link && (of_client(link)->client != client || of_client(link)->block != block))
        link = link->next;
    if (link) {
        record = of_client(link);
        take_record(shard, record);
    }
    mole_lock_release(&shard->lock);
    return record;
}

const void *mole_ledger_client(const struct mole_record *record)
{
    return record->client;
}

const void *mole_ledger_block(const struct mole_record *record)
{
    return record->block;
}

bool mole_ledger_is_empty(void)
{
    for (size_t i = 0; i < POOLS; i++)
        if (load_rlx(&pools[i].owed_a))
            return false;
    size_t owed = 0;
    for (size_t i = 0; i < POOLS; i++)
        lock(&pools[i].lock);
    for (size_t i = 0; i < POOLS; i++)
        owed += load_rlx(&pools[i].owed_a);
    for (size_t i = POOLS; i-- > 0;)
        mole_lock_release(&pools[i].lock);
    return owed == 0;
}

static void clear(struct shard *table)
{
    for (struct shard *shard = table; shard < table + SHARDS; shard++) {
        mole_lock_init(&shard->lock);
        shard->buckets = NULL;
        shard->bucket_count = 0;
        shard->count = 0;
        for (size_t i = 0; i < FIRST_BUCKETS; i++)
            shard->first[i] = NULL;
    }
}

void mole_ledger_init(void)
{
    clear(by_client);
    clear(by_block);
    for (size_t i = 0; i < POOLS; i++)
        mole_lock_init(&pools[i].lock);
}

/* Where the record belongs in the child. */
static void sort_in(struct pool *pool, struct mole_record *record, uint64_t in_my_hand)
{
    if (record->state == RECORDED) {
        insert(shard_of(by_client, record->client), &record->by_client);
        insert(shard_of(by_block, record->block), &record->by_block);
    } else if (record->state != in_my_hand) {
        record->state = IN_POOL;
        record->by_client.next = pool->free;
        pool->free = &record->by_client;
        return;
    }
    add_rlx(&pool->owed_a, 1);
}

void mole_ledger_repair(void)
{
    uint64_t in_my_hand = IN_HAND + mole_thread_serial();
    clear(by_client);
    clear(by_block);
    for (struct pool *pool = pools; pool < pools + POOLS; pool++) {
        mole_lock_init(&pool->lock);
        pool->free = NULL;
        store_rlx(&pool->owed_a, 0);
        for (struct chunk *chunk = pool->chunks; chunk; chunk = chunk->next)
            for (size_t i = 0; i < chunk->count; i++)
                sort_in(pool, &chunk->records[i], in_my_hand);
    }
}
