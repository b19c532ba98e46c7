/* SPDX-License-Identifier: MIT */
/*
 * Threads use up a small region together, phase by phase in runs of another size, beside
 * a thread that makes passes. What one thread has in its hands while it joins and splits
 * is not gone: in no phase does a thread go without, for they want so little that
 * whatever way the rest is cut, there is room. Then forks at any moment of it: the child
 * finds nearly all, and nothing twice.
 */
#include <sys/wait.h>

#include "arena/hands.h"
#include "arena/pool.h"
#include "arena/region.h"
#include "arena/rejoin.h"
#include "os/thread.h"
#include "race.h"

enum { THREADS = 4, CHUNKS = 1024, MOST_RUNS = CHUNKS / 3 / THREADS };

static struct mole_pool_slots slots[THREADS + 1];
static pthread_barrier_t turn;
static size_t wanted; /* chunks of each run in this phase */
static size_t phases;
static atomic_bool is_over;

/* --- phases ----------------------------------------------------------------------- */

static uint64_t key_of(const struct mole_run *run, size_t thread)
{
    return race_mix((uintptr_t)run->base + thread);
}

/*
 * The first words of each chunk are written, and stay as they are while the run is taken.
 */
static struct mole_run *take(size_t thread)
{
    struct mole_run *run = mole_pool_take(&slots[thread], wanted);
    if (!run)
        return NULL;
    race_require(run->chunks >= wanted, "%u chunks for %zu", run->chunks, wanted);
    for (size_t i = 0; i < run->chunks; i++) {
        char *chunk = run->base + i * MOLE_CHUNK;
        race_require(!run->is_zero || race_is_zero(chunk, 64), "it is not zero");
        race_stamp(chunk, 64, key_of(run, thread));
    }
    return run;
}

static void give(struct mole_run *run, size_t thread)
{
    for (size_t i = 0; i < run->chunks; i++)
        race_require(race_is_stamped(run->base + i * MOLE_CHUNK, 64, key_of(run, thread)),
                     "a run was disturbed");
    mole_pool_give(&slots[thread], run);
}

/*
 * A run is at most twice what was wanted, and what is left between two of them may be a
 * little less than that. So a third of all is always to be had.
 */
static void run_phase(size_t thread)
{
    static struct mole_run *taken[THREADS][MOST_RUNS];
    struct mole_run **runs = taken[thread];
    size_t count = (CHUNKS / (3 * wanted) - 1) / THREADS;
    for (size_t i = 0; i < count; i++) {
        runs[i] = take(thread);
        race_require(runs[i] != NULL, "thread %zu got %zu of %zu runs of %zu chunks",
                     thread, i, count, wanted);
        if (!runs[i])
            count = i;
    }
    for (size_t i = count; i > 0; i--)
        give(runs[i - 1], thread);
}

/* Nothing is as large as is wanted next. */
static void cut_in_chunks(void)
{
    static struct mole_run *runs[CHUNKS];
    size_t count = 0;
    while (count < CHUNKS && (runs[count] = mole_pool_take(&slots[0], 1)))
        count++;
    race_require(count == CHUNKS, "there are %zu chunks of %d", count, CHUNKS);
    for (size_t i = 0; i < count; i++)
        mole_pool_give(i % 2 ? &slots[0] : NULL, runs[i]);
}

static void *use_region(void *argument)
{
    size_t thread = (uintptr_t)argument;
    uint64_t random = race_seed;
    for (size_t phase = 0; phase < phases; phase++) {
        size_t size = 2 + race_below(&random, phase % 2 ? 63 : 4);
        if (thread == 0) {
            cut_in_chunks();
            wanted = size;
        }
        pthread_barrier_wait(&turn);
        run_phase(thread);
        pthread_barrier_wait(&turn);
    }
    return NULL;
}

