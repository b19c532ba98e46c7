/* SPDX-License-Identifier: MIT */
#include "arena/large.h"

#include "arena/region.h"
#include "arena/warmth.h"
#include "unit.h"

enum { KIB = 1 << 10 };

static struct mole_heap *heap;

static void begin(void)
{
    stop_passes();
    heap = inside(create_heap(0));
}

static char *alloc(size_t bytes, size_t align, bool zero)
{
    char *block = mole_large_alloc(heap, NULL, bytes, align, zero);
    require(block != NULL, "no block of %zu bytes at %zu", bytes, align);
    return block;
}

static size_t runs(void)
{
    size_t count = 0;
    for (struct mole_run *run = heap->arena.runs; run; run = run->next)
        count++;
    return count;
}

Test(large, a_block_has_its_size_and_a_span_of_its_own)
{
    begin();
    char *block = alloc(100000, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    require(span->kind == MOLE_SPAN_LARGE && span->heap == heap, "no large span");
    require(mole_span_bytes(span, block) == 100000, "it has %zu bytes",
            mole_span_bytes(span, block));
    require(span->room >= 100000, "it has room for %zu bytes", span->room);
    memset(block, 1, span->room);
}

Test(large, no_other_address_is_the_block)
{
    begin();
    char *block = alloc(200000, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    require(mole_span_bytes(span, block + 16) == MOLE_LARGE_FREE, "an interior address");
    for (size_t offset = MOLE_PAGE; offset < 200000; offset += MOLE_PAGE)
        require(!is_mapped(block + offset), "the page at %zu is in the map", offset);
}

Test(large, every_alignment_up_to_16_mib_is_kept)
{
    begin();
    for (size_t align = MOLE_ALIGN; align <= (size_t)16 * MIB; align *= 2)
        for (size_t bytes = 1; bytes <= (size_t)4 * MIB; bytes = bytes * 5 + 3) {
            char *block = alloc(bytes, align, false);
            struct mole_span *span = span_of(block);
            require((uintptr_t)block % align == 0, "%p is not aligned to %zu",
                    (void *)block, align);
            require(span->room >= bytes, "room for %zu of %zu bytes", span->room, bytes);
            block[0] = block[bytes - 1] = 1;
            mole_large_free(heap, NULL, span);
        }
}

Test(large, a_zeroed_block_is_zero_also_when_its_memory_was_used)
{
    begin();
    for (size_t bytes = 40000; bytes < (size_t)2 * MIB; bytes *= 3) {
        char *dirty = alloc(bytes, MOLE_ALIGN, false);
        memset(dirty, 0xDD, bytes);
        mole_large_free(heap, NULL, span_of(dirty));
        require(is_all(alloc(bytes, MOLE_ALIGN, true), bytes, 0),
                "%zu bytes are not zero", bytes);
    }
}

Test(large, free_takes_it_off_the_map_and_the_heap)
{
    begin();
    size_t before = runs();
    char *block = alloc(300000, MOLE_ALIGN, false);
    require(runs() == before + 1, "the heap has %zu runs", runs());
    mole_large_free(heap, NULL, span_of(block));
    require(!is_mapped(block), "it is in the map");
    require(runs() == before, "the heap has %zu runs", runs());
}

Test(large, resize_within_its_room_keeps_contents_and_address)
{
    begin();
    char *block = alloc(100000, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    stamp(block, 100000, 1);
    mole_large_resize(span, span->room);
    require(mole_span_bytes(span, block) == span->room, "it did not grow");
    require(stamp_is_intact(block, 100000, 1), "its contents changed");
    mole_large_resize(span, 50000);
    require(mole_span_bytes(span, block) == 50000, "it did not shrink");
    require(stamp_is_intact(block, 50000, 1), "its contents changed");
}

Test(large, resize_gives_the_pages_behind_a_much_smaller_block_back)
{
    begin();
    size_t bytes = (size_t)4 * MIB, kept = 100 * KIB;
    char *block = alloc(bytes, MOLE_ALIGN, false);
    memset(block, 0xDD, bytes);
    mole_large_resize(span_of(block), kept);
    size_t end = mole_round_up(kept, MOLE_CHUNK);
    require(is_all(block, kept, 0xDD), "what it keeps changed");
    require(is_all(block + end, bytes - end, 0), "the pages behind it were kept");
}

Test(large, resize_by_little_keeps_the_pages)
{
    begin();
    char *block = alloc((size_t)1000 * KIB, MOLE_ALIGN, false);
    memset(block, 0xDD, (size_t)1000 * KIB);
    mole_large_resize(span_of(block), (size_t)900 * KIB);
    require(is_all(block, (size_t)1000 * KIB, 0xDD), "pages were given back");
}

static char *grow(struct mole_span *span, size_t bytes)
{
    struct mole_run *old = mole_large_grow(heap, NULL, span, bytes);
    if (!old)
        return NULL;
    mole_arena_give(&heap->arena, NULL, old);
    return span->base;
}

static void grow_from(size_t bytes)
{
    char *block = alloc(bytes, MOLE_ALIGN, false);
    stamp(block, bytes, bytes);
    size_t before = runs();
    while (bytes < (size_t)32 * MIB) {
        struct mole_span *span = span_of(block);
        size_t more = span->room + 1 + bytes / 3;
        char *grown = grow(span, more);
        require(grown != NULL, "%zu bytes did not grow to %zu", bytes, more);
        require(span_of(grown) == span && mole_span_bytes(span, grown) == more,
                "it has %zu bytes, not %zu", mole_span_bytes(span, grown), more);
        require(grown == block || !is_mapped(block), "the old address is in the map");
        require(stamp_is_intact(grown, bytes, bytes), "%zu bytes changed", bytes);
        stamp(grown, more, more);
        block = grown;
        bytes = more;
    }
    require(runs() == before, "growing left %zu runs, not %zu", runs(), before);
}

Test(large, growing_by_copies_keeps_the_contents)
{
    begin();
    grow_from(40000);
}

Test(large, growing_by_moving_pages_keeps_the_contents)
{
    begin();
    grow_from((size_t)1 * MIB + 12345);
}

/*
 * A copy would leave the old pages full; the kernel puts empty ones in the place of moved
 * ones.
 */
Test(large, growth_takes_the_very_pages_along)
{
    begin();
    if (!kernel_moves_pages())
        cr_skip_test("this kernel cannot move pages and keep the range");
    for (size_t bytes = (size_t)512 * KIB; bytes <= (size_t)32 * MIB; bytes *= 4) {
        char *old = alloc(bytes, MOLE_ALIGN, false);
        stamp(old, bytes, bytes);
        struct mole_span *span = span_of(old);
        char *grown = grow(span, bytes * 2);
        require(grown != NULL && grown != old, "%zu bytes did not move", bytes);
        require(stamp_is_intact(grown, bytes, bytes), "%zu bytes changed", bytes);
        require(is_all(old, bytes, 0), "%zu bytes were copied, not moved", bytes);
        require(mole_span_run(span)->seam * (size_t)MOLE_PAGE == bytes,
                "the seam is at page %u", mole_span_run(span)->seam);
    }
}

Test(large, growth_that_cannot_be_leaves_the_block)
{
    begin();
    char *block = alloc(100000, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    stamp(block, 100000, 1);
    require(!mole_large_grow(heap, NULL, span, SIZE_MAX), "SIZE_MAX bytes were there");
    require(!mole_large_grow(heap, NULL, span, (size_t)1 << 50), "2^50 bytes were there");
    require(mole_span_bytes(span, block) == 100000 && stamp_is_intact(block, 100000, 1),
            "the block changed");
}

Test(large, absurd_sizes_are_refused)
{
    begin();
    size_t before = runs();
    const size_t absurd[] = {SIZE_MAX, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
                             SIZE_MAX - MOLE_CHUNK, (size_t)1 << 50};
    for (size_t i = 0; i < LENGTH(absurd); i++)
        for (size_t align = MOLE_ALIGN; align <= (size_t)1 << 40; align <<= 12)
            require(!mole_large_alloc(heap, NULL, absurd[i], align, false),
                    "%zu bytes were there", absurd[i]);
    require(runs() == before, "the heap has %zu runs", runs());
}

Test(large, an_aligned_block_of_no_bytes_lies_in_its_run)
{
    begin();
    for (size_t align = MOLE_CHUNK; align <= (size_t)16 * MIB; align *= 2)
        for (int turn = 0; turn < 8; turn++) {
            char *block = alloc(0, align, false);
            const struct mole_run *run = mole_span_run(span_of(block));
            require(block < run->base + (size_t)run->chunks * MOLE_CHUNK,
                    "aligned to %zu, it begins where its run ends", align);
            if (turn % 3) /* let runs begin at odd chunks and at even ones */
                (void)alloc(1, MOLE_ALIGN, false);
        }
}

Test(large, a_block_of_no_bytes_has_an_address)
{
    begin();
    char *block = alloc(0, (size_t)1 * MIB, false);
    require(mole_span_bytes(span_of(block), block) == 0, "it has bytes");
}

Test(large, what_grows_by_little_has_room_for_half_as_much_again)
{
    begin();
    char *block = alloc((size_t)4 * MIB, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    size_t more = span->room + 1;
    require(grow(span, more) != NULL, "it did not grow");
    require(span->room >= (size_t)6 * MIB, "room for %zu bytes", span->room);
    require(mole_span_bytes(span, span->base) == more, "it has %zu bytes",
            mole_span_bytes(span, span->base));
}

Test(large, who_grows_gets_as_much_as_there_is)
{
    begin();
    char *block = alloc((size_t)4 * MIB, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    size_t chunks = (size_t)5 * MIB / MOLE_CHUNK;
    mole_region_shrink(chunks);
    require(grow(span, (size_t)5 * MIB) != NULL, "it did not grow, with %zu chunks left",
            chunks);
}

Test(large, a_run_whose_pages_were_moved_away_is_empty)
{
    begin();
    size_t bytes = (size_t)3 * MIB;
    char *block = alloc(bytes, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    memset(block, 0xDD, span->room);
    mole_large_resize(span, bytes - MOLE_CHUNK); /* the last chunk holds dirt */
    struct mole_run *old = mole_large_grow(heap, NULL, span, span->room + 1);
    require(old != NULL, "it did not grow");
    require(is_all(span->base, bytes - MOLE_CHUNK, 0xDD), "it lost something");
    require(is_all(old->base, bytes, 0), "something was left behind");
    mole_arena_give(&heap->arena, NULL, old);
    struct mole_run *again = mole_pool_take(NULL, old->chunks);
    require(again == old && old->is_zero, "it is not with the cold ones");
}

Test(large, into_a_warm_run_the_block_is_copied)
{
    begin();
    mole_warmth_missed(1000);
    size_t bytes = (size_t)3 * MIB;
    char *warm = alloc((size_t)6 * MIB, MOLE_ALIGN, false);
    char *block = alloc(bytes, MOLE_ALIGN, false);
    struct mole_span *span = span_of(block);
    memset(warm, 0xEE, (size_t)6 * MIB);
    stamp(block, bytes, 1);
    mole_large_free(heap, NULL, span_of(warm));
    struct mole_run *old = mole_large_grow(heap, NULL, span, (size_t)6 * MIB);
    require(old && span->base == warm, "not into the warm run");
    require(stamp_is_intact(warm, bytes, 1), "its contents are gone");
    require(warm[6 * MIB - 1] == (char)0xEE, "the warm pages are gone");
    require(stamp_is_intact(old->base, bytes, 1) && old->is_zero != MOLE_RUN_EMPTIED,
            "its own pages are gone, or said to be");
}
