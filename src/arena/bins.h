/* SPDX-License-Identifier: MIT */
/*
 * bins — the pool's stacks of free runs: two a size, warm and cold. A bin's runs have at
 * least its chunks and fewer than the next bin's; those that were never joined or split
 * have just as many.
 *
 * Orders and progress are those of the stacks (meta.h).
 */
#pragma once

#include "arena/run.h"

/* 1 to 8 chunks by one, then four sizes an octave. */
enum { MOLE_BINS = 8 + 4 * 22 };

/* The first bin whose runs have all at least `chunks`; MOLE_BINS or more: none has. */
unsigned mole_bins_for(size_t chunks);

/* The bin a run of `chunks` belongs in. */
unsigned mole_bins_of(size_t chunks);

/* The chunks that each run of the bin has at least. */
size_t mole_bins_chunks(unsigned bin);

/* The stack itself, for who takes all of it and notes each run. */
struct mole_meta_stack *mole_bins_warm(unsigned bin);
void mole_bins_note_taken(const struct mole_run *run);

/* A run of the bin, or NULL. */
struct mole_run *mole_bins_pop_warm(unsigned bin);
struct mole_run *mole_bins_pop_cold(unsigned bin);

/* Into its bin: cold if it reads as zero, else warm. */
void mole_bins_push(struct mole_run *run);

/* Chunks in the warm stacks, nearly. */
size_t mole_bins_warm_chunks(void);
