/* SPDX-License-Identifier: MIT */
/*
 * The fast paths take no lock and never wait. A thread is stopped before each instruction
 * of an operation; at each stop another thread does every kind of operation on the same
 * heap and on malloc's, those that take the arenas' locks included, and must finish. That
 * the stopped thread waits for nobody shows in its bounded number of instructions, none
 * of which is a system call. A lock-free loop goes round again when another thread
 * succeeds: where both use the same list, rounds are spaced out.
 *
 * Last comes an operation that does take a lock: it must be seen to hold the others up,
 * else these tests would see nothing.
 */
#include <dlfcn.h>

#include "fast_path_operations.h"
#include "os/thread.h"

enum {
    REPEATS = 3,
    SPACING =
        20, /* between rounds beside a CONTENDED operation: more than a retry takes */
    LEAST_STEPS = 16,
    CONTROL_PATIENCE_MS = 500,
};

/*
 * A CONTENDED operation is gone through so often that there is a round at each
 * instruction.
 */
static size_t repeats_of(const struct operation *operation)
{
    return operation->kind == CONTENDED ? SPACING : REPEATS;
}

static void do_operation(struct step_link *link, const struct operation *operation)
{
    supply_fill(to_worker);
    present = operation;
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
    supply_fill(
        to_worker); /* and so each thread settles in the heap, and takes pages in */
    if (!step_begin(link)) {
        race_join(worker);
        return 0;
    }
    for (size_t i = 0; i < OPERATIONS; i++)
        for (size_t repeat = 0; repeat < repeats_of(&operations[i]); repeat++)
            do_operation(link, &operations[i]);
    atomic_store(&link->is_over, true);
    race_join(worker);
    supply_empty(to_worker);
    supply_empty(to_victim);
    race_require(race_allocated(heap) == 0, "%zu bytes of the heap are lost",
                 race_allocated(heap));
    race_require(race_allocated(alone) == 0, "bytes of the other heap are lost");
    race_require(mole_process_malloc_bytes() == 0, "%zu bytes of malloc are lost",
                 mole_process_malloc_bytes());
    race_require(HeapDestroy(heap) && HeapDestroy(alone), "HeapDestroy failed");
    return atomic_load(&race_failed) ? 1 : 0;
}

/* --- the parent --------------------------------------------------------------------- */

/*
 * Where an instruction is. The child was forked, so its code lies where the parent's
 * does.
 */
static const char *place_of(uintptr_t pc)
{
    static const struct {
        const char *name;
        uintptr_t address;
    } functions[] = {
        {"HeapAlloc", (uintptr_t)HeapAlloc},
        {"HeapFree", (uintptr_t)HeapFree},
        {"HeapCreate", (uintptr_t)HeapCreate},
        {"HeapReAlloc", (uintptr_t)HeapReAlloc},
        {"HeapSize", (uintptr_t)HeapSize},
        {"GetProcessHeaps", (uintptr_t)GetProcessHeaps},
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
    size_t asked;     /* of them, those at which the other thread was asked for a round */
    size_t completed; /* rounds that it finished */
};

/* Step through one operation that was entered. False: it cannot be gone on with. */
static bool step_through(struct step_tracer *tracer, const struct operation *operation,
                         size_t repeat, struct tally *tally)
{
    bool is_control = operation->kind == LOCKING;
    bool is_contended = operation->kind == CONTENDED;
    do {
        tally->steps++;
        (void)may_execute(operation, tracer->pc);
        if (is_contended && tally->steps % SPACING != repeat)
            continue;
        tally->asked++;
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
    size_t least = STEP_MOST, stalls = 0, repeats = repeats_of(operation);
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        struct tally tally = {0};
        if (!step_next(tracer) || !step_through(tracer, operation, repeat, &tally)) {
            race_fail("%s: given up, child status 0x%x", operation->name,
                      (unsigned)tracer->status);
            return false;
        }
        all.steps += tally.steps;
        all.asked += tally.asked;
        all.completed += tally.completed;
        stalls += tally.completed < tally.asked;
        least = tally.steps < least ? tally.steps : least;
    }
    printf(
        "%s: %zu instructions in %zu times, at least %zu; at %zu of them %d operations "
        "by another thread\n",
        operation->name, all.steps, repeats, least, all.completed, ROUND_OPERATIONS);
    if (operation->kind == LOCKING) {
        race_case(stalls == repeats, "%s held nobody up", operation->name);
        return true;
    }
    race_case(least >= LEAST_STEPS && all.asked >= least,
              "%s: %zu instructions only, %zu rounds", operation->name, least, all.asked);
    race_case(stalls == 0, "%s: held another thread up", operation->name);
    return true;
}

static void step_all(void)
{
    struct step_tracer tracer = step_fork(step_everything);
    if (!step_attach_or_skip(&tracer))
        return;
    size_t i = 0;
    while (i < OPERATIONS && step_repeatedly(&tracer, &operations[i]))
        i++;
    if (i < OPERATIONS) {
        kill(tracer.child, SIGKILL);
        return;
    }
    step_finish_well(&tracer);
}

int main(void)
{
    return step_main("fast_path_step", step_all);
}
