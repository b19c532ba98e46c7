/* SPDX-License-Identifier: MIT */
#include "tcache/order.h"

#include <string.h>

#include "arena/link.h"

enum { WORD_BITS = 64, WORDS = MOLE_MOST_BLOCKS / WORD_BITS };
static_assert(WORDS == WORD_BITS, "one word tells which words are in use");

/* Blocks by index; bit i of used tells whether words[i] has any. */
struct set {
    uint64_t used;
    uint64_t words[WORDS];
};

/* An index beyond the table ends a list that frees in a race have damaged. */
static void add_list(struct set *set, struct mole_span *span, uint32_t index,
                     uint32_t count)
{
    memset(set, 0, sizeof *set);
    for (uint32_t capacity = span->capacity; count && index < capacity; count--) {
        set->words[index / WORD_BITS] |= UINT64_C(1) << index % WORD_BITS;
        set->used |= UINT64_C(1) << index / WORD_BITS;
        index = load_rlx(&span->entry_a[index]);
    }
}

/*
 * Whether neighbours in the list are mostly neighbours in the table, too, so that it may
 * stay as it is; then `*last` is its last.
 */
static bool is_ordered(struct mole_span *span, uint32_t first, uint32_t count,
                       uint32_t *last)
{
    enum { LINE_ENTRIES = MOLE_CACHE_LINE / sizeof span->entry_a[0], FEW = 8 };
    uint32_t leaps = 0;
    for (uint32_t left = count; --left;) {
        uint32_t next = load_rlx(&span->entry_a[first]);
        if (unlikely(next >= span->capacity))
            return false;
        leaps += (next ^ first) >= LINE_ENTRIES;
        first = next;
    }
    *last = first;
    return leaps * FEW <= count;
}

static mole_slow uint32_t keep_order(const struct mole_span *span, uint32_t first,
                                     uint32_t count, uint32_t *last)
{
    *last = first;
    while (--count)
        *last = mole_link_get(span, *last);
    return first;
}

uint32_t mole_order_list(struct mole_span *span, uint32_t first, uint32_t count,
                         uint32_t *last)
{
    if (unlikely(span->link_key))
        return keep_order(span, first, count, last);
    if (likely(is_ordered(span, first, count, last)))
        return first;
    struct set set;
    uint32_t head = MOLE_END;
    *last = first;
    add_list(&set, span, first, count);
    for (uint64_t used = set.used; used; used &= used - 1) {
        uint32_t at = (uint32_t)__builtin_ctzll(used);
        for (uint64_t word = set.words[at]; word; word &= word - 1) {
            uint32_t index = at * WORD_BITS + (uint32_t)__builtin_ctzll(word);
            if (head == MOLE_END)
                head = index;
            else
                store_rlx(&span->entry_a[*last], (uint16_t)index);
            *last = index;
        }
    }
    return head;
}
