/* SPDX-License-Identifier: MIT */
/*
 * What happens when something cannot be true: one line on stderr, then abort. Nothing
 * here allocates, so it may be called from the middle of the allocator.
 */
#pragma once

#include "base/attr.h"

/*
 * Print "molehill: <message>" and abort. The message is a tested contract. The format
 * knows %p (a pointer, printed in hexadecimal), %lu (decimal) and %s.
 */
mole_slow _Noreturn mole_shared void mole_die(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* The same line without the abort: for warnings that must not allocate. */
mole_slow mole_shared void mole_warn(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* Always on, O(1). */
#define check(x) (likely(x) ? (void)0 : mole_die("internal check failed: %s", #x))

#if defined(MOLE_DEBUG_CHECKS)
enum { MOLE_DEBUG = 1 };
#else
enum { MOLE_DEBUG = 0 };
#endif

/* Only in debug builds, but always compiled. */
#define debug_check(x) (MOLE_DEBUG ? check(x) : (void)0)
