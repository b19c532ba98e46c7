/* SPDX-License-Identifier: MIT */
/*
 * A spy that notes what it is told of, for the tests of observers.
 */
#pragma once

#include <molehill/spy.h>
#include <stdatomic.h>

#include "support.h"

enum what { ALLOCATED, FREED, REALLOCATED, CREATED, DESTROYED, ASKED };

struct told {
    enum what what;
    void *heap;
    void *block;
    size_t bytes;
    void *old; /* of REALLOCATED, as old_bytes */
    size_t old_bytes;
};

enum { MOST_TOLD = 4096 };

/* The spy is its context. */
struct notes {
    struct mh_spy spy;
    atomic_size_t count; /* may pass MOST_TOLD: what came later is only counted */
    struct told told[MOST_TOLD];
};

static inline void note(struct notes *notes, struct told told)
{
    size_t index = atomic_fetch_add(&notes->count, 1);
    if (index < MOST_TOLD)
        notes->told[index] = told;
}

static inline void note_allocated(void *context, void *heap, void *block, size_t bytes)
{
    note(context, (struct told){ALLOCATED, heap, block, bytes, NULL, 0});
}

static inline void note_freed(void *context, void *heap, void *block, size_t bytes)
{
    note(context, (struct told){FREED, heap, block, bytes, NULL, 0});
}

static inline void note_reallocated(void *context, void *heap, void *old,
                                    size_t old_bytes, void *block, size_t bytes)
{
    note(context, (struct told){REALLOCATED, heap, block, bytes, old, old_bytes});
}

static inline void note_created(void *context, void *heap)
{
    note(context, (struct told){CREATED, heap, NULL, 0, NULL, 0});
}

static inline void note_destroyed(void *context, void *heap)
{
    note(context, (struct told){DESTROYED, heap, NULL, 0, NULL, 0});
}

/* A spy that notes all but questions. */
static inline void notes_init(struct notes *notes)
{
    memset(notes, 0, sizeof *notes);
    notes->spy = (struct mh_spy){.size = sizeof notes->spy,
                                 .name = "notes",
                                 .context = notes,
                                 .allocated = note_allocated,
                                 .freed = note_freed,
                                 .reallocated = note_reallocated,
                                 .heap_created = note_created,
                                 .heap_destroyed = note_destroyed};
}

static inline void attach(const struct mh_spy *spy, void *heap)
{
    int result = mh_spy_attach(spy, heap);
    require(result == 0, "mh_spy_attach returned %d", result);
}

static inline void detach(const struct mh_spy *spy)
{
    int result = mh_spy_detach(spy);
    require(result == 0, "mh_spy_detach returned %d", result);
}

static inline void begin_notes(struct notes *notes, void *heap)
{
    notes_init(notes);
    attach(&notes->spy, heap);
}

static inline void forget_notes(struct notes *notes)
{
    atomic_store(&notes->count, 0);
}

static inline void expect_count(struct notes *notes, size_t count, const char *what)
{
    size_t told = atomic_load(&notes->count);
    require(told == count, "%s: %zu events, not %zu; the first is %d of %zu bytes", what,
            told, count, told ? (int)notes->told[0].what : -1, notes->told[0].bytes);
}

static inline void expect_told(struct notes *notes, size_t index, struct told want)
{
    const struct told *told = &notes->told[index];
    require(atomic_load(&notes->count) > index, "there is no event %zu", index);
    require(told->what == want.what, "event %zu is a %d, not %d", index, told->what,
            want.what);
    require(told->heap == want.heap, "event %zu: heap %p, not %p", index, told->heap,
            want.heap);
    require(told->block == want.block && told->bytes == want.bytes,
            "event %zu: %zu bytes at %p, not %zu at %p", index, told->bytes, told->block,
            want.bytes, want.block);
    require(told->old == want.old && told->old_bytes == want.old_bytes,
            "event %zu: it was %zu bytes at %p, not %zu at %p", index, told->old_bytes,
            told->old, want.old_bytes, want.old);
}

static inline void end_notes(struct notes *notes)
{
    detach(&notes->spy);
}

/* Contents that tell blocks apart. */
static inline void mark(void *block, size_t bytes, size_t number)
{
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)block)[i] = (unsigned char)(number * 31 + i * 7 + i / 251);
}

static inline bool is_marked(const void *block, size_t bytes, size_t number)
{
    for (size_t i = 0; i < bytes; i++)
        if (((const unsigned char *)block)[i] !=
            (unsigned char)(number * 31 + i * 7 + i / 251))
            return false;
    return true;
}

static inline bool is_all_zero(const void *block, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (((const unsigned char *)block)[i])
            return false;
    return true;
}

/* Sizes of every kind: empty, direct, of slabs, large, to be grown by moving pages. */
static const size_t spied_sizes[] = {0,    1,     16,    100,   1024,   1025,
                                     5000, 30720, 30721, 65536, 300000, 2 * MIB};
