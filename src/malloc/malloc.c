/* SPDX-License-Identifier: MIT */
/*
 * malloc and free: one heap of the process, without handle and without exact sizes.
 *
 * Its heap word is compared here in a form that costs nothing: while no mode is set the
 * limits below are what their checks need anyway, and while one is set they are 0, so
 * that each call takes its slow path, where the word itself decides. A heap that is only
 * sampled keeps the limit of its frees.
 *
 * errno: kept on success and by free; ENOMEM or EINVAL on failure.
 */
#include "malloc/malloc.h"

#include <errno.h>
#include <string.h>

#include "arena/large.h"
#include "arena/mode.h"
#include "arena/span_map.h"
#include "control/control.h"
#include "malloc/names.h"
#include "tcache/batch.h"
#include "tcache/head.h"
#include "tcache/process.h"
#include "tcache/refill.h"
#include "watch/fast.h"
#include "watch/watch.h"

/*
 * The span map as free reads it, with a limit of its own, and the number of direct sizes.
 *   writers  whoever sets a mode of malloc's heap, the region as it grows
 *   readers  malloc, free, malloc_usable_size
 *   orders   a mode is set first and then awaited through busy_a: HB-GATE-1, HB-GATE-2
 *   keeps    both limits are 0 while a mode is set, but for the view's while sampled
 */
struct mole_map_view mole_malloc_view;
static _Atomic(size_t) direct_limit_a;

/* The modes of malloc's heap are these now. */
static void follow(unsigned modes)
{
    mole_span_map_switch(&mole_malloc_view, !(modes & ~(unsigned)MOLE_MODE_SAMPLED));
    store_rel(&direct_limit_a, modes ? 0 : MOLE_DIRECT_COUNT); /* HB-GATE-2 */
}

/* Bring malloc up, once. The limits are not asked: a mode may be why they are 0. */
static bool start(void)
{
    /*
     * is_begun_a: somebody brings malloc up, or did.
     *   writers  the first to come
     *   readers  every slow path
     *   orders   relaxed: slow paths need nothing of what is set up below
     *   keeps    true for good
     */
    static _Atomic(bool) is_begun_a;
    bool is_begun = false;
    if (!mole_process_start())
        return false;
    if (load_rlx(&is_begun_a) || !cas_acq(&is_begun_a, &is_begun, true))
        return true;
    mole_span_map_follow(&mole_malloc_view);
    mole_mode_follow(mole_process_malloc_heap(), follow);
    return true;
}

/* Before there is a second thread, for the view's plain fields. */
__attribute__((constructor)) static void start_early(void)
{
    (void)!start();
    mole_control_offer();
}

static void *fail(int code)
{
    errno = code;
    return NULL;
}

void *mole_malloc_alloc_slow(size_t bytes, size_t align, bool zero)
{
    int saved = errno;
    void *block = start() ? mole_watch_alloc(mole_process_malloc_heap(), bytes, align,
                                             zero ? MOLE_BLOCK_ZERO : 0)
                          : NULL;
    errno = block ? saved : ENOMEM;
    return block;
}

/* Of a heap that spies watch. NULL: take the long way, nothing has happened. */
static __attribute__((noinline)) void *alloc_watched(size_t bytes)
{
    struct mole_tcache *cache = mole_tls.malloc_cache;
    void *block = mole_fast_alloc(&mole_spy_view, cache, MOLE_MALLOC_KEY, bytes);
    return likely(block) ? block : mole_malloc_alloc_slow(bytes, MOLE_ALIGN, false);
}

/* Requests for pages of their own, or for nothing; inside of an operation. */
static __attribute__((noinline)) void *alloc_large(size_t bytes,
                                                   struct mole_tcache *cache)
{
    void *block;
    bool is_done = likely(load_acq_folded(&direct_limit_a)) && /* HB-GATE-2 */
                   mole_large_cache_take(&cache->large, bytes,
                                         mole_round_up(bytes, MOLE_PAGE), &block);
    mole_tcache_leave(cache);
    if (likely(is_done))
        return block;
    return MOLE_HAS_SPIES && !load_acq(&direct_limit_a) /* HB-GATE-2 */
               ? alloc_watched(bytes)
               : mole_malloc_alloc_slow(bytes, MOLE_ALIGN, false);
}

/* The current slab of the class has no free block; inside of an operation. */
static __attribute__((noinline)) void *alloc_next(size_t bytes, struct mole_tcache *cache)
{
    void *block;
    struct mole_span *span = mole_refill_next(cache, mole_size_class_of(bytes));
    bool is_done = likely(span) && mole_head_pop(span, &block);
    mole_tcache_leave(cache);
    return likely(is_done) ? block : mole_malloc_alloc_slow(bytes, MOLE_ALIGN, false);
}

/*
 * Requests above the direct sizes that still come from slabs, inside of an operation. The
 * limit is in a register, else bsr, which is to write to that, waits for the last free.
 */
