/* SPDX-License-Identifier: MIT */
/*
 * The lock-free lists of a slab, one instruction at a time: the inbox, the owner's woken list, and
 * theft from it. One thread does one operation and is stopped before each of its instructions;
 * another thread looks at everything at each stop, and acts: at every stop, or, in one run for
 * each, at the k-th only. What must hold at every stop is in observe().
 */
#include "arena/inbox.h"
#include "arena/span_map.h"
#include "step.h"
#include "tcache/block.h"
#include "tcache/process.h"
#include "tcache/steal.h"

enum { BLOCKS = 16, SLAB_CLASS = 31, SLAB_BYTES = 1024 };

/* --- what the child tells the parent ------------------------------------------------------ */

enum { MOST_SCENARIOS = 40 };

struct report {
    size_t runs, stops, acts, failures;
    char first_failure[200];
};

static struct report *reports; /* shared */
static struct report *report;  /* of the scenario being run */

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (report->failures++ == 0)
        vsnprintf(report->first_failure, sizeof report->first_failure, format, arguments);
    va_end(arguments);
}

#define expect(condition, ...) ((condition) ? (void)0 : complain(__VA_ARGS__))

/* --- one slab, seen as its owner and its freeing threads do -------------------------------- */

static struct mole_owner owner;
static struct mole_span *slab;    /* whose inbox is tested */
static struct mole_span *another; /* only ever in the woken list */
static bool is_pushed[BLOCKS];    /* handed to mole_inbox_push, by now or soon */
static unsigned returned[BLOCKS]; /* how often it came out again */
static uint32_t next_block;       /* the first not pushed yet */
/* What a stepped take took: looked at when it is over, for the steps' sake. */
static uint32_t taken[3];
static size_t taken_count;
static size_t stop;   /* number of the present stop in this run */
static size_t chosen; /* the stop to act at; 0: every one */

static struct mole_span *make_slab(void)
{
    struct mole_span *span = mole_span_take(BLOCKS);
    struct mole_run *run = mole_pool_take(NULL, 1);
    if (!span || !run)
        abort();
    run->is_cut = 0; /* a full inbox counts as a return */
    mole_span_map_slab(span, run->base, BLOCKS * SLAB_BYTES / MOLE_PAGE, SLAB_CLASS,
                       &owner, run);
    if (span->block_bytes != SLAB_BYTES || span->capacity != BLOCKS)
        abort();
    return span;
}

/* All blocks live, nothing anywhere. */
static void reset(void)
{
    owner.heap = mole_process_heap();
    if (!slab) {
        slab = make_slab();
        another = make_slab();
    }
    store_rlx(&owner.woken_a, NULL);
    store_rlx(&owner.heap->returned_a, 0);
    store_rlx(&slab->inbox_a, MOLE_END);
    store_rlx(&another->inbox_a, MOLE_END);
    slab->woken_next = another->woken_next = NULL;
    slab->fresh = BLOCKS;
    slab->free = MOLE_END;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        store_rlx(&slab->entry_a[i], (uint16_t)MOLE_LIVE);
        is_pushed[i] = false;
        returned[i] = 0;
    }
    next_block = 0;
    taken_count = 0;
    stop = 0;
}

struct list {
    uint32_t first, last, count;
};

/* Link the next `count` blocks as a batch does. None, count 0, if there are not so many. */
static struct list link_next(uint32_t count)
{
    struct list list = {.first = next_block, .last = next_block + count - 1};
    if (list.last >= BLOCKS)
        return list;
    list.count = count;
    for (uint32_t i = list.first; i <= list.last; i++) {
        is_pushed[i] = true;
        store_rlx(&slab->entry_a[i], (uint16_t)(i == list.last ? MOLE_END : i + 1));
    }
    next_block += count;
    return list;
}

static void push(uint32_t count)
{
    struct list list = link_next(count);
    if (list.count)
        mole_inbox_push(slab, list.first, list.last, list.count);
}

