/* SPDX-License-Identifier: MIT */
/*
 * Exceptions raised by four threads at a time, in blocks and past them, while observers
 * and COM spies come and go, the handler changes, heaps are locked, walked and asked, and
 * all are compacted while another thread makes and destroys some. Each exception reaches
 * the thread that raised it with its own code, and leaves nothing held behind (case 85).
 */
#include "com_spy.h"

#include <molehill/exception.h>
#include <molehill/spy.h>

enum { THREADS = 4, WAYS = 8, KINDS = 4 };

static const DWORD raising = HEAP_GENERATE_EXCEPTIONS;
static HANDLE heap, raising_heap;
static atomic_bool is_over;
static atomic_ullong caught, allowed, unheard, heard[2], heaps_made, told, settled;

/* A call whose code is known; 0: it returned. */
static DWORD code_of(HANDLE where, DWORD flags, void *block, SIZE_T bytes)
{
    volatile DWORD code = 0;
    MH_TRY
    {
        void *got = block ? HeapReAlloc(where, flags, block, bytes)
                          : HeapAlloc(where, flags, bytes);
        race_require(got == NULL || bytes < 1000, "SIZE_MAX bytes were allocated");
        if (got)
            race_require(HeapFree(where, 0, got), "HeapFree refused");
    }
    MH_EXCEPT
    {
        code = GetExceptionCode();
        race_require(GetLastError() == (code == (DWORD)STATUS_NO_MEMORY
                                            ? ERROR_NOT_ENOUGH_MEMORY
                                            : ERROR_NOACCESS),
                     "the last error is %u", GetLastError());
        atomic_fetch_add(&caught, 1);
    }
    MH_END_TRY
    return code;
}

static void expect(DWORD code, DWORD wanted, const char *what)
{
    race_require(code == wanted, "%s: code %#x, not %#x", what, code, wanted);
}

/* An observer may refuse this one. */
static void try_small(size_t bytes)
{
    DWORD code = code_of(heap, raising, NULL, bytes);
    if (code)
        expect(code, (DWORD)STATUS_NO_MEMORY, "a veto");
    else
        atomic_fetch_add(&allowed, 1);
}

static void use_task_allocator(void)
{
    volatile bool is_raised = false;
    MH_TRY
    {
        CoTaskMemFree(CoTaskMemAlloc(100));
        race_require(!CoTaskMemAlloc(SIZE_MAX), "SIZE_MAX bytes were allocated");
    }
    MH_EXCEPT
    {
        is_raised = true;
    }
    MH_END_TRY
    race_require(!is_raised, "the task allocator raised");
}

/* Past all blocks: a handler lets the call return. */
static void raise_in_the_open(void)
{
    race_require(!HeapAlloc(raising_heap, 0, SIZE_MAX), "SIZE_MAX bytes were allocated");
    atomic_fetch_add(&unheard, 1);
}

static void raise_one(uint64_t *random, void *own)
{
    const DWORD no_memory = (DWORD)STATUS_NO_MEMORY;
    const DWORD access_violation = (DWORD)STATUS_ACCESS_VIOLATION;
    switch (race_below(random, WAYS)) {
    case 0:
        expect(code_of(heap, raising, NULL, SIZE_MAX), no_memory, "HeapAlloc");
        break;
    case 1:
        expect(code_of(heap, raising, own, SIZE_MAX), no_memory, "HeapReAlloc");
        break;
    case 2:
        expect(code_of(heap, raising, (char *)own + 16, 10), access_violation, "inside");
        break;
    case 3:
        expect(code_of(GetProcessHeap(), raising, NULL, SIZE_MAX), no_memory,
               "the process heap");
        break;
    case 4:
        expect(code_of(NULL, raising, NULL, 10), access_violation, "no heap");
        break;
    case 5:
        use_task_allocator();
        break;
    case 6:
        raise_in_the_open();
        break;
    default:
        try_small(race_below(random, 1000));
    }
}

static void *raise_often(void *argument)
{
    uint64_t random = race_mix(race_seed + (uintptr_t)argument);
    void *own = HeapAlloc(heap, 0, 200);
    race_stamp(own, 200, random);
    uint64_t key = random;
    atomic_fetch_add(&settled, 1);
    while (!atomic_load(&is_over)) {
        raise_one(&random, own);
        race_require(race_is_stamped(own, 200, key), "a block changed");
    }
    race_require(HeapFree(heap, 0, own), "HeapFree refused");
    return NULL;
}

static void *make_heaps(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over)) {
        HANDLE made[3];
        for (size_t i = 0; i < 3; i++) {
            made[i] = HeapCreate(i == 2 ? HEAP_NO_SERIALIZE : 0, 0, 0);
            race_require(made[i] && HeapAlloc(made[i], 0, 100), "no heap");
        }
        for (size_t i = 0; i < 3; i++)
            race_require(HeapDestroy(made[i]), "HeapDestroy failed");
        atomic_fetch_add(&heaps_made, 1);
    }
    return NULL;
}

