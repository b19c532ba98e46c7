/* SPDX-License-Identifier: MIT */
/*
 * Observers: code of yours that sees what is allocated, resized and freed, attached to a
 * running process and detached from it while its threads go on. They never change a
 * pointer or a size.
 *
 * Nothing is paid for while none is attached. When mh_spy_detach has returned 0, no
 * thread is inside the spy and none will enter it again: its memory may be freed, its
 * code unloaded.
 *
 * Callbacks run on the thread that allocates, any number of threads at a time, with no
 * lock of molehill's held. They may allocate, from spied heaps too: a spy does not hear
 * of what is done inside its own callbacks, others do. What they do to errno and to the
 * last error is undone. They must not raise C++ exceptions, nor end the thread.
 *
 * "Heap" in a callback is the heap's HANDLE, or MH_SPY_MALLOC for malloc and its kin.
 * Sizes are in bytes: of a heap's blocks what was asked for, of malloc's what the block
 * may use, or what was asked for if it was picked for a sample. may_allocate is told what
 * is asked for.
 */
#pragma once

#include "molehill.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where to attach a spy, besides to a heap's HANDLE. No heap has these as handle. */
#define MH_SPY_ALL ((void *)1) /* every heap, those to come included, and malloc */
#define MH_SPY_MALLOC \
    ((void *)2) /* malloc, calloc, realloc, free, operator new and delete */

/* What the functions below return besides 0. */
enum {
    MH_PENDING = 1,    /* detached; mh_spy_wait tells when nobody is inside any more */
    MH_INVALID = -1,   /* a NULL, a size too small, or no live heap */
    MH_NO_MEMORY = -2, /* nothing was changed */
    MH_ATTACHED = -3,  /* this spy is attached already */
    MH_DETACHED = -4,  /* this spy is not attached */
};

/*
 * A spy. Set `size` to sizeof(struct mh_spy) and leave what is not wanted 0. It stays
 * where it is, unchanged, until it is detached: its address stands for it.
 */
struct mh_spy {
    size_t size;
    const char *name; /* for people, may be NULL */
    void *context;    /* handed to each callback */

    /*
     * 0: tell of every operation. Else of a sample: each byte allocated is picked with
     * the same chance, one in `sample_bytes` on average, and a block is told of when one
     * of its bytes is; `freed` and `reallocated` then come for just these blocks. A block
     * picked by what it grew by comes as `allocated`. Not counted is what a small block
     * grows by under HEAP_REALLOC_IN_PLACE_ONLY. Blocks that were picked have pages of
     * their own, 64 KiB of address space each.
     * may_allocate is not sampled: it is not called for such a spy.
     */
    size_t sample_bytes;

    /*
     * Callbacks find a last error of the thread's that is theirs alone: neither it nor
     * errno is changed for who made the call.
     */

    /* A block came; it is not the caller's yet. */
    void (*allocated)(void *context, void *heap, void *block, size_t bytes);

    /* A block goes; it is still there. */
    void (*freed)(void *context, void *heap, void *block, size_t bytes);

    /*
     * A block changed its size. When it also moved, the new block has the contents, and
     * the old one is still reserved: nobody else can have its address yet.
     */
    void (*reallocated)(void *context, void *heap, void *old_block, size_t old_bytes,
                        void *block, size_t bytes);

    void (*heap_created)(void *context, void *heap);

    /* All its blocks go with it: no `freed` comes for them. The heap is still there. */
    void (*heap_destroyed)(void *context, void *heap);

    /* Asked before each allocation and resize: 0 lets it fail as if memory were short. */
    int (*may_allocate)(void *context, void *heap, size_t bytes);
};

/*
 * Attach a spy. Operations that begin after the call are told of; of those under way,
 * some may be.
 *
 *   spy      see above
 *   heap     a heap's handle, MH_SPY_ALL or MH_SPY_MALLOC
 *   returns  0, MH_INVALID, MH_NO_MEMORY or MH_ATTACHED
 *   threads  any; also in callbacks
 */
MH_API int mh_spy_attach(const struct mh_spy *spy, void *heap);

/*
 * Detach a spy.
 *
 *   spy      one that was attached; any other value is only compared
 *   returns  0: no thread is inside the spy, and none will enter it again;
 *            MH_PENDING, in a callback, in a method of an IMallocSpy, or while the thread
 *            owns a HeapLock, where waiting might never end: operations that begin from
 *            now on do not enter it; or MH_DETACHED
 *   threads  any; waits for callbacks under way
 */
MH_API int mh_spy_detach(const struct mh_spy *spy);

/*
 * Wait until no thread is inside any spy that was detached before the call.
 *
 *   returns  0, or MH_PENDING where mh_spy_detach would
 *   threads  any
 */
MH_API int mh_spy_wait(void);

#ifdef __cplusplus
}
#endif
