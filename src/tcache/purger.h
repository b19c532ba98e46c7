/* SPDX-License-Identifier: MIT */
/*
 * The purger: a thread that gives free memory back by age, without anybody calling
 * molehill. It exists only once the process has a second thread anyway, blocks all
 * signals, looks once a second while there is nothing to do, and is started again in a
 * fork's child when that gets a second thread. Without it, giving runs back makes the
 * passes (pool.h).
 */
#pragma once

#include "base/attr.h"

/*
 * Start the purger if it is wanted and not there. Outside of any operation: starting a
 * thread allocates. Cheap otherwise.
 */
void mole_purger_poke(void);

/*
 * Whether a purger may be started; on unless configured otherwise. One that runs stays.
 */
void mole_purger_allow(bool is_allowed);

/*
 * In a fork's child: there is no purger any more, and none is wanted before a second
 * thread.
 */
void mole_purger_forget(void);

/* A further thread came. */
void mole_purger_expect(void);
