/* SPDX-License-Identifier: MIT */
/* The core of fixed-size heaps, alone: extents, and the table that tells of them. */
#include "unit.h"

#include "arena/fixed_walk.h"

static struct mole_heap *heap_of_bytes(size_t maximum)
{
    require(mole_process_start(), "no start");
    struct mole_fixed_limits limits = {
        .maximum_bytes = maximum, .initial_bytes = MOLE_PAGE, .most_bytes = 1 << 20};
    struct mole_heap *heap = mole_heap_create_fixed(0, mole_thread_slots(), &limits);
    require(heap != NULL, "no heap of %zu bytes", maximum);
    return heap;
}

static void finish(struct mole_heap *heap)
{
    (void)mole_heap_kill(heap);
    mole_heap_finish(heap, mole_thread_slots());
}

/* A block of that many granules, marked live. */
static size_t take_live(struct mole_fixed *fixed, size_t granules)
{
    size_t granule = mole_fixed_take(fixed, granules);
    if (granule)
        store_rlx(&fixed->entry_a[granule],
                  MOLE_FIXED_LIVE | (uint32_t)(granules * MOLE_GRANULE));
    return granule;
}

static void require_right(const struct mole_fixed *fixed)
{
    require(mole_fixed_walk_is_right(fixed, true), "table and sets disagree");
}

Test(fixed, granules_of_sizes)
{
    require(mole_fixed_granules(0) == 1 && mole_fixed_granules(1) == 1 &&
                mole_fixed_granules(16) == 1 && mole_fixed_granules(17) == 2 &&
                mole_fixed_granules(1 << 20) == 1 << 16,
            "granules are miscounted");
}

/* Longer extents never have a lower class, and each class fits its windows. */
Test(fixed, classes_rise_with_length)
{
    unsigned last = 0;
    for (size_t length = 1; length < 100000; length++) {
        unsigned class = mole_fixed_class(length);
        require(class == last || class == last + 1 || length == 1, "class %u after %u",
                class, last);
        require(length >> mole_fixed_window_shift(class) == 1, "%zu: windows of 2^%u",
                length, mole_fixed_window_shift(class));
        last = class;
    }
    require(mole_fixed_class(MOLE_FIXED_LONGEST) == MOLE_FIXED_CLASSES - 1,
            "the longest extent's class is %u", mole_fixed_class(MOLE_FIXED_LONGEST));
}

Test(fixed, the_whole_can_be_taken_and_no_more)
{
    struct mole_heap *heap = heap_of_bytes(MIB);
    size_t all = heap->fixed->end - 1;
    require(all * MOLE_GRANULE == MIB - MOLE_FIXED_CHARGED, "%zu granules", all);
    require(!mole_fixed_take(heap->fixed, all + 1), "there is one more");
    size_t granule = take_live(heap->fixed, all);
    require(granule == 1, "all of it begins at %zu", granule);
    require(!mole_fixed_take(heap->fixed, 1), "there is one more");
    require_right(heap->fixed);
    mole_fixed_give(heap->fixed, granule, all);
    require_right(heap->fixed);
    finish(heap);
}

Test(fixed, neighbours_are_joined_in_every_order)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct mole_heap *heap = heap_of_bytes(MIB);
    struct mole_fixed *fixed = heap->fixed;
    size_t all = fixed->end - 1;
    for (size_t order = 0; order < LENGTH(orders); order++) {
        size_t length[3] = {1 + order, 2 * order + 1, 40};
        size_t at[3];
        for (size_t i = 0; i < 3; i++)
            at[i] = take_live(fixed, length[i]);
        for (size_t i = 0; i < 3; i++) {
            int n = orders[order][i];
            mole_fixed_give(fixed, at[n], length[n]);
            require_right(fixed);
        }
        size_t granule = take_live(fixed, all);
        require(granule == 1, "order %zu: not one piece", order);
        mole_fixed_give(fixed, granule, all);
    }
    finish(heap);
}

enum { MODEL = 4000 };

