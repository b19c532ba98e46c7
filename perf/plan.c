/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <sys/mman.h>

#include "harness.h"
#include "number_table.h"
#include "observers/reader.h"
#include "plan_file.h"

#define NOBODY UINT32_MAX

enum { HEAPS_MOST = 1 << 24 };

/* A number of a block, while the plan is made. */
struct block {
    uint64_t address;
    uint32_t bytes;
    uint32_t heap;
    uint32_t lane;
    uint32_t before; /* blocks of the heap that are live; 0: none */
    uint32_t behind;
};

struct heap {
    uint64_t handle;
    uint32_t first; /* of its live blocks */
    uint32_t maker; /* lane */
    uint32_t breaker;
    bool is_live;
};

struct maker {
    struct plan *plan;
    struct number_table addresses; /* of live blocks */
    struct number_table handles;   /* of live heaps */
    struct block *blocks;
    size_t block_room;
    struct heap *heaps;
    size_t heap_room;
    uint64_t *marked; /* for each lane: the number of its last mark, plus 1 */
    uint64_t number;  /* of the event that is dealt with */
};

/* The array with room for one more. */
static void *with_room(void *array, size_t size, size_t count, size_t *room)
{
    if (count < *room)
        return array;
    size_t more = *room ? 2 * *room : 4096;
    array = number_pages(array, *room * size, more * size);
    *room = more;
    return array;
}

static void append(struct plan_lane *lane, struct plan_op op)
{
    lane->ops = with_room(lane->ops, sizeof op, lane->count, &lane->room);
    lane->ops[lane->count++] = op;
}

static void add(struct maker *maker, uint32_t lane, struct plan_op op)
{
    struct plan *plan = maker->plan;
    bool is_marked =
        maker->marked[lane] && maker->number + 1 - maker->marked[lane] < PLAN_MARK_EVENTS;
    if (plan->lane_count > 1 && !is_marked) {
        append(&plan->lanes[lane],
               (struct plan_op){.from = (uint32_t)(maker->number >> 32),
                                .to = (uint32_t)maker->number,
                                .what = PLAN_MARK});
        maker->marked[lane] = maker->number + 1;
    }
    append(&plan->lanes[lane], op);
}

static uint32_t what(enum plan_kind kind, uint32_t heap)
{
    return (uint32_t)kind | heap << PLAN_HEAP_SHIFT;
}

static uint32_t new_block(struct maker *maker, uint32_t heap, uint32_t lane,
                          const struct trace_event *event)
{
    uint32_t number = maker->plan->block_count++;
    uint32_t *first = &maker->heaps[heap].first;
    maker->blocks =
        with_room(maker->blocks, sizeof *maker->blocks, number + 1, &maker->block_room);
    maker->blocks[number] = (struct block){.address = event->block,
                                           .bytes = (uint32_t)event->bytes,
                                           .heap = heap,
                                           .lane = lane,
                                           .behind = *first};
    if (*first)
        maker->blocks[*first].before = number;
    *first = number;
    number_table_add(&maker->addresses, event->block, number);
    return number;
}

/* It is no more. */
static void end_block(struct maker *maker, uint32_t number, uint32_t lane)
{
    struct block *block = &maker->blocks[number];
    if (block->before)
        maker->blocks[block->before].behind = block->behind;
    else
        maker->heaps[block->heap].first = block->behind;
    if (block->behind)
        maker->blocks[block->behind].before = block->before;
    number_table_remove(&maker->addresses, block->address);
    maker->plan->counts.remote += block->lane != lane;
}

static void free_block(struct maker *maker, uint32_t number, uint32_t lane,
                       enum plan_kind kind)
{
    struct block *block = &maker->blocks[number];
    add(maker, lane, (struct plan_op){.from = number, .what = what(kind, block->heap)});
    end_block(maker, number, lane);
}

static uint32_t new_heap(struct maker *maker, uint64_t handle, uint32_t lane)
{
    uint32_t number = maker->plan->heap_count++;
    if (number == HEAPS_MOST)
        perf_die("more heaps than fit in a plan");
    maker->heaps =
        with_room(maker->heaps, sizeof *maker->heaps, number, &maker->heap_room);
    maker->heaps[number] = (struct heap){
        .handle = handle, .maker = lane, .breaker = NOBODY, .is_live = true};
    number_table_add(&maker->handles, handle, number + 1);
    if (number != PLAN_MALLOC)
        add(maker, lane, (struct plan_op){.what = what(PLAN_CREATE, number)});
    return number;
}

/* A heap that is older than the trace is made when it is first used. */
static uint32_t heap_of(struct maker *maker, uint64_t handle, uint32_t lane)
{
    uint32_t found = number_table_find(&maker->handles, handle);
    return found ? found - 1 : new_heap(maker, handle, lane);
}

static void destroy(struct maker *maker, uint32_t number, uint32_t lane)
{
    struct heap *heap = &maker->heaps[number];
    while (heap->first) {
        maker->plan->counts.gone++;
        free_block(maker, heap->first, lane, PLAN_GONE);
    }
    add(maker, lane, (struct plan_op){.what = what(PLAN_DESTROY, number)});
    number_table_remove(&maker->handles, heap->handle);
    heap->is_live = false;
    heap->breaker = lane;
}

/* The address is given out: who had it before has freed it, unheard. */
static void vacate(struct maker *maker, uint64_t address, uint32_t lane)
{
    uint32_t old = number_table_find(&maker->addresses, address);
    if (!old)
        return;
    maker->plan->counts.unheard++;
    free_block(maker, old, lane, PLAN_FREE);
}

static void resize(struct maker *maker, const struct trace_event *event, uint32_t lane)
{
    uint32_t old = number_table_find(&maker->addresses, event->old_block);
    uint32_t heap = old ? maker->blocks[old].heap : heap_of(maker, event->heap, lane);
    struct plan_op op = {.from = old,
                         .bytes = (uint32_t)event->bytes,
                         .what = what(old ? PLAN_REALLOC : PLAN_ALLOC, heap)};
    uint32_t old_bytes = old ? maker->blocks[old].bytes : 0;
    maker->plan->counts.adopted += !old;
    if (old)
        end_block(maker, old, lane);
    vacate(maker, event->block, lane);
    op.to = new_block(maker, heap, lane, event);
    add(maker, lane, op);
    if (old)
        append(&maker->plan->lanes[lane],
               (struct plan_op){.bytes = old_bytes, .what = PLAN_NOTE});
}

static void enter(struct maker *maker, const struct trace_event *event)
{
    struct plan_counts *counts = &maker->plan->counts;
    uint32_t lane = event->lane % maker->plan->lane_count;
    uint32_t number;
    switch (event->kind) {
    case TRACE_ALLOC:
        counts->allocs++;
        vacate(maker, event->block, lane);
        number = heap_of(maker, event->heap, lane);
        add(maker, lane,
            (struct plan_op){.to = new_block(maker, number, lane, event),
                             .bytes = (uint32_t)event->bytes,
                             .what = what(PLAN_ALLOC, number)});
        return;
    case TRACE_REALLOC:
        counts->resizes++;
        resize(maker, event, lane);
        return;
    case TRACE_FREE:
        number = number_table_find(&maker->addresses, event->block);
        counts->frees += number != 0;
        counts->older += number == 0;
        if (number)
            free_block(maker, number, lane, PLAN_FREE);
        return;
    case TRACE_HEAP_CREATED:
        number = number_table_find(&maker->handles, event->heap);
        if (number > PLAN_MALLOC + 1)
            destroy(maker, number - 1, lane);
        if (number != PLAN_MALLOC + 1)
            new_heap(maker, event->heap, lane);
        return;
    default:
        number = heap_of(maker, event->heap, lane);
        if (number != PLAN_MALLOC)
            destroy(maker, number, lane);
    }
}

