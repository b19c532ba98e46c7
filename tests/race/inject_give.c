/* SPDX-License-Identifier: MIT */
/*
 * Out of memory (inject.h) where molehill asks for something on its own account: for a
 * thread's first use, when memory goes back to the system, for the purger's thread.
 */
#include <dirent.h>
#include <semaphore.h>

#include "arena/warmth.h"
#include "inject.h"

enum { LARGE = 900 * 1024 };

static pthread_t threads[MOST_THINGS];

static void free_block(size_t index)
{
    race_require(HeapFree(heap, 0, things[index]), "HeapFree failed");
}

/* Threads that allocate once and wait for all others; they end one after another. */
static sem_t has_allocated;
static sem_t may_end[MOST_THINGS];

static void *allocate_first(void *thing)
{
    void **block = thing;
    errno = 0;
    *block = mh_malloc(100);
    race_require(*block || errno == ENOMEM, "errno is %d", errno);
    void *other = HeapAlloc(heap, 0, 100);
    race_require(other || errno == ENOMEM, "errno is %d", errno);
    race_require(!other || HeapFree(heap, 0, other), "HeapFree failed");
    bool is_to_wait = *block != NULL;
    sem_post(&has_allocated);
    if (is_to_wait)
        sem_wait(&may_end[block - things]);
    mh_free(*block);
    return NULL;
}

static bool make_thread(size_t index)
{
    threads[index] = race_thread(allocate_first, &things[index]);
    sem_wait(&has_allocated);
    if (!things[index])
        race_join(threads[index]);
    errno = ENOMEM; /* the thread's own was looked at there */
    return things[index] != NULL;
}

static bool is_thread(size_t index)
{
    (void)index;
    return true;
}

static void end_thread(size_t index)
{
    sem_post(&may_end[index]);
    race_join(threads[index]);
}

/* Memory that is given back by age or on demand; that may fail and nobody must notice. */
static bool make_trimmed(size_t index)
{
    void *block = HeapAlloc(heap, HEAP_ZERO_MEMORY, LARGE);
    if (!block)
        return false;
    race_require(race_is_zero(block, LARGE), "not zeroed after a purge that failed");
    race_stamp(block, LARGE, index);
    race_require(HeapFree(heap, 0, block), "HeapFree failed");
    (void)mh_malloc_trim(0);
    things[index] = HeapAlloc(heap, HEAP_ZERO_MEMORY, 64);
    race_require(!things[index] || race_is_zero(things[index], 64), "not zeroed");
    return things[index] != NULL;
}

static bool is_trimmed(size_t index)
{
    return HeapSize(heap, 0, things[index]) == 64;
}

/* A heap with a large block, destroyed while other memory is old enough to be purged. */
static bool make_destroyed(size_t index)
{
    HANDLE own = HeapCreate(0, 0, 0);
    if (!own)
        return false;
    size_t bytes = LARGE + index * LARGE / 2; /* not the memory of the heap before */
    things[index] = HeapAlloc(own, 0, bytes);
    bool is_made = stamp(index, bytes);
    int saved = errno;
    if (index > 0)
        race_sleep_ms(OLD_MS);
    race_require(HeapDestroy(own), "HeapDestroy failed");
    race_require(HeapSize(own, 0, things[index]) == (SIZE_T)-1,
                 "the heap is still there");
    errno = saved;
    return is_made;
}

static void forget(size_t index)
{
    things[index] = NULL;
}

static const struct scenario scenarios[] = {
    {"threads' first blocks", 150, 30, false, false, make_thread, is_thread, end_thread},
    {"trimming", 6, 6, false, true, make_trimmed, is_trimmed, free_block},
    {"HeapDestroy", 2, 2, false, true, make_destroyed, is_thread, forget},
};

/*
 * madvise fails on locked pages. Neither free nor a shrinking realloc may let errno know.
 */
