/* SPDX-License-Identifier: MIT */
/*
 * The Win32 heap functions. Each is a fast path, where there is one, and the general
 * case, which checks its arguments without following them and speaks Win32 errors.
 */
#include <molehill/heapapi.h>

#include <string.h>

#include "api/exception.h"
#include "api/heap_call.h"
#include "api/heap_walk.h"
#include "api/last_error.h"
#include "arena/corruption.h"
#include "arena/exact.h"
#include "arena/guard.h"
#include "arena/late.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "spy/com.h"
#include "tcache/fixed_cache.h"
#include "tcache/mixed.h"
#include "tcache/process.h"
#include "tcache/refill.h"
#include "watch/fast.h"
#include "watch/watch.h"

/* The same for one that only reads: it waits at the gate here. */
static struct mole_heap *heap_to_read(HANDLE handle, DWORD flags)
{
    struct mole_heap *heap = mole_handle_heap(handle);
    if (heap && !(flags & HEAP_NO_SERIALIZE))
        mole_gate_pass(heap, false);
    return heap;
}

static mole_slow LPVOID alloc_slow(HANDLE handle, DWORD flags, SIZE_T bytes)
{
    struct mole_heap *heap = mole_handle_heap(handle);
    const struct mole_failure failure = {"HeapAlloc", handle, heap, flags, NULL, bytes};
    if (!heap)
        return mole_exception_fail(&failure, ERROR_INVALID_HANDLE);
    void *block = NULL;
    if (likely(!heap->checks) || mole_heap_check_all(heap, flags))
        block = mole_watch_alloc(heap, bytes, MOLE_ALIGN, mole_call_how(flags));
    return block ? block : mole_exception_fail(&failure, ERROR_NOT_ENOUGH_MEMORY);
}

/* The heap may be sampled; if not, there is something to do for the slow path. */
static __attribute__((noinline)) LPVOID alloc_sampled(HANDLE handle, DWORD flags,
                                                      SIZE_T bytes)
{
    struct mole_tcache *cache = mole_thread_recent(handle);
    if (!MOLE_HAS_SPIES || unlikely(handle == MOLE_MALLOC_KEY) ||
        load_rlx(&cache->owner.sampled_key_a) != handle)
        return alloc_slow(handle, flags, bytes);
    void *block = mole_fast_alloc_sampled(cache, handle, bytes);
    return likely(block) ? block : alloc_slow(handle, flags, bytes);
}

/* Of a heap that is spied, inside of an operation. */
static __attribute__((noinline)) LPVOID
alloc_spied(HANDLE handle, DWORD flags, SIZE_T bytes, struct mole_tcache *cache)
{
    if (handle == MOLE_MALLOC_KEY)
        __builtin_unreachable(); /* the caller looked */
    void *block = mole_fast_alloc_inside(mole_spy_here(), cache, handle, bytes);
    return likely(block) ? block : alloc_slow(handle, flags, bytes);
}

/*
 * Requests for pages of their own, or for nothing; inside of an operation that the key
 * allowed.
 */
static __attribute__((noinline)) LPVOID
alloc_large(HANDLE handle, DWORD flags, SIZE_T bytes, struct mole_tcache *cache)
{
    void *block;
    bool is_done = mole_large_cache_take(&cache->large, bytes, bytes, &block);
    mole_tcache_leave(cache);
    return likely(is_done) ? block : alloc_slow(handle, flags, bytes);
}

/* The current slab of the class has no free block; inside of an operation. */
static __attribute__((noinline)) LPVOID
alloc_next(HANDLE handle, DWORD flags, SIZE_T bytes, struct mole_tcache *cache)
{
    unsigned class = mole_size_class_of(bytes);
    struct mole_span *span = mole_refill_next(cache, class);
    void *block;
    bool is_done =
        likely(span) && mole_tcache_pop(span, mole_exact_mark(class, bytes), &block);
    mole_tcache_leave(cache);
    return likely(is_done) ? block : alloc_slow(handle, flags, bytes);
}

