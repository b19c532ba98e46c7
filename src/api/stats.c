/* SPDX-License-Identifier: MIT */
#include "api/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <molehill/molehill.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arena/meta.h"
#include "arena/region.h"
#include "base/check.h"
#include "os/thread.h"
#include "tcache/block.h"
#include "tcache/process.h"

static char
    path_at_exit[MOLE_STATS_PATH_MAX]; /* under the client's care, as mh_configure says */

/*
 * gone_a: blocks freed in heaps that were destroyed.
 *   writers  mole_stats_count_frees
 *   readers  mh_stats_get
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(uint64_t) gone_a;

void mole_stats_count_frees(uint64_t frees)
{
    add_rlx(&gone_a, frees);
}

void mole_stats_write_at_exit(const char *path, size_t length)
{
    memcpy(path_at_exit, path, length);
    path_at_exit[length] = '\0';
}

/* Frees through one cache: the caller's own, or one that is nobody's at the moment. */
static uint64_t frees_through(struct mole_owner *owner)
{
    const struct mole_tcache *cache = (const struct mole_tcache *)(const void *)owner;
    if (mole_thread_owns(owner))
        return mole_tcache_frees(cache);
    uintptr_t orphan = MOLE_ORPHAN;
    if (load_rlx(&owner->thread_a) != MOLE_ORPHAN ||
        !cas_acq(&owner->thread_a, &orphan, mole_thread_self())) /* HB-OWNER-1 */
        return 0;
    uint64_t frees = mole_tcache_frees(cache);
    store_rel(&owner->thread_a, MOLE_ORPHAN); /* HB-OWNER-1 */
    return frees;
}

/*
 * Frees of one heap. Under the lock that HeapDestroy takes; heaps without are left out.
 */
static uint64_t frees_of(struct mole_heap *heap, uint64_t id)
{
    if (!heap->arena.is_locked)
        return 0;
    uint64_t frees = 0;
    mole_arena_enter(&heap->arena);
    if (mole_heap_id(heap) == id) {
        frees = load_rlx(&heap->frees_a);
        for (struct mole_owner *owner = mole_heap_owners(heap); owner;
             owner = owner->next)
            frees += frees_through(owner);
    }
    mole_arena_leave(&heap->arena);
    return frees;
}

static void fill(struct mh_stats *all)
{
    if (!mole_process_start())
        return;
    for (struct mole_heap *heap = mole_heap_first(); heap; heap = mole_heap_next(heap)) {
        uint64_t id = mole_heap_id(heap);
        if (!id)
            continue;
        bool is_malloc = heap == mole_process_malloc_heap();
        uint64_t frees = frees_of(heap, id);
        all->heaps += !is_malloc;
        all->frees += frees;
        if (is_malloc)
            all->malloc_frees = frees;
    }
    all->frees += load_rlx(&gone_a);
    all->heaps_created = mole_heap_count() - 1; /* malloc's is none */
    all->lock_acquisitions = mole_lock_count();
    all->refills = mole_arena_refills();
    all->foreign_frees = mole_block_foreign();
    all->remote_batches = mole_tcache_batches();
    all->stale_batches = mole_thread_stale_batches();
    all->adoptions = mole_heap_adoptions();
    all->reserved_bytes = mole_region_reserved() + mole_meta_reserved();
    all->committed_bytes = mole_region_committed() +
                           mole_meta_committed(MOLE_META_RECORDS) +
                           mole_meta_committed(MOLE_META_PAGES);
    all->spans_purged = mole_pool_purged();
}

int mh_stats_get(struct mh_stats *stats)
{
    if (!stats || stats->size < sizeof stats->size) {
        errno = EINVAL;
        return -1;
    }
    struct mh_stats all = {.size = stats->size};
    size_t size = stats->size < sizeof all ? stats->size : sizeof all;
    fill(&all);
    memcpy(stats, &all, size);
    return 0;
}

__attribute__((destructor)) static void write_at_exit(void)
{
    if (!path_at_exit[0])
        return;
    struct mh_stats stats = {.size = sizeof stats};
    (void)mh_stats_get(&stats);
    char line[512];
    int length = snprintf(
        line, sizeof line,
        "molehill: pid=%ld frees=%llu malloc_frees=%llu heaps=%llu refills=%llu "
        "remote_batches=%llu adoptions=%llu foreign_frees=%llu "
        "committed_bytes=%llu spans_purged=%llu\n",
        (long)getpid(), (unsigned long long)stats.frees,
        (unsigned long long)stats.malloc_frees, (unsigned long long)stats.heaps_created,
        (unsigned long long)stats.refills, (unsigned long long)stats.remote_batches,
        (unsigned long long)stats.adoptions, (unsigned long long)stats.foreign_frees,
        (unsigned long long)stats.committed_bytes,
        (unsigned long long)stats.spans_purged);
    int file = open(path_at_exit, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0 || write(file, line, (size_t)length) != length)
        mole_warn("the counters cannot be written to %s", path_at_exit);
    if (file >= 0)
        close(file);
}
