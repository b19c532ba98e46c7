/* SPDX-License-Identifier: MIT */
#include "tcache/sweep.h"

#include "arena/holes.h"
#include "os/thread.h"
#include "tcache/rebuild.h"
#include "tcache/spare.h"
#include "unit.h"

int mh_malloc_trim(size_t pad);

/* Slabs of 16 pages with 128 blocks, 8 a page. */
enum { BYTES = 512, SLAB = 128, A_PAGE = 8, MOST = 40, FILLED = 0x5a, NOW = 1000 };
enum { OLD = NOW + MOLE_SWEEP_AGE };

static HANDLE heap;
static struct mole_tcache *cache;
static unsigned class_of_them;
static char *blocks[MOST][SLAB];

/* Steps are the test's: no more slabs change their state than that. */
static void hold(void)
{
    cache->sweep.wait = UINT8_MAX;
    cache->sweep.now = NOW;
}

/* So many full slabs, and a current one. */
static void begin(size_t slabs)
{
    stop_passes();
    heap = create_heap(0);
    cache = mole_thread_cache(inside(heap));
    outgrow_mixed(cache);
    class_of_them = mole_size_class_of(BYTES);
    mole_growth_set(&cache->growth, class_of_them,
                    UINT8_MAX); /* as large as they become */
    hold();
    for (size_t slab = 0; slab < slabs; slab++)
        for (size_t i = 0; i < SLAB; i++)
            memset(blocks[slab][i] = take(heap, 0, BYTES), FILLED, BYTES);
    (void)take(heap, 0, BYTES);
    require(span_of(blocks[0][0])->capacity == SLAB, "slabs have another size");
}

/* Free a slab's blocks, but for the first `kept` of each page from `page` on. */
static void thin(size_t slab, size_t page, size_t kept)
{
    for (size_t i = 0; i < SLAB; i++) {
        if (blocks[slab][i] && (i / A_PAGE < page || i % A_PAGE >= kept)) {
            give_back(heap, blocks[slab][i]);
            blocks[slab][i] = NULL;
        }
    }
}

/* Step by step at the tick until the sweep is over. The pages given back. */
static size_t sweep(uint32_t tick)
{
    uint64_t before = mole_holes_purged();
    do {
        mole_sweep_step(cache, tick);
    } while (cache->sweep.class != MOLE_SLAB_CLASSES);
    return mole_holes_purged() - before;
}

static void require_live(size_t slab)
{
    for (size_t i = 0; i < SLAB; i++)
        require(!blocks[slab][i] || is_all(blocks[slab][i], BYTES, FILLED),
                "block %zu of slab %zu was changed", i, slab);
    mole_span_check(span_of(blocks[slab][SLAB - A_PAGE]));
}

Test(sweep, slabs_that_are_partial_for_long_lose_their_holes)
{
    begin(3);
    thin(0, 15, 1);
    thin(1, 14, 8);
    require(sweep(OLD - 1) == 0, "they were not left alone");
    require(sweep(OLD) == 15 + 14, "their holes are not those that were given back");
    require_live(0);
    require_live(1);
    require_live(2);
    require(is_all(span_of(blocks[0][SLAB - A_PAGE])->base, MOLE_PAGE, 0),
            "a hole is still there");
}

Test(sweep, none_is_made_while_the_heap_is_paused)
{
    begin(2);
    thin(0, 15, 1);
    cache->keeps_all = true;
    cache->sweep.wait = 1;
    cache->sweep.now = 1; /* long ago */
    uint64_t before = mole_holes_purged();
    mole_sweep_go_on(cache);
    require(mole_holes_purged() == before && cache->sweep.wait == 1, "a step was made");
    cache->keeps_all = false;
    mole_sweep_go_on(cache);
    require(cache->sweep.wait == MOLE_SWEEP_EVERY, "the next one is not made");
}