/* Requests above the direct sizes, or of a young heap, mostly; inside of an operation. */
static __attribute__((noinline)) LPVOID
alloc_medium(HANDLE handle, DWORD flags, SIZE_T bytes, struct mole_tcache *cache)
{
    void *block;
    if (unlikely(load_acq(&cache->owner.alloc_key_a) != handle || /* HB-GATE-2 */
                 !mole_owner_is_key(handle))) {
        mole_tcache_leave(cache);
        return alloc_sampled(handle, flags, bytes);
    }
    if (unlikely(bytes - 1 >= MOLE_SLAB_MAX))
        return alloc_large(handle, flags, bytes, cache);
    unsigned class = mole_size_class_of(bytes);
    uint32_t mark = mole_exact_mark(class, bytes);
    if (!mole_tcache_pop(cache->current[class], mark, &block) &&
        unlikely(!mole_mixed_pop(cache, class, mark, &block)))
        return alloc_next(handle, flags, bytes, cache);
    mole_tcache_leave(cache);
    return block;
}

/*
 * Inside an operation that the plain heap's path could not finish: the heap may be spied,
 * or of fixed size.
 */
static __attribute__((noinline, used)) LPVOID alloc_further(HANDLE handle, DWORD flags,
                                                            SIZE_T bytes, size_t unused,
                                                            struct mole_tcache *cache)
{
    (void)unused; /* keeps the cache in its register */
    if (MOLE_HAS_SPIES &&
        load_acq_folded(&cache->owner.spied_key_a) == handle && /* HB-GATE-2 */
        likely(handle != MOLE_MALLOC_KEY))
        return alloc_spied(handle, flags, bytes, cache);
    if (load_acq_folded(&cache->owner.fixed_key_a) == handle && /* HB-GATE-2 */
        likely(mole_owner_is_key(handle))) {
        size_t slot = (bytes - 1) / MOLE_ALIGN;
        void *block = mole_fixed_cache_pop(&cache->fixed, slot, bytes);
        mole_tcache_leave(cache);
        return likely(block) ? block : alloc_slow(handle, flags, bytes);
    }
    return alloc_medium(handle, flags, bytes, cache);
}

/* A block of zeros, cleared inside of the operation: the gate waits for that. */
static __attribute__((noinline)) LPVOID alloc_zeroed(HANDLE handle, DWORD flags,
                                                     SIZE_T bytes)
{
    struct mole_tcache *cache = mole_thread_recent(handle);
    void *block = NULL;
    mole_tcache_enter(cache);
    if (likely(load_acq_folded(&cache->owner.alloc_key_a) == handle && /* HB-GATE-2 */
               mole_owner_is_key(handle) && bytes - 1 < MOLE_SLAB_MAX)) {
        unsigned class = mole_size_class_of(bytes);
        if (likely(mole_tcache_pop(cache->current[class], mole_exact_mark(class, bytes),
                                   &block)))
            memset(block, 0, bytes);
    }
    mole_tcache_leave(cache);
    return likely(block) ? block : alloc_slow(handle, flags, bytes);
}

LPVOID WINAPI HeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes)
{
    if (unlikely(dwFlags & HEAP_ZERO_MEMORY))
        return alloc_zeroed(hHeap, dwFlags, dwBytes);
    struct mole_tcache *cache = mole_thread_recent(hHeap);
    mole_forget_at("d", dwBytes); /* else it moves to another register */
    size_t slot = (dwBytes - 1) / MOLE_ALIGN;
    mole_forget(slot);    /* compare it, not the bytes it comes from */
    mole_forget(dwFlags); /* else the arguments change registers */
    mole_tcache_enter(cache);
    void *block;
    /* Another heap's cache, no live heap, or one with a mode? */
    if (unlikely(load_acq_folded(&cache->owner.alloc_key_a) != hHeap ||
                 slot >= MOLE_DIRECT_COUNT))
        goto slow;
    struct mole_span *span = cache->direct[slot];
    uint32_t mark = mole_span_mark(dwBytes);
    mole_forget(mark);
    if (unlikely(!mole_tcache_pop(span, mark, &block)))
        goto slow;
    mole_tcache_leave(cache);
    return block;
slow:
    return alloc_further(hHeap, dwFlags, dwBytes, 0, cache);
}

