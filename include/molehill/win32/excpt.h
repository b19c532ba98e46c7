/* SPDX-License-Identifier: MIT */
/*
 * What Windows' compilers know as __try and __except is here MH_TRY and MH_EXCEPT; and
 * GetExceptionCode.
 */
#pragma once

#include "../exception.h"
#include "winnt.h"

/* What filters return on Windows. There are none here: MH_EXCEPT handles everything. */
#define EXCEPTION_EXECUTE_HANDLER 1
#define EXCEPTION_CONTINUE_SEARCH 0
#define EXCEPTION_CONTINUE_EXECUTION (-1)

#define EXCEPTION_ACCESS_VIOLATION STATUS_ACCESS_VIOLATION