/* The owner: put what was taken on the free list. */
static void receive(uint32_t word)
{
    uint32_t count = mole_inbox_count(word), index = mole_inbox_first(word);
    if (count == slab->capacity)
        sub_rlx(&slab->heap->returned_a, 1);
    for (uint32_t i = 0; i < count; i++) {
        if (index >= BLOCKS) {
            complain("stop %zu: a list of %u ends after %u blocks", stop, count, i);
            return;
        }
        uint32_t below = load_rlx(&slab->entry_a[index]);
        expect(is_pushed[index], "stop %zu: block %u came, which nobody pushed", stop,
               index);
        expect(returned[index]++ == 0, "stop %zu: block %u came twice", stop, index);
        store_rlx(&slab->entry_a[index], slab->free);
        slab->free = (uint16_t)index;
        index = below;
    }
    expect(index == MOLE_END, "stop %zu: a list of %u goes on with %u", stop, count,
           index);
}

static void take_blocks(void)
{
    receive(mole_inbox_take(slab, false));
}

/* The owner: take the woken list, and what is in the slabs' inboxes. */
static void take_woken(void)
{
    struct mole_span *span = swap_acq(&owner.woken_a, NULL);
    while (span) {
        struct mole_span *next = span->woken_next;
        uint32_t word = mole_inbox_take(span, true);
        if (span == slab)
            receive(word);
        span = next;
    }
}

static void take_everything(void)
{
    take_woken();
    take_blocks();
}

static size_t times_in_woken_list(const struct mole_span *wanted)
{
    size_t times = 0, steps = 0;
    for (struct mole_span *span = load_rlx(&owner.woken_a); span;
         span = span->woken_next) {
        times += span == wanted;
        if (++steps > 2) {
            complain("stop %zu: the woken list does not end", stop);
            break;
        }
    }
    return times;
}

/* At any instruction of a push, a take or a wake. */
static void observe(bool is_owner_quiet)
{
    uint32_t word = load_acq(&slab->inbox_a);
    uint32_t count = mole_inbox_count(word), index = mole_inbox_first(word);
    bool is_seen[BLOCKS] = {false};
    for (uint32_t i = 0; i < count; i++) {
        if (index >= BLOCKS || is_seen[index]) {
            complain("stop %zu: the inbox of %u is no list", stop, count);
            return;
        }
        is_seen[index] = true;
        uint16_t entry = load_rlx(&slab->entry_a[index]);
        expect(!mole_span_entry_is_live(entry), "stop %zu: live block in the inbox",
               stop);
        expect(is_pushed[index] && !returned[index],
               "stop %zu: block %u in the inbox was not pushed, or has come already",
               stop, index);
        index = entry;
    }
    expect(index == MOLE_END, "stop %zu: the inbox of %u goes on with %u", stop, count,
           index);
    size_t times = times_in_woken_list(slab);
    bool is_listed = word & MOLE_INBOX_LISTED;
    expect(times <= 1, "stop %zu: the slab is in the woken list twice", stop);
    expect(times == 0 || is_listed, "stop %zu: in the woken list, but not LISTED", stop);
    expect(count == 0 || is_listed, "stop %zu: blocks, but not LISTED", stop);
    if (is_owner_quiet)
        mole_span_check(slab);
}

/* After the operation: everything comes out, once. */
static void settle_accounts(void)
{
    bool is_listed = load_rlx(&slab->inbox_a) & MOLE_INBOX_LISTED;
    expect(is_listed == (times_in_woken_list(slab) == 1),
           "at the end the slab is LISTED or in the list, but not both");
    is_listed = load_rlx(&another->inbox_a) & MOLE_INBOX_LISTED;
    expect(is_listed == (times_in_woken_list(another) == 1),
           "at the end another slab is LISTED or in the list, but not both");
    for (size_t i = 0; i < taken_count; i++)
        receive(taken[i]);
    take_everything();
    for (uint32_t i = 0; i < BLOCKS; i++)
        expect(returned[i] == is_pushed[i], "block %u: pushed %d, came %u times", i,
               is_pushed[i], returned[i]);
    expect(mole_inbox_is_quiet(slab), "the inbox is not quiet at the end");
    expect(load_rlx(&owner.heap->returned_a) == 0, "%d returns too many were counted",
           (int)load_rlx(&owner.heap->returned_a));
    mole_span_check(slab);
}

/* --- what is stopped, and what the other thread does --------------------------------------- */

static struct list ready; /* what the stepped push hands over */

static void quiet_before(void)
{
    ready = link_next(1);
}

static void quiet_before_batch(void)
{
    ready = link_next(3);
}

static void filled_before_batch(void)
{
    push(1);
    push(1);
    ready = link_next(3);
}

