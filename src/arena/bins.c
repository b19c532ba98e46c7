/* SPDX-License-Identifier: MIT */
#include "arena/bins.h"

static struct mole_meta_stack warm[MOLE_BINS];
static struct mole_meta_stack cold[MOLE_BINS];

/*
 * warm_chunks_a: chunks in the warm stacks.
 *   writers  whoever pushes or pops there
 *   readers  mole_bins_warm_chunks
 *   orders   relaxed: a figure
 *   keeps    what is on its way may be counted or not; negative then
 */
static _Atomic(int64_t) warm_chunks_a;

unsigned mole_bins_for(size_t chunks)
{
    size_t last = chunks - 1;
    if (last < 8)
        return (unsigned)last;
    unsigned octave = 63u - (unsigned)__builtin_clzl(last); /* 3.. */
    return 8 + 4 * (octave - 3) + (unsigned)(last >> (octave - 2)) - 4;
}

size_t mole_bins_chunks(unsigned bin)
{
    if (bin < 8)
        return bin + 1;
    unsigned octave = (bin - 8) / 4 + 3;
    return (size_t)((bin - 8) % 4 + 5) << (octave - 2);
}

unsigned mole_bins_of(size_t chunks)
{
    unsigned bin = mole_bins_for(chunks);
    return mole_bins_chunks(bin) > chunks ? bin - 1 : bin;
}

struct mole_meta_stack *mole_bins_warm(unsigned bin)
{
    return &warm[bin];
}

struct mole_run *mole_bins_pop_warm(unsigned bin)
{
    struct mole_run *run = (struct mole_run *)(void *)mole_meta_pop(&warm[bin]);
    if (run)
        mole_bins_note_taken(run);
    return run;
}

struct mole_run *mole_bins_pop_cold(unsigned bin)
{
    return (struct mole_run *)(void *)mole_meta_pop(&cold[bin]);
}

void mole_bins_push(struct mole_run *run)
{
    struct mole_meta_stack *stacks = run->is_zero ? cold : warm;
    if (!run->is_zero)
        add_rlx(&warm_chunks_a, run->chunks);
    mole_meta_push(&stacks[mole_bins_of(run->chunks)], &run->meta);
}

void mole_bins_note_taken(const struct mole_run *run)
{
    sub_rlx(&warm_chunks_a, run->chunks);
}

size_t mole_bins_warm_chunks(void)
{
    int64_t chunks = load_rlx(&warm_chunks_a);
    return chunks > 0 ? (size_t)chunks : 0;
}
