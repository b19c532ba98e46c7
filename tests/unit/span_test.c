/* SPDX-License-Identifier: MIT */
#include "arena/span.h"

#include "arena/exact.h"
#include "unit.h"

enum { CLASS_64 = 3, CLASS_20480 = 65 };

static char *block_at(const struct mole_span *span, size_t index)
{
    return span->base + index * span->block_bytes;
}

/* Take all that was carved, with the mark of a full-sized block. */
static size_t take_all(struct mole_span *span)
{
    size_t count = 0;
    uint32_t mark = mole_exact_mark(span->class, span->block_bytes);
    for (void *block; mole_tcache_pop(span, mark, &block);)
        count++;
    return count;
}

static size_t free_count(const struct mole_span *span)
{
    size_t count = 0;
    for (uint32_t index = span->free; index != MOLE_END; count++) {
        require(count < span->capacity, "the free list has no end");
        index = load_rlx(&span->entry_a[index]);
    }
    return count;
}

Test(span, a_new_slab_has_no_free_block_and_no_live_one)
{
    struct mole_span *span = slab_of(CLASS_64, 4);
    mole_span_check(span);
    require(span->free == MOLE_END, "something is on the free list");
    require(mole_span_live_count(span) == 0, "%zu blocks are live",
            mole_span_live_count(span));
    require(mole_span_map_find(span->base + 4 * MOLE_PAGE - 1) == span,
            "its last byte is not in the map");
}

Test(span, carve_puts_a_page_of_blocks_on_the_list)
{
    struct mole_span *span = slab_of(CLASS_64, 4);
    require(mole_span_carve(span), "nothing was carved");
    require(free_count(span) == MOLE_PAGE / 64, "%zu blocks were carved",
            free_count(span));
    mole_span_check(span);
}

Test(span, carve_gives_every_block_once_and_then_no_more)
{
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1) {
        struct mole_span *span = slab_of(class, pages_for(class));
        size_t count = 0;
        while (mole_span_carve(span)) {
            mole_span_check(span);
            count += take_all(span);
        }
        require(count == span->capacity && mole_span_live_count(span) == count,
                "%zu of %u blocks of class %u were carved, %zu are live", count,
                span->capacity, class, mole_span_live_count(span));
        mole_span_check(span);
    }
}

Test(span, carve_gives_eight_large_blocks_at_once)
{
    struct mole_span *span = slab_of(CLASS_20480, 2 * pages_for(CLASS_20480));
    require(mole_span_carve(span) && free_count(span) == 8,
            "%zu blocks of 20480 bytes were carved at once", free_count(span));
}

Test(span, capacity_is_what_fits_the_pages)
{
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1)
        for (uint32_t pages = pages_for(class); pages <= 16; pages *= 2) {
            size_t capacity = mole_span_capacity(pages, class);
            size_t bytes = mole_size_class_bytes(class);
            require(capacity * bytes <= pages * (size_t)MOLE_PAGE &&
                        (capacity + 1) * bytes > pages * (size_t)MOLE_PAGE,
                    "%zu blocks of class %u in %u pages", capacity, class, pages);
            require(capacity <= MOLE_MOST_BLOCKS, "%zu blocks of class %u", capacity,
                    class);
        }
}

Test(span, index_knows_each_block_and_refuses_every_interior_byte)
{
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1) {
        struct mole_span *span = slab_of(class, pages_for(class));
        size_t end = (size_t)span->pages * MOLE_PAGE;
        for (size_t offset = 0; offset < end; offset++) {
            size_t index = 0;
            bool is_start = mole_span_index(span, span->base + offset, &index);
            require(is_start == (offset % span->block_bytes == 0),
                    "class %u: offset %zu is %s block's start", class, offset,
                    is_start ? "a" : "no");
            require(!is_start || index == offset / span->block_bytes,
                    "class %u: offset %zu has index %zu", class, offset, index);
        }
    }
}

Test(span, bytes_are_the_requested_size_of_a_live_block)
{
    struct mole_span *span = slab_of(CLASS_64, 1);
    require(mole_span_carve(span), "nothing was carved");
    for (size_t bytes = 49; bytes <= 64; bytes++) {
        void *block;
        require(mole_tcache_pop(span, mole_span_mark(bytes), &block), "no block");
        require(mole_span_bytes(span, block) == bytes, "a block of %zu bytes has %zu",
                bytes, mole_span_bytes(span, block));
    }
}

