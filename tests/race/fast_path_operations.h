/* SPDX-License-Identifier: MIT */
/*
 * The operations that fast_path_step stops in: all that the README's table of progress
 * says never wait or are lock-free.
 */
#pragma once

#include "fast_path_refills.h"

#define HEAP_ALLOC(name, bytes, in)                                          \
    {                                                                        \
        name, LOCAL, heap_prepare_hit, heap_alloc, heap_has_block, bytes, in \
    }
#define HEAP_FREE(name, bytes, in)                                           \
    {                                                                        \
        name, LOCAL, heap_prepare_block, heap_free, heap_is_freed, bytes, in \
    }
#define HEAP_BLOCK(name, run, is_done, bytes)                       \
    {                                                               \
        name, LOCAL, heap_prepare_block, run, is_done, bytes, &heap \
    }
#define MALLOC(name, bytes)                                                          \
    {                                                                                \
        name, LOCAL, malloc_prepare_hit, malloc_alloc, malloc_has_block, bytes, NULL \
    }
#define MALLOC_BLOCK(name, run, is_done, bytes)                      \
    {                                                                \
        name, LOCAL, malloc_prepare_block, run, is_done, bytes, NULL \
    }
#define REMOTELY(name, prepare, run, is_done)         \
    {                                                 \
        name, REMOTE, prepare, run, is_done, 0, &heap \
    }

static const struct operation operations[] = {
    HEAP_ALLOC("HeapAlloc", SMALL, &heap),
    HEAP_ALLOC("HeapAlloc of 8000 bytes", 8000, &heap),
    HEAP_ALLOC("HeapAlloc of 30000 bytes", 30000, &heap),
    HEAP_ALLOC("HeapAlloc of 32768 bytes", 32768, &heap),
    {"HeapAlloc of zeros", LOCAL, heap_prepare_hit, heap_alloc_zeroed,
     heap_has_zeroed_block, SMALL, &heap},
    {"HeapAlloc of 1500 zeros", LOCAL, heap_prepare_hit, heap_alloc_zeroed,
     heap_has_zeroed_block, 1500, &heap},
    {"HeapAlloc of a large block", REMOTE, heap_prepare_hit, heap_alloc, heap_has_block,
     LARGE, &heap},
    HEAP_FREE("HeapFree of a large block", LARGE, &heap),
    HEAP_FREE("HeapFree by the owner", SMALL, &heap),
    HEAP_FREE("HeapFree of 8000 bytes by the owner", 8000, &heap),
    REMOTELY("HeapFree into a batch", heap_prepare_batch, heap_free, heap_is_batched),
    REMOTELY("HeapFree that hands a batch over", heap_prepare_flush, heap_free,
             heap_is_flushed),
    HEAP_BLOCK("HeapSize", heap_size, heap_is_size, SMALL),
    HEAP_BLOCK("HeapSize of a large block", heap_size, heap_is_size, LARGE),
    HEAP_BLOCK("HeapValidate", heap_validate, heap_is_valid, SMALL),
    HEAP_BLOCK("HeapValidate of a large block", heap_validate, heap_is_valid, LARGE),
    {"HeapValidate of a freed block", LOCAL, heap_prepare_freed, heap_validate,
     heap_is_invalid, SMALL, &heap},
    HEAP_BLOCK("HeapReAlloc in place", heap_resize, heap_is_resized, MEDIUM),
    HEAP_BLOCK("HeapReAlloc of a large block in place", heap_resize, heap_is_resized,
               LARGE),
    MALLOC("malloc", SMALL),
    MALLOC("malloc beyond the direct sizes", MEDIUM),
    MALLOC("malloc of 30000 bytes", 30000),
    MALLOC("malloc of 32768 bytes", 32768),
    {"malloc of a large block", REMOTE, malloc_prepare_hit, malloc_alloc,
     malloc_has_block, LARGE, NULL},
    MALLOC_BLOCK("free of a large block", malloc_free, malloc_is_freed, LARGE),
    MALLOC_BLOCK("free by the owner", malloc_free, malloc_is_freed, SMALL),
    REMOTELY("free into a batch", malloc_prepare_batch, malloc_free, malloc_is_batched),
    REMOTELY("free that hands a batch over", malloc_prepare_flush, malloc_free,
             malloc_is_flushed),
    MALLOC_BLOCK("malloc_usable_size", malloc_size, malloc_is_size, SMALL),
    MALLOC_BLOCK("realloc in place", malloc_resize, malloc_is_resized, MEDIUM),
    MALLOC_BLOCK("realloc of a large block in place", malloc_resize, malloc_is_resized,
                 LARGE),
    HEAP_ALLOC("HeapAlloc without serialization", SMALL, &alone),
    HEAP_FREE("HeapFree without serialization", SMALL, &alone),
    REMOTELY("refill from the inbox", refill_prepare_inbox, refill_alloc,
             refill_is_returned),
    REMOTELY("refill from the woken list", refill_prepare_woken, refill_alloc,
             refill_is_returned),
    REMOTELY("refill from a partial slab", refill_prepare_partial, refill_alloc,
             refill_is_returned),
    REMOTELY("refill from unused blocks", refill_prepare_unused, refill_alloc,
             refill_is_unused),
    REMOTELY("HeapAlloc with a borrowed cache", visit_prepare_orphan, visit_alloc,
             visit_has_borrowed),
    REMOTELY("making a cache", visit_prepare_none, visit_make_cache,
             visit_has_made_cache),
    REMOTELY("HeapFree without a cache", visit_prepare, visit_free, visit_has_freed),
    {"HeapCreate", CONTENDED, create_prepare, create_run, create_is_done, 0, NULL},
    REMOTELY("GetProcessHeaps", list_prepare, list_run, list_is_done),
    {"HeapSummary, the control", LOCKING, prepare_nothing, summary_run, summary_is_done,
     0, NULL},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };
