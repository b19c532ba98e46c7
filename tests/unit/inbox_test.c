/* SPDX-License-Identifier: MIT */
#include "arena/inbox.h"

#include "arena/head.h"
#include "unit.h"

enum { CLASS_64 = 3 };

/* A slab whose blocks are all carved and live, and its blocks' indices to push. */
static struct mole_span *full_slab(uint32_t pages)
{
    struct mole_span *span = slab_of(CLASS_64, pages);
    void *block;
    while (mole_span_carve(span))
        while (mole_tcache_pop(span, mole_span_mark(64), &block)) {
        }
    store_rlx(&span->owner->woken_a, NULL);
    store_rlx(&span->heap->returned_a, 0);
    return span;
}

static void push_one(struct mole_span *span, uint32_t index)
{
    store_rlx(&span->entry_a[index], MOLE_END);
    mole_inbox_push(span, index, index, 1);
}

static bool is_listed(struct mole_span *span)
{
    return load_rlx(&span->inbox_a) & MOLE_INBOX_LISTED;
}

/* The indices in a word that was taken, in order; their number must be the word's. */
static size_t unlink_all(const struct mole_span *span, uint32_t word, uint32_t *indices)
{
    size_t count = 0;
    for (uint32_t index = mole_inbox_first(word); index != MOLE_END;) {
        require(count < span->capacity, "the list has no end");
        indices[count++] = index;
        index = load_rlx(&span->entry_a[index]);
    }
    require(count == mole_inbox_count(word), "%zu blocks, but the count is %u", count,
            mole_inbox_count(word));
    return count;
}

Test(inbox, a_new_slab_is_quiet)
{
    struct mole_span *span = full_slab(1);
    require(mole_inbox_is_quiet(span), "it is not");
    require(mole_inbox_count(mole_inbox_take(span, false)) == 0,
            "there are blocks in it");
}

Test(inbox, take_returns_every_push_once_the_last_first)
{
    struct mole_span *span = full_slab(1);
    uint32_t found[64];
    for (uint32_t i = 0; i < 10; i++)
        push_one(span, i * 3);
    require(unlink_all(span, mole_inbox_take(span, false), found) == 10, "not ten");
    for (uint32_t i = 0; i < 10; i++)
        require(found[i] == (9 - i) * 3, "block %u is at place %u", found[i], i);
    require(mole_inbox_count(mole_inbox_take(span, false)) == 0, "a block came twice");
}

Test(inbox, a_list_is_pushed_at_once)
{
    struct mole_span *span = full_slab(1);
    uint32_t found[64];
    push_one(span, 9);
    store_rlx(&span->entry_a[5], 7);
    store_rlx(&span->entry_a[7], 2);
    store_rlx(&span->entry_a[2], MOLE_END);
    mole_inbox_push(span, 5, 2, 3);
    require(unlink_all(span, mole_inbox_take(span, false), found) == 4, "not four");
    const uint32_t expected[] = {5, 7, 2, 9};
    require(memcmp(found, expected, sizeof expected) == 0, "in another order");
}

Test(inbox, the_first_push_lists_the_slab_with_its_owner)
{
    struct mole_span *span = full_slab(1);
    push_one(span, 1);
    require(is_listed(span), "it is not marked as listed");
    require(load_rlx(&span->owner->woken_a) == span, "it is not in the owner's list");
    require(!span->woken_next, "the list goes on");
    require(!mole_inbox_is_quiet(span), "it is quiet");
}

Test(inbox, further_pushes_do_not_list_it_again)
{
    struct mole_span *span = full_slab(1);
    push_one(span, 1);
    store_rlx(&span->owner->woken_a, NULL);
    push_one(span, 2);
    require(!load_rlx(&span->owner->woken_a), "it was listed twice");
}

Test(inbox, slabs_are_listed_the_last_first)
{
    struct mole_span *a = full_slab(1), *b = full_slab(1), *c = full_slab(1);
    push_one(a, 0);
    push_one(b, 0);
    push_one(c, 0);
    push_one(a, 1);
    require(load_rlx(&a->owner->woken_a) == c && c->woken_next == b &&
                b->woken_next == a && !a->woken_next,
            "they are not");
}

