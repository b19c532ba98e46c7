/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the Win32 contract share: the two modes they run under, what a call
 * may do to the last error and errno, and contents that tell when a block was disturbed.
 * Every case runs by default and again with MOLEHILL_CONF=compat:windows in the
 * environment.
 */
#pragma once

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <molehill/heapapi.h>

/*
 * End the test with a sentence unless the condition holds. Not in threads a test starts.
 */
#define require(condition, ...)    \
    do {                           \
        if (!(condition))          \
            cr_fatal(__VA_ARGS__); \
    } while (0)

/*
 * A case about one heap. It runs on a heap of its own and, by case 139, on the process
 * heap:
 *     HEAP_CASE(heap_free, case_020_second_free_is_refused) { ... uses `heap` ... }
 */
#define HEAP_CASE(suite, sentence)                      \
    static void suite##_##sentence##_body(HANDLE heap); \
    Test(suite, sentence)                               \
    {                                                   \
        HANDLE heap = create_heap(0);                   \
        suite##_##sentence##_body(heap);                \
        destroy_heap(heap);                             \
    }                                                   \
    Test(suite, case_139_on_process_heap_##sentence)    \
    {                                                   \
        suite##_##sentence##_body(GetProcessHeap());    \
    }                                                   \
    static void suite##_##sentence##_body(HANDLE heap)

#define FAILED_SIZE ((SIZE_T)-1)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum {
    CASE_SIZE = 0x40000, /* "AS" of the cases */
    MIB = 1 << 20,
};

/* How often to do what costs time: less often with MOLE_BRIEF=1, least often with 2. */
static inline size_t repeats(size_t full)
{
    const char *brief = getenv("MOLE_BRIEF");

    if (brief == NULL)
        return full;
    return strcmp(brief, "2") == 0 ? full / 100 : full / 10;
}

static inline HANDLE create_heap(DWORD flags)
{
    HANDLE heap = HeapCreate(flags, 0, 0);
    require(heap != NULL, "HeapCreate gave no heap");
    return heap;
}

static inline void destroy_heap(HANDLE heap)
{
    require(HeapDestroy(heap), "HeapDestroy refused the test's own heap");
}

/* A block that the test needs and whose allocation is not what it tests. */
static inline void *take(HANDLE heap, DWORD flags, SIZE_T bytes)
{
    void *block = HeapAlloc(heap, flags, bytes);
    require(block != NULL, "HeapAlloc of %zu bytes failed", bytes);
    return block;
}

static inline void give_back(HANDLE heap, void *block)
{
    require(HeapFree(heap, 0, block), "HeapFree refused the live block %p", block);
}

/* Dirty a good deal of memory around the size, then free it. */
static inline void leave_dirt(HANDLE heap, size_t bytes)
{
    enum { COUNT = 16 };
    void *blocks[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = take(heap, 0, bytes);
        memset(blocks[i], 0xDD, bytes);
    }
    for (size_t i = 0; i < COUNT; i++)
        give_back(heap, blocks[i]);
}

static inline SIZE_T allocated_bytes(HANDLE heap)
{
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};
    require(HeapSummary(heap, 0, &summary), "HeapSummary failed");
    return summary.cbAllocated;
}

/* Errors: arm_errors() before the call, one expectation right after it. */

#define LAST_ERROR_SENTINEL 0xDEADBEEFu
enum { ERRNO_SENTINEL = 4000 };

static inline bool compat_windows(void)
{
    const char *conf = getenv("MOLEHILL_CONF");
    return conf != NULL && strstr(conf, "compat:windows") != NULL;
}

/* Whether all heaps are checked from the start, in one of these ways. */
static inline bool has_global_flag(unsigned bits)
{
    const char *conf = getenv("MOLEHILL_CONF");
    const char *flag = conf != NULL ? strstr(conf, "global_flag:") : NULL;
    return flag != NULL && (strtoul(flag + strlen("global_flag:"), NULL, 0) & bits) != 0;
}

/* Bytes that all heaps have behind each block for that: tails. */
static inline size_t guard_bytes(void)
{
    return has_global_flag(0x10) ? 16 : 0;
}

static inline void arm_errors(void)
{
    SetLastError(LAST_ERROR_SENTINEL);
    errno = ERRNO_SENTINEL;
}

static inline void expect_last_error_and_errno(const char *what, DWORD last, int number)
{
    int errno_now = errno;
    DWORD last_now = GetLastError();

    require(last_now == last, "%s: the last error is %u, not %u", what, last_now, last);
    require(errno_now == number, "%s: errno is %d, not %d", what, errno_now, number);
}

/* Nothing was touched: what success does, and HeapValidate always. */
static inline void expect_errors_kept(const char *what)
{
    expect_last_error_and_errno(what, LAST_ERROR_SENTINEL, ERRNO_SENTINEL);
}

/* The function sets the last error in both modes. */
static inline void expect_error(const char *what, DWORD code, int number)
{
    expect_last_error_and_errno(what, code, compat_windows() ? (int)code : number);
}

/*
 * C-1: HeapAlloc, HeapReAlloc and HeapSize set the last error under compat:windows only.
 */
static inline void expect_compat_error(const char *what, DWORD code, int number)
{
    if (compat_windows())
        expect_last_error_and_errno(what, code, (int)code);
    else
        expect_last_error_and_errno(what, LAST_ERROR_SENTINEL, number);
}

static inline bool is_all(const void *block, size_t bytes, unsigned char value)
{
    const unsigned char *byte = block;

    return bytes == 0 || (byte[0] == value && memcmp(byte, byte + 1, bytes - 1) == 0);
}

static inline uint64_t stamp_word(uint64_t key, size_t index)
{
    return (key + index) * 0x9E3779B97F4A7C15u;
}

/*
 * Fill a block with what only `key` produces. A shorter stamp is a prefix of a longer
 * one.
 */
static inline void stamp(void *block, size_t bytes, uint64_t key)
{
    unsigned char *byte = block;

    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        uint64_t word = stamp_word(key, at);
        memcpy(byte + at, &word, bytes - at < sizeof(word) ? bytes - at : sizeof(word));
    }
}

static inline bool stamp_is_intact(const void *block, size_t bytes, uint64_t key)
{
    const unsigned char *byte = block;

    for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
        uint64_t word = stamp_word(key, at);
        if (memcmp(byte + at, &word,
                   bytes - at < sizeof(word) ? bytes - at : sizeof(word)) != 0)
            return false;
    }
    return true;
}

static inline int compare_pointers(const void *left, const void *right)
{
    uintptr_t a = *(const uintptr_t *)left, b = *(const uintptr_t *)right;

    return (a > b) - (a < b);
}

/* Sorts. */
static inline bool all_distinct(void **pointers, size_t count)
{
    qsort(pointers, count, sizeof(*pointers), compare_pointers);
    for (size_t i = 1; i < count; i++) {
        if (pointers[i - 1] == pointers[i])
            return false;
    }
    return true;
}
