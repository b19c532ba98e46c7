/* SPDX-License-Identifier: MIT */
/* Spans of the sizes that programs have several buffers of: kept in further slots. */
#include <molehill/molehill.h>

#include "tcache/large_cache.h"
#include "unit.h"

enum { BUFFERS = 4 };

static HANDLE heap;
static const DWORD kinds[] = {0, HEAP_NO_SERIALIZE};

/* A heap in which the thread has a cache of its own. */
static void begin(DWORD flags)
{
    stop_passes();
    heap = create_heap(flags);
    settle_in(heap);
}

static size_t held_chunks(void)
{
    size_t held = 0;
    for (struct mole_run *run = inside(heap)->arena.runs; run; run = run->next)
        held += run->chunks;
    return held;
}

/* As programs have buffers of one size, some at a time. */
Test(large_buffers, some_of_a_size_that_buffers_have_are_kept)
{
    for (size_t kind = 0; kind < LENGTH(kinds); kind++)
        for (size_t chunks = 1; chunks <= 2; chunks++) {
            size_t count = chunks == 1 ? BUFFERS : BUFFERS / 2,
                   bytes = chunks * MOLE_CHUNK;
            begin(kinds[kind]);
            void *blocks[BUFFERS];
            for (unsigned round = 0; round < 2; round++) {
                for (size_t i = 0; i < count; i++)
                    blocks[i] = take(heap, 0, bytes);
                for (size_t i = 0; i < count; i++)
                    give_back(heap, blocks[i]);
            }
            uint64_t refills = mole_arena_refills();
            for (size_t i = 0; i < count; i++) {
                void *block = take(heap, 0, bytes);
                size_t at = 0;
                while (at < count && blocks[at] != block)
                    at++;
                require(at < count, "%zu chunks: block %zu is elsewhere", chunks, i);
                blocks[at] = NULL;
            }
            require(mole_arena_refills() == refills, "the arena was asked for a run");
            destroy_heap(heap);
        }
}

/* Nor in the further slots: there are two chunks left for buffers. */
Test(large_buffers, no_more_buffers_are_kept_than_is_allowed)
{
    begin(0);
    void *blocks[BUFFERS];
    size_t before = held_chunks();
    for (unsigned round = 0; round < 4; round++) {
        give_back(heap, take(heap, 0, (size_t)MOLE_LARGE_MOST * MOLE_CHUNK));
        give_back(heap, take(heap, 0, (size_t)6 * MOLE_CHUNK));
        for (size_t i = 0; i < BUFFERS; i++)
            blocks[i] = take(heap, 0, MOLE_CHUNK);
        for (size_t i = 0; i < BUFFERS; i++)
            give_back(heap, blocks[i]);
        require(held_chunks() <= before + MOLE_LARGE_KEPT, "the heap has %zu chunks more",
                held_chunks() - before);
    }
    require(held_chunks() > before, "nothing is kept");
}