Test(inbox, taking_blocks_leaves_the_slab_listed)
{
    struct mole_span *span = full_slab(1);
    push_one(span, 1);
    (void)mole_inbox_take(span, false);
    require(is_listed(span), "the mark is gone, but it is in the list");
    require(!mole_inbox_is_quiet(span), "it is quiet");
    store_rlx(&span->owner->woken_a, NULL);
    push_one(span, 2);
    require(!load_rlx(&span->owner->woken_a), "it was listed twice");
}

Test(inbox, unlisting_makes_it_quiet_and_it_can_be_listed_again)
{
    struct mole_span *span = full_slab(1);
    uint32_t found[64];
    push_one(span, 1);
    store_rlx(&span->owner->woken_a, NULL);
    require(unlink_all(span, mole_inbox_take(span, true), found) == 1, "not one block");
    require(mole_inbox_is_quiet(span), "it is not quiet");
    push_one(span, 2);
    require(load_rlx(&span->owner->woken_a) == span, "it was not listed again");
}

Test(inbox, unlisting_works_without_blocks)
{
    struct mole_span *span = full_slab(1);
    push_one(span, 1);
    (void)mole_inbox_take(span, false);
    require(mole_inbox_count(mole_inbox_take(span, true)) == 0, "there are blocks");
    require(mole_inbox_is_quiet(span), "it is not quiet");
}

Test(inbox, counts_as_many_blocks_as_a_slab_can_have)
{
    struct mole_span *span = slab_of(0, MOLE_CHUNK_PAGES);
    static uint32_t found[MOLE_MOST_BLOCKS];
    require(span->capacity == MOLE_MOST_BLOCKS, "a slab has %u", span->capacity);
    for (uint32_t i = 0; i < MOLE_MOST_BLOCKS; i++)
        push_one(span, i);
    require(unlink_all(span, mole_inbox_take(span, true), found) == MOLE_MOST_BLOCKS,
            "blocks are missing");
}

Test(inbox, the_last_block_of_a_run_counts_as_a_return)
{
    struct mole_span *span = full_slab(MOLE_CHUNK_PAGES);
    for (uint32_t i = 0; i + 1 < span->capacity; i++)
        push_one(span, i);
    require(load_rlx(&span->heap->returned_a) == 0,
            "a return came before the last block");
    push_one(span, (uint32_t)span->capacity - 1);
    require(load_rlx(&span->heap->returned_a) == 1, "no return was counted");
}

Test(inbox, a_slab_that_shares_its_run_counts_as_no_return)
{
    struct mole_span *span = full_slab(1);
    for (uint32_t i = 0; i < span->capacity; i++)
        push_one(span, i);
    require(load_rlx(&span->heap->returned_a) == 0, "a return was counted");
}

Test(inbox, taken_blocks_rebuild_the_slab)
{
    struct mole_span *span = full_slab(1);
    for (uint32_t i = 0; i < span->capacity; i++)
        push_one(span, i);
    mole_head_set(span, mole_inbox_first(mole_inbox_take(span, true)));
    mole_span_check(span);
    require(mole_span_live_count(span) == 0, "blocks are live");
}

enum { WORKERS = 4 };

/* Every fourth block of a slab of 4096. */
static const char *push_a_share(struct worker *worker)
{
    for (uint32_t i = (uint32_t)worker->index; i < MOLE_MOST_BLOCKS; i += WORKERS)
        push_one(worker->shared, i);
    return NULL;
}

Test(inbox, pushes_by_many_threads_are_all_there_once)
{
    struct mole_span *span = slab_of(0, MOLE_CHUNK_PAGES);
    static uint32_t found[MOLE_MOST_BLOCKS];
    static bool is_found[MOLE_MOST_BLOCKS];
    run_workers(WORKERS, push_a_share, span);
    require(unlink_all(span, mole_inbox_take(span, true), found) == MOLE_MOST_BLOCKS,
            "blocks are missing");
    for (size_t i = 0; i < MOLE_MOST_BLOCKS; i++) {
        require(!is_found[found[i]], "block %u is there twice", found[i]);
        is_found[found[i]] = true;
    }
    require(load_rlx(&span->owner->woken_a) == span && !span->woken_next,
            "it is not listed just once");
}
