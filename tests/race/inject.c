/* SPDX-License-Identifier: MIT */
/*
 * Out of memory at every system call of the OS layer. Each scenario makes one thing after
 * another; the k-th system call of it fails, once or from then on. What was asked for then is
 * NULL with ENOMEM or was done all the same, what was there before is intact, everything works
 * once memory is back, and in the end nothing is left over. k rises until no call fails any more.
 *
 * Every run is a process of its own, so that each begins with the same state. For the first use,
 * which comes before main, the process also is a new program.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "os/pages.h"
#include "race.h"
#include "tcache/process.h"
#include "tcache/thread.h"

int mh_malloc_trim(size_t pad);

enum {
    MOST_THINGS = 4000,
    MOST_CALLS = 400,
    OLD_MS = 500, /* memory free for longer goes back to the system */
};

/* How a run, which is a process, ends. */
enum { RUN_FAILED = 1, RUN_INJECTED = 10, RUN_UNTOUCHED = 11 };

struct scenario {
    const char *name;
    size_t things;              /* how many to make */
    bool at_start;              /* the first use of the library is part of it */
    bool (*make)(size_t index); /* false: not enough memory, and errno says so */
    bool (*is_intact)(size_t index);
    void (*unmake)(size_t index);
};

static HANDLE heap; /* of the scenario, with nothing in it */
static void *things[MOST_THINGS];
static pthread_t threads[MOST_THINGS];
static size_t grown;
static const char *injected_nth, *injected_forever; /* NULL: nothing is, at start */
static const char
    *program; /* how this one was called; /proc/self/exe may be valgrind's */

/* Before the library's own constructor. */
__attribute__((constructor(101))) static void inject_at_start(void)
{
    injected_nth = getenv("MOLE_INJECT");
    injected_forever = getenv("MOLE_INJECT_FOREVER");
    if (injected_nth && injected_forever)
        mole_pages_inject(strtoul(injected_nth, NULL, 10), atoi(injected_forever));
}

/* --- things to make ---------------------------------------------------------------------- */

static bool stamp(size_t index, size_t bytes)
{
    if (things[index])
        race_stamp(things[index], bytes, index);
    return things[index] != NULL;
}

static bool make_heap(size_t index)
{
    things[index] = HeapCreate(index % 2 ? HEAP_NO_SERIALIZE : 0, 0, 0);
    return things[index] != NULL;
}

static bool is_heap(size_t index)
{
    void *block = HeapAlloc(things[index], 0, 100);
    return block ? HeapFree(things[index], 0, block) : errno == ENOMEM;
}

static void destroy_heap(size_t index)
{
    (void)HeapAlloc(things[index], 0, 10);
    race_require(HeapDestroy(things[index]), "HeapDestroy failed");
}

static size_t small_bytes(size_t index)
{
    return index * 37 % 3000;
}

static bool make_small(size_t index)
{
    things[index] = HeapAlloc(heap, 0, small_bytes(index));
    return stamp(index, small_bytes(index));
}

static bool is_small(size_t index)
{
    return race_is_stamped(things[index], small_bytes(index), index) &&
           HeapSize(heap, 0, things[index]) == small_bytes(index);
}

static void free_block(size_t index)
{
    race_require(HeapFree(heap, 0, things[index]), "HeapFree failed");
}

static bool make_malloc(size_t index)
{
    things[index] = mh_malloc(small_bytes(index));
    return stamp(index, small_bytes(index));
}

static bool is_malloc(size_t index)
{
    return race_is_stamped(things[index], small_bytes(index), index);
}

static void free_malloc(size_t index)
{
    mh_free(things[index]);
}

enum { LARGE = 900 * 1024, ALIGNED = 70000 };

static bool make_large(size_t index)
{
    things[index] = HeapAlloc(heap, HEAP_ZERO_MEMORY, LARGE);
    race_require(!things[index] || race_is_zero(things[index], LARGE), "not zeroed");
    return stamp(index, LARGE);
}

static bool is_large(size_t index)
{
    return race_is_stamped(things[index], LARGE, index) &&
           HeapSize(heap, 0, things[index]) == LARGE;
}

static bool make_aligned(size_t index)
{
    things[index] = NULL;
    size_t align = (size_t)8192 << index % 8;
    int error = mh_posix_memalign(&things[index], align, ALIGNED);
    race_require((uintptr_t)things[index] % align == 0, "not aligned to %zu", align);
    errno = error ? error : errno;
    return stamp(index, ALIGNED);
}

static bool is_aligned(size_t index)
{
    return race_is_stamped(things[index], ALIGNED, index);
}

