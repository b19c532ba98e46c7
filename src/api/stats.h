/* SPDX-License-Identifier: MIT */
/*
 * The counters of mh_stats_get, and the line written at exit for
 * MOLEHILL_CONF=stats:PATH.
 */
#pragma once

#include "base/attr.h"

enum { MOLE_STATS_PATH_MAX = 256 };

/* Append a line of counters to the file at exit. `length` < MOLE_STATS_PATH_MAX. */
void mole_stats_write_at_exit(const char *path, size_t length);

/* Blocks freed in a heap that was destroyed. */
void mole_stats_count_frees(uint64_t frees);
