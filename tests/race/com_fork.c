/* SPDX-License-Identifier: MIT */
/*
 * A fork while a COM spy is registered: in the child, calls of threads that it does not
 * have are over and their lock is free, the forking thread's go on, its blocks are
 * spyed, and the spy can be revoked.
 */
#include <fcntl.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "com_spy.h"

enum { THREADS = 4, OWN = 40 };

static struct spy spy;
static IMalloc *task_malloc;
static sem_t is_inside, may_go_on;
static _Thread_local bool stays_inside, forks_inside;
static pid_t forked = -1;
static atomic_bool is_over;
static atomic_ullong operations;

static void *take_and_give(void *unused);

static void *tell_and_take(void *tid)
{
    atomic_store((atomic_int *)tid, (int)syscall(SYS_gettid));
    return take_and_give(NULL);
}

/* Whether the system has the thread asleep in futex(2). */
static bool sleeps_on_futex(int tid)
{
    char path[64];
    char text[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", tid);
    int file = open(path, O_RDONLY);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    close(file);
    return length > 0 && atoi(text) == SYS_futex;
}

static pthread_t waiting;

/* In the child, inside a call: the lock is still this thread's. */
static void expect_to_be_alone(struct spy *visited)
{
    static atomic_int tid;
    alarm(100); /* rather than hang */
    waiting = race_thread(tell_and_take, &tid);
    while (!atomic_load(&tid) || !sleeps_on_futex(atomic_load(&tid))) {
        race_require(atomic_load(&visited->inside) == 1, "another thread came in");
        race_sleep_ms(1);
    }
}

/* In each Pre method. */
static void visit(struct spy *visited)
{
    if (stays_inside) {
        stays_inside = false;
        sem_post(&is_inside);
        sem_wait(&may_go_on);
    }
    if (forks_inside) {
        forks_inside = false;
        forked = fork();
        if (forked == 0 && !visited->is_free && race_brief() < 2)
            expect_to_be_alone(visited);
    }
}

static void begin(bool is_free)
{
    spy_init(&spy, is_free, true);
    race_require(CoRegisterMallocSpy(&spy.interface) == S_OK, "it was not registered");
}

static void end(void)
{
    race_require(CoRevokeMallocSpy() == S_OK && spy_is_released(&spy), "it stays");
}

/* In a child: what vanished threads did to the spy itself is none of molehill's. */
static void mend_spy(void)
{
    alarm(100); /* rather than hang */
    spy.depth = 0;
    atomic_store(&spy.inside, 0);
    atomic_store(&spy.pres, atomic_load(&spy.posts));
}

static void *take(size_t bytes)
{
    void *block = NULL;
    for (int i = 0; !block && i < 100; i++) /* the spy refuses now and then */
        block = IMalloc_Alloc(task_malloc, bytes);
    race_require(block && IMalloc_GetSize(task_malloc, block) == bytes, "no block");
    return block;
}

/* Its Free finds it spyed. */
static void give(void *block)
{
    unsigned long long before = atomic_load(&spy_true);
    IMalloc_Free(task_malloc, block);
    race_require(atomic_load(&spy_true) > before, "a block is not spyed any more");
}

static void *take_and_give(void *unused)
{
    (void)unused;
    give(take(100));
    return NULL;
}

static void *stay_inside(void *unused)
{
    stays_inside = true;
    return take_and_give(unused);
}

static void expect_good_end(pid_t child, const char *what)
{
    int status = 0;
    race_case(child > 0 && waitpid(child, &status, 0) == child && status == 0,
              "%s: a child ended with 0x%x", what, status);
}

static int status(void)
{
    return atomic_load(&race_failed) ? 1 : 0;
}

/* The child has the spy, its lock and its block; the thread inside is not there. */
static void fork_beside_a_call(bool is_free)
{
    begin(is_free);
    void *own = take(30);
    pthread_t thread = race_thread(stay_inside, NULL);
    sem_wait(&is_inside);
    pid_t child = fork();
    if (child == 0) {
        mend_spy();
        give(own);
        take_and_give(NULL);
        end();
        CoTaskMemFree(CoTaskMemAlloc(10));
        _exit(status());
    }
    expect_good_end(child, "beside a call");
    sem_post(&may_go_on);
    race_join(thread);
    give(own);
    end();
}

/* The call goes on in both. */
static void fork_inside_a_call(bool is_free)
{
    begin(is_free);
    void *own = take(30);
    forks_inside = true;
    void *block = take(40);
    if (forked == 0 && !is_free && race_brief() < 2)
        race_join(waiting);
    give(own);
    give(block);
    race_join(race_thread(take_and_give, NULL)); /* the lock is free */
    end();
    if (forked == 0)
        _exit(status());
    expect_good_end(forked, "inside a call");
}

static void *be_busy(void *argument)
{
    uint64_t random = race_seed + (uintptr_t)argument;
    void *blocks[OWN] = {NULL};
    while (!atomic_load(&is_over)) {
        size_t i = race_below(&random, OWN);
        void *moved =
            IMalloc_Realloc(task_malloc, blocks[i], 1 + race_below(&random, 500));
        if (moved) {
            blocks[i] = moved;
        } else if (race_below(&random, 2)) {
            IMalloc_Free(task_malloc, blocks[i]);
            blocks[i] = NULL;
        }
        atomic_fetch_add(&operations, 1);
    }
    for (size_t i = 0; i < OWN; i++)
        IMalloc_Free(task_malloc, blocks[i]);
    return NULL;
}

/* Whatever the other threads were at, the child's own blocks are all there. */
static void live_as_child(void **own)
{
    mend_spy();
    void *more[OWN];
    for (size_t i = 0; i < OWN; i++)
        more[i] = take(10 * i);
    for (size_t i = 0; i < OWN; i++) {
        race_require(IMalloc_GetSize(task_malloc, own[i]) == i, "a wrong size");
        give(own[i]);
        give(more[i]);
    }
    HRESULT result = CoRevokeMallocSpy();
    race_require(result == S_OK || result == E_ACCESSDENIED, "revoke: 0x%x", result);
    _exit(status());
}

static void fork_storm(bool is_free)
{
    pthread_t threads[THREADS];
    void *own[OWN];
    size_t forks = race_size(150, 30, 6);
    begin(is_free);
    for (size_t i = 0; i < OWN; i++)
        own[i] = take(i);
    atomic_store(&is_over, false);
    atomic_store(&operations, 0);
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = race_thread(be_busy, (void *)i);
    /* A thread that starts holds locks of the sanitizers', which a child would miss. */
    while (atomic_load(&operations) < 1000)
        race_sleep_ms(1);
    race_sleep_ms(200);
    for (size_t i = 0; i < forks && !atomic_load(&race_failed); i++) {
        pid_t child = fork();
        if (child == 0)
            live_as_child(own);
        expect_good_end(child, "storm");
    }
    atomic_store(&is_over, true);
    for (size_t i = 0; i < THREADS; i++)
        race_join(threads[i]);
    for (size_t i = 0; i < OWN; i++)
        give(own[i]);
    end();
    printf("%zu forks beside %llu operations\n", forks, atomic_load(&operations));
    race_case(atomic_load(&operations) > 20 * forks, "exercised too little");
}

static void *lock_heap(void *unused)
{
    (void)unused;
    race_require(HeapLock(GetProcessHeap()), "HeapLock failed");
    sem_post(&is_inside);
    sem_wait(&may_go_on);
    race_require(HeapUnlock(GetProcessHeap()), "HeapUnlock failed");
    return NULL;
}

/* There was no spy yet. */
static void fork_beside_heap_lock(void)
{
    pthread_t thread = race_thread(lock_heap, NULL);
    sem_wait(&is_inside);
    pid_t child = fork();
    if (child == 0) {
        alarm(100); /* rather than hang */
        race_require(HeapLock(GetProcessHeap()), "HeapLock failed");
        CoTaskMemFree(CoTaskMemAlloc(10));
        race_require(HeapUnlock(GetProcessHeap()), "HeapUnlock failed");
        begin(false);
        take_and_give(NULL);
        end();
        _exit(status());
    }
    expect_good_end(child, "beside HeapLock");
    sem_post(&may_go_on);
    race_join(thread);
}

int main(void)
{
    race_begin("com_fork");
    if (RACE_TSAN) {
        race_skip("threads in a child: ThreadSanitizer does not know how");
        return race_end();
    }
    alarm(race_brief() == 2 ? 1000 : 280); /* rather than hang */
    (void)mh_configure("purger:calls");
    task_malloc = spy_malloc();
    sem_init(&is_inside, 0, 0);
    sem_init(&may_go_on, 0, 0);
    fork_beside_heap_lock();
    spy_visit = visit;
    for (int is_free = 0; is_free < 2; is_free++) {
        fork_beside_a_call(is_free);
        fork_inside_a_call(is_free);
        fork_storm(is_free);
    }
    return race_end();
}
