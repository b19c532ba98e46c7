/* SPDX-License-Identifier: MIT */
/*
 * fork while blocks wait in a batch of the thread that forks. In the child their owner's
 * slab is made whole from its table, those blocks included; the batch must not bring them
 * a second time.
 */
#include <semaphore.h>
#include <sys/wait.h>

#include "race.h"
#include "tcache/thread.h"

enum { OLD = 16, NEW = 300, BYTES = 64 };
static_assert((int)OLD < (int)MOLE_BATCH_BLOCKS, "what is freed waits in the batch");

static HANDLE heap;
static char *old_blocks[OLD];
static char *new_blocks[2][NEW];
static sem_t are_there, may_end;

static char *allocate(uint64_t key)
{
    char *block = HeapAlloc(heap, 0, BYTES);
    race_require(block != NULL, "no memory");
    race_stamp(block, BYTES, key);
    return block;
}

static void release(char *block, uint64_t key)
{
    race_require(race_is_stamped(block, BYTES, key), "a block was disturbed");
    race_require(HeapFree(heap, 0, block), "HeapFree refused a live block");
}

/* Has a cache of its own in the heap; in the child it does not exist. */
static void *own(void *argument)
{
    for (size_t i = 0; i < 2 * MOLE_KEEP_AFTER; i++)
        release(allocate(i), i);
    for (size_t i = 0; i < OLD; i++)
        old_blocks[i] = allocate(i);
    sem_post(&are_there);
    sem_wait(&may_end);
    return argument;
}

/* New to the heap: the first cache to adopt is that of the thread that is gone. */
static void *fill(void *argument)
{
    char **blocks = argument;
    for (size_t i = 0; i < NEW; i++)
        blocks[i] = allocate((uintptr_t)&blocks[i]);
    return NULL;
}

static size_t found_again(void)
{
    size_t count = 0;
    for (size_t i = 0; i < NEW; i++)
        for (size_t old = 0; old < OLD / 2; old++)
            count += new_blocks[0][i] == old_blocks[old];
    return count;
}

static int live_as_child(void)
{
    race_join(race_thread(fill, new_blocks[0]));
    race_require(found_again() == OLD / 2, "only %zu of %d blocks are there again",
                 found_again(), (int)OLD / 2);
    /* A block of another slab: what waits in the batch is handed over before it. */
    release(new_blocks[0][NEW - 1], (uintptr_t)&new_blocks[0][NEW - 1]);
    race_join(race_thread(fill, new_blocks[1]));
    for (size_t i = OLD / 2; i < OLD; i++)
        release(old_blocks[i], i);
    for (size_t i = 0; i < NEW - 1; i++)
        release(new_blocks[0][i], (uintptr_t)&new_blocks[0][i]);
    for (size_t i = 0; i < NEW; i++)
        release(new_blocks[1][i], (uintptr_t)&new_blocks[1][i]);
    race_require(race_allocated(heap) == 0, "%zu bytes are left", race_allocated(heap));
    return atomic_load(&race_failed) ? 1 : 0;
}

static void fork_with_batch(void)
{
    heap = HeapCreate(0, 0, 0);
    pthread_t owner = race_thread(own, NULL);
    sem_wait(&are_there);
    for (size_t i = 0; i < OLD / 2; i++)
        release(old_blocks[i], i);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(live_as_child());
    int status = 0;
    waitpid(child, &status, 0);
    race_case(status == 0, "the child ended with status 0x%x", status);
    sem_post(&may_end);
    race_join(owner);
    for (size_t i = OLD / 2; i < OLD; i++)
        release(old_blocks[i], i);
    race_case(race_allocated(heap) == 0, "%zu bytes are left", race_allocated(heap));
    race_case(HeapDestroy(heap), "HeapDestroy failed");
}

int main(void)
{
    race_begin("fork_batch");
    if (RACE_TSAN) {
        race_skip("threads in a child: ThreadSanitizer does not know how");
        return race_end();
    }
    if (RACE_ASAN) /* a thread that starts may hold a lock of ASan's over the fork */
        (void)mh_configure("purger:calls");
    sem_init(&are_there, 0, 0);
    sem_init(&may_end, 0, 0);
    for (size_t times = race_size(50, 10, 2); times; times--)
        fork_with_batch();
    return race_end();
}
