/* SPDX-License-Identifier: MIT */
/*
 * Names of code addresses: what the loader knows, else the symbol table in the object's
 * file, else the object and an offset. Allocates; not in a callback.
 */
#pragma once

#include "base/attr.h"

/* "function+0x12 (object)" or "object+0x1234", cut where there is no room. */
void symbols_name(const void *address, char *text, size_t bytes);

/* Give back what was read of files. */
void symbols_finish(void);
