/* SPDX-License-Identifier: MIT */
/*
 * The ownership oracle: random HeapAlloc, HeapReAlloc and HeapFree calls in which every
 * live block carries a stamp of its owner, its slot and its turn. Whatever two blocks
 * share, loses or moves wrongly breaks a stamp, which is checked whenever a block is
 * resized or freed. One oracle is used by one thread at a time; several may work on one
 * heap.
 */
#pragma once

#include "support.h"

enum { ORACLE_SLOTS = 256 };

struct oracle {
    HANDLE heap;
    DWORD flags; /* passed to every call */
    size_t most; /* the largest request; 0: no limit */
    uint64_t random;
    uint64_t owner; /* tells this oracle's stamps from another's */
    uint64_t allocations, resizes, frees;
    struct oracle_slot {
        void *block;
        size_t bytes;
        uint64_t key;
    } slots[ORACLE_SLOTS];
};

static inline void oracle_init(struct oracle *oracle, HANDLE heap, DWORD flags,
                               uint64_t owner)
{
    *oracle = (struct oracle){
        .heap = heap,
        .flags = flags,
        .random = (owner + 1) * 0xD1342543DE82EF95u,
        .owner = owner << 48,
    };
}

static inline uint64_t oracle_random(struct oracle *oracle)
{
    oracle->random ^= oracle->random << 13;
    oracle->random ^= oracle->random >> 7;
    oracle->random ^= oracle->random << 17;
    return oracle->random >> 8;
}

/* Mostly small; every 512th up to 32 KiB, every 8192nd a large block of its own. */
static inline size_t oracle_size(struct oracle *oracle)
{
    uint64_t random = oracle_random(oracle);

    if (random % 8192 == 0) {
        size_t bytes = 100000 + (random >> 16) % (512 << 10);
        return oracle->most && bytes > oracle->most ? oracle->most : bytes;
    }
    if (random % 512 == 0)
        return (random >> 16) % (32 << 10);
    return (random >> 16) % 200;
}

static inline const char *oracle_check(const struct oracle *oracle,
                                       const struct oracle_slot *slot)
{
    if (HeapSize(oracle->heap, oracle->flags, slot->block) != slot->bytes)
        return "HeapSize is not what was requested last";
    if (!stamp_is_intact(slot->block, slot->bytes, slot->key))
        return "a live block's contents were disturbed";
    return NULL;
}

static inline void oracle_stamp(struct oracle *oracle, struct oracle_slot *slot)
{
    uint64_t turn = oracle->allocations + oracle->resizes;

    slot->key = oracle->owner + (turn << 20);
    stamp(slot->block, slot->bytes, slot->key);
}

static inline const char *oracle_free(struct oracle *oracle, struct oracle_slot *slot)
{
    const char *failure = oracle_check(oracle, slot);

    if (failure != NULL)
        return failure;
    if (!HeapFree(oracle->heap, oracle->flags, slot->block))
        return "HeapFree refused a live block";
    slot->block = NULL;
    oracle->frees++;
    return NULL;
}

static inline const char *oracle_resize(struct oracle *oracle, struct oracle_slot *slot)
{
    const char *failure = oracle_check(oracle, slot);
    size_t bytes = oracle_size(oracle);
    size_t kept = bytes < slot->bytes ? bytes : slot->bytes;

    if (failure != NULL)
        return failure;
    slot->block = HeapReAlloc(oracle->heap, oracle->flags, slot->block, bytes);
    if (slot->block == NULL)
        return "HeapReAlloc failed";
    if ((uintptr_t)slot->block % MEMORY_ALLOCATION_ALIGNMENT != 0)
        return "HeapReAlloc gave a block that is not aligned";
    if (!stamp_is_intact(slot->block, kept, slot->key))
        return "HeapReAlloc lost contents";
    slot->bytes = bytes;
    oracle->resizes++;
    oracle_stamp(oracle, slot);
    return NULL;
}

static inline const char *oracle_allocate(struct oracle *oracle, struct oracle_slot *slot)
{
    slot->bytes = oracle_size(oracle);
    slot->block = HeapAlloc(oracle->heap, oracle->flags, slot->bytes);
    if (slot->block == NULL)
        return "HeapAlloc failed";
    oracle->allocations++;
    oracle_stamp(oracle, slot);
    return NULL;
}

/* One operation is one call that allocates, resizes or frees. NULL when all was well. */
static inline const char *oracle_run(struct oracle *oracle, size_t operations)
{
    const char *failure = NULL;

    for (size_t i = 0; i < operations && failure == NULL; i++) {
        uint64_t random = oracle_random(oracle);
        struct oracle_slot *slot = &oracle->slots[random % ORACLE_SLOTS];
        if (slot->block == NULL)
            failure = oracle_allocate(oracle, slot);
        else if (random >> 16 & 3)
            failure = oracle_free(oracle, slot);
        else
            failure = oracle_resize(oracle, slot);
    }
    return failure;
}

/* Free what is left. */
static inline const char *oracle_finish(struct oracle *oracle)
{
    const char *failure = NULL;

    for (size_t i = 0; i < ORACLE_SLOTS && failure == NULL; i++) {
        if (oracle->slots[i].block != NULL)
            failure = oracle_free(oracle, &oracle->slots[i]);
    }
    return failure;
}
