/* SPDX-License-Identifier: MIT */
/*
 * IMalloc and IMallocSpy.
 */
#pragma once

#include "../objidl.h"
#include "unknwn.h"

#ifdef MH_COM_CXX
MH_UUID_OF(IMalloc, IID_IMalloc);
MH_UUID_OF(IMallocSpy, IID_IMallocSpy);
#endif
