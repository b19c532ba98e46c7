/* SPDX-License-Identifier: MIT */
/*
 * What the unit tests share: a heap seen from inside, blocks of slabs, and threads that
 * answer with a sentence (workers.h). Each test is a process of its own, so that it may
 * count what the whole process does.
 */
#pragma once

#include "../api/workers.h"

#include <signal.h>
#include <sys/mman.h>

#include "arena/exact.h"
#include "arena/inbox.h"
#include "arena/span_map.h"
#include "tcache/process.h"
#include "tcache/slab.h"
#include "tcache/thread.h"

#define MOLE_MALLOC_PREFIX 1
#include "malloc/names.h"

#include <molehill/molehill.h>

/* For a worker: answer with the sentence unless the condition holds. */
#define answer_unless(condition, sentence) \
    do {                                   \
        if (!(condition))                  \
            return (sentence);             \
    } while (0)

/* No other thread makes passes over the pool, and no call does. */
static inline void stop_passes(void)
{
    require(mh_configure("purger:calls") == 0, "the purger cannot be switched off");
    mole_pool_leave_passes(true);
}

static inline struct mole_heap *inside(HANDLE handle)
{
    struct mole_heap *heap = mole_heap_find(handle);
    require(heap != NULL, "the handle %p is no heap's", handle);
    return heap;
}

static inline struct mole_span *span_of(const void *block)
{
    struct mole_span *span = mole_span_map_find(block);
    require(span != &mole_span_nobody, "the block %p is in no span", block);
    return span;
}

static inline bool is_mapped(const void *address)
{
    return mole_span_map_find(address) != &mole_span_nobody;
}

/*
 * Whether this kernel moves pages and keeps their old range: asked without the library.
 */
static inline bool kernel_moves_pages(void)
{
    enum { PROBE = 1 << 16 };
    const int rights = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
    const int how = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    void *from = mmap(NULL, PROBE, rights, kind, -1, 0);
    void *to = mmap(NULL, PROBE, rights, kind, -1, 0);
    require(from != MAP_FAILED && to != MAP_FAILED, "no pages for the probe");
    memset(from, 1, PROBE);
    bool is_moved = mremap(from, PROBE, PROBE, how, to) == to;
    require(!is_moved || is_all(to, PROBE, 1), "the kernel lost what it moved");
    munmap(from, PROBE);
    munmap(to, PROBE);
    return is_moved;
}

/* The pages of a slab that has room for eight blocks. */
static inline uint32_t pages_for(unsigned class)
{
    uint32_t pages = 1;
    while (pages * MOLE_PAGE < 8 * mole_size_class_bytes(class))
        pages *= 2;
    return pages;
}

/* A slab that no cache has, in the map, with nothing on its free list. */
static inline struct mole_span *slab_of(unsigned class, uint32_t pages)
{
    static struct mole_owner owner;
    owner.heap = mole_process_heap();
    struct mole_span *span = mole_span_take(mole_span_capacity(pages, class));
    struct mole_run *run =
        mole_pool_take(NULL, (pages + MOLE_CHUNK_PAGES - 1) / MOLE_CHUNK_PAGES);
    require(span && run, "no memory for a slab of %u pages", pages);
    run->is_cut = pages < MOLE_CHUNK_PAGES;
    mole_span_map_slab(span, run->base, pages, class, &owner, run);
    return span;
}

enum { FIRST_SLAB = 8 }; /* blocks of a class's first slab, if they fill a chunk */

/*
 * All blocks of a new slab, as small as the class's first; the current one has none free.
 */
static inline void take_slab(HANDLE heap, size_t bytes, void *blocks[FIRST_SLAB])
{
    struct mole_tcache *cache = mole_thread_cache(inside(heap));
    require(cache != NULL, "the heap's maker has no cache there");
    mole_growth_set(&cache->growth, mole_size_class_of(bytes), 0);
    for (size_t i = 0; i < FIRST_SLAB; i++) {
        blocks[i] = take(heap, 0, bytes);
        require(span_of(blocks[i]) == span_of(blocks[0]) &&
                    span_of(blocks[i])->capacity == FIRST_SLAB,
                "block %zu is of another slab, or the slab has another size", i);
    }
}

static inline size_t count_runs(const struct mole_heap *heap)
{
    size_t runs = 0;
    for (const struct mole_run *run = heap->arena.runs; run; run = run->next)
        runs++;
    return runs;
}

/* Free a block as the thread would whose cache that is: into one of its batches. */
static inline void free_into(struct mole_tcache *others, const void *block)
{
    size_t index;
    require(mole_span_index(span_of(block), block, &index), "no index");
    others->owner.heap = span_of(block)->heap;
    require(mole_tcache_free_remote(others, span_of(block), index), "it is not live");
    require(others->batch[span_of(block)->class].span == span_of(block), "in no batch");
}

/* Let all classes have slabs of their own from the first block on. */
static inline void outgrow_mixed(struct mole_tcache *cache)
{
    memset(cache->used, UINT8_MAX, sizeof cache->used);
}

/* Make the calling thread keep a cache in the heap. For workers: no assertions. */
static inline void settle_in(HANDLE heap)
{
    for (int i = 0; i < MOLE_KEEP_AFTER + 1; i++)
        HeapFree(heap, 0, HeapAlloc(heap, 0, 16));
}
