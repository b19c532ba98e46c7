/* SPDX-License-Identifier: MIT */
/*
 * A COM spy in C for the tests: it writes down every call with its arguments, one word
 * each, and does what most real spies do: a header in front of each of its blocks, or
 * nothing at all.
 */
#pragma once

#define COBJMACROS
#include <molehill/objbase.h>
#include <stdio.h>

#include "support.h"

enum { HEADER = 16 };

struct spy {
    IMallocSpy interface; /* first: a pointer to it is one to the spy */
    ULONG references;
    int queries, agile_queries, releases;
    size_t header;  /* bytes in front of each of its blocks */
    size_t trailer; /* bytes after them */
    bool refuses;   /* PreAlloc and PreRealloc return 0 */
    bool is_agile;
    bool is_silent;     /* writes nothing down */
    IMallocSpy *answer; /* what QueryInterface stores; NULL: E_NOINTERFACE */
    void *pv;           /* PreRealloc's pRequest, for PostRealloc */
    void (*inside)(struct spy *spy, const char *method, void *block);
    char log[2000];  /* "PreAlloc(100) PostAlloc(A) " */
    void *blocks[8]; /* what is called A to H there, in order of appearance */
    size_t known;
};

static inline struct spy *spy_of(IMallocSpy *interface)
{
    return (struct spy *)interface;
}

/* A letter for each block, so that a sequence can be compared as text. */
static inline const char *spy_name(struct spy *spy, const void *block)
{
    static const char *const names[] = {"A", "B", "C", "D", "E", "F", "G", "H", "?"};
    size_t i = 0;
    if (spy->is_silent)
        return ""; /* several threads may be here */
    if (!block)
        return "0";
    while (i < spy->known && spy->blocks[i] != block)
        i++;
    if (i == spy->known && i < LENGTH(spy->blocks))
        spy->blocks[spy->known++] = (void *)(uintptr_t)block;
    return names[i];
}