/* One block that grows; the index is how often it did. */
static size_t grown_bytes(size_t index)
{
    return 20000 + index * 150000;
}

static bool make_growth(size_t index)
{
    void *block = index
                      ? HeapReAlloc(heap, HEAP_ZERO_MEMORY, things[0], grown_bytes(index))
                      : HeapAlloc(heap, 0, grown_bytes(0));
    if (!block)
        return false;
    things[0] = block;
    grown = index;
    race_stamp(block, grown_bytes(index), 1);
    return true;
}

static bool is_growth(size_t index)
{
    (void)index;
    return race_is_stamped(things[0], grown_bytes(grown), 1) &&
           HeapSize(heap, 0, things[0]) == grown_bytes(grown);
}

static void free_growth(size_t index)
{
    if (index == 0)
        free_block(0);
}

/* Threads that allocate once and then wait for all others. */
static atomic_uint threads_done;
static atomic_bool threads_go;

static void *allocate_first(void *thing)
{
    void **block = thing;
    errno = 0;
    *block = mh_malloc(100);
    race_require(*block || errno == ENOMEM, "errno is %d", errno);
    void *other = HeapAlloc(heap, 0, 100);
    race_require(other || errno == ENOMEM, "errno is %d", errno);
    race_require(!other || HeapFree(heap, 0, other), "HeapFree failed");
    atomic_fetch_add(&threads_done, 1);
    while (!atomic_load(&threads_go))
        race_sleep_ms(1);
    mh_free(*block);
    return NULL;
}

static bool make_thread(size_t index)
{
    unsigned before = atomic_load(&threads_done);
    threads[index] = race_thread(allocate_first, &things[index]);
    while (atomic_load(&threads_done) == before)
        race_sleep_ms(0);
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
    atomic_store(&threads_go, true);
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
    {"first use: malloc", 50, true, make_malloc, is_malloc, free_malloc},
    {"first use: HeapCreate", 20, true, make_heap, is_heap, destroy_heap},
    {"HeapCreate", 300, false, make_heap, is_heap, destroy_heap},
    {"small blocks", 3000, false, make_small, is_small, free_block},
    {"malloc", 3000, false, make_malloc, is_malloc, free_malloc},
    {"large blocks", 24, false, make_large, is_large, free_block},
    {"aligned blocks", 60, false, make_aligned, is_aligned, free_malloc},
    {"growth of a large block", 24, false, make_growth, is_growth, free_growth},
    {"threads' first blocks", 150, false, make_thread, is_thread, end_thread},
    {"trimming", 6, false, make_trimmed, is_trimmed, free_block},
    {"HeapDestroy", 2, false, make_destroyed, is_thread, forget},
};

/* --- runs ---------------------------------------------------------------------------------- */

static void require_intact(const struct scenario *scenario, size_t count)
{
    for (size_t i = 0; i < count; i++)
        race_require(scenario->is_intact(i), "%s: thing %zu was disturbed",
                     scenario->name, i);
}

/* Make all things while calls fail; returns the number of calls. */
static unsigned long make_all(const struct scenario *scenario, unsigned long nth,
                              bool forever)
{
    unsigned long calls = 0;
    size_t made = 0;
    if (!scenario->at_start)
        mole_pages_inject(nth, forever);
    for (size_t index = 0; index < scenario->things; index++) {
        errno = 0;
        if (scenario->make(index)) {
            made++;
            continue;
        }
        race_require(errno == ENOMEM, "%s: errno is %d, not ENOMEM", scenario->name,
                     errno);
        if (forever) /* it stays bad */
            require_intact(scenario, made);
        calls += mole_pages_inject(0, false);
        require_intact(scenario, made);
        if (scenario->make == make_thread) {
            race_join((atomic_store(&threads_go, true), threads[index]));
            atomic_store(&threads_go, false);
        }
        if (!scenario->make(index)) {
            race_fail("%s: thing %zu fails again with memory back", scenario->name,
                      index);
            _exit(RUN_FAILED);
        }
        made++;
    }
    calls += mole_pages_inject(0, false);
    return calls;
}

