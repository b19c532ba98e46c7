/* SPDX-License-Identifier: MIT */
/*
 * The blocks of the ownership oracle (oracle.c): what is recorded of each, its stamp, and how
 * it is allocated, resized and freed. Each block is stamped all over with what only its
 * address, owner, size and sequence number produce, and the stamp is read whole before the
 * block changes hands or goes.
 */
#pragma once

#include "race.h"

enum {
    HEAPS = 4,      /* the process heap and private ones */
    MALLOC = HEAPS, /* the place that is no heap */
    TENANT_BLOCKS = 24,
};

struct record {
    char *at; /* NULL: no block */
    size_t bytes;
    uint64_t sequence;
    uint32_t owner; /* the thread that stamped it */
    uint32_t place; /* index of its heap, or MALLOC */
};

struct tenant {
    HANDLE heap;
    struct record blocks[TENANT_BLOCKS];
};

static HANDLE heaps[HEAPS];
static atomic_ullong sequence_numbers;
static struct {
    atomic_ullong steps, mallocs, frees, remote_frees, resizes, tenants;
} done;

/* One thread. */
struct worker {
    uint64_t random;
    uint32_t id;
    struct record **own;
};

static void count(atomic_ullong *what)
{
    atomic_fetch_add_explicit(what, 1, memory_order_relaxed);
}

static uint64_t key_of(const struct record *record)
{
    return race_mix((uintptr_t)record->at ^ race_mix(record->bytes) ^
                    (uint64_t)record->owner << 40 ^ record->sequence);
}

/* Now the block is this thread's, and says so. */
static void stamp(struct worker *worker, struct record *record)
{
    record->owner = worker->id;
    record->sequence =
        atomic_fetch_add_explicit(&sequence_numbers, 1, memory_order_relaxed);
    race_stamp(record->at, record->bytes, key_of(record));
}

static HANDLE heap_of(const struct record *record, const struct tenant *tenant)
{
    return tenant ? tenant->heap : heaps[record->place];
}

static bool is_malloc(const struct record *record, const struct tenant *tenant)
{
    return !tenant && record->place == MALLOC;
}

static void verify(const struct record *record, const struct tenant *tenant)
{
    race_require(race_is_stamped(record->at, record->bytes, key_of(record)),
                 "block %p of %zu bytes, place %u, stamped by thread %u, was disturbed",
                 (void *)record->at, record->bytes, record->place, record->owner);
    if (is_malloc(record, tenant))
        return;
    size_t bytes = HeapSize(heap_of(record, tenant), 0, record->at);
    race_require(bytes == record->bytes, "HeapSize of %p is %zu, not %zu",
                 (void *)record->at, bytes, record->bytes);
}

static size_t some_bytes(struct worker *worker)
{
    size_t kind = race_below(&worker->random, 1000);
    size_t limit = kind < 700 ? 129 : kind < 950 ? 2100 : kind < 994 ? 33000 : 330000;
    if (kind == 999)
        limit = race_brief() ? 330000 : 3000000;
    else if (kind >= 990 && race_brief())
        limit = 129; /* filling large blocks is what sanitizers are slow at */
    return race_below(&worker->random, limit);
}

/* errno must be what it was: nothing has failed. */
static void begin_call(void)
{
    errno = 4711;
}

static void end_call(const char *name)
{
    race_require(errno == 4711, "%s set errno to %d", name, errno);
}

static void allocate_from_malloc(struct worker *worker, struct record *record)
{
    size_t align = 16;
    begin_call();
    switch (race_below(&worker->random, 6)) {
    case 0:
        record->at = mh_calloc(1, record->bytes);
        race_require(race_is_zero(record->at, record->bytes), "calloc gave old contents");
        break;
    case 1:
        align = (size_t)16 << race_below(&worker->random, 10);
        record->at = mh_memalign(align, record->bytes);
        break;
    default:
        record->at = mh_malloc(record->bytes);
        break;
    }
    end_call("malloc");
    race_require((uintptr_t)record->at % align == 0, "a block is not aligned to %zu",
                 align);
    count(&done.mallocs);
}

static void allocate_from_heap(struct worker *worker, struct record *record, HANDLE heap)
{
    DWORD flags = race_below(&worker->random, 4) ? 0 : HEAP_ZERO_MEMORY;
    begin_call();
    record->at = HeapAlloc(heap, flags, record->bytes);
    end_call("HeapAlloc");
    if (flags && record->at)
        race_require(race_is_zero(record->at, record->bytes),
                     "HEAP_ZERO_MEMORY did not clear");
}

static void allocate(struct worker *worker, struct record *record, struct tenant *tenant)
{
    record->bytes = some_bytes(worker);
    record->place = (uint32_t)race_below(&worker->random, HEAPS + 2);
    if (record->place > MALLOC)
        record->place = MALLOC;
    if (is_malloc(record, tenant))
        allocate_from_malloc(worker, record);
    else
        allocate_from_heap(worker, record, heap_of(record, tenant));
    race_require(record->at != NULL, "no memory for %zu bytes", record->bytes);
    if (record->at)
        stamp(worker, record);
}

static void release(struct worker *worker, struct record *record, struct tenant *tenant)
{
    verify(record, tenant);
    begin_call();
    if (is_malloc(record, tenant)) {
        mh_free(record->at);
    } else {
        BOOL freed = HeapFree(heap_of(record, tenant), 0, record->at);
        race_require(freed, "HeapFree refused the live block %p", (void *)record->at);
    }
    end_call("free");
    count(&done.frees);
    if (record->owner != worker->id)
        count(&done.remote_frees);
    record->at = NULL;
}

static void resize(struct worker *worker, struct record *record, struct tenant *tenant)
{
    size_t bytes = some_bytes(worker);
    size_t kept = bytes < record->bytes ? bytes : record->bytes;
    uint64_t key = key_of(record);
    verify(record, tenant);
    if (is_malloc(record, tenant) && bytes == 0)
        return; /* would free */
    DWORD flags = race_below(&worker->random, 3) ? 0 : HEAP_ZERO_MEMORY;
    begin_call();
    char *at = is_malloc(record, tenant)
                   ? mh_realloc(record->at, bytes)
                   : HeapReAlloc(heap_of(record, tenant), flags, record->at, bytes);
    end_call("realloc");
    race_require(at != NULL, "no memory to resize %zu to %zu bytes", record->bytes,
                 bytes);
    if (!at)
        return;
    race_require(kept < 8 || race_is_stamped(at, kept & ~(size_t)7, key),
                 "resizing %zu to %zu bytes lost contents", record->bytes, bytes);
    if (flags && !is_malloc(record, tenant) && bytes > kept)
        race_require(race_is_zero(at + kept, bytes - kept), "growth was not cleared");
    record->at = at;
    record->bytes = bytes;
    stamp(worker, record);
    count(&done.resizes);
}
