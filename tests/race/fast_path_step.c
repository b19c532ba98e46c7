/* SPDX-License-Identifier: MIT */
/*
 * The fast paths take no lock and never wait. A thread is stopped before each instruction of an
 * operation; at each stop another thread does every kind of operation on the same heap and on
 * malloc's, those that take the arenas' locks included, and must finish. That the stopped thread
 * waits for nobody shows in its bounded number of instructions, none of which is a system call.
 *
 * Last comes an operation that does take a lock: it must be seen to hold the others up, else
 * these tests would see nothing.
 */
#include <dlfcn.h>

#include "arena/span_map.h"
#include "os/thread.h"
#include "step.h"
#include "tcache/block.h"
#include "tcache/process.h"

enum {
    SMALL = 64,
    MEDIUM = 3000,       /* in a slab, but beyond the direct sizes */
    HALF_BATCH = 8192,   /* two fill a batch */
    WHOLE_BATCH = 20000, /* one does */
    LARGE = 100000,      /* a run of its own: takes the arena's lock */
    REPEATS = 3,
    LEAST_STEPS = 16,
    ROUND_OPERATIONS = 16,
    CONTROL_PATIENCE_MS = 500,
};

static HANDLE heap;  /* everybody's */
static HANDLE alone; /* HEAP_NO_SERIALIZE, the stopped thread's */

/* --- blocks that one thread allocates and the other frees --------------------------------- */

enum { SUPPLY_ROOM = 8192, SUPPLY_LOW = 64 };

struct supply {
    size_t bytes;
    bool is_malloc;
    size_t wanted;
    atomic_size_t put; /* writer: who allocates */
    atomic_size_t got; /* writer: who frees */
    void *blocks[SUPPLY_ROOM];
};

enum { HEAP_SMALL, HEAP_BATCH, MALLOC_SMALL, MALLOC_BATCH, SUPPLIES };

static struct supply to_worker[SUPPLIES] = {
    {.bytes = SMALL, .wanted = STEP_MOST + SUPPLY_LOW},
    {.bytes = HALF_BATCH, .wanted = STEP_MOST + SUPPLY_LOW},
    {.bytes = SMALL, .wanted = STEP_MOST + SUPPLY_LOW, .is_malloc = true},
    {.bytes = HALF_BATCH, .wanted = STEP_MOST + SUPPLY_LOW, .is_malloc = true},
};
static struct supply to_victim[SUPPLIES] = {
    {.bytes = SMALL, .wanted = SUPPLY_LOW},
    {.bytes = WHOLE_BATCH, .wanted = SUPPLY_LOW},
    {.bytes = SMALL, .wanted = SUPPLY_LOW, .is_malloc = true},
    {.bytes = WHOLE_BATCH, .wanted = SUPPLY_LOW, .is_malloc = true},
};

static void fill(struct supply *supplies)
{
    for (struct supply *supply = supplies; supply < supplies + SUPPLIES; supply++)
        while (atomic_load(&supply->put) - atomic_load(&supply->got) < supply->wanted) {
            void *block = supply->is_malloc ? mh_malloc(supply->bytes)
                                            : HeapAlloc(heap, 0, supply->bytes);
            race_require(block != NULL, "no block of %zu bytes", supply->bytes);
            supply->blocks[atomic_load(&supply->put) % SUPPLY_ROOM] = block;
            atomic_fetch_add(&supply->put, 1);
        }
}

/* NULL: it is empty. */
static void *try_get(struct supply *supply)
{
    size_t got = atomic_load(&supply->got);
    if (got == atomic_load(&supply->put))
        return NULL;
    void *block = supply->blocks[got % SUPPLY_ROOM];
    atomic_fetch_add(&supply->got, 1);
    return block;
}

static void *get(struct supply *supply)
{
    void *block;
    while (!(block = try_get(supply)))
        sched_yield();
    return block;
}

static void empty(struct supply *supplies)
{
    for (struct supply *supply = supplies; supply < supplies + SUPPLIES; supply++)
        for (void *block; (block = try_get(supply));)
            if (supply->is_malloc)
                mh_free(block);
            else
                race_require(HeapFree(heap, 0, block), "HeapFree refused a live block");
}

/* --- the thread that runs on -------------------------------------------------------------- */

static void heap_pair(size_t bytes)
{
    void *block = HeapAlloc(heap, 0, bytes);
    race_require(block != NULL && HeapSize(heap, 0, block) == bytes,
                 "the running thread got no block of %zu bytes", bytes);
    race_require(HeapFree(heap, 0, block), "the running thread's HeapFree failed");
}

static void malloc_pair(size_t bytes)
{
    void *block = mh_malloc(bytes);
    race_require(block != NULL, "the running thread got no malloc of %zu bytes", bytes);
    mh_free(block);
}