Test(span, a_block_of_no_bytes_is_live)
{
    struct mole_span *span = slab_of(0, 1);
    void *block;
    require(mole_span_carve(span) && mole_tcache_pop(span, mole_span_mark(0), &block),
            "no block");
    require(mole_span_bytes(span, block) == 0, "it has %zu bytes",
            mole_span_bytes(span, block));
    require(mole_span_live_count(span) == 1, "%zu blocks are live",
            mole_span_live_count(span));
}

Test(span, every_size_of_every_class_is_kept)
{
    static const unsigned classes[] = {0, CLASS_64, MOLE_CLASS_LAST - 1, MOLE_CLASS_LAST};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        unsigned class = classes[i];
        struct mole_span *span = slab_of(class, pages_for(class));
        void *block;
        size_t index;
        require(mole_span_carve(span) &&
                    mole_tcache_pop(span, mole_exact_mark(class, span->block_bytes),
                                    &block) &&
                    mole_span_index(span, block, &index),
                "no block");
        require(mole_span_bytes(span, block) == span->block_bytes,
                "a new one of class %u has %zu bytes", class,
                mole_span_bytes(span, block));
        for (size_t bytes = span->block_bytes; bytes-- > 0;) {
            mole_exact_set(span, index, bytes);
            require(mole_span_bytes(span, block) == bytes, "%zu bytes are called %zu",
                    bytes, mole_span_bytes(span, block));
        }
        mole_exact_set(span, index, 1);
        require(mole_span_bytes(span, block) == 1, "1 byte after none is called %zu",
                mole_span_bytes(span, block));
    }
}

Test(span, blocks_of_the_last_class_are_empty_each_for_itself)
{
    struct mole_span *span = slab_of(MOLE_CLASS_LAST, pages_for(MOLE_CLASS_LAST));
    require(mole_span_carve(span) && take_all(span) == 8, "there are not eight blocks");
    for (size_t index = 0; index < 8; index++)
        mole_exact_set(span, index, index & 1);
    for (size_t index = 0; index < 8; index++)
        require(mole_span_bytes(span, block_at(span, index)) == (index & 1),
                "block %zu has %zu bytes", index,
                mole_span_bytes(span, block_at(span, index)));
}

Test(span, bytes_refuse_free_never_used_and_interior_addresses)
{
    struct mole_span *span = slab_of(CLASS_64, 4);
    void *block, *other;
    require(mole_span_carve(span) && mole_tcache_pop(span, mole_span_mark(64), &block) &&
                mole_tcache_pop(span, mole_span_mark(64), &other),
            "no blocks");
    size_t index;
    require(mole_span_index(span, block, &index), "a block has no index");
    span->countdown = 100;
    require(mole_tcache_push(span, index), "the countdown ended");
    require(mole_span_bytes(span, block) == MOLE_LARGE_FREE, "a freed block is live");
    require(mole_span_bytes(span, block_at(span, 255)) == MOLE_LARGE_FREE,
            "a block never carved is live");
    for (int offset = 1; offset < 64; offset++)
        require(mole_span_bytes(span, (char *)other + offset) == MOLE_LARGE_FREE,
                "byte %d of a live block is a block", offset);
}

/* 4096 is no multiple of 48: what is left at the end belongs to no block. */
Test(span, bytes_refuse_what_lies_behind_the_last_block)
{
    struct mole_span *span = slab_of(2, 1);
    while (mole_span_carve(span))
        take_all(span);
    for (char *at = block_at(span, span->capacity); at < span->base + MOLE_PAGE; at++)
        require(mole_span_bytes(span, at) == MOLE_LARGE_FREE, "byte %zd is a block",
                at - span->base);
}

Test(span, nobodys_span_refuses_everything)
{
    char here = 0;
    require(mole_span_bytes(&mole_span_nobody, &here) == MOLE_LARGE_FREE, "a block");
    require(mole_span_bytes(&mole_span_nobody, NULL) == MOLE_LARGE_FREE, "a block at 0");
}

