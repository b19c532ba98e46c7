/* SPDX-License-Identifier: MIT */
#include "tcache/order.h"

#include "arena/link.h"
#include "tcache/slab.h"
#include "unit.h"

enum { CLASS_64 = 3, BLOCKS = 1024, DRAINED = BLOCKS / 2 };

static HANDLE heap;
static struct mole_tcache *cache;
static void *blocks[BLOCKS];

/* All blocks of a slab of 16 pages. */
static void begin(void)
{
    stop_passes();
    heap = create_heap(0);
    cache = mole_thread_cache(inside(heap));
    outgrow_mixed(cache);
    mole_growth_set(&cache->growth, CLASS_64, UINT8_MAX);
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = take(heap, 0, 64);
    struct mole_span *span = span_of(blocks[0]);
    require(span->capacity == BLOCKS && span_of(blocks[BLOCKS - 1]) == span,
            "it has %u blocks", span->capacity);
}

/* Free it as a thread would that has no cache in the heap. */
static void free_from_outside(const void *block)
{
    struct mole_span *span = span_of(block);
    size_t index;
    require(mole_span_index(span, block, &index), "no index");
    require(mole_tcache_free_remote(NULL, span, index), "it is not live");
}

/*
 * A slab of 16 pages with a free block gets 512 blocks back one by one, every `step`th of
 * them, and is drained. Returns the first of its list, behind which `*end` is.
 */
static uint32_t drain_many(size_t step, uint32_t *end)
{
    begin();
    struct mole_span *span = span_of(blocks[0]);
    give_back(heap, blocks[BLOCKS - 1]);
    *end = span->free;
    for (size_t i = 0; i < DRAINED; i++) {
        size_t at = i * step % DRAINED; /* each one once: the step is odd */
        free_from_outside(blocks[at]);
    }
    store_rlx(&cache->owner.woken_a, NULL);
    mole_slab_drain(cache, NULL, span, true);
    return span->free;
}

Test(order, blocks_that_come_back_are_put_in_the_order_of_the_table)
{
    uint32_t end, last = drain_many(37, &end);
    struct mole_span *span = span_of(blocks[0]);
    for (size_t i = 1; i < DRAINED; i++) {
        uint32_t index = mole_link_get(span, last);
        require(index != MOLE_END && index > last, "%u comes after %u", index, last);
        last = index;
    }
    require(mole_link_get(span, last) == end, "what was free is not behind them");
}

Test(order, blocks_that_nearly_are_stay_as_they_came)
{
    uint32_t end, last = drain_many(3, &end);
    struct mole_span *span = span_of(blocks[0]);
    for (size_t i = 1; i < DRAINED; i++) {
        uint32_t index = mole_link_get(span, last);
        require((index + 3) % DRAINED == last, "%u comes after %u", index, last);
        last = index;
    }
    require(mole_link_get(span, last) == end, "what was free is not behind them");
}
