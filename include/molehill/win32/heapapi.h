/* SPDX-License-Identifier: MIT */
/*
 * The heap functions.
 */
#pragma once

#include "../heapapi.h"
#include "minwindef.h"
