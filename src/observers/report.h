/* SPDX-License-Identifier: MIT */
/*
 * The table of call sites as a text.
 */
#pragma once

#include "base/attr.h"

struct report_options {
    size_t sample_bytes;
    size_t top;         /* how many sites */
    bool is_by_live;    /* their order: by live bytes, not by all */
    double seconds;     /* how long was looked */
    uint64_t untracked; /* samples whose free went unseen */
};

/* Write what sites.h holds. No callback is under way. */
void report(const struct report_options *options,
            void (*write)(void *to, const char *text, size_t bytes), void *to);
