/* SPDX-License-Identifier: MIT */
#include "tcache/usage.h"

#include "arena/inbox.h"
#include "arena/span_map.h"
#include "tcache/batch.h"

static void note(uint8_t *used, uint32_t frees)
{
    uint32_t room = (uint32_t)UINT8_MAX - *used;
    *used += (uint8_t)(frees < room ? frees : room);
}

void mole_usage_note(struct mole_tcache *cache, const struct mole_span *span,
                     uint32_t frees)
{
    note(&cache->used[span->class], frees);
}

void mole_usage_note_theft(struct mole_heap *heap, const struct mole_span *span)
{
    note(&heap->stolen[span->class],
         span->capacity + (uint32_t)(span->armed - span->countdown));
}

/* Allocations by class; that of mixed slabs is for nobody to read. */
struct usage {
    size_t counts[MOLE_SLAB_CLASSES];
};

static void add_cache(struct usage *usage, const struct mole_tcache *cache)
{
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1)
        usage->counts[class] += cache->used[class];
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        if (cache->batch[i].span)
            usage->counts[cache->batch[i].span->class] +=
                mole_batch_count(&cache->batch[i]);
}

static void add_slab(struct usage *usage, struct mole_span *span)
{
    usage->counts[span->class] += mole_span_live_count(span) +
                                  (size_t)(span->armed - span->countdown) +
                                  mole_inbox_count(load_rlx(&span->inbox_a));
}

static void add_run(struct usage *usage, const struct mole_run *run)
{
    size_t bytes = run->is_cut ? MOLE_CHUNK : MOLE_PAGE;
    for (size_t offset = 0; offset < bytes;) {
        struct mole_span *span = mole_span_map_find(run->base + offset);
        bool is_slab = span->kind == MOLE_SPAN_SLAB;
        if (is_slab)
            add_slab(usage, span);
        offset += is_slab ? (size_t)span->pages * MOLE_PAGE : MOLE_PAGE;
    }
}

bool mole_usage_reaches(struct mole_heap *heap, uint32_t count)
{
    struct usage usage = {{0}};
    /* Threads that end give their batches back under this lock (thread.c). */
    mole_arena_enter(&heap->arena);
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1)
        usage.counts[class] = heap->stolen[class];
    for (struct mole_owner *owner = mole_heap_owners(heap); owner; owner = owner->next)
        add_cache(&usage, (struct mole_tcache *)(void *)owner);
    for (const struct mole_run *run = heap->arena.runs; run; run = run->next)
        add_run(&usage, run);
    mole_arena_leave(&heap->arena);
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1)
        if (usage.counts[class] >= count &&
            mole_size_class_bytes(class) <= MOLE_USAGE_MOST_BYTES)
            return true;
    return false;
}