/* LISTED, with nothing in it. */
static void empty_before(void)
{
    push(1);
    take_blocks();
    ready = link_next(1);
}

/* All but the batch, and one for the other thread. */
static void nearly_full_before_batch(void)
{
    push(BLOCKS - 4);
    ready = link_next(3);
}

static void push_ready(void)
{
    mole_inbox_push(slab, ready.first, ready.last, ready.count);
}

static void filled_before(void)
{
    push(1);
    push(1);
}

static void nearly_full_before(void)
{
    push(BLOCKS - 1);
}

static void push_one(void)
{
    push(1);
}

/* As after the push that listed it. */
static void listed_before(void)
{
    store_rlx(&slab->inbox_a, MOLE_INBOX_LISTED | MOLE_END);
}

static void wake(void)
{
    mole_inbox_wake(slab);
}

static void step_take_blocks(void)
{
    taken[taken_count++] = mole_inbox_take(slab, false);
}

static void step_take_woken(void)
{
    struct mole_span *span = swap_acq(&owner.woken_a, NULL);
    while (span) {
        struct mole_span *next = span->woken_next;
        uint32_t word = mole_inbox_take(span, true);
        if (span == slab)
            taken[taken_count++] = word;
        span = next;
    }
}

static void step_take_everything(void)
{
    step_take_woken();
    step_take_blocks();
}

/* Unless it is in the list already. */
static void wake_another(void)
{
    if (load_rlx(&another->inbox_a) & MOLE_INBOX_LISTED)
        return;
    store_rlx(&another->inbox_a, MOLE_INBOX_LISTED | MOLE_END);
    mole_inbox_wake(another);
}

static void wake_another_and_take(void)
{
    wake_another();
    take_everything();
}

static void push_and_take(void)
{
    push(1);
    take_everything();
}

static void take_and_push(void)
{
    take_everything();
    push(1);
}

/* --- theft, in a real heap ------------------------------------------------------------------ */

enum { ROOM = 8, BYTES = 8192, HELD = ROOM + 1, SPARE = 2 };

static HANDLE heap;
static struct mole_heap *record;
static void *of_full[ROOM], *of_current[ROOM], *of_spare[SPARE * ROOM], *held[HELD];
static bool has_acted;

/* Have the other thread do something while this one waits. */
static void (*_Atomic errand)(void);

static void have_done(void (*what)(void))
{
    atomic_store(&errand, what);
    while (atomic_load(&errand))
        sched_yield();
}

static void alloc_all(void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blocks[i] = HeapAlloc(heap, 0, BYTES);
}

static void free_all(void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect(HeapFree(heap, 0, blocks[i]), "HeapFree failed");
    memset(blocks, 0, count * sizeof *blocks);
}

/*
 * The other thread's heap: a slab set aside and one that is current, both without a free block;
 * and two with enough free ones for use_up, which must not need the arena's lock: the thief may be
 * stopped while it holds that.
 */
static void build_heap(void)
{
    heap = HeapCreate(0, 0, 0);
    record = mole_heap_find(heap);
    alloc_all(of_spare, SPARE * ROOM);
    alloc_all(of_full, ROOM);
    alloc_all(of_current, ROOM);
    expect(mole_span_map_find(of_full[0]) == mole_span_map_find(of_full[ROOM - 1]) &&
               mole_span_map_find(of_current[0]) != mole_span_map_find(of_full[0]),
           "the slabs are not of %d blocks", ROOM);
    free_all(of_spare, ROOM - 1);
    free_all(of_spare + ROOM, ROOM - 1);
    memset(held, 0, sizeof held);
    has_acted = false;
    stop = 0;
}

/* The current slab came back whole. */
static void return_current(void)
{
    have_done(build_heap);
    free_all(of_current, ROOM);
}

/* The full slab did: it may be stolen. */
static void return_full(void)
{
    have_done(build_heap);
    free_all(of_full, ROOM);
}

static void steal(void)
{
    (void)mole_steal(record, NULL);
}

/* The owner allocates all of a slab and one block more, so that it is set aside. */
static void use_up(void)
{
    if (has_acted)
        return;
    has_acted = true;
    alloc_all(held, HELD);
    for (size_t i = 0; i < HELD; i++)
        if (held[i])
            race_stamp(held[i], BYTES, i);
}