static __attribute__((noinline)) void *alloc_medium(size_t bytes,
                                                    struct mole_tcache *cache)
{
    void *block;
    size_t limit = load_acq(&direct_limit_a); /* HB-GATE-2 */
    if (unlikely(bytes - 1 >= MOLE_SLAB_MAX))
        return alloc_large(bytes, cache);
    if (unlikely(!limit)) {
        mole_tcache_leave(cache);
        return MOLE_HAS_SPIES ? alloc_watched(bytes)
                              : mole_malloc_alloc_slow(bytes, MOLE_ALIGN, false);
    }
    if (unlikely(!mole_head_pop(cache->current[mole_size_class_medium(bytes)], &block)))
        return alloc_next(bytes, cache);
    mole_tcache_leave(cache);
    return block;
}

__attribute__((aligned(MOLE_CACHE_LINE))) void *MALLOC_NAME(malloc)(size_t bytes)
{
    struct mole_tcache *cache = mole_tls.malloc_cache;
    size_t slot = (bytes - 1) / MOLE_ALIGN;
    mole_tcache_enter(cache);
    if (unlikely(slot >= load_acq_folded(&direct_limit_a))) /* HB-GATE-2 */
        return alloc_medium(bytes, cache);
    void *block;
    if (unlikely(!mole_head_pop_asking(cache->direct[slot], &block)))
        return alloc_next(bytes, cache);
    mole_tcache_leave(cache);
    return block;
}

/* Something that is no live block of malloc's: ours and wrong, or not ours. */
static void refuse(const char *call, const void *block)
{
    if (!mole_block_is_ours(block)) {
        /* Whose it is cannot be known without following it, so it is left alone. */
        mole_block_count_foreign();
        return;
    }
    mole_block_blame(call, block);
}

static mole_slow void free_slow(void *block)
{
    if (!block)
        return;
    int saved = errno;
    struct mole_span *span =
        start() ? mole_block_find(mole_process_malloc_heap(), block) : NULL;
    if (!span || !mole_watch_free(span, block, 0))
        refuse("free", block);
    errno = saved;
}

/* Of a heap that spies watch. False: take the long way, nothing has happened. */
static __attribute__((noinline)) bool free_watched(void *block)
{
    uintptr_t page;
    if (!mole_span_map_has(mole_span_map, block, &page))
        return false;
    struct mole_span *span = load_acq(&mole_span_map->table[page]); /* HB-MAP-1 */
    struct mole_spy_block gone = {.block = block};
    size_t index;
    return span->owner == &mole_tls.malloc_cache->owner &&
           mole_fast_finds(span, MOLE_MALLOC_KEY, &gone, &index) &&
           mole_fast_free(&mole_spy_view, span, MOLE_MALLOC_KEY, &gone, index, 0);
}

/* The slab's countdown ended with this free. */
static mole_slow void free_counted_down(struct mole_tcache *cache, struct mole_span *span)
{
    mole_tcache_counted_down(cache, &mole_tls.thread->slots, span);
    mole_tcache_leave(cache);
}

/* A large block, inside the operation that free began. */
static __attribute__((noinline, used)) void
free_large(void *block, struct mole_span *span, size_t unused, struct mole_tcache *cache)
{
    (void)unused; /* keeps the cache in its register */
    bool is_kept = likely(span->heap == cache->owner.heap) &&
                   mole_large_cache_put(&cache->large, span, block);
    if (likely(is_kept))
        cache->frees++;
    mole_tcache_leave(cache);
    if (unlikely(!is_kept))
        free_slow(block);
}

/* As below, where no batch has blocks of the slab, or all it may have; or refuse it. */
static __attribute__((noinline)) void
free_remote_first(void *block, struct mole_span *span, struct mole_tcache *cache)
{
    size_t index;
    bool is_remote = span->kind == MOLE_SPAN_SLAB && span->heap == cache->owner.heap &&
                     mole_span_index(span, block, &index) && index < span->capacity &&
                     mole_tcache_free_remote(cache, span, index);
    mole_tcache_leave(cache);
    if (unlikely(!is_remote))
        free_slow(block);
}

/* A block of another thread's slab, most likely; inside the operation that free began. */
static __attribute__((noinline, used)) void
free_remote(void *block, struct mole_span *span, size_t unused, struct mole_tcache *cache)
{
    (void)unused; /* as in free_large */
    if (likely(mole_batch_add(cache, span, block)))
        mole_tcache_leave(cache);
    else
        free_remote_first(block, span, cache);
}

/* Outside of the operation that could not free the block. */
static __attribute__((noinline)) void free_further(void *block)
{
    if (!MOLE_HAS_SPIES || !free_watched(block))
        free_slow(block);
}

