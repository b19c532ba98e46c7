/* SPDX-License-Identifier: MIT */
#include "spy/spy.h"

#include <errno.h>

#include "base/draw.h"
#include "spy/fast.h"

const struct mole_spy_view mole_spy_view = {&mole_grace_state, &mole_set_a,
                                            &mole_thread_errno_offset};

/* A spy hears nothing of what its own callbacks do. */
static mole_slow bool is_in_frames(const struct mole_set_entry *entry)
{
    for (const struct mole_set_frame *frame = mole_grace_thread.frames; frame;
         frame = frame->outer)
        if (frame->key == entry->key)
            return true;
    return false;
}

mole_hot bool is_busy_in(const struct mole_set_entry *entry)
{
    return unlikely(mole_grace_thread.frames) && is_in_frames(entry);
}

bool mole_spy_is_inside(void)
{
    return mole_grace_thread.frames || mole_grace_is_inside();
}

bool mole_spy_is_in_callback(void)
{
    return mole_grace_thread.frames;
}

mole_hot bool is_in_scope(const struct mole_set_entry *entry, uint64_t scope)
{
    return entry->scope == MOLE_SPY_EVERYWHERE || entry->scope == scope;
}

/* Whether a sampling spy heard of a block with this mark. */
mole_hot bool is_in_mark(const struct mole_set_entry *entry, uint64_t mark)
{
    return (mark & entry->bit) && mark >> MOLE_SET_SAMPLERS >= entry->serial;
}

/* Whether the spy hears of a block with this mark. */
mole_hot bool hears(const struct mole_set_entry *entry, uint64_t scope, uint64_t mark)
{
    return is_in_scope(entry, scope) && (!entry->bit || is_in_mark(entry, mark)) &&
           !is_busy_in(entry);
}

/* Whether the spy hears of the heap itself. */
mole_hot bool hears_of_heap(const struct mole_set_entry *entry, uint64_t scope)
{
    return is_in_scope(entry, scope) && !is_busy_in(entry);
}

static unsigned wants(const struct mole_set_entry *entry)
{
    if (entry->bit)
        return MOLE_SPY_WANTS_SAMPLE;
    return MOLE_SPY_WANTS_ALL |
           (entry->spy.may_allocate ? (unsigned)MOLE_SPY_WANTS_ASKING : 0);
}

unsigned mole_spy_wants(uint64_t scope)
{
    unsigned all = 0;
    struct mole_grace section = mole_grace_enter();
    const struct mole_set *set = mole_set_current();
    for (size_t i = 0; i < set->count; i++)
        if (is_in_scope(&set->entries[i], scope))
            all |= wants(&set->entries[i]);
    mole_grace_leave(section);
    return all;
}

/* Whether a picked block of `bytes` is one of this spy's sample, too. */
static bool takes(const struct mole_set_entry *entry, size_t bytes,
                  struct mole_draw *draw)
{
    size_t least = load_rlx(&mole_set_sample_a);
    size_t mean = entry->spy.sample_bytes;
    if (mean <= least || !least)
        return true;
    double share = mole_draw_share(bytes, mean) / mole_draw_share(bytes, least);
    return mole_draw_is_lucky(draw, share);
}

uint64_t mole_spy_pick(struct mole_spied heap, size_t bytes, uint64_t mark,
                       struct mole_draw *draw)
{
    uint64_t bits = 0;
    struct mole_grace section = mole_grace_enter();
    const struct mole_set *set = mole_set_current();
    for (size_t i = 0; i < set->count; i++) {
        const struct mole_set_entry *entry = &set->entries[i];
        if (entry->bit && (is_in_mark(entry, mark) || (hears_of_heap(entry, heap.scope) &&
                                                       takes(entry, bytes, draw))))
            bits |= entry->bit;
    }
    uint64_t serial = bits ? set->serial : 0;
    mole_grace_leave(section);
    return bits ? serial << MOLE_SET_SAMPLERS | bits : MOLE_SPY_NO_MARK;
}

/* What happened, and to which block. */
struct event {
    void *block; /* as it is now */
    size_t bytes;
    uint64_t mark;
    const struct mole_spy_block *old; /* of reallocated */
    bool is_of_heap;                  /* not of a block: samplers hear of it, too */
};

/* Makes one callback, if the spy has it. False: the others need not be asked. */
typedef bool tell_one(const struct mole_set_entry *entry, void *name,
                      const struct event *event);

/*
 * Every event goes this way, inside a section. Inlined into each, with `tell` and most of
 * the event known.
 */
