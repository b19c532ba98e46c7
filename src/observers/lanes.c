/* SPDX-License-Identifier: MIT */
#include "observers/lanes.h"

#include <stdalign.h>
#include <string.h>
#include <threads.h>

#include "base/atom.h"
#include "observers/trace_file.h"

enum { BUFFER_BYTES = 32 << 10, EVENT_BYTES_MOST = 64, NONE = 0, BLOCK_SHIFT = 4 };

struct lane {
    /*
     * owner_a: the handle of the threads that write here, one after the other.
     *   writers  a thread that finds no place of its own, by CAS from NONE
     *   readers  threads that look for theirs
     *   orders   relaxed: what is in the lane comes with used_a
     *   keeps    never changes again while the spy is attached
     *
     * used_a: bytes in the buffer, the chunk's head included; 0: no chunk was begun.
     *   writers  the thread the handle is of
     *   readers  the same; the next of that handle; lanes_finish
     *   orders   HB-LANE-1
     *   keeps    at most BUFFER_BYTES
     */
    alignas(MOLE_CACHE_LINE) _Atomic(uintptr_t) owner_a;
    _Atomic(uint32_t) used_a;
    uint32_t number; /* the rest: whoever writes here */
    uint32_t events; /* in the buffer */
    bool is_asked;
    uint64_t first; /* the number of the buffer's first event */
    uint64_t last;
    uintptr_t heap;
    uintptr_t block;
    uintptr_t asked_heap;
    size_t asked_bytes;
    alignas(MOLE_CACHE_LINE) unsigned char buffer[BUFFER_BYTES];
};

static struct lane lanes[LANES_MOST];

/*
 * number_a: the next event's number. count_a: how many lanes have an owner. lost_a:
 * events of threads that have no lane.
 *   writers  callbacks
 *   readers  callbacks; lanes_finish
 *   orders   relaxed: additions to one object are ordered as what happens before is
 *   keeps    never falls
 */
static alignas(MOLE_CACHE_LINE) _Atomic(uint64_t) number_a;
static alignas(MOLE_CACHE_LINE) _Atomic(uint32_t) count_a;
static _Atomic(uint64_t) lost_a;

/* Usually the object was just loaded: what was never touched is left so. */
void lanes_clear(void)
{
    for (size_t i = 0; i < LANES_MOST; i++)
        if (load_rlx(&lanes[i].owner_a) != NONE)
            memset(&lanes[i], 0, offsetof(struct lane, buffer));
    store_rlx(&number_a, 0);
    store_rlx(&count_a, 0);
    store_rlx(&lost_a, 0);
}

/* The thread's lane, NULL: there is none left. */
static struct lane *mine(void)
{
    uintptr_t self = (uintptr_t)thrd_current();
    size_t first = (size_t)((self >> 6) * 0x9e3779b97f4a7c15u >> 32);
    for (size_t i = 0; i < LANES_MOST; i++) {
        struct lane *lane = &lanes[(first + i) % LANES_MOST];
        uintptr_t owner = load_rlx(&lane->owner_a);
        if (owner == self)
            return lane;
        if (owner == NONE && cas_acq(&lane->owner_a, &owner, self)) {
            lane->number = add_rlx(&count_a, 1);
            return lane;
        }
    }
    return NULL;
}

static unsigned char *put(unsigned char *at, uint64_t value)
{
    for (; value > 0x7f; value >>= 7)
        *at++ = (unsigned char)(value | 0x80);
    *at++ = (unsigned char)value;
    return at;
}

static unsigned char *put_block(unsigned char *at, struct lane *lane, uintptr_t block)
{
    uintptr_t now = block >> BLOCK_SHIFT;
    uintptr_t before = lane->block;
    lane->block = now;
    return put(at, now >= before ? (now - before) << 1 : (before - now) << 1 | 1);
}

