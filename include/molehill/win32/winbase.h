/* SPDX-License-Identifier: MIT */
/*
 * GlobalAlloc and LocalAlloc of fixed memory, the last error, operations on memory.
 */
#pragma once

#include "../winbase.h"
#include "errhandlingapi.h"
#include "heapapi.h"
#include "windef.h"
#include "winerror.h"

#define CopyMemory RtlCopyMemory
#define MoveMemory RtlMoveMemory
#define FillMemory RtlFillMemory
#define ZeroMemory RtlZeroMemory
#define SecureZeroMemory RtlSecureZeroMemory
#define GlobalPtrHandle(block) ((HGLOBAL)GlobalHandle(block))