/* Else a thread with full slabs only would never make a step for its partial ones. */
Test(sweep, a_slab_that_replaces_a_used_up_one_counts_for_the_next_step)
{
    begin(2);
    for (size_t i = 0; i < SLAB - 1; i++) /* the current one's rest */
        (void)take(heap, 0, BYTES);
    for (size_t slab = 0; slab < 2; slab++) {
        unsigned before = cache->sweep.wait;
        size_t given = 0;
        while (cache->current[class_of_them] != span_of(blocks[slab][SLAB - 1])) {
            require(given < SLAB / 2, "slab %zu did not become current", slab);
            give_back(heap, blocks[slab][given++]);
        }
        require(cache->sweep.wait == before - 1, "%u calls to go, %u before",
                cache->sweep.wait, before);
        while (given--)
            (void)take(heap, 0, BYTES);
    }
}

Test(sweep, what_is_used_again_is_whole)
{
    begin(2);
    thin(0, 15, 1);
    struct mole_span *span = span_of(blocks[0][SLAB - A_PAGE]);
    require(sweep(OLD) == 15, "no holes");
    for (size_t i = 0; i < SLAB - 1; i++) /* the current one's rest, and the slab's */
        (void)take(heap, 0, BYTES);
    size_t met = 0;
    for (size_t i = 0; i < SLAB - 1; i++) {
        char *block = take(heap, HEAP_ZERO_MEMORY, BYTES);
        met += span_of(block) == span;
        require(is_all(block, BYTES, 0), "zeros were asked for");
        memset(block, FILLED, BYTES);
    }
    require(met == SLAB - 1, "%zu blocks came from the slab", met);
    require_live(0);
}

/* Blocks that were in the purged pages, and are free again, are purged again. */
Test(sweep, a_slab_that_was_used_since_is_purged_anew)
{
    begin(2);
    thin(0, 15, 1);
    struct mole_span *span = span_of(blocks[0][SLAB - A_PAGE]);
    require(sweep(OLD) == 15, "no holes");
    for (size_t i = 0; i < SLAB - 1; i++)
        (void)take(heap, 0, BYTES);
    char *again[SLAB];
    for (size_t i = 0; i < SLAB; i++) /* and one of the next slab: this one is full */
        memset(again[i] = take(heap, 0, BYTES), 1, BYTES);
    for (size_t i = 0; i < SLAB; i++)
        if (span_of(again[i]) == span)
            give_back(heap, again[i]);
    require(sweep(OLD + 1) == 0, "it was not left alone");
    require(sweep(OLD + MOLE_SWEEP_AGE) == 15, "its holes were not given back again");
    require(is_all(span->base, MOLE_PAGE, 0), "a hole is still there");
    require_live(0);
}

Test(sweep, slabs_with_many_live_blocks_are_not_looked_at)
{
    begin(1);
    thin(0, 7, 8); /* 72 live blocks, and seven holes */
    require(sweep(OLD) == 0, "it was looked at");
    for (size_t i = 56; i < 63; i++)
        give_back(heap, blocks[0][i]);
    require(sweep(OLD + 1) == 0, "it was looked at with 65 live blocks");
    give_back(heap, blocks[0][63]);
    require(sweep(OLD + 2) == 8, "it was not looked at with 64 live blocks");
}

Test(sweep, a_slab_is_looked_at_again_when_a_quarter_is_gone)
{
    begin(1);
    thin(0, 14, 4); /* eight live blocks */
    require(sweep(OLD) == 14, "no holes");
    for (size_t i = 14; i < 15; i++)
        give_back(heap, blocks[0][i * A_PAGE]);
    require(sweep(OLD + 1) == 0, "one of eight is no quarter");
    for (size_t i = 1; i < 4; i++)
        give_back(heap, blocks[0][14 * A_PAGE + i]);
    require(sweep(OLD + 2) == 1, "half of them are gone");
    for (size_t i = 1; i < 4; i++)
        give_back(heap, blocks[0][15 * A_PAGE + i]);
    require(sweep(OLD + 3) == 0, "the last one lives");
}

