/* SPDX-License-Identifier: MIT */
/*
 * HeapReAlloc: contents on a long way up, and beside other threads. Spec 2.4, cases 41, 42
 * and 140.
 */
#include "workers.h"

/* From 16 bytes to 64 MiB; answers how often the block moved. */
static size_t climb(HANDLE heap)
{
    char *block = take(heap, 0, 16);
    size_t moves = 0;

    stamp(block, 16, 41);
    for (size_t bytes = 16; bytes < 64 * MIB; bytes *= 2) {
        char *grown = HeapReAlloc(heap, 0, block, bytes * 2);
        require(grown != NULL, "growth to %zu failed", bytes * 2);
        require(HeapSize(heap, 0, grown) == bytes * 2, "the size after growth");
        require(stamp_is_intact(grown, bytes, 41), "%zu bytes were not kept", bytes);
        moves += grown != block;
        block = grown;
        stamp(block, bytes * 2, 41);
    }
    give_back(heap, block);
    return moves;
}

HEAP_CASE(heap_realloc, case_041_contents_survive_doubling_up_to_64_mib)
{
    climb(heap);
}

Test(heap_realloc, case_140_the_ladder_moves_at_least_once)
{
    HANDLE heap = create_heap(0);

    require(climb(heap) >= 1, "16 bytes grew to 64 MiB without moving");
    destroy_heap(heap);
}

/* Large blocks grow by moving their pages, with neighbours of all kinds about. */
HEAP_CASE(heap_realloc, large_blocks_climb_together_and_come_down)
{
    enum { COUNT = 3 };
    void *blocks[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = take(heap, 0, MIB);
        stamp(blocks[i], MIB, i << 40);
    }
    for (size_t bytes = MIB; bytes < 16 * MIB; bytes *= 2) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = HeapReAlloc(heap, HEAP_ZERO_MEMORY, blocks[i], bytes * 2);
            require(blocks[i] != NULL, "growth to %zu failed", bytes * 2);
            require(stamp_is_intact(blocks[i], bytes, i << 40), "%zu not kept", bytes);
            require(is_all((char *)blocks[i] + bytes, bytes, 0), "growth is not zero");
            stamp(blocks[i], bytes * 2, i << 40);
        }
    }
    for (size_t bytes = 16 * MIB; bytes > 1000; bytes /= 4) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = HeapReAlloc(heap, 0, blocks[i], bytes / 4);
            require(blocks[i] != NULL, "shrinking to %zu failed", bytes / 4);
            require(stamp_is_intact(blocks[i], bytes / 4, i << 40), "lost contents");
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        give_back(heap, blocks[i]);
}

/*
 * Case 42: this thread allocates; of each three blocks in a row one thread resizes the
 * middle one while another frees the outer two.
 */
enum { TRIPLES = 400, ROUNDS = 20 };

struct triples {
    HANDLE heap;
    void *blocks[3 * TRIPLES];
};

static size_t triple_bytes(size_t index)
{
    return 1 + index / 3 * 37 % 3000;
}

static const char *resize_middles(struct triples *triples)
{
    for (size_t i = 1; i < 3 * TRIPLES; i += 3) {
        size_t bytes = triple_bytes(i), wish = i % 2 ? bytes * 3 : bytes / 2;
        void *block = HeapReAlloc(triples->heap, 0, triples->blocks[i], wish);
        if (block == NULL)
            return "HeapReAlloc of another thread's block failed";
        if (!stamp_is_intact(block, wish < bytes ? wish : bytes, i << 32))
            return "HeapReAlloc lost contents";
        triples->blocks[i] = block;
        if (HeapSize(triples->heap, 0, block) != wish)
            return "the resized block has another size";
    }
    return NULL;
}

static const char *free_outer(struct triples *triples)
{
    for (size_t i = 0; i < 3 * TRIPLES; i++) {
        if (i % 3 == 1)
            continue;
        if (!stamp_is_intact(triples->blocks[i], triple_bytes(i), i << 32))
            return "a neighbour was disturbed";
        if (!HeapFree(triples->heap, 0, triples->blocks[i]))
            return "a neighbour cannot be freed";
    }
    return NULL;
}

static const char *resize_or_free(struct worker *worker)
{
    return worker->index == 0 ? resize_middles(worker->shared)
                              : free_outer(worker->shared);
}

HEAP_CASE(heap_realloc, case_042_resizing_while_neighbours_are_freed)
{
    static struct triples triples;

    triples.heap = heap;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < 3 * TRIPLES; i++) {
            triples.blocks[i] = take(heap, 0, triple_bytes(i));
            stamp(triples.blocks[i], triple_bytes(i), i << 32);
        }
        run_workers(2, resize_or_free, &triples);
        for (size_t i = 1; i < 3 * TRIPLES; i += 3)
            give_back(heap, triples.blocks[i]);
    }
}
