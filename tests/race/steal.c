/* SPDX-License-Identifier: MIT */
/*
 * Stealing, step by step: thread A allocates slabs' worth of blocks, B frees them, C
 * needs memory. A full slab that came back whole is C's then, though A never calls again;
 * the slab A still allocates from never is.
 */
#include "arena/span.h"
#include "arena/span_map.h"
#include "race.h"

enum { MOST_BLOCKS = 64 };

static HANDLE heap;
static size_t bytes; /* of the blocks: their slabs have runs for themselves */
static void *blocks[MOST_BLOCKS];
static size_t block_count;

static void *free_blocks(void *argument)
{
    (void)argument;
    for (size_t i = 0; i < block_count; i++)
        race_require(HeapFree(heap, 0, blocks[i]), "HeapFree refused a live block");
    return NULL;
}

/*
 * The thread's first block in the heap: it has no slab, so it looks for memory
 * everywhere.
 */
static void *need_memory(void *argument)
{
    (void)argument;
    void *block = HeapAlloc(heap, 0, 100);
    race_require(block && HeapFree(heap, 0, block), "the heap does not work");
    return NULL;
}

/* Allocate all blocks of one slab, which stays current. */
static struct mole_span *fill_slab(void)
{
    blocks[0] = HeapAlloc(heap, 0, bytes);
    struct mole_span *span = mole_span_map_find(blocks[0]);
    block_count = span->capacity;
    race_require(block_count > 1 && block_count <= MOST_BLOCKS, "a slab has %zu blocks",
                 block_count);
    for (size_t i = 1; i < block_count; i++) {
        blocks[i] = HeapAlloc(heap, 0, bytes);
        race_require(mole_span_map_find(blocks[i]) == span,
                     "block %zu is in another slab", i);
    }
    return span;
}

static void begin(void)
{
    heap = HeapCreate(0, 0, 0);
    race_require(heap != NULL, "HeapCreate failed");
}

static void end(void)
{
    race_require(HeapDestroy(heap), "HeapDestroy failed");
}

static void current_slab_is_left_alone(void)
{
    begin();
    struct mole_span *span = fill_slab();
    race_join(race_thread(free_blocks, NULL));
    race_join(race_thread(need_memory, NULL));
    race_case(mole_span_map_find(blocks[0]) == span,
              "%zu bytes: the slab its owner allocates from was stolen", bytes);
    for (size_t i = 0; i < block_count; i++) {
        void *block = HeapAlloc(heap, 0, bytes);
        race_require(mole_span_map_find(block) == span,
                     "%zu bytes: block %zu is not back", bytes, i);
        race_stamp(block, bytes, i);
    }
    race_case(race_allocated(heap) == block_count * bytes,
              "%zu bytes: the heap holds %zu", bytes, race_allocated(heap));
    end();
}

static void full_slab_is_taken(void)
{
    begin();
    struct mole_span *span = fill_slab();
    void *next = HeapAlloc(heap, 0, bytes); /* from now on the first slab is full */
    race_require(mole_span_map_find(next) != span, "a full slab gave a block");
    race_stamp(next, bytes, bytes);
    race_join(race_thread(free_blocks, NULL));
    race_join(race_thread(need_memory, NULL));
    race_case(mole_span_map_find(blocks[0]) != span,
              "%zu bytes: a slab that came back whole waits for its owner", bytes);
    race_case(race_is_stamped(next, bytes, bytes), "%zu bytes: a block was disturbed",
              bytes);
    race_case(race_allocated(heap) == bytes, "%zu bytes: the heap holds %zu", bytes,
              race_allocated(heap));
    end();
}

int main(void)
{
    static const size_t sizes[] = {9000, 16000, 30000};
    race_begin("steal");
    (void)mh_configure("purger:calls"); /* nobody else steals */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        bytes = sizes[i];
        for (size_t times = race_size(100, 20, 2); times; times--) {
            current_slab_is_left_alone();
            full_slab_is_taken();
        }
    }
    return race_end();
}
