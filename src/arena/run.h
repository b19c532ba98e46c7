/* SPDX-License-Identifier: MIT */
/*
 * run — consecutive chunks of the region, in a heap or free in the pool, and their
 * record. Runs together cover what the region has handed out, each chunk once.
 *
 * Only free runs are joined and split, by whoever holds the pool's lock (hands.h). The
 * record of a run that was joined to another goes back to its stack: it stays a run's
 * record (meta.h), but of other chunks, so nobody may keep a pointer to a run that is not
 * his.
 */
#pragma once

#include <assert.h>

#include "arena/meta.h"

/* In is_zero of a run that is given back: whoever had it has emptied it. */
enum { MOLE_RUN_EMPTIED = 2 };

struct mole_run {
    struct mole_meta meta;
    char *base;          /* const but for a free run that is joined or split */
    uint32_t chunks;     /* likewise */
    uint16_t free_pages; /* owner only: in a run cut in pages, those in no span */
    uint8_t is_zero;     /* whoever has the run: all of it reads as zero */
    uint8_t is_cut;      /* const while in a heap: cut in pages by one cache */
    struct mole_run
        *next; /* under the arena's lock: the heap's runs; or in one's hands */
    struct mole_run *prev;
    struct mole_run *page_next; /* owner only: its runs with free pages */
    struct mole_run *page_prev;
    uint32_t given; /* the pass in which it was given back; of a warm run */
    uint32_t
        seam; /* pages at its base that are one mapping; 0: it has no mapping's edge */
};
static_assert(sizeof(struct mole_run) == MOLE_CACHE_LINE, "one unit of the records'");

static inline char *mole_run_end(const struct mole_run *run)
{
    return run->base + (size_t)run->chunks * MOLE_CHUNK;
}

/* A run of `chunks` fresh chunks, or NULL. */
struct mole_run *mole_run_create(size_t chunks) mole_must_check;

/*
 * The upper run's chunks, which follow the lower's, become the lower's; its record is
 * free.
 */
void mole_run_join(struct mole_run *lower, struct mole_run *upper);

/*
 * The run keeps its first `chunks`; what is behind becomes the run `rest`, a free record.
 */
void mole_run_split(struct mole_run *run, size_t chunks, struct mole_run *rest);

/*
 * The seam: pages moved in from another run (mole_pages_move) are a mapping of their own,
 * for good, and the kernel moves pages of one mapping only. Edges are at chunks' bounds.
 * Joined and split runs know too little rather than too much: their blocks are copied.
 */
bool mole_run_is_one_mapping(const struct mole_run *run, size_t bytes);

/* Whether one more mapping may be made in the run: a process may have only so many. */
bool mole_run_may_seam(const struct mole_run *run);

/* `bytes`, whole chunks, were moved in at its base. */
void mole_run_note_seam(struct mole_run *run, size_t bytes);
