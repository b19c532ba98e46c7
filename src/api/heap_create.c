/* SPDX-License-Identifier: MIT */
/* HeapCreate and HeapDestroy. */
#include <molehill/heapapi.h>

#include "api/handle.h"
#include "api/last_error.h"
#include "api/stats.h"
#include "os/pages.h"
#include "tcache/purger.h"
#include "watch/watch.h"

/* What a process can have of it on x86-64. */
static const SIZE_T address_space = (SIZE_T)1 << 47;

/*
 * The largest request that a fixed-size heap grants: C-7 has the seeds' limit, and what
 * 64-bit Windows was seen to do.
 */
static SIZE_T most_bytes(void)
{
    return (mole_last_error_is_compat() ? 0xFFFF0 : 0x7FFF8) - 1;
}

/* With a cache for the calling thread; NULL: it ends, or there was none. */
static struct mole_heap *settle(struct mole_heap *heap, struct mole_pool_slots *slots)
{
    if (!heap || mole_thread_settle(heap))
        return heap;
    (void)mole_heap_kill(heap);
    mole_heap_finish(heap, slots);
    return NULL;
}

/* A heap that is told to nobody yet, or NULL. */
static struct mole_heap *create_heap(DWORD options, SIZE_T initial, SIZE_T maximum)
{
    struct mole_pool_slots *slots = mole_thread_slots();
    initial = mole_round_up(initial ? initial : 1, MOLE_PAGE);
    maximum = mole_round_up(maximum, MOLE_PAGE);
    if (maximum) {
        struct mole_fixed_limits limits = {
            .maximum_bytes = maximum > initial ? maximum : initial,
            .initial_bytes = initial,
            .most_bytes = most_bytes(),
        };
        return settle(mole_heap_create_fixed(options, slots, &limits), slots);
    }
    struct mole_heap *heap = mole_spare_take(options);
    if (!heap)
        heap = settle(mole_heap_create(options, slots), slots);
    if (heap && initial > MOLE_PAGE) {
        heap->initial_bytes = initial;
        mole_arena_commit(&heap->arena, slots, initial);
    }
    return heap;
}

/* Whether there can be no such heap because its memory may not be executed. */
static bool is_denied(DWORD options)
{
    return (options & HEAP_CREATE_ENABLE_EXECUTE) && mole_pages_denies_execution();
}

HANDLE WINAPI HeapCreate(DWORD flOptions, SIZE_T dwInitialSize, SIZE_T dwMaximumSize)
{
    struct mole_heap *heap = NULL;
    /* More than there are addresses there never will be. */
    if (dwInitialSize <= address_space && dwMaximumSize <= address_space &&
        mole_process_start())
        heap = create_heap(flOptions, dwInitialSize, dwMaximumSize);
    if (!heap) {
        mole_last_error_fail(is_denied(flOptions) ? ERROR_ACCESS_DENIED
                                                  : ERROR_NOT_ENOUGH_MEMORY);
        return NULL;
    }
    mole_watch_created(heap);
    return load_rlx(&heap->handle_a);
}

/* One that cannot be kept for the next. */
static void destroy(struct mole_heap *heap)
{
    struct mole_pool_slots *slots = mole_thread_slots();
    struct mole_owner *owner = mole_heap_kill(heap);
    mole_stats_count_frees(load_rlx(&heap->frees_a) + mole_tcache_destroy(owner));
    mole_heap_finish(heap, slots);
}

BOOL WINAPI HeapDestroy(HANDLE hHeap)
{
    struct mole_heap *heap = mole_handle_heap(hHeap);
    if (!heap || !heap->is_private) {
        mole_last_error_fail(ERROR_INVALID_HANDLE);
        return FALSE;
    }
    mole_watch_destroyed(heap);
    uint64_t frees;
    if (!mole_spare_keep(heap, &frees)) {
        destroy(heap);
        return TRUE;
    }
    if (frees)
        mole_stats_count_frees(frees);
    mole_purger_poke();
    return TRUE;
}
