/* SPDX-License-Identifier: MIT */
/*
 * The system's <malloc.h>, and _msize. No #pragma once: found a second time, on the way
 * to the system's, it must lead on.
 */
#pragma GCC system_header /* or #include_next would be complained of */
#include_next <malloc.h>

#include "../msize.h"