/* What is free becomes cold in the middle of each phase. */
static void *make_passes(void *argument)
{
    (void)argument;
    for (size_t phase = 0; phase < phases; phase++) {
        pthread_barrier_wait(&turn);
        (void)mole_pool_pass();
        if (phase % 4 == 0)
            (void)mole_pool_purge();
        pthread_barrier_wait(&turn);
    }
    return NULL;
}

static void exhaust_together(void)
{
    pthread_t threads[THREADS + 1];
    uint64_t joined = mole_rejoin_count(), purged = mole_pool_purged();
    phases = race_size(1000, 200, 20);
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(use_region, (void *)i);
    threads[THREADS] = race_thread(make_passes, NULL);
    for (size_t i = 0; i <= THREADS; i++)
        race_join(threads[i]);
    joined = mole_rejoin_count() - joined;
    purged = mole_pool_purged() - purged;
    race_case(!atomic_load(&race_failed), "a thread went without, or was disturbed");
    race_case(joined >= phases && purged >= phases / 4,
              "exercised too little: %zu times joined, %zu runs purged in %zu phases",
              (size_t)joined, (size_t)purged, phases);
    printf("%zu phases, %zu times joined, %zu runs purged\n", phases, (size_t)joined,
           (size_t)purged);
}

/* --- everything is in one's hands ------------------------------------------------- */

static atomic_uint answered;

static void *take_one(void *argument)
{
    struct mole_run *run = mole_pool_take(argument, 1);
    atomic_fetch_add(&answered, 1);
    return run;
}

static void wait_for_hands(void)
{
    pthread_t threads[THREADS];
    void *runs[THREADS];
    struct mole_run *all = mole_pool_take(NULL, CHUNKS);
    race_require(all != NULL, "it is not in one piece");
    mole_hands_enter();
    mole_hands_hold(all);
    uint64_t limit = mole_lock_count() + THREADS;
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(take_one, &slots[i]);
    while (mole_lock_count() < limit && atomic_load(&answered) < THREADS)
        race_sleep_ms(1);
    race_case(atomic_load(&answered) == 0, "a thread did not wait for what another has");
    mole_hands_put_all();
    mole_hands_leave();
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &runs[i]);
        race_case(runs[i] != NULL, "thread %zu went without", i);
        if (runs[i])
            mole_pool_give(NULL, runs[i]);
    }
}

/* --- what cannot be had ----------------------------------------------------------- */

static void *want_too_much(void *argument)
{
    for (size_t i = 0; i < 1000; i++)
        race_require(!mole_pool_take(argument, CHUNKS), "more than all");
    return NULL;
}

static void fail_together(void)
{
    pthread_t threads[THREADS];
    struct mole_run *one = mole_pool_take(NULL, 1);
    uint64_t before = mole_rejoin_count();
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(want_too_much, &slots[i]);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    race_case(mole_rejoin_count() == before + 1,
              "what cannot be had was looked for %zu times",
              (size_t)(mole_rejoin_count() - before));
    mole_pool_give(NULL, one);
    struct mole_run *all = mole_pool_take(NULL, CHUNKS);
    race_case(all && all->chunks == CHUNKS, "it is not in one piece again");
    if (all)
        mole_pool_give(NULL, all);
}

/* --- fork ------------------------------------------------------------------------- */

/* Pieces of this many chunks, each behind one that stays taken. */
enum { PIECE = 15, PIECES = CHUNKS / (PIECE + 1), IN_PIECES = PIECES * PIECE };

static struct mole_run *fences[PIECES];
static atomic_bool is_rejoining;

static void cut_region(void)
{
    struct mole_run *pieces[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        fences[i] = mole_pool_take(NULL, 1);
        pieces[i] = mole_pool_take(NULL, PIECE);
        race_require(fences[i] && pieces[i], "no piece %zu", i);
    }
    for (size_t i = 0; i < PIECES; i++)
        mole_pool_give(NULL, pieces[i]);
}

