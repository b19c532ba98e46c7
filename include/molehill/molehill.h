/* SPDX-License-Identifier: MIT */
/*
 * molehill's own additions to the Win32 heap contract: configuration, usable sizes,
 * counters. Everything here is prefixed mh_ or MH_ and exported from libmolehill.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MH_API __attribute__((visibility("default")))
#else
#define MH_API
#endif

/* Binds a Win32 spelling to its symbol, where it is declared and where it is defined. */
#define MH_WIN32_SYMBOL(name) __asm__("mh_" #name)

/*
 * Set process-wide options, as the environment variable MOLEHILL_CONF does at start.
 *
 *   conf     "key:value,key:value"; keys are listed in README.md
 *   returns  0, or -1 with errno EINVAL when a key or a value is unknown; nothing is
 *            changed then
 *   threads  any thread; `compat` and `global_flag` are meant to be set before the first
 *            heap call
 */
MH_API int mh_configure(const char *conf);

/*
 * How many bytes the block really occupies: at least HeapSize, up to the next size class.
 * Writing past HeapSize is not allowed; this only tells what the memory costs.
 *
 *   heap     a heap handle
 *   block    a live block of that heap
 *   returns  bytes, or (size_t)-1 when `block` is no live block of `heap`
 *   threads  any thread
 */
MH_API size_t mh_usable_size(void *heap, const void *block);

/*
 * What mh_stats_get counts, of the whole process.
 */
struct mh_stats {
    size_t size;
    uint64_t heaps;             /* live heaps, the process heap included, malloc's not */
    uint64_t heaps_created;     /* since start, the process heap included */
    uint64_t lock_acquisitions; /* internal locks taken since start, by anybody */
    uint64_t refills;           /* times an allocation left the fast path for its arena */
    uint64_t frees; /* blocks freed; missing are those of HEAP_NO_SERIALIZE heaps, and of
                       caches other threads hold, but for the caller's own; some are
                       counted late: see mh_stats_get */
    uint64_t malloc_frees;   /* of these, by malloc's free and realloc */
    uint64_t foreign_frees;  /* malloc only: addresses given to free that were not ours */
    uint64_t remote_batches; /* lists of blocks handed back to another thread's cache */
    uint64_t stale_batches;  /* batches dropped because their heap was gone */
    uint64_t adoptions;      /* caches of ended threads taken over */
    uint64_t reserved_bytes; /* address space */
    uint64_t committed_bytes; /* of it, memory that was made usable */
    uint64_t spans_purged;    /* runs of pages given back to the system by age */
};

/*
 * Read the counters of the whole process, which are cheap enough to be always on: slow
 * paths keep them. Set `stats->size` to sizeof(struct mh_stats) before the call; fields
 * past it are not written.
 *
 * Frees may be counted late. When all blocks of a slab are handed out, the frees of them
 * by the thread that it belongs to are counted together, with that of them by which the
 * slab is put to use again: the second, or one in sixteen of its blocks, at the latest.
 * Until then they are missing in `frees` and `malloc_frees`, and for good if the heap is
 * destroyed before. Once all blocks of a heap are freed, none is missing.
 *
 *   stats    where to store; `stats->size` says how much of it the caller knows
 *   returns  0, or -1 with errno EINVAL for NULL or a size too small
 *   threads  any thread; the figures of other running threads may be a moment old
 */
MH_API int mh_stats_get(struct mh_stats *stats);

#ifdef __cplusplus
}
#endif
