/* SPDX-License-Identifier: MIT */
/* The same for COM's. */
#pragma once

#include <molehill/objbase.h>
