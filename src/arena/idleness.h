/* SPDX-License-Identifier: MIT */
/*
 * What a heap knows of the idleness of its caches, for tcache/idle.c, which drains those
 * that are idle.
 */
#pragma once

#include "base/atom.h"
#include "base/attr.h"

struct mole_idleness {
    /*
     * is_worked_a: a slow path worked with some cache of the heap since the last look.
     *   writers  slow paths set it; who looks for idle caches clears it
     *   readers  the same
     *   orders   relaxed: what is drained early or late is no error
     *   keeps    nothing
     */
    _Atomic(bool) is_worked_a;

    /* Who looks only, one thread at a time. */
    bool is_awaited; /* to be looked at even if nothing was worked with */
    uint8_t wait;    /* looks that are left out after a drain in vain */
    uint8_t left;    /* of them, those still to come */
    uint64_t id;     /* of the heap that this is about */
};
