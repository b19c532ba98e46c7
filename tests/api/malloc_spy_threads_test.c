/* SPDX-License-Identifier: MIT */
/* A COM spy and eight threads; at length in tests/race/com.c. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "malloc_spy.h"

enum { THREADS = 8, SPIES = 60 };

static struct spy spies[SPIES];
static atomic_ullong pres[SPIES], posts[SPIES];
static atomic_bool is_over, is_paused, was_seen, was_late;
static int flag; /* of a spy under the lock; not atomic */

static void *allocate(void *unused)
{
    (void)unused;
    while (!atomic_load(&is_over)) {
        void *block = CoTaskMemAlloc(100);
        block = CoTaskMemRealloc(block, 200);
        CoTaskMemFree(block);
        while (atomic_load(&is_paused))
            sched_yield();
    }
    return NULL;
}

static void start(pthread_t *threads)
{
    for (size_t i = 0; i < THREADS; i++)
        require(pthread_create(&threads[i], NULL, allocate, NULL) == 0, "no thread");
}

static void finish(pthread_t *threads)
{
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void flag_between(struct spy *flagged, const char *method, void *block)
{
    (void)block;
    bool is_pre = strncmp(method, "Pre", 3) == 0;
    if (flag != !is_pre)
        atomic_store(&was_seen, true);
    flag = is_pre;
    if (is_pre && atomic_fetch_add(&pres[flagged - spies], 1) % 8 == 0)
        sched_yield();
}

Test(malloc_spy_threads, case_118_nobody_comes_between_pre_and_post)
{
    pthread_t threads[THREADS];
    spy_init(&spies[0], 0);
    spies[0].is_silent = true;
    spies[0].inside = flag_between;
    spy_register(&spies[0]);
    start(threads);
    while (atomic_load(&pres[0]) < repeats(20000))
        sched_yield();
    finish(threads);
    require(!atomic_load(&was_seen), "two threads were inside the spy");
    spies[0].inside = NULL;
    spy_revoke(&spies[0]);
}

static void count(struct spy *counted, const char *method, void *block)
{
    (void)block;
    if (strcmp(method, "Release") == 0)
        return;
    if (counted->releases)
        atomic_store(&was_late, true);
    bool is_pre = strncmp(method, "Pre", 3) == 0;
    atomic_fetch_add(is_pre ? &pres[counted - spies] : &posts[counted - spies], 1);
    if (is_pre && atomic_load(&pres[counted - spies]) % 8 == 0)
        sched_yield();
}

/* Revoked at any moment, it goes with its last block. */
static void come_and_go(size_t i, bool is_agile)
{
    spy_init(&spies[i], i % 2 ? HEADER : 0);
    spies[i].is_agile = is_agile;
    spies[i].is_silent = true;
    spies[i].inside = count;
    spy_register(&spies[i]);
    while (atomic_load(&pres[i]) < 50)
        sched_yield();
    HRESULT result = CoRevokeMallocSpy();
    require(result == S_OK || result == E_ACCESSDENIED, "0x%x", result);
    atomic_store(&is_paused, true);
    while ((result = CoRevokeMallocSpy()) == E_ACCESSDENIED)
        sched_yield();
    require(result == S_OK || result == CO_E_OBJNOTREG, "0x%x", result);
    atomic_store(&is_paused, false);
}

static void race(bool is_agile)
{
    pthread_t threads[THREADS];
    start(threads);
    for (size_t i = 0; i < SPIES / (getenv("MOLE_BRIEF") ? 10 : 1); i++)
        come_and_go(i, is_agile);
    finish(threads);
    for (size_t i = 0; i < SPIES; i++)
        require(atomic_load(&pres[i]) == atomic_load(&posts[i]) &&
                    spies[i].releases == (atomic_load(&pres[i]) != 0),
                "spy %zu: %llu Pre calls, %llu Post calls, released %d times", i,
                atomic_load(&pres[i]), atomic_load(&posts[i]), spies[i].releases);
    require(!atomic_load(&was_late), "a call after Release");
}

Test(malloc_spy_threads, case_120_every_pre_has_its_post)
{
    race(false);
}

Test(malloc_spy_threads, case_120_every_pre_has_its_post_free_threaded)
{
    race(true);
}
