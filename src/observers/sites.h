/* SPDX-License-Identifier: MIT */
/*
 * Call stacks and what was allocated from each: a table of fixed size, in which a stack
 * once entered stays.
 *
 *  label       release side              acquire side              makes visible
 *  HB-SITE-1   enter: store of depth_a   the report: load of it    frame[]
 *
 * Progress: wait-free, by a bounded number of places looked at. Where all are taken a
 * stack is counted in place 0, "other". Two stacks of one hash are taken for one.
 */
#pragma once

#include "base/atom.h"
#include "observers/stack.h"

enum { SITES_MOST = 8192, SITES_OTHER = 0, SITES_BLOCK = 256 };

struct site {
    /*
     * hash_a: the stack's hash; 0: the place is free.
     *   writers  who enters a stack, once, by CAS
     *   readers  who looks for one
     *   orders   relaxed: it is all that is asked for
     *   keeps    never changes again
     *
     * depth_a: how many frames there are, 0 until they are.
     *   writers  who entered the stack
     *   readers  the report
     *   orders   HB-SITE-1
     *   keeps    never changes again
     *
     * total_a, live_a: estimated bytes, all and those not yet freed; blocks_a: estimated
     * blocks, times SITES_BLOCK; samples_a: blocks seen.
     *   writers  callbacks
     *   readers  the report
     *   orders   relaxed: figures
     *   keeps    live_a is at most total_a once all callbacks are through
     */
    _Atomic(uint64_t) hash_a;
    _Atomic(uint32_t) depth_a;
    _Atomic(uint64_t) total_a;
    _Atomic(uint64_t) live_a;
    _Atomic(uint64_t) blocks_a;
    _Atomic(uint64_t) samples_a;
    void *frame[STACK_MOST]; /* who entered it, before depth_a is set */
};

extern struct site sites[SITES_MOST];

/* All places free. */
void sites_clear(void);

/* The stack's place, made if need be. */
uint32_t sites_find(const struct stack *stack);