static void heap_free_other(struct supply *supply)
{
    void *block = try_get(supply);
    race_require(block && HeapFree(heap, 0, block),
                 "the running thread could not free a block of %zu bytes", supply->bytes);
}

static void malloc_free_other(struct supply *supply)
{
    void *block = try_get(supply);
    race_require(block != NULL, "no more blocks for the running thread to free");
    mh_free(block);
}

/* ROUND_OPERATIONS of them: fast, slow, under the arena's lock, and remote. */
static void do_round(void)
{
    heap_pair(SMALL);
    heap_pair(MEDIUM);
    heap_pair(LARGE);
    malloc_pair(SMALL);
    malloc_pair(MEDIUM);
    malloc_pair(LARGE);
    heap_free_other(&to_worker[HEAP_SMALL]);
    heap_free_other(&to_worker[HEAP_BATCH]);
    malloc_free_other(&to_worker[MALLOC_SMALL]);
    malloc_free_other(&to_worker[MALLOC_BATCH]);
}

static void *run_on(void *argument)
{
    struct step_link *link = argument;
    while (!atomic_load(&link->is_over)) {
        fill(to_victim);
        if (step_is_asked(link)) {
            do_round();
            step_answer(link);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

/* --- the operations of the thread that is stopped ----------------------------------------- */

static void *subject;              /* the block an operation is about */
static struct mole_span *its_span; /* before it was freed */

/* Give its class a free block in its current slab. */
static void prepare_heap_hit(void)
{
    race_require(HeapFree(heap, 0, HeapAlloc(heap, 0, SMALL)), "no block");
}

static void heap_alloc(void)
{
    subject = HeapAlloc(heap, 0, SMALL);
}

static bool has_heap_block(void)
{
    return subject && HeapSize(heap, 0, subject) == SMALL && HeapFree(heap, 0, subject);
}

static void prepare_heap_block(void)
{
    subject = HeapAlloc(heap, 0, SMALL);
}

static bool is_freed;

static void heap_free(void)
{
    is_freed = HeapFree(heap, 0, subject);
}

static bool is_heap_freed(void)
{
    return is_freed && !HeapValidate(heap, 0, subject);
}

static void prepare_batch(struct supply *supply)
{
    subject = get(supply);
    its_span = mole_span_map_find(subject);
}

static void prepare_heap_batch(void)
{
    prepare_batch(&to_victim[HEAP_SMALL]);
}

static void prepare_heap_flush(void)
{
    prepare_batch(&to_victim[HEAP_BATCH]);
}

static bool is_in_batch(struct mole_heap *of)
{
    const struct mole_tcache *cache = mole_thread_cache(of);
    if (!cache)
        return false;
    for (unsigned i = 0; i < MOLE_BATCHES; i++)
        if (cache->batch[i].span == its_span)
            return true;
    return false;
}

static bool is_heap_batched(void)
{
    return is_freed && is_in_batch(mole_heap_find(heap));
}

static bool is_heap_flushed(void)
{
    return is_freed && !is_in_batch(mole_heap_find(heap));
}

static void prepare_malloc_hit(void)
{
    mh_free(mh_malloc(SMALL));
}

static void malloc_small(void)
{
    subject = mh_malloc(SMALL);
}

static bool has_malloc_block(void)
{
    bool is_block = subject && mh_malloc_usable_size(subject) >= SMALL;
    mh_free(subject);
    return is_block;
}

static void prepare_malloc_medium(void)
{
    mh_free(mh_malloc(MEDIUM));
}

static void malloc_medium(void)
{
    subject = mh_malloc(MEDIUM);
}

static void prepare_malloc_block(void)
{
    subject = mh_malloc(SMALL);
}

static void malloc_free(void)
{
    mh_free(subject);
}

static bool is_malloc_freed(void)
{
    return !mole_block_find(mole_process_malloc_heap(), subject);
}

static void prepare_malloc_batch(void)
{
    prepare_batch(&to_victim[MALLOC_SMALL]);
}

static void prepare_malloc_flush(void)
{
    prepare_batch(&to_victim[MALLOC_BATCH]);
}

static bool is_malloc_batched(void)
{
    return is_in_batch(mole_process_malloc_heap());
}

static bool is_malloc_flushed(void)
{
    return !is_in_batch(mole_process_malloc_heap());
}

static void prepare_alone_hit(void)
{
    race_require(HeapFree(alone, 0, HeapAlloc(alone, 0, SMALL)), "no block");
}

static void alone_alloc(void)
{
    subject = HeapAlloc(alone, 0, SMALL);
}

static bool has_alone_block(void)
{
    return subject && HeapFree(alone, 0, subject);
}

static void prepare_alone_block(void)
{
    subject = HeapAlloc(alone, 0, SMALL);
}

static void alone_free(void)
{
    is_freed = HeapFree(alone, 0, subject);
}

static bool is_alone_freed(void)
{
    return is_freed && !HeapValidate(alone, 0, subject);
}

static void prepare_nothing(void)
{
}

static size_t summed;

static void heap_summary(void)
{
    summed = race_allocated(heap);
}

static bool is_summed(void)
{
    return summed > 0;
}

/* What an operation may do besides plain instructions. */
enum kind {
    LOCAL,   /* nothing: no atomic read-modify-write either */
    REMOTE,  /* atomic instructions */
    LOCKING, /* anything: the control */
};

static const struct operation {
    const char *name;
    enum kind kind;
    void (*prepare)(void);
    void (*run)(void);
    bool (*is_done)(void); /* whether it did what its name says; tidies up */
} operations[] = {
    {"HeapAlloc", LOCAL, prepare_heap_hit, heap_alloc, has_heap_block},
    {"HeapFree by the owner", LOCAL, prepare_heap_block, heap_free, is_heap_freed},
    {"HeapFree into a batch", REMOTE, prepare_heap_batch, heap_free, is_heap_batched},
    {"HeapFree that hands a batch over", REMOTE, prepare_heap_flush, heap_free,
     is_heap_flushed},
    {"malloc", LOCAL, prepare_malloc_hit, malloc_small, has_malloc_block},
    {"malloc beyond the direct sizes", LOCAL, prepare_malloc_medium, malloc_medium,
     has_malloc_block},
    {"free by the owner", LOCAL, prepare_malloc_block, malloc_free, is_malloc_freed},
    {"free into a batch", REMOTE, prepare_malloc_batch, malloc_free, is_malloc_batched},
    {"free that hands a batch over", REMOTE, prepare_malloc_flush, malloc_free,
     is_malloc_flushed},
    {"HeapAlloc without serialization", LOCAL, prepare_alone_hit, alone_alloc,
     has_alone_block},
    {"HeapFree without serialization", LOCAL, prepare_alone_block, alone_free,
     is_alone_freed},
    {"HeapSummary, the control", LOCKING, prepare_nothing, heap_summary, is_summed},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };

static void do_operation(struct step_link *link, const struct operation *operation)
{
    fill(to_worker);
    operation->prepare();
    step_enter(link);
    operation->run();
    step_leave(link);
    race_require(operation->is_done(), "%s: did something else", operation->name);
}

/* The child: nothing is lost at the end, whatever was stopped in the middle. */
static int step_everything(struct step_link *link)
{
    heap = HeapCreate(0, 0, 0);
    alone = HeapCreate(HEAP_NO_SERIALIZE, 0, 0);
    race_require(heap && alone, "HeapCreate failed");
    pthread_t worker = race_thread(run_on, link);
    fill(to_worker); /* and so each thread settles in the heap, and takes pages in */
    if (!step_begin(link)) {
        race_join(worker);
        return 0;
    }
    for (size_t i = 0; i < OPERATIONS; i++)
        for (size_t repeat = 0; repeat < REPEATS; repeat++)
            do_operation(link, &operations[i]);
    atomic_store(&link->is_over, true);
    race_join(worker);
    empty(to_worker);
    empty(to_victim);
    race_require(race_allocated(heap) == 0, "%zu bytes of the heap are lost",
                 race_allocated(heap));
    race_require(race_allocated(alone) == 0, "bytes of the other heap are lost");
    race_require(mole_process_malloc_bytes() == 0, "%zu bytes of malloc are lost",
                 mole_process_malloc_bytes());
    race_require(HeapDestroy(heap) && HeapDestroy(alone), "HeapDestroy failed");
    return atomic_load(&race_failed) ? 1 : 0;
}

/* --- the parent --------------------------------------------------------------------------- */

/* Where an instruction is. The child was forked, so its code lies where the parent's does. */
static const char *place_of(uintptr_t pc)
{
    static const struct {
        const char *name;
        uintptr_t address;
    } functions[] = {
        {"HeapAlloc", (uintptr_t)HeapAlloc},
        {"HeapFree", (uintptr_t)HeapFree},
        {"malloc", (uintptr_t)mh_malloc},
        {"free", (uintptr_t)mh_free},
        {"mole_block_alloc", (uintptr_t)mole_block_alloc},
        {"mole_block_find", (uintptr_t)mole_block_find},
        {"mole_block_free", (uintptr_t)mole_block_free},
        {"mole_heap_find", (uintptr_t)mole_heap_find},
        {"mole_lock_acquire", (uintptr_t)mole_lock_acquire},
        {"mole_span_bytes", (uintptr_t)mole_span_bytes},
        {"mole_tcache_flush", (uintptr_t)mole_tcache_flush},
        {"mole_tcache_free_remote", (uintptr_t)mole_tcache_free_remote},
        {"mole_thread_begin", (uintptr_t)mole_thread_begin},
        {"mole_thread_cache", (uintptr_t)mole_thread_cache},
        {"mole_thread_end", (uintptr_t)mole_thread_end},
    };
    enum { FARTHEST = 512 };
    static char text[300];
    const char *name = "unnamed";
    size_t offset = FARTHEST;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (pc - functions[i].address < offset) {
            name = functions[i].name;
            offset = pc - functions[i].address;
        }
    Dl_info object = {.dli_fname = "?"};
    (void)dladdr((void *)pc, &object);
    snprintf(text, sizeof text, "%s+0x%zx, which is %s+0x%zx", name, offset,
             object.dli_fname, (size_t)(pc - (uintptr_t)object.dli_fbase));
    return text;
}

static bool is_system_call(const unsigned char *code)
{
    return code[0] == 0x0f && code[1] == 0x05;
}

/* A lock prefix, or xchg with memory, which locks by itself. */
static bool is_atomic(const unsigned char *code)
{
    if (code[0] == 0xf0)
        return true;
    code += (code[0] & 0xf0) == 0x40;
    return (code[0] == 0x86 || code[0] == 0x87) && code[1] < 0xc0;
}

static bool may_execute(const struct operation *operation, uintptr_t pc)
{
    const unsigned char *code = (const unsigned char *)pc;
    const char *what = NULL;
    if (operation->kind == LOCKING)
        return true;
    if (pc == (uintptr_t)mole_lock_acquire)
        what = "takes a lock";
    else if (pc == (uintptr_t)mole_thread_yield)
        what = "yields";
    else if (is_system_call(code))
        what = "calls the system";
    else if (operation->kind == LOCAL && is_atomic(code))
        what = "has an atomic instruction";
    if (what)
        race_fail("%s %s at %s", operation->name, what, place_of(pc));
    return !what;
}

struct tally {
    size_t steps;     /* instructions stopped at */
    size_t completed; /* rounds that the other thread finished at them */
};

/* Step through one operation that was entered. False: it cannot be gone on with. */
static bool step_through(struct step_tracer *tracer, const struct operation *operation,
                         struct tally *tally)
{
    bool is_control = operation->kind == LOCKING;
    do {
        tally->steps++;
        (void)may_execute(operation, tracer->pc);
        if (!step_ask(tracer, is_control ? CONTROL_PATIENCE_MS : STEP_PATIENCE_MS)) {
            race_require(is_control, "%s, stopped at %s, holds another thread up",
                         operation->name, place_of(tracer->pc));
            return is_control;
        }
        tally->completed++;
    } while (step_once(tracer) && tally->steps < STEP_MOST);
    if (tally->steps == STEP_MOST)
        race_fail("%s has not ended after %zu instructions, at %s", operation->name,
                  tally->steps, place_of(tracer->pc));
    return tally->steps < STEP_MOST && tracer->is_stopped;
}

static bool step_repeatedly(struct step_tracer *tracer, const struct operation *operation)
{
    struct tally all = {0};
    size_t least = STEP_MOST, stalls = 0;
    for (size_t repeat = 0; repeat < REPEATS; repeat++) {
        struct tally tally = {0};
        if (!step_next(tracer) || !step_through(tracer, operation, &tally)) {
            race_fail("%s: given up, child status 0x%x", operation->name,
                      (unsigned)tracer->status);
            return false;
        }
        all.steps += tally.steps;
        all.completed += tally.completed;
        stalls += tally.completed < tally.steps;
        least = tally.steps < least ? tally.steps : least;
    }
    printf("%s: %zu instructions in %d times, at least %zu; at %zu of them %d operations "
           "by another thread\n",
           operation->name, all.steps, REPEATS, least, all.completed, ROUND_OPERATIONS);
    if (operation->kind == LOCKING) {
        race_case(stalls == REPEATS, "%s held nobody up", operation->name);
        return true;
    }
    race_case(least >= LEAST_STEPS, "%s: %zu instructions only", operation->name, least);
    race_case(all.completed == all.steps, "%s: held another thread up", operation->name);
    return true;
}

static void step_all(void)
{
    struct step_tracer tracer = step_fork(step_everything);
    if (!step_attach(&tracer)) {
        race_skip("ptrace is denied here: %s", strerror(errno));
        step_forget(&tracer);
        return;
    }
    size_t i = 0;
    while (i < OPERATIONS && step_repeatedly(&tracer, &operations[i]))
        i++;
    if (i < OPERATIONS) {
        kill(tracer.child, SIGKILL);
        return;
    }
    int status = step_finish(&tracer);
    race_case(status == 0, "the stepped process ended with %d", status);
}

int main(void)
{
    race_begin("fast_path_step");
    const char *obstacle = step_obstacle();
    if (obstacle)
        race_skip("nothing is stepped: %s", obstacle);
    else
        step_all();
    return race_end();
}
