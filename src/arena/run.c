/* SPDX-License-Identifier: MIT */
#include "arena/run.h"

#include "arena/region.h"

/*
 * A process may have only so many mappings (vm.max_map_count, 65 530): beyond this many
 * runs with a seam, blocks are copied.
 */
enum { SEAMS_MOST = 8192 };

/*
 * seams_a: runs that got a seam, by a move or as a part of one that had one.
 *   writers  mole_run_note_seam, mole_run_split
 *   readers  mole_run_may_seam
 *   orders   relaxed: a bound that may be passed by a few
 *   keeps    never falls: joining runs leaves their mappings
 */
static _Atomic(uint32_t) seams_a;

struct mole_run *mole_run_create(size_t chunks)
{
    struct mole_run *run = mole_meta_take(MOLE_META_RUN, sizeof *run);
    if (!run)
        return NULL;
    run->base = mole_region_take(chunks);
    if (!run->base) {
        mole_meta_give(run);
        return NULL;
    }
    run->chunks = (uint32_t)chunks;
    run->seam = 0;
    run->is_zero = 1;
    return run;
}

/*
 * Whether, of two free runs, this one is warm and the other is not or was given back
 * before.
 */
static bool is_younger(const struct mole_run *run, const struct mole_run *than)
{
    return !run->is_zero && (than->is_zero || (int32_t)(run->given - than->given) > 0);
}

void mole_run_join(struct mole_run *lower, struct mole_run *upper)
{
    if (!lower->seam && upper->seam)
        lower->seam = lower->chunks * MOLE_CHUNK_PAGES;
    if (is_younger(upper, lower))
        lower->given = upper->given;
    lower->is_zero &= upper->is_zero;
    lower->chunks += upper->chunks;
    mole_meta_give(upper);
}

void mole_run_split(struct mole_run *run, size_t chunks, struct mole_run *rest)
{
    uint32_t pages = (uint32_t)chunks * MOLE_CHUNK_PAGES;
    rest->base = run->base + chunks * MOLE_CHUNK;
    rest->chunks = run->chunks - (uint32_t)chunks;
    rest->is_zero = run->is_zero;
    rest->given = run->given;
    rest->seam = 0;
    if (run->seam) {
        /* Behind the seam there may be edges anywhere, but not within a chunk. */
        rest->seam = run->seam > pages ? run->seam - pages : MOLE_CHUNK_PAGES;
        run->seam = run->seam < pages ? run->seam : pages;
        add_rlx(&seams_a, 1);
    }
    run->chunks = (uint32_t)chunks;
}

bool mole_run_is_one_mapping(const struct mole_run *run, size_t bytes)
{
    return !run->seam || bytes <= (size_t)run->seam * MOLE_PAGE;
}

bool mole_run_may_seam(const struct mole_run *run)
{
    return run->seam || load_rlx(&seams_a) < SEAMS_MOST;
}

void mole_run_note_seam(struct mole_run *run, size_t bytes)
{
    if (!run->seam)
        add_rlx(&seams_a, 1);
    run->seam = (uint32_t)(bytes / MOLE_PAGE);
}
