/* SPDX-License-Identifier: MIT */
/*
 * Texts of one byte a character, by their generic names.
 */
#pragma once

#include <stdio.h>
#include <string.h>

#include "winnt.h"

#ifdef _UNICODE
#error "molehill has no wmain and no 16-bit wchar_t: see docs/porting.md"
#endif

typedef char _TCHAR;
#define _T(text) text
#define _TEXT(text) text
#define _tmain main
#define _tprintf printf
#define _ftprintf fprintf
#define _sntprintf snprintf
#define _fputts fputs
#define _putts puts
#define _tcslen strlen
#define _tcscmp strcmp
#define _tcsncmp strncmp
#define _tcscpy strcpy
#define _tcschr strchr
#define _tcsstr strstr
