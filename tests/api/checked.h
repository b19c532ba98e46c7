/* SPDX-License-Identifier: MIT */
/*
 * What the tests of checked heaps share: the ways to have one, and the patterns that are
 * written there (spec 2.15).
 */
#pragma once

#include <molehill/molehill.h>

#include "support.h"

/*
 * A case about a heap with checks. It runs on a heap that was created so, on one that has
 * them by global_flag, on the process heap likewise, and on such heaps of a fixed size:
 *     CHECKED_CASE(heap_checked, sentence, HEAP_TAIL_CHECKING_ENABLED, "0x10") { ... }
 */
#define CHECKED_CASE(suite, sentence, flags, global)    \
    static void suite##_##sentence##_body(HANDLE heap); \
    Test(suite, sentence)                               \
    {                                                   \
        HANDLE heap = create_heap(flags);               \
        suite##_##sentence##_body(heap);                \
        destroy_heap(heap);                             \
    }                                                   \
    Test(suite, by_global_flag_##sentence)              \
    {                                                   \
        configure("global_flag:" global);               \
        HANDLE heap = create_heap(0);                   \
        suite##_##sentence##_body(heap);                \
        destroy_heap(heap);                             \
    }                                                   \
    Test(suite, on_process_heap_##sentence)             \
    {                                                   \
        configure("global_flag:" global);               \
        suite##_##sentence##_body(GetProcessHeap());    \
    }                                                   \
    Test(suite, of_fixed_size_##sentence)               \
    {                                                   \
        HANDLE heap = create_fixed(flags);              \
        suite##_##sentence##_body(heap);                \
        destroy_heap(heap);                             \
    }                                                   \
    Test(suite, of_fixed_size_by_flag_##sentence)       \
    {                                                   \
        configure("global_flag:" global);               \
        HANDLE heap = create_fixed(0);                  \
        suite##_##sentence##_body(heap);                \
        destroy_heap(heap);                             \
    }                                                   \
    static void suite##_##sentence##_body(HANDLE heap)

enum { TAIL_BYTES = 16, TAIL_BYTE = 0xAB };
static const uint32_t new_dword = 0xBAADF00D;
static const uint32_t freed_dword = 0xFEEEFEEE;

static inline void configure(const char *conf)
{
    require(mh_configure(conf) == 0, "mh_configure refuses %s", conf);
}

/* The case is about a heap of a fixed size: no block of it is larger than some. */
static bool is_fixed;
enum { FIXED_MAXIMUM = 64 << 20, FIXED_MOST = 0x7FFF7 };

static inline HANDLE create_fixed(DWORD flags)
{
    HANDLE heap = HeapCreate(flags, 0, FIXED_MAXIMUM);
    require(heap != NULL, "HeapCreate gave no heap of a fixed size");
    is_fixed = true;
    return heap;
}

static inline uint32_t dword_at(const void *block, size_t offset)
{
    uint32_t value;

    memcpy(&value, (const char *)block + offset, sizeof(value));
    return value;
}

/* Whole DWORDs in [from, to), both rounded inwards. */
static inline bool has_dwords(const void *block, size_t from, size_t to, uint32_t value)
{
    for (size_t at = (from + 3) / 4 * 4; at + 4 <= to; at += 4)
        if (dword_at(block, at) != value)
            return false;
    return true;
}

static inline bool has_tail(const void *block, size_t bytes)
{
    return is_all((const char *)block + bytes, TAIL_BYTES, TAIL_BYTE);
}

#define BOTH (HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED)

/* Slabs of all kinds, large blocks, and what Windows maps by itself. */
static const size_t sizes[] = {0,       1,       15,    16,      17,     100,   1000,
                               8000,    30000,   30715, 30721,   65520,  65536, 100001,
                               MIB / 2, 0xFE000, MIB,   MIB + 5, 3 * MIB};

/* How many of these the heap can have. */
static inline size_t sizes_count(void)
{
    size_t count = LENGTH(sizes);
    while (is_fixed && sizes[count - 1] > FIXED_MOST)
        count--;
    return count;
}

static inline bool is_apart(size_t bytes)
{
    return bytes >= MIB - 0x1000;
}
