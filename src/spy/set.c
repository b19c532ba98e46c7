/* SPDX-License-Identifier: MIT */
#include "spy/set.h"

#include <string.h>

#include "base/atom.h"
#include "os/grace.h"
#include "os/pages.h"
#include "os/thread.h"

/* Sets are made of whole reservations, whatever the system's pages are. */
enum { SET_STEP = 1 << 16 };

/* An entry in no scope. */
static const struct mole_set_entry in_no_scope;

struct mole_set mole_set_nobody = {.only = &in_no_scope};
_Atomic(struct mole_set *) mole_set_a = &mole_set_nobody;
_Atomic(size_t) mole_set_sample_a;

static struct mole_lock lock = MOLE_LOCK;
static struct mole_set *retired; /* under lock: the newest first */
static uint64_t retired_count;   /* under lock */
static uint64_t last_serial;     /* who adds */

/*
 * Who adds and removes: a set for each spy there is, so that it can leave when memory is
 * short. The newest first; it has room for all spies but one, for it came with the last
 * of as many or more.
 */
static struct mole_set *spares;

static size_t bytes_for(size_t count)
{
    return mole_round_up(sizeof(struct mole_set) + count * sizeof(struct mole_set_entry),
                         SET_STEP);
}

static struct mole_set *create_set(size_t count)
{
    size_t bytes = bytes_for(count);
    struct mole_set *set = mole_pages_reserve(bytes, SET_STEP);
    if (!set)
        return NULL;
    if (!mole_pages_commit(set, bytes)) {
        mole_pages_release(set, bytes);
        return NULL;
    }
    set->bytes = bytes;
    set->count = count;
    return set;
}

static void destroy_set(struct mole_set *set)
{
    mole_pages_release(set, set->bytes);
}

/* The smallest sample_bytes of all sampling spies, or 0. */
static size_t least_sample(const struct mole_set *set)
{
    size_t least = 0;
    for (size_t i = 0; i < set->count; i++) {
        size_t mean = set->entries[i].spy.sample_bytes;
        if (mean && (!least || mean < least))
            least = mean;
    }
    return least;
}

/* Readers may still be inside the old set. */
static void publish(struct mole_set *set)
{
    struct mole_set *old = load_rlx(&mole_set_a);
    if (set->count) {
        set->serial = last_serial;
        set->only =
            set->count == 1 && !set->entries[0].bit ? &set->entries[0] : &in_no_scope;
    }
    store_rlx(&mole_set_sample_a, least_sample(set));
    store_rel(&mole_set_a, set); /* HB-SET-1 */
    if (old == &mole_set_nobody)
        return;
    mole_lock_acquire(&lock);
    old->retired = ++retired_count;
    old->next = retired;
    retired = old;
    mole_lock_release(&lock);
}

static const struct mole_set_entry *find_in(const struct mole_set *set,
                                            const struct mh_spy *key)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->entries[i].key == key)
            return &set->entries[i];
    return NULL;
}

/* A bit that no spy of the set has; 0: all are taken. */
static uint32_t free_bit(const struct mole_set *set)
{
    uint32_t taken = 0;
    for (size_t i = 0; i < set->count; i++)
        taken |= set->entries[i].bit;
    return (taken + 1) & ~taken & MOLE_SET_MASK;
}

/*
 * In the place of the two callbacks that are called without asking whether they are
 * there.
 */
static void hear_nothing(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    (void)heap;
    (void)block;
    (void)bytes;
}

/* A set for one spy more, and a spare one, which is kept. */
static struct mole_set *create_with_spare(size_t count)
{
    struct mole_set *set = create_set(count);
    struct mole_set *spare = set ? create_set(count) : NULL;
    if (!spare) {
        if (set)
            destroy_set(set);
        return NULL;
    }
    spare->next = spares;
    spares = spare;
    return set;
}

int mole_set_add(const struct mh_spy *spy, uint64_t scope)
{
    const struct mole_set *old = load_rlx(&mole_set_a);
    if (find_in(old, spy))
        return MH_ATTACHED;
    struct mole_set_entry entry = {.key = spy, .frame.key = spy, .scope = scope};
    memcpy(&entry.spy, spy, spy->size < sizeof *spy ? spy->size : sizeof *spy);
    if (!entry.spy.allocated)
        entry.spy.allocated = hear_nothing;
    if (!entry.spy.freed)
        entry.spy.freed = hear_nothing;
    entry.bit = entry.spy.sample_bytes ? free_bit(old) : 0;
    if (entry.spy.sample_bytes && !entry.bit)
        return MH_NO_MEMORY;
    size_t count = old->count;
    struct mole_set *set = create_with_spare(count + 1);
    if (!set)
        return MH_NO_MEMORY;
    memcpy(set->entries, old->entries, count * sizeof entry);
    entry.serial = ++last_serial;
    set->entries[count] = entry;
    publish(set);
    return 0;
}

int mole_set_remove(const struct mh_spy *spy)
{
    const struct mole_set *old = load_rlx(&mole_set_a);
    const struct mole_set_entry *gone = find_in(old, spy);
    if (!gone)
        return MH_DETACHED;
    struct mole_set *set = spares;
    set->count = old->count - 1;
    size_t before = (size_t)(gone - old->entries);
    memcpy(set->entries, old->entries, before * sizeof *gone);
    memcpy(set->entries + before, gone + 1, (set->count - before) * sizeof *gone);
    bool is_last = set->count == 0;
    publish(is_last ? &mole_set_nobody : set);
    fence_compiler(); /* a fork's child finds no fewer spares than spies */
    spares = set->next;
    if (is_last)
        destroy_set(set);
    return 0;
}

/* Under lock: take the sets off the list that were retired by then. */
static struct mole_set *take_retired(uint64_t until)
{
    struct mole_set **link = &retired;
    while (*link && (*link)->retired > until)
        link = &(*link)->next;
    struct mole_set *old = *link;
    *link = NULL;
    return old;
}

void mole_set_settle(void)
{
    mole_lock_acquire(&lock);
    uint64_t until = retired_count;
    mole_lock_release(&lock);
    mole_grace_wait();
    mole_lock_acquire(&lock);
    struct mole_set *old = take_retired(until);
    mole_lock_release(&lock);
    while (old) {
        struct mole_set *next = old->next;
        destroy_set(old);
        old = next;
    }
}

void mole_set_repair(void)
{
    mole_lock_init(&lock);
    if (spares && spares == load_rlx(&mole_set_a))
        spares = spares->next; /* a spy was just leaving */
    store_rlx(&mole_set_sample_a, least_sample(load_rlx(&mole_set_a)));
}
