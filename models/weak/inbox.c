/* SPDX-License-Identifier: MIT */
/*
 * The inbox under weak memory: what a thread wrote to a block before it pushed it is seen
 * by who takes it, also when another push came between; the list and the woken list are
 * whole.
 *
 * Mirrors src/arena/inbox.h: mole_inbox_wake mole_inbox_push mole_inbox_take
 * Labels HB-INBOX-1, HB-INBOX-2, HB-WOKEN-1.
 *
 *   correct  -:              as it is
 *   broken   PUSH_RELAXED:   the push does not release
 *   broken   TAKE_RELAXED:   the take does not acquire
 *   broken   WAKE_RELAXED:   listing does not release
 */
#include "weak.h"

enum { BLOCKS = 2, END = 0x7fff };
#define LISTED 0x80000000u

#ifdef PUSH_RELAXED
#define cas_push cas_weak_rlx
#else
#define cas_push cas_weak_acq_rel
#endif
#ifdef TAKE_RELAXED
#define swap_take(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#else
#define swap_take swap_acq_rel
#endif
#ifdef WAKE_RELAXED
#define cas_wake cas_weak_rlx
#else
#define cas_wake cas_weak_rel
#endif

struct slab {
    _Atomic(uint32_t) inbox_a;
    _Atomic(uint16_t) entry_a[BLOCKS];
    struct slab *woken_next;
};

static struct slab slab;
static _Atomic(struct slab *) woken_a;
static int content[BLOCKS]; /* what clients wrote to their blocks */
static bool is_back[BLOCKS];

static void begin(void)
{
    store_rlx(&slab.inbox_a, END);
    store_rlx(&woken_a, NULL);
    for (int i = 0; i < BLOCKS; i++)
        content[i] = is_back[i] = 0;
}

static void push(uint16_t index)
{
    content[index] = 1;
    uint32_t word = load_rlx(&slab.inbox_a);
    uint32_t with;
    do {
        store_rlx(&slab.entry_a[index], (uint16_t)word);
        with = LISTED | ((word >> 16 & 0x7fff) + 1) << 16 | index;
    } while (!cas_push(&slab.inbox_a, &word, with)); /* HB-INBOX-1, HB-INBOX-2 */
    if (word & LISTED)
        return;
    struct slab *head = load_rlx(&woken_a);
    do {
        slab.woken_next = head;
    } while (!cas_wake(&woken_a, &head, &slab)); /* HB-WOKEN-1 */
}

static void collect(void)
{
    struct slab *listed = swap_acq(&woken_a, NULL); /* HB-WOKEN-1 */
    while (listed) {
        struct slab *next = listed->woken_next;
        uint32_t word = swap_take(&listed->inbox_a, END); /* HB-INBOX-1, HB-INBOX-2 */
        uint16_t index = (uint16_t)word;
        for (uint32_t count = word >> 16 & 0x7fff; count; count--) {
            assert(!is_back[index] && content[index] == 1);
            is_back[index] = true;
            content[index] = 2;
            index = load_rlx(&listed->entry_a[index]);
        }
        listed = next;
    }
}

static void *first(void *unused)
{
    push(0);
    return unused;
}

/* It takes for the owner, too: either push may list the slab, and list it again. */
static void *second(void *unused)
{
    collect();
    push(1);
    collect();
    return unused;
}

static void end(void)
{
    collect();
    assert(is_back[0] && is_back[1]);
}
