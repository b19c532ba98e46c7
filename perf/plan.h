/* SPDX-License-Identifier: MIT */
/*
 * What a trace asks for, ready to be done again: for each lane its operations, with
 * numbers for blocks and heaps in place of addresses. Every block is allocated, resized
 * or freed in turn, whichever lanes do so: each address that an operation returns has a
 * number of its own, and is taken once, by an operation that comes later in the trace.
 * What is left over at the trace's end is freed by the lane that had it last.
 *
 * Memory comes from mmap.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum plan_kind {
    PLAN_ALLOC,   /* makes `to` */
    PLAN_FREE,    /* takes `from` */
    PLAN_REALLOC, /* takes `from`, makes `to` */
    PLAN_GONE,    /* takes `from`: its heap is about to be destroyed */
    PLAN_CREATE,  /* a heap */
    PLAN_DESTROY, /* takes it, when all that is counted in it is done */
    PLAN_MARK,    /* no operation: `from` and `to` are the event's number, high and low */
    PLAN_NOTE,    /* none: behind a PLAN_REALLOC, with the bytes that were before */
};

enum {
    PLAN_COUNTED = 8, /* in a heap that another lane destroys */
    PLAN_HEAP_SHIFT = 8,
    PLAN_MARK_EVENTS = 1024, /* a lane has a mark at most so many before each operation */
    PLAN_MALLOC = 0,         /* the heap that is there all the time */
};

struct plan_op {
    uint32_t from;
    uint32_t to;
    uint32_t bytes;
    uint32_t what; /* kind, PLAN_COUNTED, heap */
};

struct plan_lane {
    struct plan_op *ops;
    size_t count;
    size_t room;
};

struct plan_counts {
    uint64_t events, allocs, frees, resizes, heaps;
    uint64_t older;   /* frees of blocks older than the trace: dropped */
    uint64_t unheard; /* blocks freed here since their address was given out again */
    uint64_t adopted; /* resizes of such: allocations here */
    uint64_t gone;    /* blocks that went with their heaps */
    uint64_t left;    /* blocks that were not freed, and are at the end */
    uint64_t remote;  /* frees and resizes by another lane than had the block */
    uint64_t lost;
};

struct plan {
    struct plan_lane *lanes;
    unsigned lane_count;
    uint32_t block_count; /* numbers, from 1 */
    uint32_t heap_count;
    uint32_t *awaited; /* for each heap: how many counted operations it has */
    uint64_t bytes_max, bytes_min;
    struct plan_counts counts;
};

/*
 * Make the plan of the trace, for so many lanes: those of the trace in turn. A trace that
 * is not whole ends the program. Returns how many bytes the plan keeps.
 */
size_t plan_make(struct plan *plan, const char *path, unsigned lanes);
