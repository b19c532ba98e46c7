/* SPDX-License-Identifier: MIT */
/*
 * pool — free runs of chunks, of the whole process.
 *
 *   a thread's slots --> warm stacks, one a size --> cold stacks --> region (new)
 *                                      --> larger runs, split --> neighbours, joined
 *
 * A run that is given back is warm: its pages are resident and dirty. Passes over the
 * pool, one every MOLE_PASS_MS, make it cold once it was warm for two of them: its pages
 * go back to the system. Reuse prefers warm runs, for the first touch of a page costs
 * more than everything else an allocator does. Passes are made by the purger's thread
 * (purger.h) or, while the process has none, by whoever gives a run back.
 *
 * When fresh chunks are used up, and only then, larger runs are split and neighbours
 * joined (rejoin.h).
 *
 * Orders between runs: those of the stacks (HB-META-1) and of the slots:
 *
 *  label      release side             acquire side           makes visible
 *  HB-POOL-1  give: CAS into a slot    take: swap of a slot   the run's fields
 *  HB-POOL-2  enlist: CAS of the list  pass: load of it       slots->all_next
 *  HB-POOL-3  give: rise of gives_a    rejoining: load of it  the run where it was put
 *
 * Progress: give is lock-free; now and then it makes a pass, which is system calls,
 * unless somebody is making one. Take is lock-free while the region has fresh chunks.
 * Without them it waits for whoever has runs in hand (hands.h): a pass, or another thread
 * that joins or splits runs.
 */
#pragma once

#include "arena/run.h"

enum {
    MOLE_POOL_SLOTS = 8,
    MOLE_PASS_MS = 125,
    MOLE_DECAY_MS =
        2 * MOLE_PASS_MS, /* what stays warm this long is purged by the next pass */
};

/* One thread's own free runs of one chunk each; any thread may empty them. */
struct mole_pool_slots {
    /*
     * slot_a: a run of one chunk, or NULL.
     *   writers  the thread fills; the thread or whoever purges empties
     *   readers  the same
     *   orders   fill CAS release, empty swap acquire: HB-POOL-1
     *   keeps    a run is in one slot at most
     */
    _Atomic(struct mole_run *) slot_a[MOLE_POOL_SLOTS];

    /*
     * touched_a: a run was put into a slot since the last pass.
     *   writers  the thread sets, a pass clears
     *   readers  a pass
     *   orders   relaxed: a run purged early or late is no error
     *   keeps    nothing
     */
    _Atomic(bool) touched_a;

    /*
     * gives_a: runs the thread has given back, into slots or not.
     *   writers  the thread
     *   readers  mole_pool_gives
     *   orders   store release, load acquire: HB-POOL-3
     *   keeps    rises after the run is where it can be found
     */
    _Atomic(uint64_t) gives_a;
    struct mole_pool_slots *all_next; /* const after mole_pool_enlist */
};

/* Let passes know of a thread's slots. Once for each record, which is never freed. */
void mole_pool_enlist(struct mole_pool_slots *slots);

/*
 * A run of at least `chunks` chunks, or NULL. `slots` are the calling thread's, or NULL.
 * `run->is_zero` tells whether it needs clearing for HEAP_ZERO_MEMORY.
 */
struct mole_run *mole_pool_take(struct mole_pool_slots *slots, size_t chunks)
    mole_must_check;

/* Give a run back: warm, if there is not more of that than is wanted (warmth.h). */
void mole_pool_give(struct mole_pool_slots *slots, struct mole_run *run);

/* Move a thread's slots to the process-wide stacks: at thread exit, in a fork's child. */
mole_shared void mole_pool_drain(struct mole_pool_slots *slots);

/* The same with all threads' slots. Inside (hands.h). */
void mole_pool_drain_all(void);

/* Runs given back since the start, as far as this thread can know. */
uint64_t mole_pool_gives(void);

/*
 * One pass: what was warm for two passes or longer becomes cold. Returns how many runs
 * are still warm. By any thread; while another one has runs in hand, nothing is done and
 * 1 returned.
 */
size_t mole_pool_pass(void);

/* Make everything warm cold, but for other threads' slots. Returns the runs purged. */
mole_shared size_t mole_pool_purge(void);

/*
 * Have `release(all)` called: in each pass, to give back of what is laid by elsewhere
 * (spare.h) what has aged; with `all`, by whoever looks through all that is free. It
 * returns how much is still laid by. Once.
 */
typedef size_t (*mole_pool_release)(bool all);
void mole_pool_call_for_spares(mole_pool_release release);

/* The thread has laid something by. */
void mole_pool_count_spare(struct mole_pool_slots *slots);

/* While set, giving runs back makes no passes: the purger's thread does. */
void mole_pool_leave_passes(bool to_purger);

/* Whether a run was given back since the last call. */
bool mole_pool_was_fed(void);

/* Runs purged since the start. */
uint64_t mole_pool_purged(void);

/* The chunks a new run for `chunks` really has. */
size_t mole_pool_round(size_t chunks);