static int hear_first(DWORD code, void *where, size_t bytes, void *context)
{
    (void)context;
    race_require(code == (DWORD)STATUS_NO_MEMORY && where == raising_heap &&
                     bytes == SIZE_MAX,
                 "the handler hears of another call");
    atomic_fetch_add(&heard[0], 1);
    return MH_CONTINUE;
}

static int hear_second(DWORD code, void *where, size_t bytes, void *context)
{
    hear_first(code, where, bytes, context);
    atomic_fetch_sub(&heard[0], 1);
    atomic_fetch_add(&heard[1], 1);
    return MH_CONTINUE;
}

static void tell(void *context, void *where, void *block, size_t bytes)
{
    (void)context, (void)where, (void)block, (void)bytes;
    atomic_fetch_add_explicit(&told, 1, memory_order_relaxed);
}

static int veto(void *context, void *where, size_t bytes)
{
    (void)context, (void)where;
    return bytes % 2 == 0;
}

/* Wait until the count has risen by `more`. */
static void await(atomic_ullong *count, unsigned long long more)
{
    unsigned long long least = atomic_load(count) + more;
    for (unsigned turns = 0; atomic_load(count) < least; turns++)
        turns < 100 ? (void)sched_yield() : race_sleep_ms(1);
}

static void use_whole_heap(void)
{
    HEAP_OPTIMIZE_RESOURCES_INFORMATION wanted = {1, 0};
    PROCESS_HEAP_ENTRY entry = {.lpData = NULL};
    ULONG value;
    race_require(HeapLock(heap), "HeapLock failed");
    size_t live = 0;
    while (HeapWalk(heap, &entry))
        live += (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY) != 0;
    race_require(live >= THREADS, "%zu blocks are live", live);
    race_require(HeapUnlock(heap), "HeapUnlock failed");
    race_require(HeapQueryInformation(heap, HeapCompatibilityInformation, &value,
                                      sizeof value, NULL),
                 "HeapQueryInformation failed");
    race_require(HeapSetInformation(NULL, HeapOptimizeResources, &wanted, sizeof wanted),
                 "HeapSetInformation failed");
    race_require(HeapValidate(heap, 0, NULL), "the heap is not in order");
}

static void one_round(struct spy *com, size_t i)
{
    struct mh_spy spy = {.size = sizeof spy, .allocated = tell, .freed = tell};
    spy.sample_bytes = i % KINDS == 1 ? 500 : 0;
    spy.may_allocate = i % KINDS == 2 ? veto : NULL;
    spy_init(com, i & 1, false);
    race_require(CoRegisterMallocSpy(&com->interface) == S_OK, "no COM spy");
    race_require(mh_spy_attach(&spy, i % KINDS ? heap : MH_SPY_ALL) == 0, "no spy");
    mh_set_exception_handler(i & 1 ? hear_second : hear_first);
    await(&caught, 20);
    use_whole_heap();
    race_require(mh_spy_detach(&spy) == 0, "mh_spy_detach is pending");
    HRESULT result = CoRevokeMallocSpy();
    race_require(result == S_OK || result == E_ACCESSDENIED, "revoke: 0x%x", result);
    for (unsigned turns = 0; !spy_is_released(com); turns++)
        turns < 100 ? (void)sched_yield() : race_sleep_ms(1);
}

int main(void)
{
    race_begin("raise");
    alarm(race_brief() == 2 ? 1000 : 280); /* rather than hang */
    size_t count = race_size(120, 40, 6);
    struct spy *spies = calloc(count, sizeof *spies);
    pthread_t threads[THREADS + 1];
    heap = HeapCreate(0, 0, 0);
    raising_heap = HeapCreate(raising, 0, 0);
    mh_set_exception_handler(hear_first);
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(raise_often, (void *)i);
    threads[THREADS] = race_thread(make_heaps, NULL);
    while (atomic_load(&settled) < THREADS) /* else a block of one may yet be missing */
        race_sleep_ms(1);
    for (size_t i = 0; i < count && !atomic_load(&race_failed); i++)
        one_round(&spies[i], i);
    await(&heaps_made, 1);
    await(&unheard, 1);
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS + 1; i++)
        race_join(threads[i]);
    printf("%llu caught, %llu not vetoed, %llu and %llu heard by handlers, %llu events, "
           "%llu times heaps were made\n",
           atomic_load(&caught), atomic_load(&allowed), atomic_load(&heard[0]),
           atomic_load(&heard[1]), atomic_load(&told), atomic_load(&heaps_made));
    race_case(atomic_load(&caught) >= 20 * count && atomic_load(&told) > 0 &&
                  atomic_load(&allowed) > 0 && atomic_load(&heaps_made) > 0,
              "exercised too little");
    race_case(atomic_load(&heard[0]) + atomic_load(&heard[1]) == atomic_load(&unheard) &&
                  atomic_load(&unheard) > 0,
              "%llu raised in the open, %llu heard", atomic_load(&unheard),
              atomic_load(&heard[0]) + atomic_load(&heard[1]));
    race_case(race_allocated(heap) == 0, "%zu bytes are left", race_allocated(heap));
    race_case(mh_spy_wait() == 0, "this thread is inside of something");
    race_case(HeapDestroy(heap) && HeapDestroy(raising_heap), "HeapDestroy failed");
    free(spies);
    return race_end();
}