/* One run, in a process of its own; returns its exit status. */
static int run(const struct scenario *scenario, unsigned long nth, bool forever)
{
    size_t before = 0;
    (void)mh_configure("purger:calls"); /* no calls by another thread */
    if (!scenario->at_start) {
        heap = HeapCreate(0, 0, 0);
        race_require(heap != NULL, "HeapCreate failed");
        before = race_allocated(heap);
        race_require(mole_process_malloc_bytes() == 0, "malloc is in use already");
    }
    unsigned long calls = make_all(scenario, nth, forever);
    require_intact(scenario, scenario->things);
    for (size_t index = 0; index < scenario->things; index++)
        scenario->unmake(index);
    race_require(mole_process_malloc_bytes() == 0,
                 "%s: malloc holds %zu bytes at the end", scenario->name,
                 mole_process_malloc_bytes());
    race_require(GetProcessHeaps(0, NULL) == (scenario->at_start ? 1 : 2),
                 "%s: %u heaps are left", scenario->name,
                 (unsigned)GetProcessHeaps(0, NULL));
    if (heap)
        race_require(race_allocated(heap) == before, "%s: %zu bytes are left",
                     scenario->name, race_allocated(heap));
    if (atomic_load(&race_failed))
        return RUN_FAILED;
    return calls >= nth ? RUN_INJECTED : RUN_UNTOUCHED;
}

static int in_child(int (*body)(const void *), const void *argument)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(100);
        atomic_store(&race_failed, 0); /* the parent's are the parent's */
        _exit(body(argument));
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct plan {
    const struct scenario *scenario;
    unsigned long nth;
    bool forever;
};

static int run_plan(const void *argument)
{
    const struct plan *plan = argument;
    if (!plan->scenario->at_start)
        return run(plan->scenario, plan->nth, plan->forever);
    char index[20], nth[20];
    snprintf(index, sizeof index, "%d", (int)(plan->scenario - scenarios));
    snprintf(nth, sizeof nth, "%lu", plan->nth);
    setenv("MOLE_INJECT", nth, 1);
    setenv("MOLE_INJECT_FOREVER", plan->forever ? "1" : "0", 1);
    execl(program, program, index, (char *)NULL);
    return RUN_FAILED;
}

/* Let each call fail in turn. One case for each. */
static void try_scenario(const struct scenario *scenario, bool forever)
{
    unsigned long step = (unsigned long)race_size(1, 1, 12), nth;
    for (nth = 1; nth < MOST_CALLS; nth += step) {
        struct plan plan = {.scenario = scenario, .nth = nth, .forever = forever};
        int status = in_child(run_plan, &plan);
        if (status == RUN_UNTOUCHED)
            break;
        race_case(status == RUN_INJECTED, "%s: call %lu failed %s: ended with %d",
                  scenario->name, nth, forever ? "for good" : "once", status);
    }
    race_case(nth > 1 && nth < MOST_CALLS, "%s: %lu calls failed", scenario->name,
              nth - 1);
    printf("%s: %lu system calls failed %s\n", scenario->name, nth - 1,
           forever ? "for good" : "once");
}

/* How many of the scenario's things can be made without a system call. */
static size_t room_for(const struct scenario *scenario)
{
    size_t count = 0;
    mole_pages_inject(1, true);
    while (count < MOST_THINGS && scenario->make(count))
        count++;
    mole_pages_inject(0, false);
    for (size_t i = count; i-- > 0;)
        scenario->unmake(i);
    return count;
}

/* The room varies a little with the sizes of slabs, which follow what was live before. */
static bool is_about(size_t room, size_t first)
{
    return room * 5 >= first * 4;
}

/* A thousand failures in a row must not cost anything. */
static int fail_often(const void *argument)
{
    const struct scenario *scenario = argument;
    heap = HeapCreate(0, 0, 0);
    (void)room_for(scenario);
    size_t first = room_for(scenario), last = first;
    for (size_t i = 0; i < race_size(300, 100, 5); i++)
        last = room_for(scenario);
    race_require(is_about(last, first),
                 "%s: room for %zu at first, for %zu after many failures", scenario->name,
                 first, last);
    for (size_t i = 0; i < 1000; i++) {
        mole_pages_inject(1, true);
        race_require(!mh_malloc((size_t)1 << 35), "half of the region was there");
        mole_pages_inject(0, false);
    }
    race_require(is_about(room_for(scenario), first), "%s: large failures cost room",
                 scenario->name);
    return atomic_load(&race_failed) ? RUN_FAILED : 0;
}

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

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc == 2 && injected_nth && injected_forever) {
        race_name = "inject";
        return run(&scenarios[atoi(argv[1])], strtoul(injected_nth, NULL, 10),
                   injected_forever[0] == '1');
    }
    race_begin("inject");
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        try_scenario(&scenarios[i], false);
        try_scenario(&scenarios[i], true);
    }
    for (size_t i = 2; i <= 5; i++)
        race_case(in_child(fail_often, &scenarios[i]) == 0, "%s: often",
                  scenarios[i].name);
    int status = in_child(keep_errno, NULL);
    if (status == 77)
        race_skip(
            "pages cannot be locked here: errno under a failing madvise is not tested");
    else
        race_case(status == 0, "errno is not kept: %d", status);
    return race_end();
}