/* What is left, so that the trace can be replayed again. */
static void tidy_up(struct maker *maker)
{
    for (uint32_t i = 0; i < maker->plan->heap_count; i++)
        for (uint32_t next; (next = maker->heaps[i].first) != 0;) {
            maker->plan->counts.left++;
            free_block(maker, next, maker->blocks[next].lane, PLAN_FREE);
        }
    for (uint32_t i = PLAN_MALLOC + 1; i < maker->plan->heap_count; i++)
        if (maker->heaps[i].is_live)
            destroy(maker, i, maker->heaps[i].maker);
}

/* Mark the operations that a heap's end has to wait for. */
static void count_foreign(struct maker *maker)
{
    struct plan *plan = maker->plan;
    plan->awaited = perf_pages(plan->heap_count * sizeof *plan->awaited);
    for (uint32_t lane = 0; lane < plan->lane_count; lane++)
        for (size_t i = 0; i < plan->lanes[lane].count; i++) {
            struct plan_op *op = &plan->lanes[lane].ops[i];
            uint32_t heap = op->what >> PLAN_HEAP_SHIFT;
            if (heap == PLAN_MALLOC || maker->heaps[heap].breaker == lane)
                continue;
            op->what |= PLAN_COUNTED;
            plan->awaited[heap]++;
        }
}

static void read_all(struct maker *maker, struct reader *reader, const char *path)
{
    struct plan *plan = maker->plan;
    struct trace_event event;
    plan->bytes_min = UINT64_MAX;
    while (reader_next(reader, &event)) {
        maker->number = event.number;
        if (event.bytes > UINT32_MAX)
            plan_file_refuse(path, "it has a block of 4 GiB or more");
        if (event.kind == TRACE_ALLOC || event.kind == TRACE_REALLOC) {
            plan->bytes_max =
                event.bytes > plan->bytes_max ? event.bytes : plan->bytes_max;
            plan->bytes_min =
                event.bytes < plan->bytes_min ? event.bytes : plan->bytes_min;
        }
        if (plan->block_count > UINT32_MAX - 2)
            plan_file_refuse(path, "it has too many blocks");
        enter(maker, &event);
    }
    if (reader->error[0])
        plan_file_refuse(path, reader->error);
    maker->number = reader->header.events;
}

/* The size that the plan keeps of a lane's operations. */
static size_t trim(struct plan_lane *lane)
{
    size_t bytes = (lane->count * sizeof *lane->ops + 4095) & ~(size_t)4095;
    if (lane->ops && bytes < lane->room * sizeof *lane->ops)
        lane->ops =
            number_pages(lane->ops, lane->room * sizeof *lane->ops, bytes ? bytes : 4096);
    return bytes;
}

static void forget(struct maker *maker)
{
    number_table_finish(&maker->addresses);
    number_table_finish(&maker->handles);
    if (maker->blocks)
        munmap(maker->blocks, maker->block_room * sizeof *maker->blocks);
    munmap(maker->heaps, maker->heap_room * sizeof *maker->heaps);
}

size_t plan_make(struct plan *plan, const char *path, unsigned lanes)
{
    static struct reader reader;
    struct maker maker = {.plan = plan};
    size_t bytes;
    const void *trace = plan_file_map(path, &bytes);
    if (!reader_begin(&reader, trace, bytes))
        plan_file_refuse(path, reader.error);
    *plan = (struct plan){.lane_count = lanes, .block_count = 1};
    plan->counts.events = reader.header.events;
    plan->counts.lost = reader.header.lost;
    plan->lanes = perf_pages(lanes * sizeof *plan->lanes);
    maker.marked = perf_pages(lanes * sizeof *maker.marked);
    new_heap(&maker, TRACE_MALLOC, 0);
    read_all(&maker, &reader, path);
    tidy_up(&maker);
    count_foreign(&maker);
    plan->counts.heaps = plan->heap_count - 1;
    size_t kept = plan->heap_count * sizeof *plan->awaited;
    for (unsigned i = 0; i < lanes; i++)
        kept += trim(&plan->lanes[i]);
    munmap((void *)(uintptr_t)trace, bytes);
    forget(&maker);
    return kept;
}
