/* SPDX-License-Identifier: MIT */
/*
 * hands — whoever takes more out of the pool than he keeps, to purge it or to join what
 * is free, holds this lock, and has what he took in his hands: lists that are one for the
 * process. Who finds the pool empty waits for the lock before he believes it.
 *
 *   bins --mole_hands_take_warm, hold--> hands --mole_hands_put--> bins
 *
 * The lock is not held over fork. A child makes it anew and puts into the bins what was
 * in the hands of a thread it does not have. Each step changes one list head after the
 * other, so that at any instruction a run is in one list at most; the one just on its way
 * is lost to the child, and so is a bin's worth in the few instructions after it was
 * emptied.
 */
#pragma once

#include "arena/run.h"

void mole_hands_enter(void);
void mole_hands_leave(void);

/* Enter if nobody is there: no waiting. */
bool mole_hands_try(void) mole_must_check;

/* All below: inside. The runs in the hands, linked by next. */
struct mole_run *mole_hands_first(void);

/*
 * A run that is in no list comes first; all warm ones of a bin do, what was pushed last
 * coming last.
 */
void mole_hands_hold(struct mole_run *run);
void mole_hands_take_warm(unsigned bin);

/* The first run goes to its bin; all do. */
void mole_hands_put(void);
void mole_hands_put_all(void);

/* Bring the smallest run of at least `chunks` to the front. NULL: there is none. */
struct mole_run *mole_hands_best(size_t chunks);

/* The first run is the caller's, the others go to their bins. */
struct mole_run *mole_hands_keep(void);

/* By address, the lowest first. */
void mole_hands_sort(void);

/* In a fork's child, before anything is given or taken. */
void mole_hands_repair(void);
