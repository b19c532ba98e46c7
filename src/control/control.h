/* SPDX-License-Identifier: MIT */
/*
 * Control from outside: MOLEHILL_CONF=control:PATH starts a thread that listens at a Unix
 * socket to the command `molehill` and attaches spies from shared objects. What it may
 * do, to whom it listens and what an attacker could try is in docs/control.md.
 *
 *   libmolehill-malloc's constructor --offer--> api/config --PATH--> socket, thread
 *
 * Nothing foreign runs on a thread of the program but the spies' callbacks.
 */
#pragma once

#include "base/attr.h"

/* Be there for `control:PATH`, if that is configured now or later. */
void mole_control_offer(void);