/* What is to be freed is no live block of the heap, which may be NULL. */
static mole_slow BOOL refuse_free(const struct mole_heap *heap, const void *block)
{
    if (heap)
        mole_corruption_blame(heap, "HeapFree", block);
    mole_last_error_fail(heap ? ERROR_INVALID_PARAMETER : ERROR_INVALID_HANDLE);
    return FALSE;
}

static mole_slow BOOL free_slow(HANDLE handle, DWORD flags, LPVOID block)
{
    if (!block)
        return TRUE;
    struct mole_heap *heap = mole_handle_heap(handle);
    struct mole_span *span = mole_call_find(heap, block, flags, MOLE_CHECK_FREE);
    if (span && mole_call_is_recorded(heap))
        mole_com_freed(block);
    if (span && mole_watch_free(span, block, mole_call_how(flags)))
        return TRUE;
    return refuse_free(heap, block);
}

static __attribute__((noinline)) BOOL free_watched(HANDLE handle, DWORD flags,
                                                   LPVOID block, struct mole_span *span)
{
    if (!MOLE_HAS_SPIES || handle == MOLE_MALLOC_KEY)
        return free_slow(handle, flags, block);
    struct mole_spy_block gone = {.block = block};
    size_t index;
    if (unlikely(!mole_fast_finds(span, handle, &gone, &index)))
        return free_slow(handle, flags, block);
    if (likely(mole_fast_free(mole_spy_here(), span, handle, &gone, index,
                              mole_call_how(flags))))
        return TRUE;
    /* A callback, or another thread meanwhile, was faster. */
    return refuse_free(mole_handle_heap(handle), block);
}

/*
 * A block of another thread's slab, most likely: into a batch, if the thread has a cache
 * in the heap. Anything else goes the long way. The arguments are where HeapFree has
 * them.
 */
static __attribute__((noinline, used)) BOOL free_remote(HANDLE handle, DWORD flags,
                                                        size_t unused,
                                                        struct mole_span *span,
                                                        LPVOID block)
{
    (void)unused;
    struct mole_tcache *cache = mole_thread_recent(handle);
    mole_tcache_enter(cache);
    size_t index;
    bool is_remote = load_acq(&cache->owner.free_key_a) == handle &&
                     handle != MOLE_NO_KEY && span->heap == cache->owner.heap &&
                     span->kind == MOLE_SPAN_SLAB &&
                     mole_span_index(span, block, &index) && index < span->capacity &&
                     mole_tcache_free_remote(cache, span, index);
    mole_tcache_leave(cache);
    return likely(is_remote) ? TRUE : free_slow(handle, flags, block);
}

/* A large block, inside of an operation. */
static __attribute__((noinline)) BOOL free_large(HANDLE handle, DWORD flags,
                                                 struct mole_tcache *cache,
                                                 struct mole_span *span, LPVOID block)
{
    bool is_kept =
        likely(load_acq_folded(&cache->owner.free_key_a) == handle && /* HB-GATE-2 */
               mole_owner_is_key(handle) && span->heap == cache->owner.heap) &&
        mole_large_cache_put(&cache->large, span, block);
    if (likely(is_kept))
        cache->frees++;
    mole_tcache_leave(cache);
    return likely(is_kept) ? TRUE : free_slow(handle, flags, block);
}

