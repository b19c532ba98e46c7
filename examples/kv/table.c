/* SPDX-License-Identifier: MIT */
#include "table.h"

#include <sys/random.h>

enum { FIRST_BUCKETS = 16 };

struct kv_entry {
    struct kv_entry *next; /* in its bucket; under the shard's lock */
    uint64_t hash;
    size_t key_size;
    size_t value_size;
    char bytes[]; /* the key, then the value */
};

static struct kv_bytes entry_key(const struct kv_entry *entry)
{
    return (struct kv_bytes){entry->bytes, entry->key_size};
}

static struct kv_bytes entry_value(const struct kv_entry *entry)
{
    return (struct kv_bytes){entry->bytes + entry->key_size, entry->value_size};
}

/* An entry with room for `value_size` bytes, which the caller fills in. */
static struct kv_entry *entry_create(struct kv_table *table, struct kv_bytes key,
                                     uint64_t hash, size_t value_size)
{
    struct kv_entry *entry =
        kv_heap_alloc(table->heap, sizeof(*entry) + key.size + value_size);
    if (!entry)
        return NULL;
    entry->next = NULL;
    entry->hash = hash;
    entry->key_size = key.size;
    entry->value_size = value_size;
    memcpy(entry->bytes, key.data, key.size);
    return entry;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ (hash >> 32);
}

/* Eight bytes at a time; the size goes in too, for the last word is padded with zeros. */
static uint64_t hash_of(const struct kv_table *table, struct kv_bytes key)
{
    uint64_t hash = mix(table->seed, key.size);
    uint64_t word;
    for (; key.size >= sizeof(word); key.data += sizeof(word), key.size -= sizeof(word)) {
        memcpy(&word, key.data, sizeof(word));
        hash = mix(hash, word);
    }
    word = 0;
    memcpy(&word, key.data, key.size);
    return mix(mix(hash, word), table->seed);
}

/* Shards go by the upper half of the hash, buckets by the lower. */
static struct kv_shard *shard_of(struct kv_table *table, uint64_t hash)
{
    return &table->shards[hash >> 32 & (KV_SHARDS - 1)];
}

/* Where the entry is linked, or would be: a bucket or a `next`. Under the lock. */
static struct kv_entry **shard_find(struct kv_shard *shard, struct kv_bytes key,
                                    uint64_t hash)
{
    static struct kv_entry *nothing; /* what an empty shard's only bucket would hold */
    if (shard->bucket_count == 0)
        return &nothing;
    struct kv_entry **place = &shard->buckets[hash & (shard->bucket_count - 1)];
    while (*place && !((*place)->hash == hash && kv_bytes_equal(entry_key(*place), key)))
        place = &(*place)->next;
    return place;
}

/*
 * Keep at most one entry a bucket on average. When memory is short the chains grow longer
 * instead; only the first buckets are indispensable. Under the lock.
 */
