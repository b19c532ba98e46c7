/* SPDX-License-Identifier: MIT */
/*
 * Mutexes under a magnifying glass: preloaded, it counts how often each was taken, how
 * often another thread had it, and for how long it was held, and says so at exit of the
 * ones taken most. For docs/scaling.md; nothing is asserted.
 *
 *   locks TAKEN CONTENDED P50 P99 MAX       ns, from having it to giving it back; the
 *                                           clock's own cost is taken off
 *
 * One line for each of the LINES mutexes taken most, then `locks all TAKEN`.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#include "histogram.h"

enum { MUTEXES = 1 << 14, WATCHED = 64, LINES = 2 };

struct watched {
    _Atomic(uint64_t) taken_a;
    _Atomic(uint64_t) contended_a;
    uint64_t since;               /* by who has the mutex */
    struct perf_histogram *holds; /* likewise; of the first WATCHED mutexes */
    _Atomic(pthread_mutex_t *) mutex_a;
};

static struct watched all[MUTEXES];
static struct perf_histogram histograms[WATCHED];
static _Atomic(unsigned) used_a;
static _Atomic(int (*)(pthread_mutex_t *)) lock_a, try_a, unlock_a;

static int (*real(_Atomic(int (*)(pthread_mutex_t *)) *place_a,
                  const char *name))(pthread_mutex_t *)
{
    int (*found)(pthread_mutex_t *) = atomic_load_explicit(place_a, memory_order_relaxed);
    if (!found) {
        *(void **)(void *)&found = dlsym(RTLD_NEXT, name);
        atomic_store_explicit(place_a, found, memory_order_relaxed);
    }
    return found;
}

/* Where the mutex is watched; NULL: there are too many. */
static struct watched *find(pthread_mutex_t *mutex)
{
    size_t place = ((uintptr_t)mutex * 0x9e3779b97f4a7c15u) >> 50;
    for (size_t i = 0; i < 16; i++, place = (place + 1) % MUTEXES) {
        pthread_mutex_t *there = NULL;
        if (atomic_load(&all[place].mutex_a) == mutex ||
            atomic_compare_exchange_strong(&all[place].mutex_a, &there, mutex) ||
            there == mutex)
            return &all[place];
    }
    return NULL;
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    struct watched *watched = find(mutex);
    if (!watched)
        return real(&lock_a, "pthread_mutex_lock")(mutex);
    int failed = real(&try_a, "pthread_mutex_trylock")(mutex);
    if (failed) {
        atomic_fetch_add_explicit(&watched->contended_a, 1, memory_order_relaxed);
        failed = real(&lock_a, "pthread_mutex_lock")(mutex);
    }
    if (failed)
        return failed;
    uint64_t taken =
        atomic_fetch_add_explicit(&watched->taken_a, 1, memory_order_relaxed);
    if (taken == 1000) { /* one that matters */
        unsigned number = atomic_fetch_add(&used_a, 1);
        watched->holds = number < WATCHED ? &histograms[number] : NULL;
    }
    watched->since = perf_ticks_begin();
    return 0;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    struct watched *watched = find(mutex);
    if (watched && watched->holds && watched->since)
        perf_histogram_add(watched->holds, perf_ticks_end() - watched->since);
    return real(&unlock_a, "pthread_mutex_unlock")(mutex);
}

static uint64_t clock_cost(void)
{
    static struct perf_histogram nothing;
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t begin = perf_ticks_begin();
        perf_histogram_add(&nothing, perf_ticks_end() - begin);
    }
    return perf_histogram_quantile(&nothing, 0.5);
}

static struct watched *most_taken(void)
{
    struct watched *most = &all[0];
    for (size_t i = 1; i < MUTEXES; i++)
        if (atomic_load(&all[i].taken_a) > atomic_load(&most->taken_a))
            most = &all[i];
    return most;
}

__attribute__((destructor)) static void say(void)
{
    double per_ns = perf_ticks_per_ns();
    uint64_t clock = clock_cost(), sum = 0;
    for (size_t i = 0; i < MUTEXES; i++)
        sum += atomic_load(&all[i].taken_a);
    for (unsigned line = 0; line < LINES; line++) {
        struct watched *most = most_taken();
        const struct perf_histogram *holds = most->holds;
        uint64_t taken = atomic_exchange(&most->taken_a, 0);
        if (!taken || !holds)
            break;
        double figures[] = {(double)perf_histogram_quantile(holds, 0.5),
                            (double)perf_histogram_quantile(holds, 0.99),
                            (double)holds->most};
        fprintf(stderr, "locks %llu %llu", (unsigned long long)taken,
                (unsigned long long)atomic_load(&most->contended_a));
        for (unsigned i = 0; i < 3; i++)
            fprintf(stderr, " %.1f", (figures[i] - (double)clock) / per_ns);
        fprintf(stderr, "\n");
    }
    fprintf(stderr, "locks all %llu\n", (unsigned long long)sum);
}