/* One chunk comes back, so that it may have become possible. */
static void look_again(struct mole_pool_slots *own, size_t chunks)
{
    mole_pool_give(own, mole_pool_take(own, 1));
    struct mole_run *run = mole_pool_take(own, chunks);
    race_require(!run == (chunks > PIECE), "%zu chunks", chunks);
    if (run)
        mole_pool_give(own, run);
}

/* Rejoin nearly all the time: chunks, then pieces, then what is no piece. */
static void *rejoin_for_ever(void *argument)
{
    static struct mole_run *runs[IN_PIECES + 1];
    struct mole_pool_slots *own = argument;
    while (!atomic_load(&is_over)) {
        size_t count = 0;
        while (count <= IN_PIECES && (runs[count] = mole_pool_take(own, 1)))
            count++;
        race_require(count == IN_PIECES, "%zu chunks of %d", count, IN_PIECES);
        while (count)
            mole_pool_give(own, runs[--count]);
        atomic_store(&is_rejoining, true);
        for (size_t i = 0; i < 20; i++)
            look_again(own, PIECE + (i < 10));
        atomic_store(&is_rejoining, false);
    }
    return NULL;
}

enum { QUIET = 0, REJOINING = 10, TWICE, TOO_FEW };

/* In the child: take all there is, and see that each chunk comes once. */
static int count_as_child(void)
{
    static bool is_seen[CHUNKS];
    bool was_rejoining = atomic_load(&is_rejoining);
    struct mole_run *run;
    size_t count = 0;
    for (size_t i = 0; i < PIECES; i++)
        is_seen[(size_t)(fences[i]->base - fences[0]->base) / MOLE_CHUNK] = true;
    while ((run = mole_pool_take(NULL, 1)))
        for (size_t i = 0; i < run->chunks; i++, count++) {
            size_t number = (size_t)(run->base - fences[0]->base) / MOLE_CHUNK + i;
            if (number >= CHUNKS || is_seen[number])
                return TWICE;
            is_seen[number] = true;
        }
    if (!was_rejoining)
        return QUIET; /* it had any number of chunks */
    /* A run that thread had, or one that was on its way. */
    return count < IN_PIECES - PIECE ? TOO_FEW : REJOINING;
}

static void fork_meanwhile(void)
{
    uint64_t random = race_seed;
    size_t wanted_forks = race_size(300, 60, 5), forks = 0, met = 0;
    cut_region();
    atomic_store(&is_over, false);
    pthread_t thread = race_thread(rejoin_for_ever, &slots[THREADS]);
    for (; met < wanted_forks && forks < 20 * wanted_forks; forks++) {
        usleep((useconds_t)race_below(&random, 5000));
        pid_t child = fork();
        if (child == 0) {
            alarm(100); /* a lock that is never released */
            _exit(count_as_child());
        }
        int status = -1;
        waitpid(child, &status, 0);
        int answer = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        met += answer == REJOINING;
        race_require(answer == QUIET || answer == REJOINING,
                     "the child ended with status 0x%x: %s", status,
                     answer == TWICE     ? "a chunk came twice"
                     : answer == TOO_FEW ? "chunks are lost"
                                         : "it hung or crashed");
    }
    atomic_store(&is_over, true);
    race_join(thread);
    race_case(!atomic_load(&race_failed), "a child or the parent lost memory");
    race_case(met >= wanted_forks, "exercised too little: %zu of %zu forks", met, forks);
    printf("%zu forks, %zu while it rejoined\n", forks, met);
}

int main(void)
{
    race_begin("rejoin");
    (void)mh_configure("purger:calls");
    mole_pool_leave_passes(true); /* nobody makes passes but our own thread */
    mole_region_shrink(CHUNKS);
    pthread_barrier_init(&turn, NULL, THREADS + 1);
    for (size_t i = 0; i <= THREADS; i++)
        mole_pool_enlist(&slots[i]);
    exhaust_together();
    wait_for_hands();
    fail_together();
    fork_meanwhile();
    return race_end();
}
