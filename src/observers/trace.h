/* SPDX-License-Identifier: MIT */
/*
 * The file that the spy `record` writes and perf/trace.c reads: docs/traces.md. Numbers
 * are little-endian; the file is read on the kind of machine that wrote it.
 *
 * A header, then chunks up to its end. A chunk has events of one lane (of one thread, or
 * of several of which each began after the one before it had ended), in their order; an
 * event's number says where it stands among those of all lanes. A chunk can be read
 * without the ones before it.
 *
 *   event   tag, then as the tag says: [step] [heap] [old block] [block] [bytes]
 *   tag     bits 0-2 its kind, bit 3 whether the heap follows, bits 4-7 by how much its
 *           number is higher than the one before it in the chunk (the chunk's first event
 *           has that number), less 1; 15: that follows, less 16
 *   heap    as the callback had it; if it does not follow: the event's before it
 *   blocks  in units of 16 bytes, by how much it is higher than the one before it, the
 *           lowest bit saying whether it is lower instead; 0 before the chunk's first
 *
 * What follows a tag are numbers of 1 to 10 bytes, seven bits in each, the lowest first,
 * the highest bit set in all but the last.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TRACE_MAGIC "molehill trace\n" /* 16 bytes with the 0 behind it */

enum {
    TRACE_VERSION = 1,
    TRACE_CHUNK_MAGIC = 0x4b4e4843,
    TRACE_STEP_FOLLOWS = 15,
    TRACE_HEAP_FOLLOWS = 8,
    TRACE_MALLOC = 2, /* the heap that stands for malloc: MH_SPY_MALLOC */
};

enum trace_kind {
    TRACE_ALLOC = 1, /* block, bytes */
    TRACE_FREE,      /* block */
    TRACE_REALLOC,   /* old block, block, bytes */
    TRACE_HEAP_CREATED,
    TRACE_HEAP_DESTROYED,
    TRACE_KINDS
};

struct trace_header {
    char magic[16];
    uint32_t version;
    uint32_t lanes;
    uint64_t events;  /* all of them, numbered from 0 */
    uint64_t lost;    /* events for which there was no lane; they have no numbers */
    uint64_t bytes;   /* of the file; 0: the recording was not finished */
    uint64_t process; /* whose */
    uint64_t check;   /* of what is before it */
};

struct trace_chunk {
    uint32_t magic;
    uint32_t lane;
    uint32_t bytes; /* of its events, filled up with zeros to a multiple of 8 */
    uint32_t events;
    uint64_t first; /* its first event's number */
    uint64_t check; /* of what is before it, then of its events */
};

/* A check of more bytes, behind those of which `check` is one; 0 before any. */
static inline uint64_t trace_check(uint64_t check, const void *data, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)data;
    for (; bytes > 0; bytes -= bytes < 8 ? bytes : 8) {
        uint64_t word = bytes;
        for (size_t i = 0; i < 8 && i < bytes; i++)
            word = word << 8 ^ *at++;
        check = (check ^ word) * 0x9e3779b97f4a7c15u;
        check ^= check >> 29;
    }
    return check;
}
