/* SPDX-License-Identifier: MIT */
/*
 * What molehill keeps for each thread: which caches it owns, its free runs, and the few
 * words of initial-exec TLS that the fast paths read. Created at the first slow path of a
 * thread, ended by a thread-specific data destructor; calls that come later, from other
 * libraries' destructors, borrow a cache for one operation.
 *
 *  label        release side             acquire side                makes visible
 *  HB-THREAD-1  take_record: CAS         forget_others: load         thread->all_next
 */
#pragma once

#include "arena/pool.h"
#include "tcache/kept.h"
#include "tcache/spare.h"
#include "tcache/tcache.h"

enum {
    MOLE_RECENT = 32, /* heaps found by one load; a power of two */
    MOLE_VISITS = 64, /* heaps whose visits are counted; a power of two */
    MOLE_KEEP_AFTER =
        32, /* operations on a heap after which a thread keeps a cache there */
};

struct mole_visit {
    uint64_t id;
    uint64_t count;
};

/* Owner only, but for slots and in_use_a. */
struct mole_thread {
    struct mole_meta meta;
    struct mole_tcache
        *recent[MOLE_RECENT]; /* by handle; their keys tell whose they are */
    struct mole_visit visits[MOLE_VISITS];
    struct mole_kept_table kept; /* all caches the thread owns */
    struct mole_spares spares;   /* heaps it destroyed; others may take them */
    struct mole_tcache *malloc_cache;
    struct mole_meta_stack
        spare_caches;             /* records of caches it kept: only ever its own */
    struct mole_thread *all_next; /* const after the record's first use */

    /*
     * in_use_a: whether a thread has this record.
     *   writers  the thread, at its start and end; a fork's child
     *   readers  a fork's child
     *   orders   relaxed: fork orders
     *   keeps    false once the slots are empty
     */
    _Atomic(bool) in_use_a;

    /*
     * guarding_a: the block, or else the heap, whose guards the thread is at work on.
     *   writers  the thread; a fork's child
     *   readers  a fork's child
     *   orders   relaxed, between compiler fences: fork orders
     *   keeps    NULL outside of operations
     */
    _Atomic(void *) guarding_a;
    struct mole_pool_slots slots;
};

struct mh_exception_frame;

/*
 * The whole of molehill's TLS: at most 64 bytes, so that a late dlopen finds room for it.
 */
struct mole_tls {
    struct mole_tcache *malloc_cache;  /* mole_tcache_idle: none yet, or none any more */
    struct mole_thread *thread;        /* mole_thread_nobody likewise */
    struct mh_exception_frame *frames; /* the innermost MH_TRY; or NULL */
};
extern mole_shared _Thread_local struct mole_tls mole_tls
    __attribute__((tls_model("initial-exec")));

extern mole_own struct mole_thread mole_thread_nobody;

/*
 * Where a heap's cache is remembered: by the number of its chunk, nearly. One
 * multiplication shifts left and gathers what a shift and a mask would.
 */
mole_hot uint32_t mole_thread_place(const void *handle)
{
    return ((uint32_t)(uintptr_t)handle * 0x807u) >> 27;
}
static_assert(MOLE_CHUNK_SHIFT == 16 && MOLE_RECENT == 1 << (32 - 27),
              "consecutive chunks have places of their own");

/*
 * The cache that is the thread's for this handle, if its key says so; else any that the
 * thread may enter: its own, of a HEAP_NO_SERIALIZE heap, or mole_tcache_idle.
 */
mole_hot struct mole_tcache *mole_thread_recent(const void *handle)
{
    return mole_tls.thread->recent[mole_thread_place(handle)];
}

/* One operation on a heap. */
struct mole_use {
    struct mole_heap *heap;
    struct mole_tcache *cache;     /* NULL: none to be had, or none needed */
    struct mole_pool_slots *slots; /* the thread's, or NULL */
    bool is_borrowed;
};

/*
 * Begin an operation that allocates: with the thread's own cache in the heap, or with a
 * borrowed one while the thread is new to the heap or ending. `passes`: also while
 * another thread has shut the heap's gate; else such an operation waits here. The gate
 * knows of it until mole_thread_end.
 */
struct mole_use mole_thread_begin(struct mole_heap *heap, bool passes);

/*
 * The same for one that can do with any cache, or none: `cache` is the thread's own, or
 * NULL.
 */
struct mole_use mole_thread_begin_with(struct mole_heap *heap, struct mole_tcache *cache,
                                       bool passes);
void mole_thread_end(struct mole_use *use);

/* What stands for this thread in the caches it owns in the heap. */
uintptr_t mole_thread_self_in(const struct mole_heap *heap);

/* Whether an operation of this thread may use the cache as its own. */
bool mole_thread_owns(const struct mole_owner *owner);

/* The thread's own cache in the heap, or NULL. For frees of other owners' blocks. */
struct mole_tcache *mole_thread_cache(struct mole_heap *heap);

/* The same, or that of a HEAP_NO_SERIALIZE heap. */
struct mole_tcache *mole_thread_cache_at_hand(struct mole_heap *heap);

/*
 * The same, made when the thread comes often: one that only frees has batches, too. NULL
 * also while it is new to the heap or ending.
 */
struct mole_tcache *mole_thread_cache_to_free(struct mole_heap *heap);

/* The thread's slots, or NULL when it has none (yet, or any more). */
mole_shared struct mole_pool_slots *mole_thread_slots(void);

/* Give the thread a cache in a heap it has just made. False: no memory. */
bool mole_thread_settle(struct mole_heap *heap) mole_must_check;

/* Keep the cache that the thread owns in a heap at rest which lives again. */
void mole_thread_keep(struct mole_heap *heap, struct mole_tcache *cache);

/* Batches dropped because their heap was gone, since the start. */
uint64_t mole_thread_stale_batches(void);

/* End the calling thread's record, `value`: its thread-specific data destructor. */
void mole_thread_exit(void *value);

/* The first of all records, linked by all_next. In a fork's child. */
struct mole_thread *mole_thread_first(void);

/* In a fork's child: the records of the threads it does not have go. */
void mole_thread_forget_others(void);
