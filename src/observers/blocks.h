/* SPDX-License-Identifier: MIT */
/*
 * The sampled blocks that are not yet freed: from an address to what it stands for. A
 * table of fixed size.
 *
 * A block is entered by the thread that allocates it and taken out by the one that frees
 * it, before its address can come again: of one address there is one at most, and the
 * program orders the two. A place is held by whoever changed its key from FREE to HELD,
 * or from the block's address to HELD.
 *
 *  label       release side          acquire side     makes visible
 *  HB-TAKEN-1  store of the address  CAS on the key   what the block stands for
 *              or FREE
 *
 * Progress: wait-free, by a bounded number of places looked at. Where all are taken a
 * block is not entered.
 */
#pragma once

#include "base/attr.h"

/* What one sampled block stands for. */
struct sample {
    void *heap;
    uint64_t bytes; /* estimated, its own and those of others like it */
    float blocks;   /* how many like it, itself included */
    uint32_t site;
};

/* Nothing is in it. */
void blocks_clear(void);

/* Enter a block. False: there is no room where it belongs. */
bool blocks_add(const void *block, const struct sample *sample);

/* Take a block out. False: it is not there. */
bool blocks_take(const void *block, struct sample *sample);

/* Take any block of the heap out: from place `*at` on, which goes up. False: no more. */
bool blocks_take_of(const void *heap, size_t *at, struct sample *sample);
