/* SPDX-License-Identifier: MIT */
#include "storm_library.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_bool is_attached;
static atomic_ullong call_count;

static void demand(void)
{
    static const char words[] = "FAILED: a spy that was detached is called\n";
    if (atomic_load(&is_attached))
        return;
    (void)!write(STDOUT_FILENO, words, sizeof words - 1);
    abort();
}

static void hear(void)
{
    demand();
    if (atomic_fetch_add(&call_count, 1) % 64 == 0)
        sched_yield();
    demand();
}

static void hear_block(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    hear();
}

static void hear_reallocated(void *context, void *heap, void *old_block, size_t old_bytes,
                             void *block, size_t bytes)
{
    (void)context, (void)heap, (void)old_block, (void)old_bytes, (void)block, (void)bytes;
    hear();
}

static void hear_heap(void *context, void *heap)
{
    (void)context, (void)heap;
    hear();
}

static void set_attached(bool is)
{
    atomic_store(&is_attached, is);
}

static unsigned long long calls(void)
{
    return atomic_load(&call_count);
}

extern __attribute__((visibility("default"))) storm_library_get storm_library;

const struct storm_library *storm_library(void)
{
    static const struct storm_library library = {
        .spy =
            {
                .size = sizeof library.spy,
                .name = "unloaded",
                .allocated = hear_block,
                .freed = hear_block,
                .reallocated = hear_reallocated,
                .heap_created = hear_heap,
                .heap_destroyed = hear_heap,
            },
        .set_attached = set_attached,
        .calls = calls,
    };
    return &library;
}
