/* SPDX-License-Identifier: MIT */
/*
 * Slabs of hardened heaps from inside: their links are coded, and looked at when they are
 * followed.
 */
#include "unit.h"

#include "arena/audit.h"
#include "arena/link.h"
#include "tcache/hardened.h"

enum { BYTES = 100 };

/* A slab of a new hardened heap, with a block in use. */
static struct mole_span *slab_of_hardened(HANDLE *heap)
{
    *heap = create_heap(HEAP_CREATE_HARDENED);
    return span_of(take(*heap, 0, BYTES));
}

static size_t count_free(const struct mole_span *span)
{
    size_t count = 0;

    for (size_t index = span->free; index != MOLE_END;
         index = mole_link_get(span, index)) {
        require(index < span->fresh && count < span->capacity, "the list is no list");
        count++;
    }
    return count;
}

Test(hardened, a_new_slab_has_all_its_slots_in_one_list)
{
    HANDLE heap;

    for (size_t turn = 0; turn < 20; turn++) {
        struct mole_span *span = slab_of_hardened(&heap);
        require(span->link_key != 0, "links have no key");
        require(span->fresh == span->capacity, "not all slots are carved");
        require(count_free(span) + 1 == span->capacity, "%zu of %u are free",
                count_free(span), span->capacity);
        mole_span_check(span);
    }
}

/* Read as they are, the entries are no list. */
Test(hardened, links_are_not_what_they_look_like)
{
    HANDLE heap;
    struct mole_span *span = slab_of_hardened(&heap);
    size_t wrong = 0;

    for (size_t index = span->free; index != MOLE_END;
         index = mole_link_get(span, index)) {
        uint16_t entry = load_rlx(&span->entry_a[index]);
        require(!mole_span_entry_is_live(entry), "a free entry looks live");
        wrong += entry != mole_link_get(span, index);
    }
    require(wrong == (size_t)span->capacity - 1, "%zu links are coded", wrong);
}

Test(hardened, keys_differ)
{
    HANDLE heap;
    uint16_t keys[8];
    size_t same = 0;

    for (size_t i = 0; i < LENGTH(keys); i++) {
        keys[i] = slab_of_hardened(&heap)->link_key;
        same += keys[i] == keys[0];
    }
    require(same < LENGTH(keys), "all slabs have one key");
    require(span_of(take(create_heap(0), 0, BYTES))->link_key == 0,
            "a plain heap's slab has a key");
}

static void drain_list(HANDLE heap, const struct mole_span *span)
{
    for (size_t i = 0; i <= span->capacity; i++)
        (void)!HeapAlloc(heap, 0, BYTES);
}

Test(hardened, an_overwritten_link_dies, .signal = SIGABRT)
{
    HANDLE heap;
    struct mole_span *span = slab_of_hardened(&heap);

    store_rlx(&span->entry_a[mole_link_get(span, span->free)], 0);
    drain_list(heap, span);
}

Test(hardened, a_link_back_to_itself_dies, .signal = SIGABRT)
{
    HANDLE heap;
    struct mole_span *span = slab_of_hardened(&heap);

    mole_link_set(span, span->free, span->free);
    drain_list(heap, span);
}

Test(hardened, a_link_to_a_live_block_dies, .signal = SIGABRT)
{
    HANDLE heap;
    struct mole_span *span = slab_of_hardened(&heap);
    size_t live = 0;

    while (!mole_span_entry_is_live(load_rlx(&span->entry_a[live])))
        live++;
    mole_link_set(span, span->free, (uint32_t)live);
    drain_list(heap, span);
}

Test(hardened, validation_finds_an_overwritten_link)
{
    HANDLE heap;
    struct mole_span *span = slab_of_hardened(&heap);
    size_t index = mole_link_get(span, span->free);
    uint16_t was = load_rlx(&span->entry_a[index]);

    store_rlx(&span->entry_a[index], (uint16_t)(was ^ 0x4000));
    require(!HeapValidate(heap, 0, NULL), "the heap is valid");
    store_rlx(&span->entry_a[index], was);
    require(HeapValidate(heap, 0, NULL), "the heap is not valid again");
}

static const char *free_some(struct worker *worker)
{
    void **blocks = worker->shared;

    for (size_t i = 1; blocks[i] != NULL; i++)
        if (!HeapFree(blocks[0], 0, blocks[i]))
            return "HeapFree refused a live block";
    return NULL;
}

/* They come back through the inbox, whose lists are coded as well. */
Test(hardened, blocks_that_others_freed_are_found_again)
{
    HANDLE heap;
    struct mole_span *span = slab_of_hardened(&heap);
    void *blocks[20] = {heap};

    for (size_t i = 1; i < 19; i++)
        blocks[i] = take(heap, 0, BYTES);
    size_t before = count_free(span);
    run_workers(1, free_some, blocks);
    require(HeapValidate(heap, 0, NULL), "the heap is not valid");
    require(mole_inbox_count(load_rlx(&span->inbox_a)) == 18, "not in the inbox");
    for (size_t i = 0; i < before + 18; i++)
        require(span_of(take(heap, 0, BYTES)) == span, "another slab was made");
}

Test(hardened, a_rebuilt_slab_has_the_same_key_and_a_good_list)
{
    HANDLE heap;
    struct mole_span *span = slab_of_hardened(&heap);
    size_t before = count_free(span);

    mole_span_rebuild(span);
    mole_span_check(span);
    require(count_free(span) == before, "%zu are free, not %zu", count_free(span),
            before);
    require(HeapValidate(heap, 0, NULL), "the heap is not valid");
}
