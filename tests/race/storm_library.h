/* SPDX-License-Identifier: MIT */
/*
 * A spy that lives in a shared object, which storm.c loads, attaches, detaches and
 * unloads.
 */
#pragma once

#include <molehill/spy.h>
#include <stdbool.h>

struct storm_library {
    struct mh_spy spy;
    void (*set_attached)(bool is_attached);
    unsigned long long (*calls)(void);
};

/* What the shared object exports: storm_library. */
typedef const struct storm_library *storm_library_get(void);
