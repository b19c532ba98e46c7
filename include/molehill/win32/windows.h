/* SPDX-License-Identifier: MIT */
/*
 * Everything that molehill has of Windows' headers. COM's come with WIN32_LEAN_AND_MEAN
 * only where they are asked for.
 */
#pragma once

#include <stdarg.h>

#include "excpt.h"
#include "winbase.h"

#ifndef WIN32_LEAN_AND_MEAN
#include "ole2.h"
#endif
