/* SPDX-License-Identifier: MIT */
/*
 * Of OLE only COM is there.
 */
#pragma once

#include "objbase.h"