Test(sweep, the_oldest_slabs_come_first_and_few_at_a_time)
{
    begin(MOST);
    for (size_t slab = 0; slab < MOST; slab++) {
        cache->sweep.now = NOW + (uint32_t)(slab == MOST - 1);
        thin(slab, 15, 8);
    }
    for (size_t looked = 4; looked < MOST; looked += 4) {
        mole_sweep_step(cache, OLD); /* 64 pages: the holes of five slabs */
        looked++;
        struct mole_span *next = cache->sweep.next;
        require(next && next == span_of(blocks[looked][SLAB - 1]),
                "after %zu slabs the next one is another", looked);
        if (looked + 5 >= MOST)
            break;
    }
    mole_sweep_step(cache, OLD);
    require(cache->sweep.class == MOLE_SLAB_CLASSES, "the sweep has no end");
    require(span_of(blocks[MOST - 2][SLAB - 1])->purged == 0x7fff, "an old one was left");
    require(!span_of(blocks[MOST - 1][SLAB - 1])->purged, "the new one was purged");
}

Test(sweep, a_step_passes_so_many_slabs)
{
    begin(MOST);
    for (size_t slab = 0; slab < MOST; slab++)
        thin(slab, 7, 8);
    mole_sweep_step(cache, OLD);
    require(cache->sweep.next == span_of(blocks[MOLE_SWEEP_SLABS][SLAB - 1]),
            "it did not end behind %d", MOLE_SWEEP_SLABS);
}

Test(sweep, there_is_one_in_a_tick)
{
    begin(2);
    thin(0, 15, 1);
    require(sweep(OLD) == 15, "no holes");
    thin(1, 15, 1);
    span_of(blocks[1][SLAB - A_PAGE])->listed = 0;
    require(sweep(OLD) == 0, "there was another one");
    require(sweep(OLD + 1) == 15, "there was none in the next tick");
}

Test(sweep, it_goes_on_behind_a_slab_that_went)
{
    begin(MOST);
    for (size_t slab = 0; slab < MOST; slab++)
        thin(slab, 15, 8);
    mole_sweep_step(cache, OLD);
    require(cache->sweep.next == span_of(blocks[5][SLAB - 1]), "another one is next");
    thin(5, 16, 0);
    require(cache->sweep.next == span_of(blocks[6][SLAB - 1]),
            "a slab that went is next");
    thin(4, 16, 0);
    thin(7, 16, 0);
    require(sweep(OLD) == (MOST - 7) * 15, "others were left out");
}

Test(sweep, the_end_of_the_newest_slab_ends_the_class)
{
    begin(6);
    for (size_t slab = 0; slab < 6; slab++)
        thin(slab, 15, 8);
    mole_sweep_step(cache, OLD);
    require(cache->sweep.next == cache->partial[class_of_them], "another one is next");
    for (size_t i = 0; i < SLAB; i++) /* the newest one is current now */
        (void)take(heap, 0, BYTES);
    require(!cache->sweep.next && sweep(OLD) == 0, "it is still next");
}

Test(sweep, goes_on_when_slabs_become_partial)
{
    begin(MOST);
    for (size_t slab = 0; slab < 4; slab++)
        thin(slab, 15, 8);
    for (size_t slab = 0; slab < 4; slab++) /* whatever the time is */
        span_of(blocks[slab][SLAB - 1])->listed =
            (uint16_t)(mole_clock_ms() / MOLE_PASS_MS - 1000);
    cache->sweep.wait = MOLE_SWEEP_EVERY;
    for (size_t slab = 4; slab < 3 + MOLE_SWEEP_EVERY; slab++)
        thin(slab, 15, 8);
    require(!span_of(blocks[0][SLAB - 1])->purged, "there was a step too early");
    thin(3 + MOLE_SWEEP_EVERY, 15, 8);
    for (size_t slab = 0; slab < 4; slab++)
        require(span_of(blocks[slab][SLAB - 1])->purged == 0x7fff, "slab %zu has holes",
                slab);
    require(cache->sweep.wait == MOLE_SWEEP_EVERY, "the next one comes at another time");
}

