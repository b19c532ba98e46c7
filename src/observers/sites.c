/* SPDX-License-Identifier: MIT */
#include "observers/sites.h"

#include <string.h>

enum { TRIES = 64 };

struct site sites[SITES_MOST];

void sites_clear(void)
{
    memset(sites, 0, sizeof sites);
}

/* Never 0. */
static uint64_t hash_of(const struct stack *stack)
{
    uint64_t hash = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < stack->depth; i++) {
        hash ^= (uintptr_t)stack->frame[i];
        hash *= 0xff51afd7ed558ccd;
        hash ^= hash >> 32;
    }
    return hash | 1;
}

static void enter(struct site *site, const struct stack *stack)
{
    memcpy(site->frame, stack->frame, stack->depth * sizeof stack->frame[0]);
    store_rel(&site->depth_a, (uint32_t)stack->depth); /* HB-SITE-1 */
}

uint32_t sites_find(const struct stack *stack)
{
    uint64_t hash = hash_of(stack);
    for (uint32_t i = 0; i < TRIES; i++) {
        uint32_t index = (uint32_t)((hash >> 1) + i) % SITES_MOST;
        if (index == SITES_OTHER)
            continue;
        uint64_t found = load_rlx(&sites[index].hash_a);
        if (!found && cas_acq(&sites[index].hash_a, &found, hash)) {
            enter(&sites[index], stack);
            return index;
        }
        if (found == hash)
            return index;
    }
    return SITES_OTHER;
}