/* A block of no thread's slab: of a fixed-size heap, into the thread's cache there. */
static __attribute__((noinline, used)) BOOL free_unowned(HANDLE handle, DWORD flags,
                                                         size_t unused,
                                                         struct mole_span *span,
                                                         LPVOID block)
{
    (void)unused;
    struct mole_tcache *cache = mole_thread_recent(handle);
    mole_tcache_enter(cache);
    bool is_freed =
        load_acq_folded(&cache->owner.fixed_key_a) == handle && /* HB-GATE-2 */
        mole_owner_is_key(handle) && mole_fixed_cache_push(&cache->fixed, block);
    if (unlikely(!is_freed && span->kind == MOLE_SPAN_LARGE))
        return free_large(handle, flags, cache, span, block);
    mole_tcache_leave(cache);
    return likely(is_freed) ? TRUE : free_remote(handle, flags, 0, span, block);
}

/*
 * The slab's countdown ended with this free. Its arguments are where HeapFree has them.
 */
static mole_slow BOOL free_counted_down(HANDLE handle, DWORD flags, LPVOID block,
                                        struct mole_span *span)
{
    (void)handle;
    (void)flags;
    (void)block;
    struct mole_tcache *cache = (struct mole_tcache *)(void *)span->owner;
    mole_tcache_counted_down(cache, mole_thread_slots(), span);
    mole_tcache_leave(cache);
    return TRUE;
}

BOOL WINAPI HeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem)
{
    uintptr_t page;
    if (unlikely(!mole_span_map_has(&mole_map, lpMem, &page)))
        return free_slow(hHeap, dwFlags, lpMem);
    struct mole_span *span = load_acq(&mole_map.table[page]); /* HB-MAP-1 */
    struct mole_tcache *cache = (struct mole_tcache *)(void *)mole_span_owner(span);
    size_t index;
    uintptr_t owner = load_rlx(&cache->owner.thread_a);
    if (unlikely(owner != mole_thread_self())) {
        mole_forget(owner); /* else both compares come before the one that decides */
        if (owner != MOLE_SHARED)
            return owner == MOLE_ORPHAN ? free_unowned(hHeap, dwFlags, page, span, lpMem)
                                        : free_remote(hHeap, dwFlags, page, span, lpMem);
    }
    mole_forget(hHeap); /* else the arguments change registers */
    mole_forget(dwFlags);
    mole_tcache_enter(cache);
    /* Another heap's block, a mode, an interior pointer, or no live block? */
    if (unlikely(load_acq_folded(&cache->owner.free_key_a) != hHeap ||
                 !mole_span_index(span, lpMem, &index) ||
                 !mole_span_entry_is_live(load_rlx_folded(&span->entry_a[index])))) {
        mole_tcache_leave(cache);
        return free_watched(hHeap, dwFlags, lpMem, span);
    }
    mole_forget(index); /* else its entry's address is computed for both accesses */
    if (unlikely(!mole_tcache_push(span, index)))
        return free_counted_down(hHeap, dwFlags, lpMem, span);
    mole_tcache_leave(cache);
    return TRUE;
}

SIZE_T WINAPI HeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem)
{
    struct mole_heap *heap = heap_to_read(hHeap, dwFlags);
    struct mole_span *span = mole_call_find(heap, lpMem, dwFlags, MOLE_CHECK_SIZE);
    if (!span) {
        mole_last_error_fail_quietly(heap ? ERROR_INVALID_PARAMETER
                                          : ERROR_INVALID_HANDLE);
        return (SIZE_T)-1;
    }
    return mole_span_bytes(span, lpMem);
}

size_t mh_usable_size(void *heap, const void *block)
{
    struct mole_heap *found = mole_handle_heap(heap);
    struct mole_span *span = found ? mole_block_find(found, block) : NULL;
    return span ? mole_block_room(span, block) : (size_t)-1;
}

BOOL WINAPI HeapValidate(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem)
{
    struct mole_heap *heap = heap_to_read(hHeap, dwFlags);
    if (!heap || !lpMem)
        return heap && mole_heap_walk_validate(heap, dwFlags);
    struct mole_span *span = mole_block_find(heap, lpMem);
    return span && (likely(!heap->checks) || mole_guard_is_whole(span, lpMem));
}
