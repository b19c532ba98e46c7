/* SPDX-License-Identifier: MIT */
/*
 * Blocks freed by another thread than the one that allocated them. With one_way=1 even
 * lanes allocate and odd lanes free: through a ring buffer with small chunks, as a
 * hand-off of whole batches with large ones. With one_way=0 the lanes stand in a circle:
 * each allocates for the next and frees what the one before it allocated. One op is one
 * allocation and its free.
 *
 * Lane i writes pipe i: `chunk` blocks are written, then published by one store; the
 * reader frees them, then gives the chunk back by one store; `depth` chunks fit. The pipe
 * itself costs 3 to 4 ns a block, and the freeing lane does not read the block: what is
 * measured is the allocator.
 */
#include <stdatomic.h>

#include "harness.h"
#include "target.h"

/*
 * written_a, read_a: chunks published, chunks given back, ever.
 *   writers  written_a the pipe's writing lane, read_a its reading lane
 *   orders   release after the blocks were stored, acquire before they are read; and back
 *   keeps    read_a <= written_a <= read_a + depth
 */
struct pipe {
    _Alignas(64) _Atomic(uint64_t) written_a;
    _Alignas(64) _Atomic(uint64_t) read_a;
    _Alignas(64) void **blocks; /* depth chunks of `chunk` blocks */
};

static struct perf_sizes sizes;
static struct pipe *pipes;
static bool one_way;
static uint64_t chunk, depth;

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    one_way = perf_option("one_way", 1) != 0;
    chunk = perf_option("chunk", 64);
    depth = perf_option("depth", 16);
    if (perf_lanes() % 2 != 0 || chunk == 0 || depth == 0)
        perf_die("remote_free: an even number of threads, chunk and depth from 1");
    pipes = perf_pages(perf_lanes() * sizeof *pipes);
    for (unsigned lane = 0; lane < perf_lanes(); lane++)
        pipes[lane].blocks = perf_pages(depth * chunk * sizeof(void *));
}

static bool try_write(struct pipe *pipe)
{
    uint64_t written = atomic_load_explicit(&pipe->written_a, memory_order_relaxed);
    if (written - atomic_load_explicit(&pipe->read_a, memory_order_acquire) == depth)
        return false;
    void **blocks = pipe->blocks + written % depth * chunk;
    for (uint64_t i = 0; i < chunk; i++) {
        blocks[i] = PERF_ALLOC(perf_size(&sizes, written * chunk + i));
        perf_touch(blocks[i]);
    }
    atomic_store_explicit(&pipe->written_a, written + 1, memory_order_release);
    return true;
}

static bool try_read(struct pipe *pipe)
{
    uint64_t read = atomic_load_explicit(&pipe->read_a, memory_order_relaxed);
    if (atomic_load_explicit(&pipe->written_a, memory_order_acquire) == read)
        return false;
    void **blocks = pipe->blocks + read % depth * chunk;
    for (uint64_t i = 0; i < chunk; i++)
        PERF_FREE(blocks[i]);
    atomic_store_explicit(&pipe->read_a, read + 1, memory_order_release);
    return true;
}

/*
 * All lanes move the same number of chunks, so nothing is left in a pipe between
 * repetitions.
 */
static uint64_t run(unsigned lane, uint64_t ops)
{
    struct pipe *out = &pipes[lane];
    struct pipe *in = &pipes[(lane + perf_lanes() - 1) % perf_lanes()];
    bool writes = !one_way || lane % 2 == 0, reads = !one_way || lane % 2 == 1;
    uint64_t chunks = ops / chunk * (one_way ? 2 : 1);
    uint64_t to_write = writes ? chunks : 0, to_read = reads ? chunks : 0;
    unsigned turns = 0;

    while (to_write + to_read > 0) {
        bool wrote = to_write > 0 && try_write(out);
        bool read = to_read > 0 && try_read(in);
        to_write -= wrote;
        to_read -= read;
        if (!wrote && !read)
            perf_wait_turn(&turns);
    }
    return writes ? chunks * chunk : 0;
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
