/* SPDX-License-Identifier: MIT */
/*
 * Hints to the compiler and small arithmetic that every layer uses. No state, no
 * dependencies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A fast path: always inlined, written in a header, no loops. */
#define mole_hot static inline __attribute__((always_inline))

/*
 * What a fast path tail-calls when it cannot finish: never inlined, kept off the hot
 * pages.
 */
#define mole_slow __attribute__((noinline, cold))

#define mole_must_check __attribute__((warn_unused_result))

/* Whether this build has spies: others only show what having them costs. */
#if defined(MOLE_NO_SPIES)
enum { MOLE_HAS_SPIES = 0 };
#else
enum { MOLE_HAS_SPIES = 1 };
#endif

/*
 * Crosses a library boundary inside molehill (the private version node), never to a
 * client.
 */
#define mole_shared __attribute__((visibility("default")))

/*
 * A variable of this library: declared so, it is reached without a detour over the GOT.
 */
#define mole_own __attribute__((visibility("hidden")))

/*
 * Make the compiler forget what it knows of `x`, at no cost. On a fast path it keeps an
 * address that two instructions could each compute for free from being put into a
 * register first.
 */
#define mole_forget(x) __asm__("" : "+r"(x))

/* The same in the register where a function got `x`, by its letter on x86. */
#if defined(__x86_64__)
#define mole_forget_at(letter, x) __asm__("" : "+" letter(x))
#else
#define mole_forget_at(letter, x) mole_forget(x)
#endif

/*
 * Have the line at `p`, any address, brought near: it will be written to. By its first
 * store it would come only when all older stores are done.
 */
#if defined(__x86_64__)
#define mole_prefetch_to_write(p) \
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(p)))
#else
#define mole_prefetch_to_write(p) __builtin_prefetch((p), 1)
#endif

enum {
    MOLE_CACHE_LINE = 64,
    MOLE_PAGE_SHIFT =
        12, /* what slabs are measured in; the system's pages may be larger */
    MOLE_PAGE = 1 << MOLE_PAGE_SHIFT,
    MOLE_CHUNK_SHIFT = 16, /* what arenas are supplied with */
    MOLE_CHUNK = 1 << MOLE_CHUNK_SHIFT,
    MOLE_CHUNK_PAGES = MOLE_CHUNK / MOLE_PAGE,
};

/* Round `n` up to a multiple of `step`, a power of two. Wraps where n + step does. */
mole_hot size_t mole_round_up(size_t n, size_t step)
{
    return (n + step - 1) & ~(step - 1);
}