static int keep_errno(const void *argument)
{
    (void)argument;
    void *locked = mh_malloc(LARGE), *shrunk = mh_malloc(LARGE), *last = mh_malloc(LARGE);
    void *heap_block = HeapAlloc(GetProcessHeap(), 0, LARGE);
    if (mlock(locked, LARGE) != 0 || mlock(shrunk, LARGE) != 0)
        return 77;
    errno = 4711;
    shrunk = mh_realloc(shrunk, 100000);
    race_require(shrunk && errno == 4711, "realloc that shrinks set errno to %d", errno);
    mh_free(locked);
    race_require(errno == 4711, "free set errno to %d", errno);
    race_sleep_ms(OLD_MS);
    errno = 4711;
    mh_free(last); /* purges what has been free for long */
    race_require(errno == 4711, "free that purges set errno to %d", errno);
    race_sleep_ms(OLD_MS);
    errno = 4711;
    race_require(HeapFree(GetProcessHeap(), 0, heap_block), "HeapFree failed");
    race_require(errno == 4711, "HeapFree that purges set errno to %d", errno);
    return atomic_load(&race_failed) ? RUN_FAILED : 0;
}

/* How an attempt to start the purger ends. */
enum { NO_PURGER = 20, HAS_PURGER = 21, NOTHING_FAILED = 22 };

static size_t thread_count(void)
{
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (tasks && readdir(tasks))
        count++;
    race_require(count > 2, "/proc/self/task cannot be read");
    if (tasks)
        closedir(tasks);
    return count;
}

static void *wait_to_end(void *end)
{
    sem_wait(end);
    return NULL;
}

/* Many at first; a few later leave the rest of that memory to age. */
static void use_some(size_t count)
{
    void *blocks[8];
    for (size_t i = 0; i < count; i++) {
        errno = 0;
        blocks[i] = HeapAlloc(GetProcessHeap(), 0, LARGE);
        if (!blocks[i] && errno == ENOMEM)
            blocks[i] = HeapAlloc(GetProcessHeap(), 0, LARGE);
        race_require(blocks[i] != NULL, "no memory when it is back");
    }
    for (size_t i = 0; i < count; i++)
        race_require(HeapFree(GetProcessHeap(), 0, blocks[i]), "HeapFree failed");
}

/*
 * The call that fails may be the start of the purger's thread. Then nobody notices, it is
 * not asked for again, and calls that free give memory back instead of it.
 */
static int start_purger(const void *argument)
{
    sem_t end;
    sem_init(&end, 0, 0);
    pthread_t other = race_thread(wait_to_end, &end);
    size_t before = thread_count();
    unsigned long nth = *(const unsigned long *)argument;
    mole_warmth_missed(8 * LARGE / MOLE_CHUNK * 2); /* or all would go at once */
    mole_pages_inject(nth, false);
    use_some(8);
    unsigned long calls = mole_pages_inject(0, false);
    bool has_purger = thread_count() > before;
    uint64_t purged = mole_pool_purged();
    double limit = race_now() + 20;
    while (mole_pool_purged() == purged && race_now() < limit) {
        race_sleep_ms(50);
        if (!has_purger)
            use_some(1);
    }
    race_require(mole_pool_purged() > purged, "nothing goes back to the system");
    race_require(has_purger || thread_count() == before, "it was started later");
    sem_post(&end);
    race_join(other);
    if (atomic_load(&race_failed))
        return RUN_FAILED;
    return !has_purger ? NO_PURGER : calls >= nth ? HAS_PURGER : NOTHING_FAILED;
}

static void try_purger(void)
{
    unsigned long nth, refused = 0;
    for (nth = 1; nth < MOST_CALLS; nth++) {
        int status = in_child(start_purger, &nth);
        if (status == NOTHING_FAILED)
            break;
        refused += status == NO_PURGER;
        race_case(status == NO_PURGER || status == HAS_PURGER,
                  "purger: call %lu failed: ended with %d", nth, status);
    }
    race_case(nth < MOST_CALLS && refused == 1, "the purger was refused %lu times",
              refused);
    printf("purger: %lu calls failed, %lu of them its start\n", nth - 1, refused);
}

int main(int argc, char **argv)
{
    (void)argc;
    program = argv[0];
    race_begin("inject_give");
    try_purger();
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        try_scenario(scenarios, i, false);
        try_scenario(scenarios, i, true);
    }
    int status = in_child(keep_errno, NULL);
    if (status == 77)
        race_skip(
            "pages cannot be locked here: errno under a failing madvise is not tested");
    else
        race_case(status == 0, "errno is not kept: %d", status);
    return race_end();
}
