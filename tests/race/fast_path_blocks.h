/* SPDX-License-Identifier: MIT */
/*
 * Operations of fast_path_step on blocks: the victim's own, and those that the worker
 * allocated. Each is prepared, run and then found to have done what its name says.
 */
#pragma once

#include "fast_path.h"

/* What an operation may do besides plain instructions. */
enum kind {
    LOCAL,     /* nothing: no atomic read-modify-write either */
    REMOTE,    /* atomic instructions */
    CONTENDED, /* the same, in loops that the other thread's rounds make go round again */
    LOCKING,   /* anything: the control */
};

struct operation {
    const char *name;
    enum kind kind;
    void (*prepare)(void);
    void (*run)(void);
    bool (*is_done)(void); /* whether it did what its name says; tidies up */
    size_t bytes;
    HANDLE *in;
};

static const struct operation *present;
static void *subject;              /* the block an operation is about */
static struct mole_span *its_span; /* before it was freed */
static bool is_true;               /* what the operation returned */
static size_t number;              /* likewise */

static void prepare_nothing(void)
{
}

/* --- a heap's blocks ---------------------------------------------------------------- */

/* Give its class a free block in its current slab. */
static void heap_prepare_hit(void)
{
    void *block = HeapAlloc(*present->in, 0, present->bytes);
    race_require(HeapFree(*present->in, 0, block), "no block");
}

static void heap_prepare_block(void)
{
    subject = HeapAlloc(*present->in, 0, present->bytes);
}

static void heap_alloc(void)
{
    subject = HeapAlloc(*present->in, 0, present->bytes);
}

static void heap_alloc_zeroed(void)
{
    subject = HeapAlloc(*present->in, HEAP_ZERO_MEMORY, present->bytes);
}

static bool heap_has_block(void)
{
    return subject && HeapSize(*present->in, 0, subject) == present->bytes &&
           HeapFree(*present->in, 0, subject);
}

static bool heap_has_zeroed_block(void)
{
    return race_is_zero(subject, present->bytes) && heap_has_block();
}

static void heap_free(void)
{
    is_true = HeapFree(*present->in, 0, subject);
}

static bool heap_is_freed(void)
{
    return is_true && !HeapValidate(*present->in, 0, subject);
}

static void heap_size(void)
{
    number = HeapSize(*present->in, 0, subject);
}

static bool heap_is_size(void)
{
    return number == present->bytes && heap_has_block();
}

static void heap_validate(void)
{
    is_true = HeapValidate(*present->in, 0, subject);
}

static bool heap_is_valid(void)
{
    return is_true && heap_has_block();
}

/* A freed block's address, which HeapValidate must refuse. */
static void heap_prepare_freed(void)
{
    heap_prepare_block();
    heap_free();
}

static bool heap_is_invalid(void)
{
    return !is_true;
}

static void heap_resize(void)
{
    is_true = HeapReAlloc(*present->in, 0, subject, present->bytes - 9) == subject;
}

static bool heap_is_resized(void)
{
    return is_true && HeapSize(*present->in, 0, subject) == present->bytes - 9 &&
           HeapFree(*present->in, 0, subject);
}

/* --- malloc's ----------------------------------------------------------------------- */

static void malloc_prepare_hit(void)
{
    mh_free(mh_malloc(present->bytes));
}

static void malloc_prepare_block(void)
{
    subject = mh_malloc(present->bytes);
}

static void malloc_alloc(void)
{
    subject = mh_malloc(present->bytes);
}

static bool malloc_has_block(void)
{
    bool is_block = subject && mh_malloc_usable_size(subject) >= present->bytes;
    mh_free(subject);
    return is_block;
}

static void malloc_free(void)
{
    mh_free(subject);
}

static bool malloc_is_freed(void)
{
    return !mole_block_find(mole_process_malloc_heap(), subject);
}

static void malloc_size(void)
{
    number = mh_malloc_usable_size(subject);
}

static bool malloc_is_size(void)
{
    return number >= present->bytes && malloc_has_block();
}

static void malloc_resize(void)
{
    is_true = mh_realloc(subject, present->bytes - 9) == subject;
}

static bool malloc_is_resized(void)
{
    mh_free(subject);
    return is_true;
}

/* --- the worker's blocks ------------------------------------------------------------ */

static void prepare_batch(struct supply *supply)
{
    subject = supply_get(supply);
    its_span = mole_span_map_find(subject);
}

static void heap_prepare_batch(void)
{
    prepare_batch(&to_victim[HEAP_SMALL]);
}

static void heap_prepare_flush(void)
{
    prepare_batch(&to_victim[HEAP_BATCH]);
}

static void malloc_prepare_batch(void)
{
    prepare_batch(&to_victim[MALLOC_SMALL]);
}

static void malloc_prepare_flush(void)
{
    prepare_batch(&to_victim[MALLOC_BATCH]);
}

static bool is_in_batch(struct mole_heap *of)
{
    const struct mole_tcache *cache = mole_thread_cache(of);
    if (!cache)
        return false;
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        if (cache->batch[i].span == its_span)
            return true;
    return false;
}

static bool heap_is_batched(void)
{
    return is_true && is_in_batch(mole_heap_find(heap));
}

static bool heap_is_flushed(void)
{
    return is_true && !is_in_batch(mole_heap_find(heap));
}

static bool malloc_is_batched(void)
{
    return is_in_batch(mole_process_malloc_heap());
}

static bool malloc_is_flushed(void)
{
    return !is_in_batch(mole_process_malloc_heap());
}