__attribute__((aligned(MOLE_CACHE_LINE))) void MALLOC_NAME(free)(void *block)
{
    struct mole_tcache *cache = mole_tls.malloc_cache;
    mole_tcache_enter(cache);
    uintptr_t page;
    if (unlikely(!mole_span_map_has(&mole_malloc_view, block, &page)))
        goto slow;
    _Atomic(struct mole_span *) *table = mole_malloc_view.table;
    struct mole_span *span = load_acq(&table[page]); /* HB-MAP-1 */
    if (unlikely(span->owner != &cache->owner)) {
        if (span->kind == MOLE_SPAN_LARGE)
            free_large(block, span, (size_t)table, cache);
        else
            free_remote(block, span, (size_t)table, cache);
        return;
    }
    size_t index;
    if (unlikely(!mole_span_index(span, block, &index) ||
                 !mole_span_entry_is_live(load_rlx_folded(&span->entry_a[index]))))
        goto slow;
    mole_forget(index); /* else its entry's address is computed for both accesses */
    if (unlikely(!mole_head_push(span, index, block))) {
        free_counted_down(cache, span);
        return;
    }
    mole_tcache_leave(cache);
    return;
slow:
    mole_tcache_leave(cache);
    free_further(block);
}

void *MALLOC_NAME(calloc)(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return fail(ENOMEM);
    if (total > MOLE_SLAB_MAX)
        return mole_malloc_alloc_slow(total, MOLE_ALIGN, true);
    void *block = MALLOC_NAME(malloc)(total);
    return block ? memset(block, 0, total) : NULL;
}

/* What realloc's short way finds. */
enum resize {
    RESIZED,  /* it stays where it is, */
    TO_MOVE,  /* it is of a slab of the thread's, and is to move */
    NOT_HERE, /* take the long way: nothing is known, and nothing has happened */
};

/* A block of a slab of the thread's. `*old` is what it has. */
static enum resize try_small(const struct mole_span *span, const void *block,
                             size_t bytes, size_t *old)
{
    size_t index;
    if (unlikely(!mole_span_index(span, block, &index) ||
                 !mole_span_entry_is_live(load_rlx(span->entry_a + index))))
        return NOT_HERE;
    *old = span->block_bytes;
    if (mole_block_suits(span, bytes))
        return RESIZED;
    return likely(load_acq(&direct_limit_a)) ? TO_MOVE : NOT_HERE; /* HB-GATE-2 */
}

/* A large one stays if it has room. */
static enum resize try_large(struct mole_span *span, const void *block, size_t bytes,
                             const struct mole_tcache *cache)
{
    bool stays = load_acq(&direct_limit_a) && /* HB-GATE-2 */
                 span->heap == cache->owner.heap &&
                 mole_large_resize_here(span, block, mole_round_up(bytes, MOLE_PAGE));
    return likely(stays) ? RESIZED : NOT_HERE;
}

static enum resize try_resize(const void *block, size_t bytes, size_t *old)
{
    struct mole_tcache *cache = mole_tls.malloc_cache;
    enum resize result = NOT_HERE;
    uintptr_t page;
    mole_tcache_enter(cache);
    if (likely(mole_span_map_has(&mole_malloc_view, block, &page))) {
        struct mole_span *span = load_acq(&mole_malloc_view.table[page]); /* HB-MAP-1 */
        result = span->owner == &cache->owner ? try_small(span, block, bytes, old)
                                              : try_large(span, block, bytes, cache);
    }
    mole_tcache_leave(cache);
    return result;
}

static __attribute__((noinline)) void *realloc_slow(void *block, size_t bytes)
{
    if (!block)
        return MALLOC_NAME(malloc)(bytes);
    if (bytes == 0) {
        MALLOC_NAME(free)(block);
        return NULL;
    }
    int saved = errno;
    struct mole_span *span =
        start() ? mole_block_find(mole_process_malloc_heap(), block) : NULL;
    if (!span) {
        refuse("realloc", block);
        return fail(ENOMEM);
    }
    void *moved = mole_watch_resize(span, block, bytes, 0);
    errno = moved ? saved : ENOMEM;
    return moved;
}

/* To another class, or to pages of its own. */
static __attribute__((noinline)) void *move(void *block, size_t old, size_t bytes)
{
    int saved = errno;
    void *to = MALLOC_NAME(malloc)(mole_size_class_roomy(old, bytes));
    if (unlikely(!to)) {
        errno = saved;
        return realloc_slow(block, bytes); /* what shrinks may stay after all */
    }
    memcpy(to, block, old < bytes ? old : bytes);
    MALLOC_NAME(free)(block);
    return to;
}

void *MALLOC_NAME(realloc)(void *block, size_t bytes)
{
    size_t old;
    switch (likely(bytes) ? try_resize(block, bytes, &old) : NOT_HERE) {
    case RESIZED:
        return block;
    case TO_MOVE:
        return move(block, old, bytes);
    default:
        return realloc_slow(block, bytes);
    }
}

size_t mole_malloc_usable_slow(void *block)
{
    struct mole_span *span =
        block && start() ? mole_block_find(mole_process_malloc_heap(), block) : NULL;
    if (!span && block)
        refuse("malloc_usable_size", block);
    return span ? mole_block_room(span, block) : 0;
}

void *MALLOC_NAME(reallocarray)(void *block, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return fail(ENOMEM);
    return MALLOC_NAME(realloc)(block, total);
}
