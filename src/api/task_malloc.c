/* SPDX-License-Identifier: MIT */
/*
 * The task allocator: IMalloc over the process heap, and its spy.
 */
#define CONST_VTABLE
#define COBJMACROS
#include <errno.h>
#include <molehill/heapapi.h>
#include <molehill/objbase.h>

#include "arena/span_map.h"
#include "spy/com.h"
#include "spy/task.h"
#include "tcache/block.h"
#include "tcache/process.h"
#include "tcache/steal.h"
#include "watch/modes.h"

#define OF_COM                       \
    {                                \
        0xC0, 0, 0, 0, 0, 0, 0, 0x46 \
    }

const IID IID_IUnknown = {0x00000000, 0, 0, OF_COM};
const IID IID_IMalloc = {0x00000002, 0, 0, OF_COM};
const IID IID_IMallocSpy = {0x0000001D, 0, 0, OF_COM};
const IID IID_IAgileObject = {
    0x94EA2B94, 0xE9CC, 0x49E0, {0xC0, 0xFF, 0xEE, 0x64, 0xCA, 0x8F, 0x5B, 0x90}};

/* The span of a live block of the process heap, or NULL; any value may come in. */
static struct mole_span *find(const void *block)
{
    struct mole_heap *heap = mole_process_start() ? mole_process_heap() : NULL;
    if (!heap)
        return NULL;
    mole_gate_pass(heap, false);
    return mole_block_find(heap, block);
}

static void *plain_alloc(size_t bytes)
{
    return HeapAlloc(GetProcessHeap(), 0, bytes);
}

/* Refuses in silence: there is nothing to return. */
static void plain_free(void *block)
{
    DWORD last_error = GetLastError();
    int saved = errno;
    if (likely(HeapFree(GetProcessHeap(), 0, block)))
        return;
    SetLastError(last_error);
    errno = saved;
}

static void *plain_realloc(void *block, size_t bytes)
{
    if (!block)
        return plain_alloc(bytes);
    if (bytes)
        return HeapReAlloc(GetProcessHeap(), 0, block, bytes);
    plain_free(block);
    return NULL;
}

static size_t plain_size(const void *block)
{
    struct mole_span *span = find(block);
    return span ? mole_span_bytes(span, block) : (size_t)-1;
}

static int plain_knows(const void *block)
{
    return block ? find(block) != NULL : -1;
}

static void plain_minimize(void)
{
    DWORD last_error = GetLastError();
    int saved = errno;
    (void)HeapCompact(GetProcessHeap(), 0);
    SetLastError(last_error);
    errno = saved;
}

static const struct mole_task_base base = {
    .alloc = plain_alloc,
    .resize = plain_realloc,
    .free = plain_free,
    .size = plain_size,
    .knows = plain_knows,
    .minimize = plain_minimize,
};

/* What a spy does to the thread's errors is undone where the operation has none. */
struct errors {
    DWORD last_error;
    int number;
};

static struct errors keep_errors(void)
{
    return (struct errors){.last_error = GetLastError(), .number = errno};
}

static void put_back(struct errors errors)
{
    SetLastError(errors.last_error);
    errno = errors.number;
}

static mole_slow void *spied_alloc(size_t bytes)
{
    struct errors before = keep_errors();
    void *block = mole_task_alloc(&base, bytes);
    if (block)
        put_back(before);
    return block;
}

static mole_slow void *spied_realloc(void *block, size_t bytes)
{
    struct errors before = keep_errors();
    void *moved = mole_task_resize(&base, block, bytes);
    if (moved || (block && !bytes))
        put_back(before);
    return moved;
}

static mole_slow void spied_free(void *block)
{
    struct errors before = keep_errors();
    mole_task_free(&base, block);
    put_back(before);
}

static mole_slow size_t spied_size(void *block)
{
    struct errors before = keep_errors();
    size_t bytes = mole_task_size(&base, block);
    put_back(before);
    return bytes;
}

static mole_slow int spied_knows(void *block)
{
    struct errors before = keep_errors();
    int known = mole_task_knows(&base, block);
    put_back(before);
    return known;
}

static mole_slow void spied_minimize(void)
{
    struct errors before = keep_errors();
    mole_task_minimize(&base);
    put_back(before);
}