static bool shard_make_room(struct kv_shard *shard, struct kv_heap *heap)
{
    if (shard->entry_count < shard->bucket_count)
        return true;
    size_t count = shard->bucket_count ? shard->bucket_count * 2 : FIRST_BUCKETS;
    struct kv_entry **buckets = kv_heap_alloc(heap, count * sizeof(struct kv_entry *));
    if (!buckets)
        return shard->bucket_count > 0;

    memset(buckets, 0, count * sizeof(struct kv_entry *));
    for (size_t i = 0; i < shard->bucket_count; i++) {
        struct kv_entry *entry = shard->buckets[i];
        while (entry) {
            struct kv_entry *next = entry->next;
            struct kv_entry **bucket = &buckets[entry->hash & (count - 1)];
            entry->next = *bucket;
            *bucket = entry;
            entry = next;
        }
    }
    kv_heap_free(heap, shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
    return true;
}

/* Link `fresh` at `place`; the entry that had to go, or NULL. Under the lock. */
static struct kv_entry *shard_put(struct kv_shard *shard, struct kv_entry **place,
                                  struct kv_entry *fresh)
{
    struct kv_entry *old = *place;
    fresh->next = old ? old->next : NULL;
    *place = fresh;
    if (!old)
        shard->entry_count++;
    return old;
}

void kv_table_init(struct kv_table *table, struct kv_heap *shared_heap)
{
    *table = (struct kv_table){.heap = shared_heap};
    /* Early in boot there may be no randomness yet; the table works with any seed. */
    if (getrandom(&table->seed, sizeof(table->seed), GRND_NONBLOCK) < 0)
        table->seed = (uintptr_t)table;
    for (size_t i = 0; i < KV_SHARDS; i++)
        pthread_mutex_init(&table->shards[i].lock, NULL);
}

void kv_table_finish(struct kv_table *table)
{
    kv_table_clear(table);
    for (size_t i = 0; i < KV_SHARDS; i++)
        pthread_mutex_destroy(&table->shards[i].lock);
}

bool kv_table_get(struct kv_table *table, struct kv_bytes key, kv_table_reader *reader,
                  void *context)
{
    uint64_t hash = hash_of(table, key);
    struct kv_shard *shard = shard_of(table, hash);
    pthread_mutex_lock(&shard->lock);
    struct kv_entry *entry = *shard_find(shard, key, hash);
    if (entry)
        reader(entry_value(entry), context);
    pthread_mutex_unlock(&shard->lock);
    return entry != NULL;
}

bool kv_table_set(struct kv_table *table, struct kv_bytes key, struct kv_bytes value)
{
    uint64_t hash = hash_of(table, key);
    struct kv_entry *entry = entry_create(table, key, hash, value.size);
    if (!entry)
        return false;
    memcpy(entry->bytes + key.size, value.data, value.size);

    struct kv_shard *shard = shard_of(table, hash);
    pthread_mutex_lock(&shard->lock);
    bool has_room = shard_make_room(shard, table->heap);
    struct kv_entry *unused = entry;
    if (has_room)
        unused = shard_put(shard, shard_find(shard, key, hash), entry);
    pthread_mutex_unlock(&shard->lock);
    kv_heap_free(table->heap, unused);
    return has_room;
}

bool kv_table_remove(struct kv_table *table, struct kv_bytes key)
{
    uint64_t hash = hash_of(table, key);
    struct kv_shard *shard = shard_of(table, hash);
    pthread_mutex_lock(&shard->lock);
    struct kv_entry **place = shard_find(shard, key, hash);
    struct kv_entry *entry = *place;
    if (entry) {
        *place = entry->next;
        shard->entry_count--;
    }
    pthread_mutex_unlock(&shard->lock);
    kv_heap_free(table->heap, entry);
    return entry != NULL;
}

/* What follows the value of `entry`, which may be NULL. */
static enum kv_add_result next_number(const struct kv_entry *entry, int64_t *sum)
{
    int64_t number = 0;
    if (entry && !kv_bytes_to_number(entry_value(entry), &number))
        return KV_ADD_NOT_A_NUMBER;
    return __builtin_add_overflow(number, 1, sum) ? KV_ADD_OVERFLOW : KV_ADD_DONE;
}

enum kv_add_result kv_table_increment(struct kv_table *table, struct kv_bytes key,
                                      int64_t *sum)
{
    uint64_t hash = hash_of(table, key);
    struct kv_entry *unused = entry_create(table, key, hash, KV_NUMBER_TEXT);
    if (!unused)
        return KV_ADD_NO_MEMORY;

    struct kv_shard *shard = shard_of(table, hash);
    enum kv_add_result result = KV_ADD_NO_MEMORY;
    pthread_mutex_lock(&shard->lock);
    if (shard_make_room(shard, table->heap)) {
        struct kv_entry **place = shard_find(shard, key, hash);
        result = next_number(*place, sum);
        if (result == KV_ADD_DONE) {
            unused->value_size = kv_bytes_from_number(*sum, unused->bytes + key.size);
            unused = shard_put(shard, place, unused);
        }
    }
    pthread_mutex_unlock(&shard->lock);
    kv_heap_free(table->heap, unused);
    return result;
}

size_t kv_table_count(struct kv_table *table)
{
    size_t count = 0;
    for (size_t i = 0; i < KV_SHARDS; i++) {
        struct kv_shard *shard = &table->shards[i];
        pthread_mutex_lock(&shard->lock);
        count += shard->entry_count;
        pthread_mutex_unlock(&shard->lock);
    }
    return count;
}

/* Take the shard's buckets away under its lock; free them outside it. */
static void shard_clear(struct kv_shard *shard, struct kv_heap *heap)
{
    pthread_mutex_lock(&shard->lock);
    struct kv_entry **buckets = shard->buckets;
    size_t count = shard->bucket_count;
    shard->buckets = NULL;
    shard->bucket_count = 0;
    shard->entry_count = 0;
    pthread_mutex_unlock(&shard->lock);

    for (size_t i = 0; i < count; i++) {
        struct kv_entry *entry = buckets[i];
        while (entry) {
            struct kv_entry *next = entry->next;
            kv_heap_free(heap, entry);
            entry = next;
        }
    }
    kv_heap_free(heap, buckets);
}

void kv_table_clear(struct kv_table *table)
{
    for (size_t i = 0; i < KV_SHARDS; i++)
        shard_clear(&table->shards[i], table->heap);
}
