/* SPDX-License-Identifier: MIT */
/*
 * hold — keeps the caches of all heaps from being given back for a moment: HeapDestroy
 * waits. For whoever goes through heaps that are not its own.
 *
 *  label      release side               acquire side                makes visible
 *  HB-HOLD-1  begin: store, fence, then  await: fence, then load of  the heap's end, or
 *             load of a heap's word      is_held_a                   who must be awaited
 *  HB-HOLD-2  end: store of is_held_a    await: load of is_held_a    what was done there
 *
 * HB-HOLD-1: hold stores and fences, then reads a word; who ends a heap clears the word
 * and fences, then looks whether anybody holds: one of the two sees it.
 *
 * Progress: begin waits for another who holds; await for whoever does.
 * Checked by: tests/race/oracle.c, tests/race/raise.c (TSan).
 */
#pragma once

#include "base/attr.h"

void mole_hold_begin(void);
/* The same, unless somebody else holds them. */
bool mole_hold_try(void) mole_must_check;
void mole_hold_end(void);

/* Nobody goes through the heap any more whose word the caller has just cleared. */
void mole_hold_await(void);

/* In a fork's child: nobody holds the heaps any more. */
void mole_hold_repair(void);
