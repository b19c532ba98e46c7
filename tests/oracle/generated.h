/* SPDX-License-Identifier: MIT */
/*
 * The state of the generated program: heaps, blocks, random numbers. What it does next
 * depends on the seed and on nothing that a heap may do as it likes.
 */
#pragma once

#include "spy.h"

/*
 * Wine walks in a circle where a heap has grown by a region that touches another. Heaps
 * are walked that began with so much, and never held half of it.
 */
enum { HEAPS = 7, SLOTS = 2500, ELSEWHERE = 4 << 20, WALKABLE = 16 << 20 };

struct heap {
    HANDLE handle; /* number 0: the process heap */
    DWORD flags;
    SIZE_T maximum; /* 0: growable */
    SIZE_T held;    /* what its blocks take at most, of a fixed-size heap */
    int locks;
    BOOL is_walkable;
};

struct slot {
    char *block;
    SIZE_T bytes;
    int heap;
    BOOL is_task, is_spied;
};

static struct heap heaps[HEAPS];
static struct slot slots[SLOTS];
static char elsewhere[ELSEWHERE]; /* no heap's; foreign pointers point into its middle */

static struct spy spy = {.base = {&spy_methods}};
static IMalloc *task;
static BOOL is_spied;
static char *first_spied; /* there while a spy is: Wine dies of questions without it */

static uint64_t random_state;

static unsigned pick(unsigned below)
{
    random_state = random_state * 0x5851F42D4C957F2Du + 0x14057B7EF767814Fu;
    return (unsigned)(random_state >> 33) % below;
}

static BOOL chance(unsigned one_in)
{
    return pick(one_in) == 0;
}

static SIZE_T any_size(void)
{
    static const unsigned below[] = {80, 600, 9000, 65536, 524288, 3000000};
    static const unsigned edges[] = {0,    1,     8,     16,    1024,
                                     4096, 30720, 32768, 65536, 0x7F000};
    unsigned kind = pick(1000);
    if (kind < 100) {
        unsigned edge = edges[pick(10)];
        return edge + pick(3) - (edge > 0 ? 1 : 0);
    }
    return pick(below[kind < 500   ? 0
                      : kind < 750 ? 1
                      : kind < 940 ? 2
                      : kind < 985 ? 3
                      : kind < 998 ? 4
                                   : 5]);
}

/* More than there can be. Between 2^26 and 2^47 bytes Wine tries and takes long. */
static SIZE_T too_large_size(void)
{
    switch (pick(4)) {
    case 0:
        return (SIZE_T)-1 - pick(64);
    case 1:
        return (SIZE_T)-1 - pick(1 << 20);
    case 2:
        return ((SIZE_T)1 << 47) + pick(1 << 20);
    default:
        return ((SIZE_T)1 << 62) + pick(1 << 20);
    }
}

/* Of HeapAlloc and HeapReAlloc: with flags that they do not know. */
static DWORD any_flags(void)
{
    static const DWORD flags[] = {0, 0, 0, 8, 8, 1, 9, 0x80, 0x10000, 0x20008, 0x40000};
    return flags[pick(sizeof flags / sizeof flags[0])];
}

/* What a block takes in a fixed-size heap, at most. */
static SIZE_T cost(SIZE_T bytes)
{
    return bytes + bytes / 4 + 64;
}

/*
 * A size that the heap certainly has room for. Of a fixed-size heap a quarter is used, in
 * pieces that do not break it up; how full it can get is the allocator's business.
 */
static SIZE_T fitting_size(const struct heap *heap)
{
    SIZE_T bytes = any_size();
    if (heap->maximum && bytes > heap->maximum / 32)
        bytes %= heap->maximum / 32;
    if (heap->maximum && heap->held + cost(bytes) > heap->maximum / 4)
        bytes = 0;
    return bytes;
}

static BOOL is_full(const struct heap *heap)
{
    return heap->maximum && heap->held + cost(0) > heap->maximum / 4;
}

static int any_heap(void)
{
    int number = (int)pick(HEAPS);
    return heaps[number].handle ? number : 0;
}

static const char *where(const struct slot *slot)
{
    return text("heap %d, slot %d, %llu bytes", slot->heap, (int)(slot - slots),
                (unsigned long long)slot->bytes);
}

static void put(struct slot *slot, int heap, char *block, SIZE_T bytes)
{
    slot->block = block;
    slot->bytes = bytes;
    slot->heap = heap;
    if (!block)
        return;
    heaps[heap].held += cost(bytes);
    if (heaps[heap].held > WALKABLE / 2)
        heaps[heap].is_walkable = FALSE;
    fill(block, bytes, lines);
}

static void drop(struct slot *slot)
{
    heaps[slot->heap].held -= cost(slot->bytes);
    *slot = (struct slot){0};
}
