/* SPDX-License-Identifier: MIT */
/*
 * The spy `record` as it is attached: by the command molehill (record.c) or from the
 * program's start (record_preload.c).
 */
#pragma once

#include <molehill/spy.h>

#include "base/attr.h"

/*
 * Begin a recording as the words say: file:PATH [on:all|malloc]. `heap` is changed to
 * where to attach the spy. NULL: `error` has a line that says why.
 */
const struct mh_spy *record_begin(const char *words, void **heap, char *error,
                                  size_t error_bytes);

/* Whether one was begun and not ended, by this process. */
bool record_is_under_way(void);

/*
 * End it; nobody is inside the spy. Does nothing where none is under way. Fills `text`
 * with a line on it, "" for nothing.
 */
void record_end(char *text, size_t text_bytes);
