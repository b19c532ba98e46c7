/* SPDX-License-Identifier: MIT */
/*
 * Telling the attached spies what happens. This layer knows heaps by number (a scope) and
 * by what they are called in callbacks, no more.
 *
 * Each event is a section of its own (os/grace.h), so that a spy that was detached is
 * left alone once every section open at that time was closed; and each keeps errno and
 * the last error. The caller holds no lock, and is in no operation that a gate waits for.
 *
 * Sampling: a block that was picked bears a mark (set.h) for as long as it lives, which
 * says who heard of it. Spies that want all blocks hear of it like of any other.
 *
 * Progress: an event waits for nothing but its callbacks.
 */
#pragma once

#include "spy/set.h"

struct mole_draw;

/* What a spy may be attached to besides one heap's id; smaller than any. */
enum {
    MOLE_SPY_EVERYWHERE = 1,
    MOLE_SPY_ON_MALLOC = 2, /* the scope of malloc's heap */
};

/* The mark of a block that is in no sample. */
enum { MOLE_SPY_NO_MARK = 0 };

/* A heap, for spies. */
struct mole_spied {
    uint64_t scope;
    void *name; /* its HANDLE, or MH_SPY_MALLOC */
};

/* What the attached spies want to hear of the scope's operations; bits. */
enum { MOLE_SPY_WANTS_ALL = 1, MOLE_SPY_WANTS_SAMPLE = 2, MOLE_SPY_WANTS_ASKING = 4 };
unsigned mole_spy_wants(uint64_t scope);

/*
 * Whether the calling thread is inside a callback or another section: it must not wait.
 */
bool mole_spy_is_inside(void);

/* Whether it is inside a callback, which has errno and the last error of its own. */
bool mole_spy_is_in_callback(void);

/*
 * A block was picked for `bytes` that it came with or grew by, by the countdown of
 * whoever samples most: the mark for all who hear of it, those of `mark` included, which
 * it has so far. The others take their share by `draw`'s chance.
 */
uint64_t mole_spy_pick(struct mole_spied heap, size_t bytes, uint64_t mark,
                       struct mole_draw *draw);

/* False: a spy vetoes. */
bool mole_spy_may_allocate(struct mole_spied heap, size_t bytes) mole_must_check;

mole_shared void mole_spy_allocated(struct mole_spied heap, void *block, size_t bytes,
                                    uint64_t mark);
mole_shared void mole_spy_freed(struct mole_spied heap, void *block, size_t bytes,
                                uint64_t mark);

/* A block, as it is told of. */
struct mole_spy_block {
    void *block;
    size_t bytes;
    uint64_t mark;
};

/*
 * Who heard of `old` hears of the change; who only hears of `now` hears of a new block.
 */
void mole_spy_reallocated(struct mole_spied heap, const struct mole_spy_block *old,
                          const struct mole_spy_block *now);

void mole_spy_heap_created(struct mole_spied heap);
void mole_spy_heap_destroyed(struct mole_spied heap);

/* In a fork's child. */
void mole_spy_repair(void);
