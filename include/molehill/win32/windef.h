/* SPDX-License-Identifier: MIT */
/*
 * Windows' basic types.
 */
#pragma once

#include "minwindef.h"
#include "winnt.h"
