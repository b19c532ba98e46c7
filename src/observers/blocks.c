/* SPDX-License-Identifier: MIT */
#include "observers/blocks.h"

#include <string.h>

#include "base/atom.h"

enum { MOST_BITS = 18, MOST = 1 << MOST_BITS, TRIES = 32, FREE = 0, HELD = 1 };

struct place {
    /*
     * key_a: the block's address, FREE or HELD.
     *   writers  who enters a block, by CAS from FREE, then by store; who takes it out,
     *            by CAS from its address, then by store
     *   readers  the same
     *   orders   HB-TAKEN-1
     *   keeps    an address is in one place at most
     *
     * heap_a: the sample's heap once more, so that blocks of another heap are left alone
     * where one heap's are looked for: they may be freed at that moment.
     *   writers  who enters a block
     *   readers  who looks for a heap's blocks
     *   orders   relaxed: a hint, the sample decides
     */
    _Atomic(uintptr_t) key_a;
    _Atomic(void *) heap_a;
    struct sample sample; /* whoever holds the place */
};

static struct place places[MOST];

void blocks_clear(void)
{
    memset(places, 0, sizeof places);
}

static size_t first_place(uintptr_t key)
{
    return (size_t)(((key >> 4) * 0x9e3779b97f4a7c15) >> (64 - MOST_BITS));
}

bool blocks_add(const void *block, const struct sample *sample)
{
    size_t first = first_place((uintptr_t)block);
    for (size_t i = 0; i < TRIES; i++) {
        struct place *place = &places[(first + i) % MOST];
        uintptr_t key = FREE;
        if (load_rlx(&place->key_a) != FREE ||
            !cas_acq(&place->key_a, &key, HELD)) /* HB-TAKEN-1 */
            continue;
        place->sample = *sample;
        store_rlx(&place->heap_a, sample->heap);
        store_rel(&place->key_a, (uintptr_t)block); /* HB-TAKEN-1 */
        return true;
    }
    return false;
}

bool blocks_take(const void *block, struct sample *sample)
{
    size_t first = first_place((uintptr_t)block);
    for (size_t i = 0; i < TRIES; i++) {
        struct place *place = &places[(first + i) % MOST];
        uintptr_t key = (uintptr_t)block;
        if (load_rlx(&place->key_a) != key ||
            !cas_acq(&place->key_a, &key, HELD)) /* HB-TAKEN-1 */
            continue;
        *sample = place->sample;
        store_rel(&place->key_a, FREE); /* HB-TAKEN-1 */
        return true;
    }
    return false;
}

bool blocks_take_of(const void *heap, size_t *at, struct sample *sample)
{
    for (; *at < MOST; ++*at) {
        struct place *place = &places[*at];
        uintptr_t key = load_rlx(&place->key_a);
        if (key == FREE || key == HELD || load_rlx(&place->heap_a) != heap ||
            !cas_acq(&place->key_a, &key, HELD)) /* HB-TAKEN-1 */
            continue;
        bool is_of_heap = place->sample.heap == heap;
        *sample = place->sample;
        store_rel(&place->key_a, is_of_heap ? FREE : key); /* HB-TAKEN-1 */
        if (is_of_heap)
            return true;
    }
    return false;
}
