/* SPDX-License-Identifier: MIT */
/*
 * The COM spy of the race programs. It checks on itself that every Pre call has its Post
 * call in the same thread and on the same object, that nothing comes after its Release,
 * that fSpyed is true for its own blocks only, and, unless it is free-threaded, that it
 * is called by one thread at a time.
 */
#pragma once

#define COBJMACROS
#include <molehill/objbase.h>
#include <sched.h>

#include "race.h"

enum { SPY_NEW, SPY_LIVE, SPY_RELEASED };

struct spy {
    IMallocSpy interface; /* first */
    bool is_free;         /* free-threaded */
    bool has_header;      /* in front of each of its blocks */
    atomic_int state;
    atomic_ullong pres, posts;
    atomic_int inside;
    pthread_t releaser;

    /* Of a spy that is called under the lock; not atomic, so that TSan looks, too. */
    pthread_t holder;
    int depth;
};

struct spy_header {
    uint64_t magic; /* its own address, encoded */
    struct spy *owner;
    size_t bytes;
    uint64_t unused;
};

/* What the spies met. */
static atomic_ullong spy_nested, spy_refused, spy_together, spy_true, spy_false;

/* The calls that the thread is between Pre and Post of. */
static _Thread_local struct {
    struct spy *spy;
    int kind;
} spy_stack[16];
static _Thread_local int spy_top;
static _Thread_local uint64_t spy_random;

/* Called in each Pre method, if set. */
static void (*spy_visit)(struct spy *spy);

enum { SPY_ALLOC, SPY_FREE, SPY_REALLOC, SPY_SIZE, SPY_KNOWS };

static struct spy *spy_of(IMallocSpy *interface)
{
    return (struct spy *)interface;
}

static uint64_t spy_magic(const struct spy_header *header)
{
    return race_mix((uintptr_t)header);
}

static struct spy *spy_enter(IMallocSpy *self, int kind)
{
    struct spy *spy = spy_of(self);
    if (!spy_random)
        spy_random = race_mix(race_seed ^ (uintptr_t)&spy_random);
    race_require(atomic_load(&spy->state) == SPY_LIVE, "a call after Release");
    if (!spy->is_free) {
        race_require(spy->depth == 0 || pthread_equal(spy->holder, pthread_self()),
                     "case 118: two threads are inside the spy");
        spy->holder = pthread_self();
        spy->depth++;
    }
    if (atomic_fetch_add(&spy->inside, 1) > 0 && spy_top == 0)
        atomic_fetch_add(&spy_together, 1);
    spy_stack[spy_top].spy = spy;
    spy_stack[spy_top++].kind = kind;
    atomic_fetch_add(&spy->pres, 1);
    if (spy_visit)
        spy_visit(spy);
    if (race_below(&spy_random, 16) == 0)
        sched_yield();
    return spy;
}

static struct spy *spy_leave(IMallocSpy *self, int kind)
{
    struct spy *spy = spy_of(self);
    race_require(atomic_load(&spy->state) == SPY_LIVE, "a call after Release");
    race_require(spy_top > 0 && spy_stack[spy_top - 1].spy == spy &&
                     spy_stack[spy_top - 1].kind == kind,
                 "case 120: a Post call without its Pre call");
    spy_top--;
    atomic_fetch_add(&spy->posts, 1);
    atomic_fetch_sub(&spy->inside, 1);
    if (!spy->is_free) {
        race_require(pthread_equal(spy->holder, pthread_self()),
                     "case 118: another thread came in between");
        spy->depth--;
    }
    return spy;
}

