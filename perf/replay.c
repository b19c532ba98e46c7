/* SPDX-License-Identifier: MIT */
/*
 * A recorded program's allocations, done again: docs/traces.md. Lanes stand for its
 * threads. A block is freed or resized by the lane that did so, once it is there; a lane
 * is never further ahead of another than `window` events, so that about as much is live
 * as was. A new block is written to, in each of its pages (touched=1), as its user would.
 *
 * What an operation waits for has a lower number than itself, and so has what that waits
 * for: the lane that is furthest behind never waits, so none waits for ever.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "replay_target.h"

/*
 * blocks[]: for each number the address that was returned.
 *   writers  the lane whose operation makes it, then the one whose operation takes it
 *   readers  the same
 *   orders   release when made, acquire when taken: who frees a block sees it written to
 *   keeps    NULL before it is made and after it is taken
 *
 * heaps[]: the same of heaps; done[]: how many counted operations are done in each.
 *   writers  of done: lanes that do not destroy the heap; the one that does sets it to 0
 *   orders   release when added, acquire by whoever destroys it
 *
 * at: how far a lane has got, over all repetitions.
 *   writers  the lane
 *   readers  all
 *   orders   release and acquire: a round begins with all of the one before done
 */
struct progress {
    _Alignas(64) _Atomic(uint64_t) at;
    uint64_t begin; /* the lane's: where this round began */
};

static struct plan plan;
static _Atomic(void *) *blocks;
static _Atomic(void *) *heaps;
static _Atomic(uint32_t) *done;
static struct progress *progress;
static uint64_t window;
static bool is_touched;

static void *take(_Atomic(void *) *place)
{
    unsigned turns = 0;
    void *found;
    while ((found = atomic_load_explicit(place, memory_order_acquire)) == NULL)
        perf_wait_turn(&turns);
    return found;
}

static void make(_Atomic(void *) *place, void *made)
{
    if (made == NULL)
        perf_die("an allocation fails");
    atomic_store_explicit(place, made, memory_order_release);
}

static void *take_block(uint32_t number)
{
    void *block = take(&blocks[number]);
    atomic_store_explicit(&blocks[number], NULL, memory_order_relaxed);
    return block;
}

/* Its first byte, and each page from `from` on. */
static void write_to(void *block, size_t from, size_t bytes)
{
    if (block == NULL || bytes == 0)
        return;
    perf_touch(block);
    if (is_touched)
        perf_touch_pages(block, from, bytes);
}

/* Say how far we are, and wait for those that are more than so many events behind. */
static void meet(struct progress *mine, uint64_t number, uint64_t behind)
{
    uint64_t here = mine->begin + number;
    atomic_store_explicit(&mine->at, here, memory_order_release);
    for (unsigned i = 0; i < plan.lane_count; i++) {
        unsigned turns = 0;
        while (atomic_load_explicit(&progress[i].at, memory_order_acquire) + behind <
               here)
            perf_wait_turn(&turns);
    }
}

static void destroy(uint32_t heap)
{
    unsigned turns = 0;
    while (atomic_load_explicit(&done[heap], memory_order_acquire) != plan.awaited[heap])
        perf_wait_turn(&turns);
    void *handle = take(&heaps[heap]);
    REPLAY_DESTROY(handle);
    atomic_store_explicit(&done[heap], 0, memory_order_relaxed);
    atomic_store_explicit(&heaps[heap], NULL, memory_order_release);
}

/* One that makes, takes or resizes a block. */
static void do_block(const struct plan_op *op, unsigned kind, uint32_t heap)
{
    void *handle = take(&heaps[heap]);
    void *block = kind == PLAN_ALLOC ? NULL : take_block(op->from);
    switch (kind) {
    case PLAN_ALLOC:
        block = REPLAY_ALLOC(handle, op->bytes);
        write_to(block, 0, op->bytes);
        make(&blocks[op->to], block);
        break;
    case PLAN_REALLOC:
        block = REPLAY_REALLOC(handle, block, op->bytes);
        write_to(block, op[1].bytes, op->bytes);
        make(&blocks[op->to], block);
        break;
    case PLAN_FREE:
        REPLAY_FREE(handle, block);
        break;
    default:
        REPLAY_GONE(block);
    }
    if (op->what & PLAN_COUNTED)
        atomic_fetch_add_explicit(&done[heap], 1, memory_order_release);
}