/* Which granules are whose: 0 is free. */
static uint32_t owner[MODEL];

static size_t longest_free(size_t end)
{
    size_t most = 0, run = 0;
    for (size_t i = 1; i < end; i++) {
        run = owner[i] ? 0 : run + 1;
        most = run > most ? run : most;
    }
    return most;
}

struct piece {
    size_t at, length;
};

static void own(size_t at, size_t length, uint32_t who)
{
    for (size_t i = at; i < at + length; i++) {
        require(!owner[i] || !who, "granule %zu has two owners", i);
        owner[i] = who;
    }
}

/* A request fails exactly when the model has no extent that long. */
static void take_piece(struct mole_fixed *fixed, struct piece *piece, uint32_t who)
{
    size_t at = take_live(fixed, piece->length);
    size_t most = longest_free(fixed->end);
    require(!at == (most < piece->length), "%zu granules %s, the longest are %zu",
            piece->length, at ? "were had" : "failed", most);
    piece->at = at;
    if (at)
        own(at, piece->length, who);
    else
        piece->length = 0;
}

static void resize_piece(struct mole_fixed *fixed, struct piece *piece, size_t length,
                         uint32_t who)
{
    size_t behind = 0;
    while (piece->at + piece->length + behind < fixed->end &&
           !owner[piece->at + piece->length + behind])
        behind++;
    bool fits = mole_fixed_resize(fixed, piece->at, length * MOLE_GRANULE);
    require(fits == (length <= piece->length + behind), "%zu to %zu granules: %d",
            piece->length, length, fits);
    if (!fits)
        return;
    own(piece->at, piece->length, 0);
    own(piece->at, length, who);
    piece->length = length;
}

Test(fixed, random_calls_agree_with_a_plain_model)
{
    static struct piece pieces[200];
    struct mole_heap *heap = heap_of_bytes((size_t)15 * MOLE_PAGE);
    struct mole_fixed *fixed = heap->fixed;
    require(fixed->end <= MODEL, "%zu granules", fixed->end);
    uint64_t random = 7;
    for (size_t i = 0; i < 5000 + repeats(60000); i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t n = (uint32_t)((random >> 33) % LENGTH(pieces));
        size_t length = 1 + (random >> 43) % (random % 5 ? 12 : 600);
        struct piece *piece = &pieces[n];
        if (!piece->length) {
            piece->length = length;
            take_piece(fixed, piece, n + 1);
        } else if (random >> 60 & 1) {
            resize_piece(fixed, piece, length, n + 1);
        } else {
            own(piece->at, piece->length, 0);
            mole_fixed_give(fixed, piece->at, piece->length);
            piece->length = 0;
        }
        if (i % 16 == 0)
            require_right(fixed);
    }
    finish(heap);
}

Test(fixed, a_rebuilt_table_keeps_what_is_live)
{
    struct mole_heap *heap = heap_of_bytes(MIB);
    struct mole_fixed *fixed = heap->fixed;
    size_t at[1000];
    for (size_t i = 0; i < LENGTH(at); i++)
        at[i] = take_live(fixed, 1 + i % 50);
    for (size_t i = 0; i < LENGTH(at); i++) {
        if (i % 3 == 0)
            mole_fixed_give(fixed, at[i], 1 + i % 50);
        else if (i % 3 == 1) /* as if another thread had had it in hand */
            store_rlx(&fixed->entry_a[at[i]], i % 2 ? 0 : MOLE_FIXED_CACHED);
    }
    mole_fixed_rebuild(fixed);
    require_right(fixed);
    for (size_t i = 2; i < LENGTH(at); i += 3) {
        require(mole_fixed_bytes(fixed, mole_fixed_at(fixed, at[i])) ==
                    (1 + i % 50) * MOLE_GRANULE,
                "block %zu is lost", i);
        mole_fixed_give(fixed, at[i], 1 + i % 50);
    }
    require(take_live(fixed, fixed->end - 1) == 1, "not one piece");
    finish(heap);
}