mole_hot bool tell_inside(const struct mole_set *set, struct mole_spied heap,
                          const struct event *event, tell_one *tell)
{
    bool goes_on = true;
    for (size_t i = 0; goes_on && i < set->count; i++) {
        const struct mole_set_entry *entry = &set->entries[i];
        if (event->is_of_heap ? !hears_of_heap(entry, heap.scope)
                              : !hears(entry, heap.scope, event->mark))
            continue;
        struct mole_set_frame frame = {.key = entry->key,
                                       .outer = mole_grace_thread.frames};
        int saved = errno;
        uint32_t last_error = mole_thread_callback_error; /* of an outer callback */
        mole_grace_thread.frames = &frame;
        goes_on = tell(entry, heap.name, event);
        mole_grace_thread.frames = frame.outer;
        mole_thread_callback_error = last_error;
        errno = saved;
    }
    return goes_on;
}

mole_hot bool tell_all(struct mole_spied heap, const struct event *event, tell_one *tell)
{
    struct mole_grace section = mole_grace_enter();
    bool goes_on = tell_inside(mole_set_current(), heap, event, tell);
    mole_grace_leave(section);
    return goes_on;
}

mole_hot bool ask(const struct mole_set_entry *entry, void *name,
                  const struct event *event)
{
    const struct mh_spy *spy = &entry->spy;
    return !spy->may_allocate || spy->may_allocate(spy->context, name, event->bytes);
}

bool mole_spy_may_allocate(struct mole_spied heap, size_t bytes)
{
    return tell_all(heap, &(struct event){.bytes = bytes}, ask);
}

mole_hot bool tell_allocated(const struct mole_set_entry *entry, void *name,
                             const struct event *event)
{
    if (entry->spy.allocated)
        entry->spy.allocated(entry->spy.context, name, event->block, event->bytes);
    return true;
}

void mole_spy_allocated(struct mole_spied heap, void *block, size_t bytes, uint64_t mark)
{
    tell_all(heap, &(struct event){.block = block, .bytes = bytes, .mark = mark},
             tell_allocated);
}

void mole_spy_tell_allocated(const struct mole_set *set, struct mole_spied heap,
                             void *block, size_t bytes)
{
    tell_inside(set, heap, &(struct event){.block = block, .bytes = bytes},
                tell_allocated);
}

mole_hot bool tell_freed(const struct mole_set_entry *entry, void *name,
                         const struct event *event)
{
    if (entry->spy.freed)
        entry->spy.freed(entry->spy.context, name, event->block, event->bytes);
    return true;
}

void mole_spy_freed(struct mole_spied heap, void *block, size_t bytes, uint64_t mark)
{
    tell_all(heap, &(struct event){.block = block, .bytes = bytes, .mark = mark},
             tell_freed);
}

void mole_spy_tell_freed(const struct mole_set *set, struct mole_spied heap, void *block,
                         size_t bytes)
{
    tell_inside(set, heap, &(struct event){.block = block, .bytes = bytes}, tell_freed);
}

mole_hot bool tell_reallocated(const struct mole_set_entry *entry, void *name,
                               const struct event *event)
{
    const struct mole_spy_block *old = event->old;
    if (entry->bit && !is_in_mark(entry, old->mark))
        return tell_allocated(entry, name, event);
    if (entry->spy.reallocated)
        entry->spy.reallocated(entry->spy.context, name, old->block, old->bytes,
                               event->block, event->bytes);
    return true;
}

void mole_spy_reallocated(struct mole_spied heap, const struct mole_spy_block *old,
                          const struct mole_spy_block *now)
{
    const struct event event = {
        .block = now->block, .bytes = now->bytes, .mark = now->mark, .old = old};
    tell_all(heap, &event, tell_reallocated);
}

mole_hot bool tell_created(const struct mole_set_entry *entry, void *name,
                           const struct event *event)
{
    (void)event;
    if (entry->spy.heap_created)
        entry->spy.heap_created(entry->spy.context, name);
    return true;
}

void mole_spy_heap_created(struct mole_spied heap)
{
    tell_all(heap, &(struct event){.is_of_heap = true}, tell_created);
}

mole_hot bool tell_destroyed(const struct mole_set_entry *entry, void *name,
                             const struct event *event)
{
    (void)event;
    if (entry->spy.heap_destroyed)
        entry->spy.heap_destroyed(entry->spy.context, name);
    return true;
}

void mole_spy_heap_destroyed(struct mole_spied heap)
{
    tell_all(heap, &(struct event){.is_of_heap = true}, tell_destroyed);
}

void mole_spy_repair(void)
{
    mole_set_repair();
    mole_grace_repair();
}
