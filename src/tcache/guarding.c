/* SPDX-License-Identifier: MIT */
#include "tcache/guarding.h"

#include <string.h>

#include "arena/corruption.h"
#include "arena/guard.h"
#include "arena/late.h"
#include "arena/span_map.h"

/*
 * elsewhere_a: threads without a record, for they are ending, that are at it.
 *   writers  those threads; a fork's child
 *   readers  a fork's child
 *   orders   relaxed: fork orders
 *   keeps    nothing
 */
static _Atomic(uint32_t) elsewhere_a;

static bool has_record(void)
{
    return likely(mole_tls.thread != &mole_thread_nobody);
}

static void note(void *what)
{
    fence_compiler(); /* what is written before comes before, what after, after */
    store_rlx(&mole_tls.thread->guarding_a, what);
    fence_compiler();
}

void *mole_guarding_begin(struct mole_heap *heap)
{
    if (!has_record()) {
        add_rlx(&elsewhere_a, 1);
        return NULL;
    }
    void *before = load_rlx(&mole_tls.thread->guarding_a);
    note(heap);
    return before;
}

/* The block is this one. */
static void tell(void *block)
{
    if (has_record())
        note(block);
}

void mole_guarding_end(void *before)
{
    if (has_record())
        note(before);
    else
        sub_rlx(&elsewhere_a, 1);
}

void mole_guarding_check(const struct mole_span *span, void *block)
{
    if (!mole_guard_is_whole(span, block))
        mole_corruption_found(mole_span_heap(span), block, "written to behind its end");
}

void mole_guarding_born(struct mole_heap *heap, void *block, size_t bytes, bool zero)
{
    const struct mole_span *span = mole_span_map_find(block);
    tell(block);
    if (span->kind != MOLE_SPAN_LARGE) {
        if (!mole_guard_is_dead(span, block))
            mole_corruption_found(heap, block, "written to after it was freed");
        if (zero)
            memset(block, 0, bytes);
    }
    mole_guard_born(heap, block, bytes, zero || mole_guard_is_clear(heap, bytes));
}

void mole_guarding_resized(struct mole_heap *heap, void *block, size_t old, size_t bytes,
                           bool zero)
{
    tell(block);
    if (zero && bytes > old)
        memset((char *)block + old, 0, bytes - old);
    mole_guard_resized(heap, block, old, bytes, zero);
}

void mole_guarding_died(const struct mole_span *span, void *block)
{
    mole_guarding_check(span, block);
    tell(block);
    mole_guard_died(span, block);
}

/* All blocks of the heap. */
static void repair_heap(struct mole_heap *heap)
{
    if (!load_rlx(&heap->word_a) || !heap->checks)
        return;
    for (struct mole_run *run = heap->arena.runs; run; run = run->next)
        for (size_t page = 0; page < (size_t)run->chunks * MOLE_CHUNK_PAGES; page++) {
            char *at = run->base + page * MOLE_PAGE;
            const struct mole_span *span = mole_span_map_find(at);
            if (span->kind != MOLE_SPAN_NONE && span->base == at)
                mole_guard_repair(span);
        }
}

static void repair(void *what)
{
    struct mole_span *span = mole_span_map_find(what);
    if (span->kind != MOLE_SPAN_NONE) {
        mole_guard_repair_block(span, what);
        return;
    }
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap))
        if (heap == what)
            repair_heap(heap);
}

void mole_guarding_repair(void)
{
    struct mole_thread *thread;
    for (thread = mole_thread_first(); thread; thread = thread->all_next)
        if (thread != mole_tls.thread && load_rlx(&thread->guarding_a)) {
            repair(load_rlx(&thread->guarding_a));
            store_rlx(&thread->guarding_a, NULL);
        }
    if (load_rlx(&elsewhere_a))
        for (struct mole_heap *heap = mole_heap_first(); heap;
             heap = mole_heap_next(heap))
            repair_heap(heap);
    store_rlx(&elsewhere_a, 0);
}