/* Every letter is given anew. */
static inline void spy_clear(struct spy *spy)
{
    spy->known = 0;
    spy->log[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static inline void
spy_write(struct spy *spy, const char *format, ...)
{
    if (spy->is_silent)
        return;
    size_t used = strlen(spy->log);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(spy->log + used, sizeof spy->log - used, format, arguments);
    va_end(arguments);
    errno = 33; /* a spy that leaves traces: they must not be seen */
    SetLastError(33);
}

static inline void spy_run(struct spy *spy, const char *method, void *block)
{
    if (spy->inside)
        spy->inside(spy, method, block);
}

static inline HRESULT STDMETHODCALLTYPE spy_query(IMallocSpy *self, REFIID id,
                                                  void **object)
{
    struct spy *spy = spy_of(self);
    *object = NULL;
    spy->agile_queries += IsEqualIID(id, &IID_IAgileObject);
    spy->queries += IsEqualIID(id, &IID_IMallocSpy);
    if (IsEqualIID(id, &IID_IMallocSpy))
        *object = spy->answer;
    else if (IsEqualIID(id, &IID_IAgileObject) && spy->is_agile)
        *object = self;
    if (!*object)
        return E_NOINTERFACE;
    spy_of(*object)->references++;
    return S_OK;
}

static inline ULONG STDMETHODCALLTYPE spy_add_ref(IMallocSpy *self)
{
    return ++spy_of(self)->references;
}

static inline ULONG STDMETHODCALLTYPE spy_release(IMallocSpy *self)
{
    struct spy *spy = spy_of(self);
    if (--spy->references == 0) {
        spy->releases++;
        spy_write(spy, "Release ");
        spy_run(spy, "Release", NULL);
    }
    return spy->references;
}

static inline SIZE_T STDMETHODCALLTYPE spy_pre_alloc(IMallocSpy *self, SIZE_T bytes)
{
    struct spy *spy = spy_of(self);
    spy_write(spy, "PreAlloc(%zu) ", bytes);
    spy_run(spy, "PreAlloc", NULL);
    return spy->refuses ? 0 : bytes + spy->header + spy->trailer;
}

static inline void *STDMETHODCALLTYPE spy_post_alloc(IMallocSpy *self, void *block)
{
    struct spy *spy = spy_of(self);
    spy_write(spy, "PostAlloc(%s) ", spy_name(spy, block));
    spy_run(spy, "PostAlloc", block);
    return block ? (char *)block + spy->header : NULL;
}

/* The real block: spyed ones have a header. */
static inline void *spy_real(const struct spy *spy, void *client, BOOL spyed)
{
    return spyed ? (char *)client - spy->header : client;
}

static inline void *STDMETHODCALLTYPE spy_pre_free(IMallocSpy *self, void *client,
                                                   BOOL spyed)
{
    struct spy *spy = spy_of(self);
    void *block = spy_real(spy, client, spyed);
    spy_write(spy, "PreFree(%s,%d) ", spy_name(spy, block), spyed);
    spy_run(spy, "PreFree", client);
    return block;
}

static inline void STDMETHODCALLTYPE spy_post_free(IMallocSpy *self, BOOL spyed)
{
    struct spy *spy = spy_of(self);
    spy_write(spy, "PostFree(%d) ", spyed);
    spy_run(spy, "PostFree", NULL);
}

static inline SIZE_T STDMETHODCALLTYPE spy_pre_realloc(IMallocSpy *self, void *client,
                                                       SIZE_T bytes, void **block,
                                                       BOOL spyed)
{
    struct spy *spy = spy_of(self);
    *block = spy_real(spy, client, spyed);
    spy_write(spy, "PreRealloc(%s,%zu,%d) ", spy_name(spy, *block), bytes, spyed);
    spy_run(spy, "PreRealloc", client);
    if (spy->refuses)
        return 0;
    return bytes ? bytes + spy->header + spy->trailer : 0;
}

/* An unspied block had no header: its contents move to make room. */
static inline void *STDMETHODCALLTYPE spy_post_realloc(IMallocSpy *self, void *block,
                                                       BOOL spyed)
{
    struct spy *spy = spy_of(self);
    spy_write(spy, "PostRealloc(%s,%d) ", spy_name(spy, block), spyed);
    spy_run(spy, "PostRealloc", block);
    if (!block)
        return NULL;
    if (!spyed && spy->header)
        memmove((char *)block + spy->header, block,
                HeapSize(GetProcessHeap(), 0, block) - spy->header);
    return (char *)block + spy->header;
}

static inline void *STDMETHODCALLTYPE spy_pre_get_size(IMallocSpy *self, void *client,
                                                       BOOL spyed)
{
    struct spy *spy = spy_of(self);
    void *block = spy_real(spy, client, spyed);
    spy_write(spy, "PreGetSize(%s,%d) ", spy_name(spy, block), spyed);
    return block;
}

static inline SIZE_T STDMETHODCALLTYPE spy_post_get_size(IMallocSpy *self, SIZE_T bytes,
                                                         BOOL spyed)
{
    struct spy *spy = spy_of(self);
    spy_write(spy, "PostGetSize(%zu,%d) ", bytes, spyed);
    return spyed ? bytes - spy->header - spy->trailer : bytes;
}

static inline void *STDMETHODCALLTYPE spy_pre_did_alloc(IMallocSpy *self, void *client,
                                                        BOOL spyed)
{
    struct spy *spy = spy_of(self);
    void *block = spy_real(spy, client, spyed);
    spy_write(spy, "PreDidAlloc(%s,%d) ", spy_name(spy, block), spyed);
    return block;
}

static inline int STDMETHODCALLTYPE spy_post_did_alloc(IMallocSpy *self, void *client,
                                                       BOOL spyed, int known)
{
    struct spy *spy = spy_of(self);
    spy_write(spy, "PostDidAlloc(%s,%d,%d) ", spy_name(spy, client), spyed, known);
    return known == 1 ? 7 : known;
}

static inline void STDMETHODCALLTYPE spy_pre_minimize(IMallocSpy *self)
{
    spy_write(spy_of(self), "PreHeapMinimize() ");
}

static inline void STDMETHODCALLTYPE spy_post_minimize(IMallocSpy *self)
{
    spy_write(spy_of(self), "PostHeapMinimize() ");
}

static IMallocSpyVtbl spy_methods = {
    spy_query,          spy_add_ref,      spy_release,       spy_pre_alloc,
    spy_post_alloc,     spy_pre_free,     spy_post_free,     spy_pre_realloc,
    spy_post_realloc,   spy_pre_get_size, spy_post_get_size, spy_pre_did_alloc,
    spy_post_did_alloc, spy_pre_minimize, spy_post_minimize,
};

static inline void spy_init(struct spy *spy, size_t header)
{
    memset(spy, 0, sizeof *spy);
    spy->interface.lpVtbl = &spy_methods;
    spy->header = header;
    spy->answer = &spy->interface;
}

static inline void spy_register(struct spy *spy)
{
    HRESULT result = CoRegisterMallocSpy(&spy->interface);
    require(result == S_OK, "CoRegisterMallocSpy: 0x%x", result);
    spy_clear(spy);
}

static inline void spy_revoke(struct spy *spy)
{
    HRESULT result = CoRevokeMallocSpy();
    require(result == S_OK, "CoRevokeMallocSpy: 0x%x", result);
    require(spy->references == 0 && spy->releases == 1,
            "it has %u references, was "
            "released %d times",
            spy->references, spy->releases);
}

static inline void spy_expect(struct spy *spy, const char *calls)
{
    require(strcmp(spy->log, calls) == 0, "calls were: %s, not: %s", spy->log, calls);
    spy_clear(spy);
}

static inline IMalloc *spy_malloc(void)
{
    IMalloc *malloc = NULL;
    require(CoGetMalloc(MEMCTX_TASK, &malloc) == S_OK, "CoGetMalloc failed");
    return malloc;
}

static __attribute__((unused)) struct spy spy;

/*
 * A case about a spy under the lock, and again about a free-threaded one:
 *     SPY_CASE(malloc_spy, case_102_...) { ... uses `spy` and `malloc` ... }
 */
#define SPY_CASE(suite, sentence, front)                    \
    static void suite##_##sentence##_body(IMalloc *malloc); \
    Test(suite, sentence)                                   \
    {                                                       \
        spy_init(&spy, front);                              \
        suite##_##sentence##_body(spy_malloc());            \
    }                                                       \
    Test(suite, sentence##_free_threaded)                   \
    {                                                       \
        spy_init(&spy, front);                              \
        spy.is_agile = true;                                \
        suite##_##sentence##_body(spy_malloc());            \
    }                                                       \
    static void suite##_##sentence##_body(IMalloc *malloc)