/* Behind what is in the buffer, where there is room. */
static unsigned char *encode(unsigned char *at, struct lane *lane, uint64_t step,
                             const struct event *event)
{
    unsigned char *tag = at++;
    bool is_far = step > TRACE_STEP_FOLLOWS;
    bool is_other = event->heap != lane->heap;
    *tag = (unsigned char)(event->kind | (is_other ? TRACE_HEAP_FOLLOWS : 0) |
                           (is_far ? TRACE_STEP_FOLLOWS : step - 1) << 4);
    if (is_far)
        at = put(at, step - TRACE_STEP_FOLLOWS - 1);
    if (is_other)
        at = put(at, event->heap);
    lane->heap = event->heap;
    if (event->kind == TRACE_REALLOC)
        at = put_block(at, lane, event->old_block);
    if (event->kind <= TRACE_REALLOC)
        at = put_block(at, lane, event->block);
    if (event->kind == TRACE_ALLOC || event->kind == TRACE_REALLOC)
        at = put(at, event->bytes);
    return at;
}

static void append(struct lane *lane, uint32_t used)
{
    while (used % 8 != 0) /* there is room: EVENT_BYTES_MOST are more than it takes */
        lane->buffer[used++] = 0;
    struct trace_chunk head = {.magic = TRACE_CHUNK_MAGIC,
                               .lane = lane->number,
                               .bytes = used - (uint32_t)sizeof head,
                               .events = lane->events,
                               .first = lane->first};
    memcpy(lane->buffer, &head, sizeof head);
    uint64_t check = trace_check(0, lane->buffer, offsetof(struct trace_chunk, check));
    head.check = trace_check(check, lane->buffer + sizeof head, head.bytes);
    memcpy(lane->buffer, &head, sizeof head);
    trace_file_append(lane->buffer, used);
}

void lanes_ask(uintptr_t heap, size_t bytes)
{
    struct lane *lane = mine();
    if (!lane)
        return;
    uint32_t used = load_acq(&lane->used_a); /* HB-LANE-1 */
    lane->is_asked = true;
    lane->asked_heap = heap;
    lane->asked_bytes = bytes;
    store_rel(&lane->used_a, used); /* HB-LANE-1 */
}

/* The event's bytes before they were rounded, if the thread has said so. */
static size_t asked_for(struct lane *lane, const struct event *event)
{
    bool is_known = lane->is_asked && lane->asked_heap == event->heap &&
                    lane->asked_bytes < event->bytes;
    lane->is_asked = false;
    return is_known ? lane->asked_bytes : event->bytes;
}

void lanes_note(const struct event *event)
{
    struct lane *lane = mine();
    struct event told = *event;
    if (!lane) {
        add_rlx(&lost_a, 1);
        return;
    }
    uint32_t used = load_acq(&lane->used_a); /* HB-LANE-1 */
    if (used > BUFFER_BYTES - EVENT_BYTES_MOST) {
        append(lane, used);
        used = 0;
    }
    uint64_t number = add_rlx(&number_a, 1);
    if (!used) {
        used = sizeof(struct trace_chunk);
        lane->events = 0;
        lane->heap = lane->block = 0;
        lane->first = number;
        lane->last = number - 1;
    }
    if (told.kind == TRACE_ALLOC || told.kind == TRACE_REALLOC)
        told.bytes = asked_for(lane, &told);
    unsigned char *end = encode(lane->buffer + used, lane, number - lane->last, &told);
    lane->last = number;
    lane->events++;
    store_rel(&lane->used_a, (uint32_t)(end - lane->buffer)); /* HB-LANE-1 */
}

void lanes_finish(struct trace_header *header)
{
    for (size_t i = 0; i < LANES_MOST; i++) {
        uint32_t used = load_acq(&lanes[i].used_a); /* HB-LANE-1 */
        if (used)
            append(&lanes[i], used);
    }
    header->lanes = load_rlx(&count_a);
    header->events = load_rlx(&number_a);
    header->lost = load_rlx(&lost_a);
}