Test(sweep, goes_on_when_slabs_are_made)
{
    begin(1);
    thin(0, 15, 8);
    struct mole_span *span = span_of(blocks[0][SLAB - 1]);
    span->listed = (uint16_t)(mole_clock_ms() / MOLE_PASS_MS - 1000);
    cache->sweep.wait = MOLE_SWEEP_EVERY;
    for (unsigned class = 30; class < 30 + MOLE_SWEEP_EVERY - 1; class += 1)
        (void)take(heap, 0, mole_size_class_bytes(class));
    require(!span->purged, "there was a step too early");
    (void)take(heap, 0, mole_size_class_bytes(30 + MOLE_SWEEP_EVERY - 1));
    require(span->purged == 0x7fff, "there was none");
}

Test(sweep, heap_compact_leaves_no_holes)
{
    begin(2);
    thin(0, 15, 1);
    thin(1, 7, 8);
    uint64_t before = mole_holes_purged();
    require(HeapCompact(heap, 0) > 0, "HeapCompact failed");
    require(mole_holes_purged() - before == 15 + 7, "there are holes");
    require_live(0);
    require_live(1);
}

Test(sweep, malloc_trim_leaves_no_holes)
{
    stop_passes();
    char *block[4 * SLAB];
    for (size_t i = 0; i < 4 * SLAB; i++)
        require((block[i] = MALLOC_NAME(malloc)(BYTES)) != NULL, "no memory");
    (void)MALLOC_NAME(malloc_trim)(0);
    for (size_t i = 0; i < 4 * SLAB; i++)
        if (i % (3 * A_PAGE))
            MALLOC_NAME(free)(block[i]);
    uint64_t before = mole_holes_purged();
    require(MALLOC_NAME(malloc_trim)(0) == 1, "there was nothing to give back");
    require(mole_holes_purged() - before >= SLAB / A_PAGE, "there are holes");
}

/* Leave a sweep that is to go on in a slab of this life's. */
static void leave_a_sweep(void)
{
    begin(MOST);
    for (size_t slab = 0; slab < MOST; slab++)
        thin(slab, 15, 8);
    mole_sweep_step(cache, OLD);
    require(cache->sweep.next != NULL, "there is no sweep under way");
}

Test(sweep, ends_with_its_heap)
{
    leave_a_sweep();
    destroy_heap(heap);
    heap = create_heap(0);
    require(mole_thread_cache(inside(heap)) == cache, "the cache was not kept");
    require(!cache->sweep.next && cache->sweep.class == MOLE_SLAB_CLASSES,
            "the sweep goes on in the next heap");
}

Test(sweep, ends_with_its_cache)
{
    leave_a_sweep();
    destroy_heap(heap);
    (void)mole_spare_release(true);
    heap = create_heap(0);
    struct mole_tcache *next = mole_thread_cache(inside(heap));
    require(next == cache, "the record was not used again");
    require(!cache->sweep.next && cache->sweep.class == MOLE_SLAB_CLASSES,
            "the sweep goes on in the next heap");
}

/* In a fork's child, of a thread that it does not have. */
Test(sweep, ends_when_its_cache_is_rebuilt)
{
    leave_a_sweep();
    cache->is_torn = true;
    mole_rebuild_torn(inside(heap), mole_thread_slots());
    require(!cache->sweep.next && cache->sweep.class == MOLE_SLAB_CLASSES,
            "the sweep goes on in lists that were made anew");
    for (size_t slab = 0; slab < MOST; slab++)
        require_live(slab);
}
