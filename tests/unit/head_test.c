/* SPDX-License-Identifier: MIT */
#include "arena/head.h"

#include "arena/inbox.h"
#include "tcache/block.h"
#include "tcache/head.h"
#include "tcache/process.h"
#include "tcache/slab.h"
#include "unit.h"

enum { COUNT = 100 };

static void *blocks[COUNT];

/* Blocks of malloc's heap; their slab, whose head is followed from here on. */
static struct mole_span *begin(void)
{
    stop_passes();
    require(mole_process_start(), "molehill does not start");
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = mole_block_alloc(mole_process_malloc_heap(), 64, MOLE_ALIGN, 0);
        require(blocks[i] && (i == 0 || blocks[i] != blocks[i - 1]), "no new block");
        require(mole_head_is_right(span_of(blocks[i])), "not after block %zu", i);
    }
    return span_of(blocks[COUNT - 1]);
}

Test(head, is_the_block_that_was_freed_last)
{
    struct mole_span *span = begin();
    for (size_t i = COUNT; i-- > 0 && span_of(blocks[i]) == span;) {
        require(mole_block_free(span, blocks[i], 0), "block %zu is refused", i);
        require(span->head == blocks[i] && mole_head_is_right(span), "not block %zu", i);
    }
    void *block = mole_block_alloc(mole_process_malloc_heap(), 64, MOLE_ALIGN, 0);
    require(block && mole_head_is_right(span), "it did not move on");
}

static const char *free_first(struct worker *worker)
{
    struct mole_span *span = worker->shared;
    answer_unless(mole_block_free(span, span->base, 0), "the block is refused");
    return NULL;
}

Test(head, is_the_first_block_that_came_back)
{
    struct mole_span *span = begin();
    void *block;
    while (mole_head_pop(span, &block) || mole_span_carve(span)) {
    }
    run_workers(1, free_first, span);
    mole_slab_drain((struct mole_tcache *)(void *)span->owner, NULL, span, false);
    require(span->free == 0 && mole_head_is_right(span), "%u is free", span->free);
    require(mole_head_pop(span, &block) && block == span->base, "another came");
}

Test(head, is_the_first_free_block_after_a_rebuild)
{
    struct mole_span *span = begin();
    size_t index = 0;
    while (mole_span_entry_is_live(load_rlx(&span->entry_a[index])))
        index++;
    mole_span_rebuild(span);
    require(span->free == index && mole_head_is_right(span), "%u is free", span->free);
}

Test(head, leads_to_each_block_of_a_slab_once)
{
    struct mole_span *span = begin();
    void *block;
    do {
        mole_span_check(span);
        while (mole_head_pop(span, &block)) {
            mole_span_check(span);
        }
    } while (mole_span_carve(span));
    require(mole_span_live_count(span) == span->capacity, "%zu of %u blocks came",
            mole_span_live_count(span), span->capacity);
}

Test(head, does_not_begin_in_the_same_line_in_all_slabs)
{
    unsigned found[MOLE_PAGE / MOLE_CACHE_LINE] = {0};
    begin();
    for (size_t bytes = MOLE_ALIGN; bytes <= 256; bytes += MOLE_ALIGN) {
        void *block = mole_block_alloc(mole_process_malloc_heap(), bytes, MOLE_ALIGN, 0);
        require(block, "no block of %zu bytes", bytes);
        size_t line = (uintptr_t)block % MOLE_PAGE / MOLE_CACHE_LINE;
        require(++found[line] <= 8, "nine of 16 classes begin in line %zu", line);
    }
}

/* Large blocks are multiples of a page or nearly: their first ones share lines, too. */
Test(head, does_not_begin_with_the_first_block_in_all_slabs)
{
    size_t count = 0, first = 0;
    begin();
    for (unsigned class = mole_size_class_of(1025); class < MOLE_CLASS_COUNT;
         class += 1) {
        void *block = mole_block_alloc(mole_process_malloc_heap(),
                                       mole_size_class_bytes(class), MOLE_ALIGN, 0);
        require(block, "no block of class %u", class);
        first += block == span_of(block)->base;
        count++;
    }
    require(count >= 40 && first < count / 2, "%zu of %zu slabs begin with their first",
            first, count);
}
