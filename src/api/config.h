/* SPDX-License-Identifier: MIT */
/*
 * What of MOLEHILL_CONF and mh_configure is another library's business: the control
 * socket, which libmolehill-malloc has.
 */
#pragma once

#include "base/attr.h"

/* What an address of a Unix socket holds, the NUL included. */
enum { MOLE_CONTROL_PATH_MAX = 108 };

/*
 * Have `open(path)` called when `control:PATH` is configured, and now if it was already.
 * `path` is absolute, and has no % but in %p.
 */
mole_shared void mole_config_on_control(void (*open)(const char *path));