static HRESULT STDMETHODCALLTYPE spy_query(IMallocSpy *self, REFIID id, void **object)
{
    bool is_known = IsEqualIID(id, &IID_IMallocSpy) ||
                    (spy_of(self)->is_free && IsEqualIID(id, &IID_IAgileObject));
    *object = is_known ? self : NULL;
    if (IsEqualIID(id, &IID_IMallocSpy))
        atomic_store(&spy_of(self)->state, SPY_LIVE);
    return is_known ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE spy_add_ref(IMallocSpy *self)
{
    (void)self;
    race_fail("AddRef");
    return 2;
}

/* The first Release of a free-threaded spy is for the reference as IAgileObject. */
static ULONG STDMETHODCALLTYPE spy_release(IMallocSpy *self)
{
    struct spy *spy = spy_of(self);
    if (spy->is_free && !spy->releaser) {
        spy->releaser = pthread_self();
        return 1;
    }
    spy->releaser = pthread_self();
    race_require(atomic_load(&spy->inside) == 0, "a Release with calls under way");
    race_require(atomic_load(&spy->pres) == atomic_load(&spy->posts),
                 "%llu Pre calls, %llu Post calls", atomic_load(&spy->pres),
                 atomic_load(&spy->posts));
    race_require(atomic_exchange(&spy->state, SPY_RELEASED) == SPY_LIVE,
                 "a second Release");
    return 0;
}

static size_t spy_front(const struct spy *spy)
{
    return spy->has_header ? sizeof(struct spy_header) : 0;
}

/* The block of a client's pointer; a spyed one's header must be this spy's. */
static void *spy_block(struct spy *spy, void *client, BOOL spyed)
{
    atomic_fetch_add(spyed ? &spy_true : &spy_false, 1);
    race_require(spyed == 0 || spyed == 1, "fSpyed is %d", spyed);
    if (!spyed || !spy->has_header)
        return client;
    struct spy_header *header = (struct spy_header *)client - 1;
    race_require(header->magic == spy_magic(header) && header->owner == spy,
                 "fSpyed is true for a block that is not the spy's");
    return header;
}

static void *spy_client(struct spy *spy, void *block, size_t bytes)
{
    if (!block || !spy->has_header)
        return block;
    struct spy_header *header = block;
    *header = (struct spy_header){spy_magic(header), spy, bytes, 0};
    return header + 1;
}

static _Thread_local size_t spy_bytes; /* what the Pre call of the thread was told */

static SIZE_T STDMETHODCALLTYPE spy_pre_alloc(IMallocSpy *self, SIZE_T bytes)
{
    struct spy *spy = spy_enter(self, SPY_ALLOC);
    if (bytes && race_below(&spy_random, 50) == 0) {
        atomic_fetch_add(&spy_refused, 1);
        spy_leave(self, SPY_ALLOC);
        return 0;
    }
    if (spy_top == 1 && race_below(&spy_random, 8) == 0) {
        atomic_fetch_add(&spy_nested, 1);
        CoTaskMemFree(CoTaskMemAlloc(10));
    }
    spy_bytes = bytes;
    return bytes + spy_front(spy);
}

static void *STDMETHODCALLTYPE spy_post_alloc(IMallocSpy *self, void *block)
{
    return spy_client(spy_leave(self, SPY_ALLOC), block, spy_bytes);
}

static void *STDMETHODCALLTYPE spy_pre_free(IMallocSpy *self, void *client, BOOL spyed)
{
    struct spy *spy = spy_enter(self, SPY_FREE);
    void *block = spy_block(spy, client, spyed);
    if (spyed && spy->has_header) {
        struct spy_header *header = block;
        IMalloc *malloc = NULL;
        CoGetMalloc(MEMCTX_TASK, &malloc);
        race_require(IMalloc_GetSize(malloc, client) == header->bytes,
                     "case 119: in PreFree a block is not known any more");
        header->magic = 0;
    }
    return block;
}

static void STDMETHODCALLTYPE spy_post_free(IMallocSpy *self, BOOL spyed)
{
    (void)spyed;
    spy_leave(self, SPY_FREE);
}

static SIZE_T STDMETHODCALLTYPE spy_pre_realloc(IMallocSpy *self, void *client,
                                                SIZE_T bytes, void **block, BOOL spyed)
{
    struct spy *spy = spy_enter(self, SPY_REALLOC);
    *block = spy_block(spy, client, spyed);
    if (bytes && race_below(&spy_random, 50) == 0) {
        atomic_fetch_add(&spy_refused, 1);
        spy_leave(self, SPY_REALLOC);
        return 0;
    }
    spy_bytes = bytes;
    return bytes ? bytes + spy_front(spy) : 0;
}

static void *STDMETHODCALLTYPE spy_post_realloc(IMallocSpy *self, void *block, BOOL spyed)
{
    struct spy *spy = spy_leave(self, SPY_REALLOC);
    if (block && !spyed)
        memmove((char *)block + spy_front(spy), block, spy_bytes);
    return spy_client(spy, block, spy_bytes);
}

static void *STDMETHODCALLTYPE spy_pre_size(IMallocSpy *self, void *client, BOOL spyed)
{
    return spy_block(spy_enter(self, SPY_SIZE), client, spyed);
}

static SIZE_T STDMETHODCALLTYPE spy_post_size(IMallocSpy *self, SIZE_T bytes, BOOL spyed)
{
    struct spy *spy = spy_leave(self, SPY_SIZE);
    return spyed ? bytes - spy_front(spy) : bytes;
}

static void *STDMETHODCALLTYPE spy_pre_knows(IMallocSpy *self, void *client, BOOL spyed)
{
    return spy_block(spy_enter(self, SPY_KNOWS), client, spyed);
}

static int STDMETHODCALLTYPE spy_post_knows(IMallocSpy *self, void *client, BOOL spyed,
                                            int known)
{
    (void)client;
    (void)spyed;
    spy_leave(self, SPY_KNOWS);
    return known;
}

static void STDMETHODCALLTYPE spy_minimize(IMallocSpy *self)
{
    (void)self;
}

static IMallocSpyVtbl spy_methods = {
    spy_query,     spy_add_ref,   spy_release,     spy_pre_alloc,    spy_post_alloc,
    spy_pre_free,  spy_post_free, spy_pre_realloc, spy_post_realloc, spy_pre_size,
    spy_post_size, spy_pre_knows, spy_post_knows,  spy_minimize,     spy_minimize,
};

static race_maybe void spy_init(struct spy *spy, bool is_free, bool has_header)
{
    memset(spy, 0, sizeof *spy);
    spy->interface.lpVtbl = &spy_methods;
    spy->is_free = is_free;
    spy->has_header = has_header;
}

static race_maybe bool spy_is_released(struct spy *spy)
{
    return atomic_load(&spy->state) == SPY_RELEASED;
}

static race_maybe IMalloc *spy_malloc(void)
{
    IMalloc *malloc = NULL;
    race_require(CoGetMalloc(MEMCTX_TASK, &malloc) == S_OK, "CoGetMalloc failed");
    return malloc;
}
