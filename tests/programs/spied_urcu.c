/* SPDX-License-Identifier: MIT */
/*
 * A program that uses liburcu itself, as molehill does for spies: its threads read and
 * replace what others read, with a spy on what they allocate. For run_spied.py.
 */
#include <molehill/heapapi.h>
#include <molehill/spy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <urcu-bp.h>

enum { READERS = 2, SPIES = 300, REPLACEMENTS = 300, GOOD = 1, DEAD = 2 };

struct figure {
    int state;
};

static struct figure *current;
static atomic_bool is_over;
static atomic_uint failed;
static atomic_ullong calls, reads, replaced;
static atomic_bool is_attached;

static void check(bool is_right, const char *what)
{
    if (is_right)
        return;
    printf("FAILED: %s\n", what);
    atomic_fetch_add(&failed, 1);
}

/* A section of the program's own, which may be inside one of molehill's. */
static void read_once(void)
{
    rcu_read_lock();
    const struct figure *figure = rcu_dereference(current);
    check(figure->state == GOOD, "a reader sees what was given back");
    atomic_fetch_add(&reads, 1);
    rcu_read_unlock();
}

static void hear(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    check(atomic_load(&is_attached), "a spy is called that is detached");
    read_once();
    atomic_fetch_add(&calls, 1);
}

static const struct mh_spy spy = {.size = sizeof spy, .allocated = hear, .freed = hear};

static void operate(HANDLE heap)
{
    void *block = HeapAlloc(heap, 0, 100);
    check(block && HeapFree(heap, 0, block), "the heap does not work");
    void *volatile other = malloc(200);
    free(other);
}

static void *read_on(void *unused)
{
    while (!atomic_load(&is_over)) {
        rcu_read_lock();
        operate(GetProcessHeap()); /* and one of molehill's inside the program's */
        read_once();
        rcu_read_unlock();
        operate(GetProcessHeap());
    }
    return unused;
}

static void *replace(void *unused)
{
    struct figure figures[2] = {{GOOD}, {DEAD}};
    for (size_t i = 1; atomic_load(&replaced) < REPLACEMENTS || !atomic_load(&is_over);
         i++) {
        struct figure *fresh = &figures[i % 2];
        fresh->state = GOOD;
        struct figure *old = rcu_xchg_pointer(&current, fresh);
        synchronize_rcu();
        old->state = DEAD;
        operate(GetProcessHeap());
        atomic_fetch_add(&replaced, 1);
    }
    static struct figure last = {GOOD};
    rcu_assign_pointer(current, &last);
    synchronize_rcu();
    return unused;
}

static void attach(void)
{
    atomic_store(&is_attached, true);
    check(mh_spy_attach(&spy, MH_SPY_ALL) == 0, "mh_spy_attach failed");
}

/* In a section of its own a thread must not wait for sections. */
static void detach_inside(void)
{
    rcu_read_lock();
    check(mh_spy_detach(&spy) == MH_PENDING, "mh_spy_detach waits in a section");
    rcu_read_unlock();
    check(mh_spy_wait() == 0, "mh_spy_wait failed");
}

int main(void)
{
    static struct figure first = {GOOD};
    pthread_t readers[READERS], replacer;
    alarm(250);
    current = &first;
    for (size_t i = 0; i < READERS; i++)
        pthread_create(&readers[i], NULL, read_on, NULL);
    pthread_create(&replacer, NULL, replace, NULL);
    for (size_t i = 0; i < SPIES; i++) {
        attach();
        operate(GetProcessHeap());
        if (i % 2)
            detach_inside();
        else
            check(mh_spy_detach(&spy) == 0, "mh_spy_detach failed");
        atomic_store(&is_attached, false);
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    pthread_join(replacer, NULL);
    check(atomic_load(&calls) >= SPIES, "exercised too little");
    printf("%llu calls, %llu reads, %llu replaced\n", atomic_load(&calls),
           atomic_load(&reads), atomic_load(&replaced));
    puts(atomic_load(&failed) ? "bad" : "good");
    return atomic_load(&failed) ? 1 : 0;
}
