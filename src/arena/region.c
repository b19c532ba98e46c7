/* SPDX-License-Identifier: MIT */
#include "arena/region.h"

#include "arena/span_map.h"
#include "base/atom.h"
#include "os/pages.h"
#include "os/thread.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { IS_SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif
#else
enum { IS_SANITIZED = 0 };
#endif

#if defined(MOLE_TESTING)
enum { IS_TESTING = 1 };
#else
enum { IS_TESTING = 0 };
#endif

static const size_t most_bytes = (size_t)1 << (IS_SANITIZED ? 34 : 40);
static const size_t least_bytes = (size_t)64 << 20;

/* A step covers whole pages of the span map: 32 chunks fill one. */
enum { LEAST_STEP = 32, MOST_STEP = 1024 };

static char *base;          /* const after init */
static size_t total_chunks; /* const after init, but for mole_region_shrink */

/*
 * next_a: chunks handed out.
 *   writers  mole_region_take
 *   readers  the same; mole_region_holds, mole_region_taken
 *   orders   relaxed: it hands out address space; contents come with committed_a
 *   keeps    <= total_chunks, <= committed_a
 */
static _Atomic(size_t) next_a;

/*
 * committed_a: chunks that are readable, writable and covered by the span map.
 *   writers  grow, only ever raised
 *   readers  mole_region_take
 *   orders   raise CAS release, load acquire: HB-REGION-1
 *   keeps    <= total_chunks as it was reserved; a multiple of LEAST_STEP
 */
static _Atomic(size_t) committed_a;

/*
 * growers_a: threads in grow.
 *   writers  grow; a fork's child
 *   readers  settle
 *   orders   add sequentially consistent, subtract release, load acquire: HB-REGION-2
 *   keeps    nothing
 */
static _Atomic(uint32_t) growers_a;

bool mole_region_init(void)
{
    if (total_chunks)
        return true;
    size_t bytes = most_bytes;
    while (bytes > mole_pages_address_limit() && bytes > least_bytes)
        bytes /= 2;
    for (; bytes >= least_bytes; bytes /= 2) {
        base = mole_pages_reserve(bytes, MOLE_CHUNK);
        if (base && mole_span_map_init(base, bytes)) {
            total_chunks = bytes / MOLE_CHUNK;
            return true;
        }
        if (base)
            mole_pages_release(base, bytes);
    }
    return false;
}

void mole_region_set_huge(bool on)
{
    mole_pages_set_huge(base, mole_region_reserved(), on);
}

/* What a step from `from` would commit: the more, the larger the region is already. */
static size_t generous_target(size_t from, size_t least)
{
    size_t step = mole_round_up(from / 8, LEAST_STEP);
    step = step > MOST_STEP ? MOST_STEP : step;
    size_t target = from + step;
    return target < least || target > total_chunks ? least : target;
}

static bool commit(size_t from, size_t target)
{
    return mole_pages_commit(base + from * MOLE_CHUNK, (target - from) * MOLE_CHUNK) &&
           mole_span_map_cover(from, target);
}

/*
 * Commit a step beyond `from`. Threads may do the same step side by side: it is
 * idempotent.
 */
static bool grow_from(size_t from, size_t needed)
{
    size_t least = mole_round_up(needed, LEAST_STEP);
    size_t target = generous_target(from, least);
    if (!commit(from, target)) {
        if (target == least || !commit(from, least))
            return false;
        target = least;
    }
    /* The map first: whoever sees the chunks committed must find them in the map. */
    mole_span_map_raise(target);
    while (from < target &&
           !cas_weak_rel(&committed_a, &from, target)) { /* HB-REGION-1 */
    }
    return true;
}

static bool grow(size_t needed)
{
    add_seq_cst(&growers_a, 1);                /* HB-REGION-2 */
    fence_seq_cst();                           /* HB-REGION-2 */
    size_t committed = load_acq(&committed_a); /* HB-REGION-1 */
    bool done = needed <= committed || grow_from(committed, needed);
    sub_rel(&growers_a, 1); /* HB-REGION-2 */
    return done;
}

void mole_region_settle(void)
{
    fence_seq_cst();             /* HB-REGION-2 */
    while (load_acq(&growers_a)) /* HB-REGION-2 */
        mole_thread_yield();
}

void mole_region_repair(void)
{
    store_rlx(&growers_a, 0);
}

void *mole_region_take(size_t chunks)
{
    size_t next = load_rlx(&next_a);
    for (;;) {
        if (chunks > total_chunks - next)
            return NULL;
        size_t committed = load_acq(&committed_a); /* HB-REGION-1 */
        if (next + chunks > committed) {
            if (!grow(next + chunks))
                return NULL;
            next = load_rlx(&next_a);
        } else if (cas_weak_rlx(&next_a, &next, next + chunks)) {
            return base + next * MOLE_CHUNK;
        }
    }
}

bool mole_region_holds(const void *address)
{
    return (uintptr_t)address - (uintptr_t)base < load_rlx(&next_a) * MOLE_CHUNK;
}

size_t mole_region_fresh(void)
{
    return total_chunks - load_rlx(&next_a);
}

void mole_region_shrink(size_t chunks)
{
    if (IS_TESTING && chunks < mole_region_fresh())
        total_chunks = load_rlx(&next_a) + chunks;
}

size_t mole_region_reserved(void)
{
    return total_chunks * MOLE_CHUNK;
}

size_t mole_region_taken(void)
{
    return load_rlx(&next_a) * MOLE_CHUNK;
}

size_t mole_region_committed(void)
{
    return load_rlx(&committed_a) * MOLE_CHUNK;
}