/* The same where the owner may give a slab back: only if it need not wait for the thief. */
static void refill(void)
{
    if (pthread_mutex_trylock(&record->arena.lock.mutex) != 0)
        return;
    pthread_mutex_unlock(&record->arena.lock.mutex);
    use_up();
}

static void destroy_heap(void)
{
    expect(HeapDestroy(heap), "HeapDestroy failed");
}

static void look_at_held(void)
{
    for (size_t i = 0; i < HELD; i++) {
        if (!has_acted)
            continue;
        expect(held[i] && HeapSize(heap, 0, held[i]) == BYTES,
               "acted at stop %zu: a live block of the owner's is gone", chosen);
        expect(held[i] && race_is_stamped(held[i], BYTES, i),
               "acted at stop %zu: a live block of the owner's changed", chosen);
        for (size_t j = 0; j < i; j++)
            expect(held[i] != held[j], "acted at stop %zu: a block was given twice",
                   chosen);
    }
}

/* The owner's: what it allocates from must be there. */
static void look_at_current(void)
{
    const struct mole_tcache *cache = mole_thread_cache(record);
    const struct mole_span *span = cache->current[mole_size_class_of(BYTES)];
    expect(mole_span_map_find(span->base) == span,
           "acted at stop %zu: the owner's current slab was stolen", chosen);
}

/* Every block is somewhere: as many bytes as are held are live, and the heap works on. */
static void settle_theft(void)
{
    size_t live = 0;
    look_at_held();
    have_done(look_at_current);
    for (size_t i = 0; i < ROOM; i++)
        live += (of_full[i] != NULL) + (of_current[i] != NULL);
    for (size_t i = 0; i < SPARE * ROOM; i++)
        live += of_spare[i] != NULL;
    for (size_t i = 0; i < HELD; i++)
        live += held[i] != NULL;
    expect(race_allocated(heap) == live * BYTES,
           "acted at stop %zu: %zu bytes live, not %zu", chosen, race_allocated(heap),
           live * BYTES);
    if (report->failures == 0) {
        has_acted = false;
        have_done(use_up);
        look_at_held();
    }
    have_done(destroy_heap);
}

/* --- scenarios ------------------------------------------------------------------------------ */

enum how {
    ONCE = 1,          /* acting at every stop makes no sense */
    OWNER_STEPPED = 2, /* the slab's owner is stopped, not one that frees */
    THEFT = 4,         /* in a real heap */
    COARSE = 8,        /* act at every fifth stop */
};

struct scenario {
    const char *name;
    void (*before)(void);
    void (*stepped)(void);
    void (*act)(void);
    unsigned how;
};

#define PUSHES(name, before)                                                          \
    {name ", the owner takes", before, push_ready, take_everything, 0},               \
        {name ", another pushes", before, push_ready, push_one, ONCE},                \
        {name ", another pushes, the owner takes", before, push_ready, push_and_take, \
         ONCE},                                                                       \
    {                                                                                 \
        name ", the owner takes, another pushes", before, push_ready, take_and_push,  \
            ONCE                                                                      \
    }

static const struct scenario scenarios[] = {
    PUSHES("push to a quiet inbox", quiet_before),
    PUSHES("push of three to a quiet inbox", quiet_before_batch),
    PUSHES("push of three to a filled inbox", filled_before_batch),
    PUSHES("push to an empty listed inbox", empty_before),
    PUSHES("push of the last blocks", nearly_full_before_batch),
    {"wake, the owner takes", listed_before, wake, take_everything, 0},
    {"wake, another is woken", listed_before, wake, wake_another, ONCE},
    {"wake, another is woken, the owner takes", listed_before, wake,
     wake_another_and_take, ONCE},
    {"take, others push", filled_before, step_take_blocks, push_one, OWNER_STEPPED},
    {"take of the woken list, others push", filled_before, step_take_woken, push_one,
     OWNER_STEPPED},
    {"take of the woken list, another is woken", filled_before, step_take_woken,
     wake_another, OWNER_STEPPED},
    {"take of everything, the last block is pushed", nearly_full_before,
     step_take_everything, push_one, OWNER_STEPPED | ONCE},
    {"theft, the slab is current and used up", return_current, steal, use_up,
     THEFT | ONCE},
    {"theft, the owner refills", return_full, steal, refill, THEFT | ONCE | COARSE},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };
