/* SPDX-License-Identifier: MIT */
/*
 * Spies in shared objects (molehill/spy_module.h): load and attach, detach and unload.
 * All by the control thread, but for mole_modules_leave.
 */
#pragma once

#include "control/message.h"

/* Attach the object `file`, an absolute path. The reply: its id and name. */
void mole_modules_attach(const char *file, const char *args, struct mole_reply *reply);

/* Detach the spy of this id or name. The reply: what it has to report. */
void mole_modules_detach(const char *which, struct mole_reply *reply);

/* What is attached, a line each. */
void mole_modules_list(struct mole_reply *reply);

/*
 * At exit, before objects are finished: detach all spies, so that none is called in an
 * object that was.
 */
void mole_modules_leave(void);
