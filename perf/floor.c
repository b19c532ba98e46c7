/* SPDX-License-Identifier: MIT */
/*
 * The floor; see floor.h. Memory is one reservation at a fixed address, handed out in
 * granules of 64 KiB that are each cut into blocks of one class; class_of, indexed by
 * address, says which. Built as a shared library of its own with initial-exec TLS: alloc
 * and free are 11 and 9 instructions with gcc 12 at -O2 (objdump -d shows them); the
 * calls come on top.
 */
#include "floor.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#define GRANULE_SHIFT 16
#define GRANULE_BYTES ((size_t)1 << GRANULE_SHIFT)
#define GRANULE_COUNT 65536u
#define CLASS_COUNT 64u
#define BASE ((uintptr_t)1 << 44)

static __thread void *list[CLASS_COUNT] __attribute__((tls_model("initial-exec")));
static uint8_t class_of[GRANULE_COUNT]; /* written by the thread that took the granule */

/*
 * taken_a: granules handed out.
 *   writers  refill
 *   orders   relaxed: a counter; blocks do not pass between threads through it
 *   keeps    never falls
 */
static _Atomic(unsigned) taken_a;

__attribute__((constructor)) static void reserve(void)
{
    void *got =
        mmap((void *)BASE, GRANULE_COUNT * GRANULE_BYTES, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != (void *)BASE)
        atomic_store_explicit(&taken_a, GRANULE_COUNT, memory_order_relaxed);
}

/* Class c serves sizes 16c to 16c+15 with blocks of 16(c+1) bytes. */
__attribute__((noinline, cold)) static void *refill(size_t kind)
{
    unsigned granule = atomic_fetch_add_explicit(&taken_a, 1, memory_order_relaxed);
    if (granule >= GRANULE_COUNT)
        return NULL;
    size_t bytes = 16 * (kind + 1);
    char *start = (char *)BASE + granule * GRANULE_BYTES;
    char *last = start + (GRANULE_BYTES / bytes - 1) * bytes;
    class_of[granule] = (uint8_t)kind;
    for (char *block = start; block < last; block += bytes)
        *(void **)block = block + bytes;
    *(void **)last = NULL;
    list[kind] = *(void **)start;
    return start;
}

void *floor_alloc(size_t bytes)
{
    size_t kind = bytes >> 4;
    if (__builtin_expect(kind >= CLASS_COUNT, 0))
        return NULL;
    void *block = list[kind];
    if (__builtin_expect(block == NULL, 0))
        return refill(kind);
    list[kind] = *(void **)block;
    return block;
}

void floor_free(void *block)
{
    uintptr_t table = (uintptr_t)class_of - (BASE >> GRANULE_SHIFT);
    size_t kind = *(const uint8_t *)(table + ((uintptr_t)block >> GRANULE_SHIFT));
    *(void **)block = list[kind];
    list[kind] = block;
}
