/* SPDX-License-Identifier: MIT */
/*
 * A static program with a spy: liburcu is not there, sections are counted. For
 * run_spied.py.
 */
#include <molehill/heapapi.h>
#include <molehill/spy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 3, SPIES = 300, BLOCKS = 200 };

static atomic_ullong calls;
static atomic_bool is_attached, is_over;
static atomic_uint failed;

static void check(bool is_right, const char *what)
{
    if (is_right)
        return;
    printf("FAILED: %s\n", what);
    atomic_fetch_add(&failed, 1);
}

static void hear(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    check(atomic_load(&is_attached), "a spy is called that is detached");
    atomic_fetch_add(&calls, 1);
}

static const struct mh_spy spy = {.size = sizeof spy, .allocated = hear, .freed = hear};

static void operate(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        void *block = HeapAlloc(GetProcessHeap(), 0, (SIZE_T)i);
        check(block && HeapFree(GetProcessHeap(), 0, block), "the heap does not work");
    }
}

static void *operate_on(void *unused)
{
    while (!atomic_load(&is_over))
        operate();
    return unused;
}

static void spy_once(void)
{
    unsigned long long before = atomic_load(&calls);
    atomic_store(&is_attached, true);
    check(mh_spy_attach(&spy, MH_SPY_ALL) == 0, "mh_spy_attach failed");
    operate();
    check(mh_spy_detach(&spy) == 0, "mh_spy_detach failed");
    check(atomic_load(&calls) >= before + 2 * BLOCKS, "the spy is deaf");
    atomic_store(&is_attached, false);
}

int main(void)
{
    pthread_t threads[THREADS];
    alarm(250);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, operate_on, NULL);
    for (int i = 0; i < SPIES; i++)
        spy_once();
    pid_t child = fork();
    if (child == 0) {
        spy_once();
        _exit(atomic_load(&failed) ? 1 : 0);
    }
    int status = 0;
    check(waitpid(child, &status, 0) == child && status == 0, "the child");
    atomic_store(&is_over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%llu calls\n", atomic_load(&calls));
    puts(atomic_load(&failed) ? "bad" : "good");
    return atomic_load(&failed) ? 1 : 0;
}
