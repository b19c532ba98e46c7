/* SPDX-License-Identifier: MIT */
/*
 * GetLastError and SetLastError.
 */
#pragma once

#include "../heapapi.h"
#include "minwindef.h"
