/* SPDX-License-Identifier: MIT */
/*
 * Ownership oracle: threads allocate, resize, hand over and free blocks of malloc and of
 * several heaps. Each block is stamped all over with what only its address, owner, size
 * and sequence number produce, and the stamp is read whole before the block changes hands
 * or goes. Two owners of one block, a lost write or a write astray therefore do not stay
 * unseen.
 *
 *   records: one a block. A record is in one thread's `own` or in `table`, and goes from
 *   one to the other by an atomic exchange, which is all the synchronization the threads
 *   have.
 *
 * Beside them live tenants: short-lived heaps, some made with HEAP_NO_SERIALIZE, which
 * threads use in turns and destroy with blocks inside. Threads end and begin all the
 * time.
 */
#include "race.h"
#include "tcache/process.h"
#include "tcache/thread.h"

enum {
    THREADS = 4,
    OWN = 200,   /* records a thread has */
    TABLE = 600, /* records on their way */
    TENANTS = 6, /* fewer than two a thread: they are contended */
    TENANT_BLOCKS = 24,
    HEAPS = 4,      /* the process heap and private ones */
    MALLOC = HEAPS, /* the place that is no heap */
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

static struct record records[TABLE + THREADS * OWN];
static _Atomic(struct record *) table[TABLE];
static struct record *owned[THREADS][OWN];
static struct tenant tenant_store[TENANTS];
static _Atomic(struct tenant *) tenants[TENANTS];
static HANDLE heaps[HEAPS];
static size_t allocated_before[HEAPS];
static double deadline;

/* What a run must have done; on a busy machine it may take longer, but not for ever. */
static struct {
    size_t steps, remote_frees, tenants, threads, resizes, in_place, large;
} least;
enum { OVERTIME = 60 };

static atomic_ullong sequence_numbers;
static atomic_uint threads_begun;
static struct {
    atomic_ullong steps, mallocs, frees, remote_frees, resizes, tenants;
    atomic_ullong in_place; /* growths that HEAP_REALLOC_IN_PLACE_ONLY allowed */
    atomic_ullong large;    /* blocks made or grown large */
} done;

static bool is_over(void)
{
    double now = race_now();
    if (atomic_load(&race_failed))
        return true;
    if (now < deadline)
        return false;
    bool is_enough = atomic_load(&done.steps) >= least.steps &&
                     atomic_load(&done.remote_frees) >= least.remote_frees &&
                     atomic_load(&done.tenants) >= least.tenants &&
                     atomic_load(&done.resizes) >= least.resizes &&
                     atomic_load(&done.in_place) >= least.in_place &&
                     atomic_load(&done.large) >= least.large &&
                     atomic_load(&threads_begun) >= least.threads;
    return is_enough || now > deadline + OVERTIME;
}

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
    if (record->bytes > MOLE_SLAB_MAX)
        count(&done.large);
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

/*
 * What was resized: aligned, what it was up to the smaller size, and cleared beyond on
 * demand.
 */
static void check_resized(const struct record *record, char *at, size_t bytes,
                          DWORD flags)
{
    size_t kept = bytes < record->bytes ? bytes : record->bytes;
    race_require((uintptr_t)at % 16 == 0, "a resized block is at %p", (void *)at);
    race_require(kept < 8 || race_is_stamped(at, kept & ~(size_t)7, key_of(record)),
                 "resizing %zu to %zu bytes lost contents", record->bytes, bytes);
    if (flags & HEAP_ZERO_MEMORY)
        race_require(race_is_zero(at + kept, bytes - kept), "growth was not cleared");
}

/* In a heap and where it is: often by so little that there may be room. */
static void resize_in_place(struct worker *worker, struct record *record,
                            struct tenant *tenant)
{
    size_t more = race_below(&worker->random, record->bytes / 8 + 32);
    size_t bytes = race_below(&worker->random, 4) ? record->bytes + more
                                                  : race_below(&worker->random, more + 1);
    DWORD flags = HEAP_REALLOC_IN_PLACE_ONLY |
                  (race_below(&worker->random, 2) ? HEAP_ZERO_MEMORY : 0);
    begin_call();
    char *at = HeapReAlloc(heap_of(record, tenant), flags, record->at, bytes);
    if (!at) {
        race_require(errno == ENOMEM, "HeapReAlloc in place set errno to %d", errno);
        race_require(bytes > record->bytes, "%zu bytes did not shrink to %zu",
                     record->bytes, bytes);
        verify(record, tenant);
        return;
    }
    end_call("HeapReAlloc in place");
    race_require(at == record->at, "HeapReAlloc in place moved %zu bytes", record->bytes);
    check_resized(record, at, bytes, flags);
    if (bytes > record->bytes)
        count(&done.in_place);
    record->bytes = bytes;
    stamp(worker, record);
    count(&done.resizes);
}

static void resize(struct worker *worker, struct record *record, struct tenant *tenant)
{
    bool in_heap = !is_malloc(record, tenant);
    verify(record, tenant);
    if (in_heap && race_below(&worker->random, 3) == 0) {
        resize_in_place(worker, record, tenant);
        return;
    }
    size_t bytes = some_bytes(worker);
    if (!in_heap && bytes == 0)
        return; /* would free */
    DWORD flags = in_heap && race_below(&worker->random, 3) == 0 ? HEAP_ZERO_MEMORY : 0;
    begin_call();
    char *at = in_heap ? HeapReAlloc(heap_of(record, tenant), flags, record->at, bytes)
                       : mh_realloc(record->at, bytes);
    end_call("realloc");
    race_require(at != NULL, "no memory to resize %zu to %zu bytes", record->bytes,
                 bytes);
    if (!at)
        return;
    check_resized(record, at, bytes, flags);
    record->at = at;
    record->bytes = bytes;
    stamp(worker, record);
    count(&done.resizes);
}

/* Only in a heap nobody else uses meanwhile: what was freed is refused from then on. */
static void free_twice(struct worker *worker, struct record *record,
                       struct tenant *tenant)
{
    char *at = record->at;
    if (record->bytes > 1)
        race_require(!HeapFree(tenant->heap, 0, at + 1), "an interior pointer was freed");
    release(worker, record, tenant);
    race_require(!HeapFree(tenant->heap, 0, at), "%p was freed twice", (void *)at);
    race_require(HeapSize(tenant->heap, 0, at) == (SIZE_T)-1, "a freed block has a size");
    race_require(!HeapValidate(tenant->heap, 0, at), "a freed block is valid");
}

static HANDLE create_heap(struct worker *worker)
{
    DWORD flags = race_below(&worker->random, 2) ? HEAP_NO_SERIALIZE : 0;
    HANDLE heap = HeapCreate(flags, 0, 0);
    race_require(heap != NULL, "HeapCreate failed");
    return heap;
}

/* Destroy a tenant with what is inside, and let another move in. */
static void replace_tenant(struct worker *worker, struct tenant *tenant)
{
    for (size_t i = 0; i < TENANT_BLOCKS; i++) {
        if (tenant->blocks[i].at)
            verify(&tenant->blocks[i], tenant);
        tenant->blocks[i].at = NULL;
    }
    race_require(HeapDestroy(tenant->heap), "HeapDestroy failed");
    tenant->heap = create_heap(worker);
    count(&done.tenants);
}

static void visit_tenant(struct worker *worker)
{
    size_t place = race_below(&worker->random, TENANTS);
    struct tenant *tenant = atomic_exchange(&tenants[place], NULL);
    if (!tenant)
        return;
    for (size_t steps = race_below(&worker->random, 100); steps; steps--) {
        struct record *record =
            &tenant->blocks[race_below(&worker->random, TENANT_BLOCKS)];
        size_t what = race_below(&worker->random, 8);
        if (!record->at)
            allocate(worker, record, tenant);
        else if (what < 2)
            resize(worker, record, tenant);
        else if (what < 4)
            free_twice(worker, record, tenant);
        else
            release(worker, record, tenant);
    }
    if (race_below(&worker->random, 4) == 0)
        replace_tenant(worker, tenant);
    atomic_exchange(&tenants[place], tenant);
}

/* Whole-heap inspection beside everything else. */
static void inspect(void)
{
    HANDLE listed[64];
    race_require(GetProcessHeaps(64, listed) >= 1, "GetProcessHeaps found none");
    for (size_t i = 0; i < HEAPS; i++)
        (void)race_allocated(heaps[i]);
    (void)race_stats();
}

static void step(struct worker *worker)
{
    struct record **own = &worker->own[race_below(&worker->random, OWN)];
    size_t what = race_below(&worker->random, 20);
    if (what < 6)
        *own = atomic_exchange(&table[race_below(&worker->random, TABLE)], *own);
    else if (!(*own)->at)
        allocate(worker, *own, NULL);
    else if (what < 9)
        resize(worker, *own, NULL);
    else if (what < 11)
        verify(*own, NULL);
    else
        release(worker, *own, NULL);
}

static void *run_worker(void *argument)
{
    struct record **own = argument;
    struct worker worker = {.own = own, .id = atomic_fetch_add(&threads_begun, 1) + 1};
    worker.random = race_mix(race_seed + worker.id);
    size_t steps = 100 + race_below(&worker.random, race_size(20000, 5000, 500));
    for (size_t i = 0; i < steps; i++) {
        if (i % 64 == 0)
            visit_tenant(&worker);
        if (i % 16384 == 1)
            inspect();
        step(&worker);
        count(&done.steps);
        if (i % 256 == 0 && is_over())
            break;
    }
    return NULL;
}

/* Keep one worker running at a time; the next one has the records of the one before. */
static void *supervise(void *own)
{
    while (!is_over())
        race_join(race_thread(run_worker, own));
    return NULL;
}

static void set_up(void)
{
    struct worker worker = {.random = race_mix(race_seed)};
    heaps[0] = GetProcessHeap();
    for (size_t i = 1; i < HEAPS; i++)
        heaps[i] = HeapCreate(0, 0, 0);
    for (size_t i = 0; i < HEAPS; i++)
        allocated_before[i] = race_allocated(heaps[i]);
    for (size_t i = 0; i < TENANTS; i++) {
        tenant_store[i].heap = create_heap(&worker);
        atomic_store(&tenants[i], &tenant_store[i]);
    }
    for (size_t i = 0; i < TABLE; i++)
        atomic_store(&table[i], &records[i]);
    for (size_t i = 0; i < THREADS * OWN; i++)
        owned[i / OWN][i % OWN] = &records[TABLE + i];
}

/* Free all that is left, and see that nothing is left then. */
static void tear_down(void)
{
    struct worker worker = {.random = race_mix(race_seed)};
    for (size_t i = 0; i < TABLE + THREADS * OWN; i++)
        if (records[i].at)
            release(&worker, &records[i], NULL);
    for (size_t i = 0; i < TENANTS; i++)
        race_case(HeapDestroy(tenant_store[i].heap),
                  "a tenant's heap cannot be destroyed");
    for (size_t i = 0; i < HEAPS; i++)
        race_case(race_allocated(heaps[i]) == allocated_before[i],
                  "heap %zu holds %zu bytes at the end, %zu at the start", i,
                  race_allocated(heaps[i]), allocated_before[i]);
    race_case(mole_process_malloc_bytes() == 0, "malloc holds %zu bytes at the end",
              mole_process_malloc_bytes());
    for (size_t i = 1; i < HEAPS; i++)
        race_case(HeapDestroy(heaps[i]), "heap %zu cannot be destroyed", i);
}

static void enough(const char *what, unsigned long long figure, size_t wanted)
{
    race_case(figure >= wanted, "exercised too little: %s is %llu, not %zu", what, figure,
              wanted);
}

static void report(void)
{
    printf("%llu steps, %llu frees (%llu remote), %llu resizes (%llu grown in place), "
           "%llu large blocks, %llu heaps destroyed, %u threads\n",
           atomic_load(&done.steps), atomic_load(&done.frees),
           atomic_load(&done.remote_frees), atomic_load(&done.resizes),
           atomic_load(&done.in_place), atomic_load(&done.large),
           atomic_load(&done.tenants), atomic_load(&threads_begun));
    enough("steps", atomic_load(&done.steps), least.steps);
    enough("remote frees", atomic_load(&done.remote_frees), least.remote_frees);
    enough("resizes", atomic_load(&done.resizes), least.resizes);
    enough("growths in place", atomic_load(&done.in_place), least.in_place);
    enough("large blocks", atomic_load(&done.large), least.large);
    enough("heaps destroyed", atomic_load(&done.tenants), least.tenants);
    enough("threads", atomic_load(&threads_begun), least.threads);
}

/* That it was the library which did it. */
static void report_library(struct mh_stats before, struct mh_stats after)
{
    unsigned long long mallocs = after.malloc_frees - before.malloc_frees;
    unsigned long long batches = after.remote_batches - before.remote_batches;
    unsigned long long adoptions = after.adoptions - before.adoptions;
    unsigned long long refills = after.refills - before.refills;
    printf("library: malloc_frees +%llu remote_batches +%llu adoptions +%llu "
           "refills +%llu\n",
           mallocs, batches, adoptions, refills);
    enough("malloc_frees", mallocs, atomic_load(&done.mallocs) / 4);
    enough("remote_batches", batches, least.remote_frees / 20);
    enough("adoptions", adoptions, least.threads);
    enough("refills", refills, least.tenants);
}

int main(void)
{
    race_begin("oracle");
    const char *seconds = getenv("MOLE_SECONDS");
    least.steps = race_size(400000, 20000, 2000);
    least.remote_frees = least.steps / 20;
    least.tenants = least.steps / 1000;
    least.resizes = least.steps / 20;
    least.in_place = least.steps / 500;
    least.large = least.steps / 1000;
    least.threads = race_size(40, 8, 4);
    set_up();
    struct mh_stats before = race_stats();
    deadline = race_now() + (seconds ? atof(seconds) : (double)race_size(10, 3, 3));
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(supervise, owned[i]);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    struct mh_stats after = race_stats();
    tear_down();
    report();
    report_library(before, after);
    return race_end();
}