static HRESULT STDMETHODCALLTYPE query_interface(IMalloc *self, REFIID id, void **object)
{
    if (!object)
        return E_POINTER;
    bool is_known = id && (IsEqualIID(id, &IID_IMalloc) || IsEqualIID(id, &IID_IUnknown));
    *object = is_known ? self : NULL;
    return is_known ? S_OK : E_NOINTERFACE;
}

/* There is one object, and it stays: the counts mean nothing. */
static ULONG STDMETHODCALLTYPE add_ref(IMalloc *self)
{
    (void)self;
    return 2;
}

static ULONG STDMETHODCALLTYPE release(IMalloc *self)
{
    (void)self;
    return 1;
}

static void *STDMETHODCALLTYPE task_alloc(IMalloc *self, SIZE_T bytes)
{
    (void)self;
    return unlikely(mole_com_is_spied()) ? spied_alloc(bytes) : plain_alloc(bytes);
}

static void *STDMETHODCALLTYPE task_realloc(IMalloc *self, void *block, SIZE_T bytes)
{
    (void)self;
    return unlikely(mole_com_is_spied()) ? spied_realloc(block, bytes)
                                         : plain_realloc(block, bytes);
}

static void STDMETHODCALLTYPE task_free(IMalloc *self, void *block)
{
    (void)self;
    if (unlikely(mole_com_is_spied()))
        spied_free(block);
    else
        plain_free(block);
}

static SIZE_T STDMETHODCALLTYPE task_get_size(IMalloc *self, void *block)
{
    (void)self;
    return unlikely(mole_com_is_spied()) ? spied_size(block) : plain_size(block);
}

static int STDMETHODCALLTYPE task_did_alloc(IMalloc *self, void *block)
{
    (void)self;
    return unlikely(mole_com_is_spied()) ? spied_knows(block) : plain_knows(block);
}

static void STDMETHODCALLTYPE task_minimize(IMalloc *self)
{
    (void)self;
    if (unlikely(mole_com_is_spied()))
        spied_minimize();
    else
        plain_minimize();
}

static const IMallocVtbl methods = {
    .QueryInterface = query_interface,
    .AddRef = add_ref,
    .Release = release,
    .Alloc = task_alloc,
    .Realloc = task_realloc,
    .Free = task_free,
    .GetSize = task_get_size,
    .DidAlloc = task_did_alloc,
    .HeapMinimize = task_minimize,
};
static IMalloc task_malloc = {.lpVtbl = &methods};

HRESULT WINAPI CoGetMalloc(DWORD dwMemContext, IMalloc **ppMalloc)
{
    if (!ppMalloc)
        return E_INVALIDARG;
    *ppMalloc = dwMemContext == MEMCTX_TASK ? &task_malloc : NULL;
    return *ppMalloc ? S_OK : E_INVALIDARG;
}

LPVOID WINAPI CoTaskMemAlloc(SIZE_T cb)
{
    return task_alloc(&task_malloc, cb);
}

LPVOID WINAPI CoTaskMemRealloc(LPVOID pv, SIZE_T cb)
{
    return task_realloc(&task_malloc, pv, cb);
}

void WINAPI CoTaskMemFree(LPVOID pv)
{
    task_free(&task_malloc, pv);
}

static void watch(void)
{
    mole_modes_ask(mole_com_wants);
}

static bool may_wait(void)
{
    return !mole_gate_is_any_mine();
}

HRESULT WINAPI CoRegisterMallocSpy(IMallocSpy *pMallocSpy)
{
    static const struct mole_com_world world = {.watch = watch, .may_wait = may_wait};
    struct errors before = keep_errors();
    HRESULT result = E_OUTOFMEMORY;
    if (mole_process_start()) {
        mole_grace_prepare(); /* a watched heap's operations open sections */
        watch();              /* its call in a fork's child comes before the spy's */
        mole_process_call_in_child(mole_com_repair_lock);
        mole_process_call_in_child(mole_com_repair);
        result = mole_com_register(&world, pMallocSpy);
    }
    put_back(before);
    return result;
}

HRESULT WINAPI CoRevokeMallocSpy(void)
{
    struct errors before = keep_errors();
    HRESULT result = mole_com_revoke();
    put_back(before);
    return result;
}