/* A round of the lane; returns how many operations it has. */
static uint64_t do_all(const struct plan_lane *lane, struct progress *mine)
{
    uint64_t others = 0;
    for (const struct plan_op *op = lane->ops; op < lane->ops + lane->count; op++) {
        unsigned kind = op->what & (PLAN_COUNTED - 1);
        uint32_t heap = op->what >> PLAN_HEAP_SHIFT;
        if (kind <= PLAN_GONE) {
            do_block(op, kind, heap);
        } else if (kind == PLAN_MARK) {
            meet(mine, (uint64_t)op->from << 32 | op->to, window);
            others++;
        } else if (kind == PLAN_NOTE) {
            others++;
        } else if (kind == PLAN_CREATE) {
            make(&heaps[heap], REPLAY_CREATE());
            if (op->what & PLAN_COUNTED)
                atomic_fetch_add_explicit(&done[heap], 1, memory_order_release);
        } else {
            destroy(heap);
        }
    }
    return lane->count - others;
}

static uint64_t run(unsigned lane, uint64_t ops)
{
    struct progress *mine = &progress[lane];
    uint64_t count = 0;
    uint64_t events = plan.counts.events;
    uint64_t wanted = (ops * plan.lane_count + events / 2) / events;
    for (uint64_t i = 0; i < (wanted ? wanted : 1); i++) {
        count += do_all(&plan.lanes[lane], mine);
        mine->begin += events;
        meet(mine, 0, 0); /* a round of all is over before the next */
    }
    return count;
}

static void show_counts(void)
{
    const struct plan_counts *counts = &plan.counts;
    fprintf(stderr,
            "replay: events=%llu allocs=%llu resizes=%llu frees=%llu gone=%llu "
            "left=%llu unheard=%llu adopted=%llu older=%llu remote=%llu "
            "heaps=%llu lost=%llu\n",
            (unsigned long long)counts->events, (unsigned long long)counts->allocs,
            (unsigned long long)counts->resizes, (unsigned long long)counts->frees,
            (unsigned long long)counts->gone, (unsigned long long)counts->left,
            (unsigned long long)counts->unheard, (unsigned long long)counts->adopted,
            (unsigned long long)counts->older, (unsigned long long)counts->remote,
            (unsigned long long)counts->heaps, (unsigned long long)counts->lost);
}

static void setup(void)
{
    const char *path = perf_text("trace");
    if (path == NULL)
        perf_die("trace=FILE is missing");
    is_touched = perf_option("touched", 1) != 0;
    window = perf_option("window", 64 << 10);
    if (window < PLAN_MARK_EVENTS || window > (uint64_t)1 << 40)
        perf_die("a window has 1024 events at least, 2^40 at most");
    size_t own = plan_make(&plan, path, perf_lanes());
    if (plan.block_count == 1)
        perf_die("a trace without allocations");
    size_t block_bytes = plan.block_count * sizeof *blocks;
    blocks = perf_pages(block_bytes);
    heaps = perf_pages(plan.heap_count * sizeof *heaps);
    done = perf_pages(plan.heap_count * sizeof *done);
    progress = perf_pages(perf_lanes() * sizeof *progress);
    atomic_store_explicit(&heaps[PLAN_MALLOC], REPLAY_MALLOC_HEAP, memory_order_relaxed);
    perf_show_bytes(plan.bytes_min, plan.bytes_max);
    if (perf_option("counts", 0) != 0)
        show_counts();
    perf_hide_pages(own + block_bytes + plan.heap_count * (sizeof *heaps + sizeof *done));
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
