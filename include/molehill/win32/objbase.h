/* SPDX-License-Identifier: MIT */
/*
 * COM: the task allocator, its spy, and how interfaces are declared.
 */
#pragma once

#include "combaseapi.h"