_Static_assert((int)SCENARIOS <= (int)MOST_SCENARIOS, "reports are too few");

static const struct scenario *present;

static bool is_theft(void)
{
    return present->how & THEFT;
}

static void *be_the_other(void *argument)
{
    struct step_link *link = argument;
    while (!atomic_load(&link->is_over)) {
        void (*what)(void) = atomic_load(&errand);
        if (what) {
            what();
            atomic_store(&errand, NULL);
        } else if (step_is_asked(link)) {
            stop++;
            report->stops++;
            if (!is_theft())
                observe(!(present->how & OWNER_STEPPED));
            if (chosen == 0 || chosen == stop) {
                report->acts++;
                present->act();
                if (!is_theft())
                    observe(!(present->how & OWNER_STEPPED));
            }
            step_answer(link);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void run_once(struct step_link *link)
{
    report->runs++;
    if (!is_theft())
        reset();
    present->before();
    stop = 0;
    step_enter(link);
    present->stepped();
    step_leave(link);
    if (is_theft())
        settle_theft();
    else
        settle_accounts();
}

/* With the act at every stop, then at each one alone, until there are no more stops. */
static void run_scenario(struct step_link *link, size_t index)
{
    enum { MOST_RUNS = 1000 };
    present = &scenarios[index];
    report = &reports[index];
    for (chosen = present->how & ONCE; chosen < MOST_RUNS && !report->failures;
         chosen += present->how & COARSE ? 5 : 1) {
        run_once(link);
        if (chosen > stop)
            break;
    }
}

static int step_everything(struct step_link *link)
{
    /* The only thief is the one stepped, and it makes no passes over the pool. */
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true);
    (void)GetProcessHeap();
    report = &reports[0];
    pthread_t other = race_thread(be_the_other, link);
    if (step_begin(link))
        for (size_t i = 0; i < SCENARIOS; i++)
            run_scenario(link, i);
    atomic_store(&link->is_over, true);
    race_join(other);
    return 0;
}

/* --- the parent ----------------------------------------------------------------------------- */

static void *shared(size_t bytes)
{
    void *start =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return start == MAP_FAILED ? NULL : start;
}

/* Step through all operations there are. False: one was held up, or did not end. */
static bool step_through(struct step_tracer *tracer)
{
    while (step_next(tracer)) {
        size_t steps = 0;
        do {
            if (!step_ask(tracer, STEP_PATIENCE_MS)) {
                race_fail("the other thread is held up or dead");
                return false;
            }
        } while (step_once(tracer) && ++steps < STEP_MOST);
        if (steps == STEP_MOST) {
            race_fail("an operation has not ended after %zu instructions", steps);
            return false;
        }
    }
    return true;
}

/* False: it was not run. */
static bool tell(const struct scenario *scenario, const struct report *told)
{
    if (told->runs == 0)
        return false;
    printf("%s: %zu runs, %zu stops, %zu acts\n", scenario->name, told->runs, told->stops,
           told->acts);
    race_case(told->failures == 0 && told->acts > 10, "%s: %s", scenario->name,
              told->failures ? told->first_failure : "hardly anything was done");
    return true;
}

static void step_all(void)
{
    reports = shared(MOST_SCENARIOS * sizeof *reports);
    if (!reports) {
        race_fail("mmap: %s", strerror(errno));
        return;
    }
    struct step_tracer tracer = step_fork(step_everything);
    if (!step_attach(&tracer)) {
        race_skip("ptrace is denied here: %s", strerror(errno));
        step_forget(&tracer);
        return;
    }
    if (!step_through(&tracer))
        kill(tracer.child, SIGKILL);
    race_case(WIFEXITED(tracer.status) && WEXITSTATUS(tracer.status) == 0,
              "the stepped process ended with status 0x%x", (unsigned)tracer.status);
    size_t told = 0;
    for (size_t i = 0; i < SCENARIOS; i++)
        told += tell(&scenarios[i], &reports[i]);
    race_case(told == SCENARIOS, "only %zu of %d scenarios were run", told, SCENARIOS);
}

int main(void)
{
    race_begin("inbox_step");
    const char *obstacle = step_obstacle();
    if (obstacle)
        race_skip("nothing is stepped: %s", obstacle);
    else
        step_all();
    return race_end();
}
