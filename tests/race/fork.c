/* SPDX-License-Identifier: MIT */
/*
 * fork while other threads allocate. The child finds the heaps in whatever state the
 * vanished threads left them; it frees their blocks, allocates a lot and starts threads
 * of its own. A child that hangs is killed and is a failure.
 */
#include "fork.h"
#include "tcache/process.h"
#include "tcache/thread.h"

static void *be_busy(void *argument)
{
    struct busy *busy = argument;
    while (!atomic_load(&is_over) && !atomic_load(&race_failed))
        step(busy->own, &busy->random);
    return NULL;
}

static void start_threads(void)
{
    if (!RACE_TSAN) {
        pthread_t threads[2];
        for (uintptr_t i = 0; i < 2; i++)
            threads[i] = race_thread(allocate_many, (void *)(i + 100));
        for (size_t i = 0; i < 2; i++)
            race_join(threads[i]);
    }
}

static void destroy_heaps(void)
{
    for (size_t i = 1; i < HEAPS; i++) {
        size_t left = race_allocated(heaps[i]);
        race_require(left <= THREADS * (size_t)MOST_BYTES,
                     "heap %zu holds %zu bytes though everything was freed", i, left);
        race_require(HeapDestroy(heaps[i]), "HeapDestroy failed");
        heaps[i] = make_heap(i);
        race_require(heaps[i] != NULL, "HeapCreate failed");
    }
    size_t left = mole_process_malloc_bytes();
    race_require(left <= THREADS * (size_t)MOST_BYTES + 4096 * THREADS,
                 "malloc holds %zu bytes though everything was freed", left);
}

static int live_as_child(unsigned number)
{
    atomic_store(&race_failed, 0);
    visit_records(false);
    allocate_many(NULL);
    if (number % 4 == 1)
        start_threads();
    visit_records(false);
    visit_records(true);
    if (number % 4 != 3)
        destroy_heaps();
    allocate_many(NULL);
    if (number % 8 == 2) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            allocate_many(NULL);
            _exit(atomic_load(&race_failed) ? 1 : 0);
        }
        int status = 1;
        race_require(waitpid(grandchild, &status, 0) == grandchild && status == 0,
                     "a grandchild ended with %d", status);
    }
    return atomic_load(&race_failed) ? 1 : 0;
}

/*
 * Until all threads are well under way: a thread that starts holds locks of the
 * sanitizers' allocators, which their children would wait for.
 */
static void await_threads(void)
{
    while (atomic_load(&operations) < 1000)
        race_sleep_ms(1);
    race_sleep_ms(200);
}

static void fork_storm(void)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(be_busy, &busy_threads[i]);
    await_threads();
    size_t forks = race_size(300, 60, 12), hangs = 0;
    for (size_t i = 0; i < forks && hangs < 3; i++) {
        struct busy *own = &busy_threads[THREADS];
        for (size_t steps = race_below(&own->random, 200); steps; steps--)
            step(own->own, &own->random);
        pid_t child = fork();
        if (child == 0)
            _exit(live_as_child((unsigned)i));
        hangs += !reap(child, "fork storm");
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    visit_records(true);
    for (size_t i = 0; i < HEAPS; i++)
        race_case(race_allocated(heaps[i]) == 0,
                  "heap %zu: %zu bytes are left in the parent", i,
                  race_allocated(heaps[i]));
    race_case(atomic_load(&operations) > 20 * forks,
              "exercised too little: %llu operations", atomic_load(&operations));
    printf("fork storm: %zu forks beside %llu operations\n", forks,
           atomic_load(&operations));
}

int main(void)
{
    race_begin("fork");
    if (RACE_TSAN || RACE_ASAN) /* one that starts may hold their locks over the fork */
        (void)mh_configure("purger:calls");
    if (RACE_TSAN)
        race_skip("threads in a child: ThreadSanitizer does not know how");
    set_up();
    pthread_detach(race_thread(watch, NULL));
    fork_storm();
    return race_end();
}
