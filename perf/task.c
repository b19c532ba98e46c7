/* SPDX-License-Identifier: MIT */
/*
 * Local pairs of the task allocator: `batch` blocks out, then the same blocks back.
 * spy=0: no spy; 1: one that does nothing, under its lock; 2: the same, free-threaded.
 */
#define COBJMACROS
#include <molehill/objbase.h>

#include "harness.h"

static struct perf_sizes sizes;
static uint64_t batch;
static void **slots; /* batch of them, for each lane */
static bool is_free_threaded;

static HRESULT STDMETHODCALLTYPE query(IMallocSpy *self, REFIID id, void **object)
{
    bool is_known = IsEqualIID(id, &IID_IMallocSpy) ||
                    (is_free_threaded && IsEqualIID(id, &IID_IAgileObject));
    *object = is_known ? self : NULL;
    return is_known ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE count(IMallocSpy *self)
{
    (void)self;
    return 1;
}

static SIZE_T STDMETHODCALLTYPE pre_alloc(IMallocSpy *self, SIZE_T bytes)
{
    (void)self;
    return bytes;
}

static void *STDMETHODCALLTYPE post_alloc(IMallocSpy *self, void *block)
{
    (void)self;
    return block;
}

static void *STDMETHODCALLTYPE pre_free(IMallocSpy *self, void *client, BOOL spyed)
{
    (void)self;
    (void)spyed;
    return client;
}

static void STDMETHODCALLTYPE post_free(IMallocSpy *self, BOOL spyed)
{
    (void)self;
    (void)spyed;
}

static IMallocSpyVtbl methods = {
    .QueryInterface = query,
    .AddRef = count,
    .Release = count,
    .PreAlloc = pre_alloc,
    .PostAlloc = post_alloc,
    .PreFree = pre_free,
    .PostFree = post_free,
};
static IMallocSpy spy = {.lpVtbl = &methods};

static void setup(void)
{
    uint64_t kind = perf_option("spy", 0);

    perf_sizes_from_options(&sizes);
    batch = perf_option("batch", 32);
    if (batch == 0 || kind > 2)
        perf_die("task: batch from 1, spy 0 to 2");
    slots = perf_pages(perf_lanes() * batch * sizeof *slots);
    is_free_threaded = kind == 2;
    if (kind && CoRegisterMallocSpy(&spy) != S_OK)
        perf_die("task: the spy was not registered");
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    void **mine = slots + lane * batch;
    uint64_t done;

    for (done = 0; done < ops; done += batch) {
        for (uint64_t i = 0; i < batch; i++) {
            mine[i] = CoTaskMemAlloc(perf_size(&sizes, done + i));
            perf_touch(mine[i]);
        }
        for (uint64_t i = 0; i < batch; i++)
            CoTaskMemFree(mine[i]);
    }
    return done;
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
