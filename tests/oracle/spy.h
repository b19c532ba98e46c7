/* SPDX-License-Identifier: MIT */
/*
 * A spy that lets everything through and says what it hears, a line for each call of a
 * method. Its questions for other interfaces than its own are not told: molehill asks for
 * one more, IAgileObject.
 */
#pragma once

#define COBJMACROS
#include "say.h"

struct spy {
    IMallocSpy base;
    LONG references;
    BOOL refuses;    /* allocations */
    BOOL is_unspied; /* what PreRealloc was told */
    unsigned long long calls;
};

static void heard(IMallocSpy *base, const char *method, const char *input,
                  const char *outcome)
{
    ((struct spy *)base)->calls++;
    tell(method, input, "", "%s", outcome);
}

static HRESULT STDMETHODCALLTYPE spy_query(IMallocSpy *base, REFIID iid, void **got)
{
    BOOL is_spy = memcmp(iid, &IID_IMallocSpy, sizeof *iid) == 0;
    *got = is_spy ? base : NULL;
    if (!is_spy)
        return E_NOINTERFACE;
    ((struct spy *)base)->references++;
    heard(base, "IMallocSpy::QueryInterface", "ordinary", "");
    return S_OK;
}

static ULONG STDMETHODCALLTYPE spy_add_ref(IMallocSpy *base)
{
    return (ULONG)++((struct spy *)base)->references;
}

static ULONG STDMETHODCALLTYPE spy_release(IMallocSpy *base)
{
    heard(base, "IMallocSpy::Release", "ordinary", "");
    return (ULONG)--((struct spy *)base)->references;
}

static SIZE_T STDMETHODCALLTYPE pre_alloc(IMallocSpy *base, SIZE_T bytes)
{
    heard(base, "IMallocSpy::PreAlloc", "ordinary",
          text("%llu", (unsigned long long)bytes));
    return ((struct spy *)base)->refuses ? 0 : bytes;
}

static void *STDMETHODCALLTYPE post_alloc(IMallocSpy *base, void *block)
{
    heard(base, "IMallocSpy::PostAlloc", "ordinary", block_or_null(block));
    return block;
}

static void *STDMETHODCALLTYPE pre_free(IMallocSpy *base, void *block, BOOL spyed)
{
    heard(base, "IMallocSpy::PreFree", "ordinary",
          text("%s, %d", block_or_null(block), (int)spyed));
    return block;
}

static void STDMETHODCALLTYPE post_free(IMallocSpy *base, BOOL spyed)
{
    heard(base, "IMallocSpy::PostFree", "ordinary", text("%d", (int)spyed));
}

static SIZE_T STDMETHODCALLTYPE pre_realloc(IMallocSpy *base, void *block, SIZE_T bytes,
                                            void **request, BOOL spyed)
{
    *request = block;
    ((struct spy *)base)->is_unspied = !spyed;
    heard(base, "IMallocSpy::PreRealloc", "ordinary",
          text("%s, %llu, %d", block_or_null(block), (unsigned long long)bytes,
               (int)spyed));
    return bytes;
}

static void *STDMETHODCALLTYPE post_realloc(IMallocSpy *base, void *block, BOOL spyed)
{
    BOOL is_unspied = ((struct spy *)base)->is_unspied;
    heard(base, "IMallocSpy::PostRealloc", "ordinary", block_or_null(block));
    tell("IMallocSpy::PostRealloc", is_unspied ? "unspied" : "spied", "", "fSpyed %d",
         (int)spyed);
    return block;
}

static void *STDMETHODCALLTYPE pre_get_size(IMallocSpy *base, void *block, BOOL spyed)
{
    heard(base, "IMallocSpy::PreGetSize", "ordinary",
          text("%s, %d", block_or_null(block), (int)spyed));
    return block;
}

static SIZE_T STDMETHODCALLTYPE post_get_size(IMallocSpy *base, SIZE_T bytes, BOOL spyed)
{
    heard(base, "IMallocSpy::PostGetSize", "ordinary",
          text("%s, %d", size_or_failure(bytes), (int)spyed));
    return bytes;
}

static void *STDMETHODCALLTYPE pre_did_alloc(IMallocSpy *base, void *block, BOOL spyed)
{
    heard(base, "IMallocSpy::PreDidAlloc", "ordinary",
          text("%s, %d", block_or_null(block), (int)spyed));
    return block;
}

static int STDMETHODCALLTYPE post_did_alloc(IMallocSpy *base, void *block, BOOL spyed,
                                            int actual)
{
    heard(base, "IMallocSpy::PostDidAlloc", "ordinary",
          text("%s, %d, %d", block_or_null(block), (int)spyed, actual));
    return actual;
}

static void STDMETHODCALLTYPE pre_minimize(IMallocSpy *base)
{
    heard(base, "IMallocSpy::PreHeapMinimize", "ordinary", "");
}

static void STDMETHODCALLTYPE post_minimize(IMallocSpy *base)
{
    heard(base, "IMallocSpy::PostHeapMinimize", "ordinary", "");
}

static IMallocSpyVtbl spy_methods = {
    spy_query,     spy_add_ref,   spy_release,    pre_alloc,    post_alloc,
    pre_free,      post_free,     pre_realloc,    post_realloc, pre_get_size,
    post_get_size, pre_did_alloc, post_did_alloc, pre_minimize, post_minimize,
};

static HRESULT enlist(struct spy *spy)
{
    HRESULT result = CoRegisterMallocSpy(spy ? &spy->base : NULL);
    tell("CoRegisterMallocSpy", spy ? "ordinary" : "null-spy", "", "%s", hresult(result));
    return result;
}

static HRESULT dismiss(void)
{
    HRESULT result = CoRevokeMallocSpy();
    tell("CoRevokeMallocSpy", "ordinary", "", "%s", hresult(result));
    return result;
}
