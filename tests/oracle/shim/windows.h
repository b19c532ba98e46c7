/* SPDX-License-Identifier: MIT */
/*
 * What the programs of the oracle include for Win32's names, where these are molehill's.
 */
#pragma once

#include <molehill/heapapi.h>
