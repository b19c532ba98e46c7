/* SPDX-License-Identifier: MIT */
#include "observers/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_SHIFT = 4 };

__attribute__((format(printf, 2, 3))) static bool fail(struct reader *reader,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->error, sizeof reader->error, format, arguments);
    va_end(arguments);
    return false;
}

static const char *what_is_wrong(const struct trace_header *header, uint64_t bytes)
{
    if (bytes < sizeof *header || memcmp(header->magic, TRACE_MAGIC, 16) != 0)
        return "it is no trace";
    if (header->version != TRACE_VERSION)
        return "a trace of another version";
    if (header->bytes == 0)
        return "the recording was not finished";
    if (header->check != trace_check(0, header, offsetof(struct trace_header, check)))
        return "its header is damaged";
    if (header->bytes != bytes)
        return "it is not as long as it was";
    return header->lanes > READER_LANES_MOST ? "too many lanes" : NULL;
}

/* The head of the chunk at this offset, if it is good. False: `error` is set. */
static bool look_at(struct reader *reader, uint64_t offset, struct trace_chunk *chunk)
{
    const unsigned char *at = reader->bytes + offset;
    uint64_t left = reader->header.bytes - offset;
    const char *what = NULL;
    if (left >= sizeof *chunk)
        memcpy(chunk, at, sizeof *chunk);
    if (left < sizeof *chunk || chunk->magic != TRACE_CHUNK_MAGIC ||
        chunk->bytes > left - sizeof *chunk || chunk->bytes % 8 != 0)
        what = "there is no chunk";
    else if (chunk->check !=
             trace_check(trace_check(0, chunk, offsetof(struct trace_chunk, check)),
                         at + sizeof *chunk, chunk->bytes))
        what = "a damaged chunk";
    else if (chunk->lane >= reader->header.lanes || chunk->events == 0)
        what = "a chunk of no lane, or without events";
    if (what)
        fail(reader, "%s at byte %llu", what, (unsigned long long)offset);
    return !what;
}

static void enter(struct reader *reader, uint64_t offset, const struct trace_chunk *chunk)
{
    const unsigned char *events = reader->bytes + offset + sizeof *chunk;
    reader->lanes[chunk->lane] =
        (struct reader_lane){.at = events,
                             .end = events + chunk->bytes,
                             .behind = offset + sizeof *chunk + chunk->bytes,
                             .left = chunk->events,
                             .last = chunk->first - 1};
}

/* Look at all chunks, and enter each lane's first. */
static bool look_through(struct reader *reader)
{
    struct trace_chunk chunk;
    uint64_t events = 0;
    for (uint64_t at = sizeof reader->header; at < reader->header.bytes;
         at += sizeof chunk + chunk.bytes) {
        if (!look_at(reader, at, &chunk))
            return false;
        events += chunk.events;
        if (!reader->lanes[chunk.lane].behind)
            enter(reader, at, &chunk);
    }
    return events == reader->header.events || fail(reader, "it lacks chunks");
}

/* The lane's next chunk, where this one is read. False: there is none. */
static bool advance(struct reader *reader, uint32_t lane)
{
    struct trace_chunk chunk;
    for (uint64_t at = reader->lanes[lane].behind; at < reader->header.bytes;
         at += sizeof chunk + chunk.bytes) {
        memcpy(&chunk, reader->bytes + at, sizeof chunk);
        if (chunk.lane == lane) {
            enter(reader, at, &chunk);
            return true;
        }
    }
    return false;
}

static bool take(struct reader_lane *lane, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; lane->at < lane->end && shift < 64; shift += 7) {
        unsigned char byte = *lane->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static bool take_block(struct reader_lane *lane, uint64_t *block)
{
    uint64_t step;
    if (!take(lane, &step))
        return false;
    lane->block += step & 1 ? -(step >> 1) : step >> 1;
    *block = lane->block << BLOCK_SHIFT;
    return *block != 0;
}

/* The lane's next event, from its chunk. */
static bool decode(struct reader_lane *lane, struct trace_event *event)
{
    if (lane->at == lane->end)
        return false;
    unsigned char tag = *lane->at++;
    uint64_t step = tag >> 4;
    *event = (struct trace_event){.kind = tag & 7};
    if (event->kind < TRACE_ALLOC || event->kind >= TRACE_KINDS)
        return false;
    if (step == TRACE_STEP_FOLLOWS && !take(lane, &step))
        return false;
    event->number = lane->last + step + 1 + (tag >> 4 == TRACE_STEP_FOLLOWS ? 15 : 0);
    lane->last = event->number;
    if (tag & TRACE_HEAP_FOLLOWS && !take(lane, &lane->heap))
        return false;
    event->heap = lane->heap;
    if (event->kind == TRACE_REALLOC && !take_block(lane, &event->old_block))
        return false;
    if (event->kind <= TRACE_REALLOC && !take_block(lane, &event->block))
        return false;
    bool has_bytes = event->kind == TRACE_ALLOC || event->kind == TRACE_REALLOC;
    return !has_bytes || take(lane, &event->bytes);
}

/* Whether nothing but zeros follows, and few of them. */
static bool is_at_end(const struct reader_lane *lane)
{
    static const unsigned char zeros[8];
    size_t left = (size_t)(lane->end - lane->at);
    return left < sizeof zeros && memcmp(lane->at, zeros, left) == 0;
}

/* Whether the lane's next event is the one of that number; or `error` is set. */
static bool is_next(struct reader *reader, uint32_t number)
{
    struct reader_lane *lane = &reader->lanes[number];
    if (lane->is_ready)
        return lane->next.number == reader->number;
    if (!lane->behind || (lane->left == 0 && !advance(reader, number)))
        return false;
    if (!decode(lane, &lane->next))
        return fail(reader, "a damaged event, after number %llu",
                    (unsigned long long)lane->last);
    lane->next.lane = number;
    if (--lane->left == 0 && !is_at_end(lane))
        return fail(reader, "a chunk has more than its events");
    lane->is_ready = true;
    return lane->next.number == reader->number;
}

bool reader_next(struct reader *reader, struct trace_event *event)
{
    uint32_t lanes = reader->header.lanes;
    if (reader->number == reader->header.events || reader->error[0])
        return false;
    for (uint32_t i = 0; i < lanes; i++) {
        uint32_t number = (reader->current + i) % lanes;
        if (is_next(reader, number)) {
            *event = reader->lanes[number].next;
            reader->lanes[number].is_ready = false;
            reader->current = number;
            reader->number++;
            return true;
        }
        if (reader->error[0])
            return false;
    }
    return fail(reader, "there is no event of number %llu",
                (unsigned long long)reader->number);
}

bool reader_begin(struct reader *reader, const void *trace, size_t bytes)
{
    memset(reader, 0, sizeof *reader);
    if (bytes >= sizeof reader->header)
        memcpy(&reader->header, trace, sizeof reader->header);
    const char *wrong = what_is_wrong(&reader->header, bytes);
    reader->bytes = trace;
    return wrong ? fail(reader, "%s", wrong) : look_through(reader);
}
