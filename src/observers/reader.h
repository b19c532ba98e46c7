/* SPDX-License-Identifier: MIT */
/*
 * Reads a trace (trace.h) event by event, in the order of their numbers, whichever lane
 * they are of. All that could be wrong with its form is found: at the beginning, or at
 * the event; whoever has read up to the end knows that it is whole. Who calls has the
 * trace in memory.
 */
#pragma once

#include <stdbool.h>

#include "observers/trace.h"

enum { READER_LANES_MOST = 1024 };

struct trace_event {
    enum trace_kind kind;
    uint32_t lane;
    uint64_t number;
    uint64_t heap;      /* its handle */
    uint64_t old_block; /* of a resize */
    uint64_t block;
    uint64_t bytes;
};

/* Where a lane's next event is. */
struct reader_lane {
    const unsigned char *at;
    const unsigned char *end; /* of the chunk */
    uint64_t behind;          /* the offset where the chunk ends; 0: the lane has none */
    uint32_t left;            /* events in the chunk */
    uint64_t last;            /* number of the one before */
    uint64_t heap;
    uint64_t block;
    bool is_ready; /* `next` is set */
    struct trace_event next;
};

struct reader {
    struct trace_header header;
    const unsigned char *bytes; /* the trace */
    uint32_t current;           /* lane of the last event */
    uint64_t number;            /* of the next event */
    char error[160];            /* what is wrong with the trace, "" for nothing */
    struct reader_lane lanes[READER_LANES_MOST];
};

/*
 * Begin with a trace of so many bytes, which stay. False: it is no whole trace, and
 * `error` says why.
 */
bool reader_begin(struct reader *reader, const void *trace, size_t bytes);

/* False: there are no more, or the trace is damaged, and `error` says how. */
bool reader_next(struct reader *reader, struct trace_event *event);
