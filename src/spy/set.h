/* SPDX-License-Identifier: MIT */
/*
 * The spies that are attached: one immutable set behind one atomic pointer. Attaching and
 * detaching build a new set, swap it in, and give the old one back after a grace period.
 *
 *   attach, detach:  the set --copy--> new set --swap--> mole_set_a, old set --> retired
 *   settle:          grace period --> free what was retired before it
 *   an event:        enter a section --> mole_set_a --> callbacks --> leave
 *
 *  label     release side                  acquire side                 makes visible
 *  HB-SET-1  publish: store of mole_set_a  current: load of mole_set_a  the set's entries
 *
 * add and remove are called by one thread at a time; all else by any.
 * Progress: an event waits for nothing but its callbacks; settle waits for sections.
 */
#pragma once

#include <molehill/spy.h>

#include "base/atom.h"
#include "base/attr.h"

enum {
    MOLE_SET_SAMPLERS = 24, /* sampling spies at a time */
    MOLE_SET_MASK = (1 << MOLE_SET_SAMPLERS) - 1,
};

/* A callback that a thread is in; the innermost first. */
struct mole_set_frame {
    const struct mh_spy *key;
    const struct mole_set_frame *outer;
};

/*
 * One attached spy. A sampling one has a bit of its own; who had the bit before is told
 * apart by the serial numbers. A mark is a serial number << MOLE_SET_SAMPLERS | the bits
 * of those that heard of a block: the number is that of the spy attached last by then.
 */
struct mole_set_entry {
    const struct mh_spy *key;    /* what its owner knows it by; never read */
    struct mole_set_frame frame; /* of a callback that is in no other one */
    uint64_t scope;
    uint64_t serial; /* of its attaching */
    uint32_t bit;    /* 0: it hears of everything */
    struct mh_spy spy;
};

/*
 * mole_set_sample_a: the smallest sample_bytes of all sampling spies; 0: there are none.
 *   writers  add and remove
 *   readers  operations on sampled heaps
 *   orders   relaxed: what they lead to looks at the set itself
 *   keeps    right for the set published last
 */
extern mole_shared _Atomic(size_t) mole_set_sample_a;

struct mole_set {
    struct mole_set *next; /* spare or retired sets; the latter under set.c's lock */
    uint64_t retired;      /* under set.c's lock: when, by retired_count */
    uint64_t serial;       /* of the spy attached last */
    size_t bytes;          /* of its memory */
    const struct mole_set_entry *only; /* the one entry, if it is not a sampling one's;
                                          else one that is in no scope */
    size_t count;
    struct mole_set_entry entries[];
};

/* 0, MH_ATTACHED or MH_NO_MEMORY; then nothing was changed. */
int mole_set_add(const struct mh_spy *spy, uint64_t scope);

/* 0 or MH_DETACHED; then nothing was changed. It needs no memory. */
int mole_set_remove(const struct mh_spy *spy);

/*
 * Wait until nobody is inside a set that was replaced before the call, and give those
 * back. Not in a section.
 */
void mole_set_settle(void);

/*
 * mole_set_a: the attached spies; mole_set_nobody: none.
 *   writers  add and remove
 *   readers  current, is_empty
 *   orders   store release, load acquire: HB-SET-1
 *   keeps    what it pointed to stays until a grace period has passed
 */
extern mole_own _Atomic(struct mole_set *) mole_set_a;

/* The set without spies. */
extern mole_own struct mole_set mole_set_nobody;

/* The set. To be read inside a section only. */
mole_hot const struct mole_set *mole_set_current(void)
{
    return load_acq(&mole_set_a); /* HB-SET-1 */
}

/* Whether no spy is attached. */
mole_hot bool mole_set_is_empty(void)
{
    return load_acq(&mole_set_a) == &mole_set_nobody; /* HB-SET-1 */
}

/* In a fork's child. */
void mole_set_repair(void);
