/* SPDX-License-Identifier: MIT */
/*
 * A library that holds the bare names and a core: what comes of copies where links are
 * due. Everything in it is from the archives.
 */
#include <stddef.h>

void *GetProcessHeap(void);
void *own_core(void);

__attribute__((visibility("default"))) void *own_core(void)
{
    return GetProcessHeap();
}
