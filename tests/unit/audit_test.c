/* SPDX-License-Identifier: MIT */
#include "arena/audit.h"

#include "unit.h"

static HANDLE heap;
static struct mole_heap *inner;
static void *small, *large;

/* Live and freed blocks, some of them another thread's. */
static const char *allocate(struct worker *worker)
{
    (void)worker;
    for (size_t i = 0; i < 3000; i++) {
        void *block = HeapAlloc(heap, 0, i % 2000);
        answer_unless(block && (i % 3 || HeapFree(heap, 0, block)), "a call failed");
    }
    return NULL;
}

static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    inner = inside(heap);
    run_workers(2, allocate, NULL);
    small = take(heap, 0, 100);
    give_back(heap, take(heap, 0, 100));
    large = take(heap, 0, 200000);
    require(mole_audit_heap(inner, true), "a heap is not in order");
    require(HeapValidate(heap, 0, NULL), "nor for HeapValidate");
}

/* What stands at `place` is changed; the audit sees it, and no more when it is back. */
#define DISTURB(place, wrong, is_quiet)                                          \
    do {                                                                         \
        __typeof__(place) kept = (place);                                        \
        (place) = (wrong);                                                       \
        bool is_good = mole_audit_heap(inner, is_quiet);                         \
        (place) = kept;                                                          \
        require(!is_good, "%s = %s is not seen", #place, #wrong);                \
        require(mole_audit_heap(inner, is_quiet), "it stays wrong: %s", #place); \
    } while (0)

Test(audit, a_disturbed_descriptor_is_seen)
{
    begin();
    struct mole_span *span = span_of(small);
    DISTURB(span->capacity, span->capacity + 1, false);
    DISTURB(span->block_bytes, span->block_bytes + 16, false);
    DISTURB(span->recip, span->recip + 1, false);
    DISTURB(span->class, MOLE_SLAB_CLASSES, false);
    DISTURB(span->pages, span->pages + 1, false);
    DISTURB(span->pages, 0, false);
    DISTURB(span->run, span_of(large)->run, false);
    DISTURB(span->owner, &mole_owner_nobody, false);
    DISTURB(span->base, span->base + 16, false);
    DISTURB(span->fresh, span->capacity + 1, true);
    DISTURB(span->free, span->capacity, true);
    DISTURB(span_of(large)->room, 4096, false);
    DISTURB(span_of(large)->run, span->run, false);
    DISTURB(span_of(large)->heap, mole_process_heap(), false);
}

Test(audit, a_disturbed_list_of_runs_is_seen)
{
    begin();
    struct mole_run *run = mole_span_run(span_of(small));
    struct mole_run *home = inner->home;
    DISTURB(run->free_pages, run->free_pages ^ 1, true);
    DISTURB(home->chunks, 1u << 30, false);
    DISTURB(home->prev, home, false);
    DISTURB(home->prev->prev, home, false);
    DISTURB(inner->first->base, small, false);
}

static void disturb_entry(struct mole_span *span, size_t index, uint16_t wrong,
                          const char *what)
{
    uint16_t kept = load_rlx(&span->entry_a[index]);
    store_rlx(&span->entry_a[index], wrong);
    bool is_good = HeapValidate(heap, 0, NULL);
    store_rlx(&span->entry_a[index], kept);
    require(!is_good, "%s is not seen", what);
    require(HeapValidate(heap, 0, NULL), "it stays wrong: %s", what);
}

Test(audit, a_disturbed_table_is_seen)
{
    begin();
    struct mole_span *span = span_of(small);
    size_t index;
    require(mole_span_index(span, small, &index), "no block");
    disturb_entry(span, index, (uint16_t)mole_span_mark(4000),
                  "a block that is too large");
    disturb_entry(span, index, MOLE_WHOLE, "a block without a size");
    disturb_entry(span, span->capacity, MOLE_LIVE, "a live block behind the table");
    require(span->free != MOLE_END, "the slab has no free block");
    disturb_entry(span, span->free, span->free, "a free list in a ring");
    disturb_entry(span, span->free, (uint16_t)index, "a live block in the free list");
    disturb_entry(span, span->free, MOLE_LIVE, "a block of the free list that is live");
    store_rlx(&span->inbox_a, 2 << 16 | span->free);
    bool is_good = HeapValidate(heap, 0, NULL);
    store_rlx(&span->inbox_a, MOLE_END);
    require(!is_good, "an inbox that tells another number is not seen");
}

Test(audit, the_span_map_is_compared)
{
    begin();
    struct mole_span *span = NULL;
    for (size_t bytes = 2000; !span || span->pages == 1; bytes += 1000)
        span = span_of(take(heap, 0, bytes));
    char *second = span->base + MOLE_PAGE;
    mole_span_map_clear(second, 1);
    require(!HeapValidate(heap, 0, NULL), "a page of nobody's is not seen");
    mole_span_map_set(second, 1, span);
    require(HeapValidate(heap, 0, NULL), "it stays wrong");
}