Test(span, rebuild_lists_all_that_is_not_live_after_any_mix)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct mole_span *span = slab_of(CLASS_64, 4);
        uint64_t state = seed;
        bool is_live[256] = {false};
        for (int i = 0; i < 600; i++) {
            size_t index = (size_t)((state = stamp_word(state, 1)) >> 33) % 256;
            void *block;
            if (is_live[index]) {
                /* Freed by anybody: its entry links to whatever list it is in. */
                store_rlx(&span->entry_a[index], (uint16_t)((state >> 20) & 0x7fff));
                is_live[index] = false;
            } else if (mole_tcache_pop(span, mole_span_mark(60), &block) ||
                       (mole_span_carve(span) &&
                        mole_tcache_pop(span, mole_span_mark(60), &block))) {
                is_live[(size_t)((char *)block - span->base) / 64] = true;
            }
        }
        size_t live = mole_span_live_count(span);
        mole_span_rebuild(span);
        mole_span_check(span);
        require(mole_span_live_count(span) == live, "live blocks were %zu, are %zu", live,
                mole_span_live_count(span));
        require(free_count(span) + live == span->fresh,
                "%zu free, %zu live, %u ever carved", free_count(span), live,
                span->fresh);
        require(mole_inbox_is_quiet(span), "the inbox is not empty");
    }
}

Test(span, a_slab_made_of_a_used_record_forgets_what_it_was)
{
    struct mole_span *span = slab_of(CLASS_64, 1);
    require(mole_span_carve(span), "nothing was carved");
    take_all(span);
    struct mole_run *run = mole_span_run(span);
    char *base = span->base;
    struct mole_owner *owner = span->owner;
    span->dirty = 1;
    mole_span_unmap(span);
    mole_span_map_slab(span, base, 1, CLASS_64, owner, run);
    require(mole_span_live_count(span) == 0, "%zu blocks are live",
            mole_span_live_count(span));
    mole_span_check(span);
}

Test(span, unmap_takes_all_its_pages_out_of_the_map)
{
    struct mole_span *span = slab_of(CLASS_64, 4);
    char *base = span->base;
    mole_span_unmap(span);
    for (size_t page = 0; page < 4; page++)
        require(!is_mapped(base + page * MOLE_PAGE), "page %zu is in the map", page);
    require(span->owner == &mole_owner_nobody && span->kind == MOLE_SPAN_NONE,
            "the record still says it is a slab");
}

/* As after HeapDestroy with live blocks: the record serves 16 blocks, then 2, then 16. */
Test(span, a_record_of_a_destroyed_heaps_slab_has_no_live_block)
{
    const unsigned large = mole_size_class_of(8192), small = mole_size_class_of(4096);
    struct mole_span *span = slab_of(small, 16);
    struct mole_owner *owner = span->owner;
    struct mole_run *run = mole_span_run(span);
    while (mole_span_carve(span))
        take_all(span);
    require(mole_span_live_count(span) == 16, "%zu blocks", mole_span_live_count(span));
    span->dirty = 1;
    mole_span_unmap(span);
    mole_span_map_slab(span, run->base, 4, large, owner, run);
    mole_span_unmap(span);
    mole_span_map_slab(span, run->base, 16, small, owner, run);
    require(mole_span_live_count(span) == 0, "%zu blocks are live before any was carved",
            mole_span_live_count(span));
    mole_span_unmap(span);
}

Test(span, check_finds_a_live_block_on_the_free_list, .signal = SIGABRT)
{
    struct mole_span *span = slab_of(CLASS_64, 1);
    (void)!mole_span_carve(span);
    store_rlx(&span->entry_a[5], (uint16_t)MOLE_LIVE);
    mole_span_check(span);
}

Test(span, check_finds_a_free_list_that_goes_round, .signal = SIGABRT)
{
    struct mole_span *span = slab_of(CLASS_64, 1);
    (void)!mole_span_carve(span);
    store_rlx(&span->entry_a[9], 3);
    mole_span_check(span);
}

Test(span, check_finds_a_free_block_that_was_never_carved, .signal = SIGABRT)
{
    struct mole_span *span = slab_of(CLASS_64, 4);
    (void)!mole_span_carve(span);
    store_rlx(&span->entry_a[9], 200);
    mole_span_check(span);
}
