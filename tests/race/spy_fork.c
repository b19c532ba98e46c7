/* SPDX-License-Identifier: MIT */
/*
 * Forks with a spy attached: while another thread is in a callback, while one waits in
 * mh_spy_detach, from inside a callback, and once more from there by another thread. The
 * child goes on hearing, may detach, and waits for those only whom it has. Twice: where
 * the system's barrier is denied, and where not.
 */
#include <molehill/spy.h>
#include <semaphore.h>

#include "deny.h"
#include "race.h"
#include "spy/set.h"

static atomic_ullong heard;
static atomic_bool is_to_hold; /* the next callback holds its thread up */
static sem_t is_held, may_go;
static _Thread_local bool forks_inside; /* the thread's next callback forks */
static pid_t child_of_callback;
static bool (*rest_of_child)(void); /* what that child does, still inside */

static void fork_inside(void)
{
    forks_inside = false;
    child_of_callback = fork();
    if (child_of_callback != 0)
        return;
    alarm(100); /* rather than hang */
    if (!rest_of_child())
        _exit(1);
}

static void hear(void *context, void *heap, void *block, size_t bytes)
{
    (void)context, (void)heap, (void)block, (void)bytes;
    atomic_fetch_add(&heard, 1);
    if (atomic_exchange(&is_to_hold, false)) {
        sem_post(&is_held);
        sem_wait(&may_go);
    }
    if (forks_inside)
        fork_inside();
}

static const struct mh_spy spy = {
    .size = sizeof spy, .name = "spy", .allocated = hear, .freed = hear};
static const struct mh_spy sampling = {.size = sizeof sampling,
                                       .name = "sampling",
                                       .sample_bytes = 1,
                                       .allocated = hear,
                                       .freed = hear};

static void operate(void)
{
    HANDLE heap = GetProcessHeap();
    void *block = HeapAlloc(heap, 0, 100);
    void *other = mh_malloc(100);
    race_require(block && other && HeapFree(heap, 0, block), "the heap does not work");
    mh_free(other);
}

static bool is_heard(void)
{
    unsigned long long before = atomic_load(&heard);
    operate();
    return atomic_load(&heard) == before + 4;
}

static void *operate_in_thread(void *unused)
{
    (void)unused;
    operate();
    return NULL;
}

/* What each child can do, outside of callbacks. */
static bool goes_on(void)
{
    if (!is_heard())
        return false;
    unsigned long long before = atomic_load(&heard);
    race_join(race_thread(operate_in_thread, NULL));
    if (atomic_load(&heard) != before + 4 || mh_spy_detach(&spy) != 0 || is_heard())
        return false;
    return mh_spy_attach(&spy, MH_SPY_ALL) == 0 && is_heard() &&
           mh_spy_detach(&spy) == 0 && mh_spy_wait() == 0;
}

static bool child_ends_well(pid_t child)
{
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool child_does(bool (*does)(void))
{
    pid_t child = fork();
    if (child == 0) {
        alarm(100);
        _exit(does() ? 0 : 1);
    }
    return child_ends_well(child);
}

/* One thread is in a callback, and stays there. */
static pthread_t hold_one(void)
{
    atomic_store(&is_to_hold, true);
    pthread_t thread = race_thread(operate_in_thread, NULL);
    sem_wait(&is_held);
    return thread;
}

static void let_go(pthread_t thread)
{
    sem_post(&may_go);
    race_join(thread);
}

static atomic_int detached;

static void *detach_in_thread(void *unused)
{
    (void)unused;
    atomic_store(&detached, mh_spy_detach(&spy));
    return NULL;
}

/* Once this thread is in no callback any more, another one gets through. */
static pthread_t detacher;

static bool begin_detach(void)
{
    if (mh_spy_wait() != MH_PENDING)
        return false;
    atomic_store(&detached, 100);
    detacher = race_thread(detach_in_thread, NULL);
    race_sleep_ms(50); /* a detacher that does not wait is likely through by then */
    return atomic_load(&detached) == 100;
}

static void *detach_in_grandchild(void *result)
{
    pid_t child = fork();
    if (child == 0) {
        alarm(100);
        _exit(mh_spy_detach(&spy) == 0 && !is_heard() ? 0 : 1);
    }
    *(bool *)result = child_ends_well(child);
    return NULL;
}

/* The grandchild does not have the thread that is in the callback. */
static bool fork_again(void)
{
    bool result = false;
    race_join(race_thread(detach_in_grandchild, &result));
    return result;
}

/* Fork in a callback; what the child does there, and after it. */
static void fork_in_callback(bool (*inside)(void), bool (*after)(void), const char *what)
{
    rest_of_child = inside;
    forks_inside = true;
    operate();
    if (child_of_callback == 0)
        _exit(after() ? 0 : 1);
    race_case(child_ends_well(child_of_callback), "forked in a callback: %s", what);
    race_case(is_heard(), "the parent's spy is deaf");
}

static bool was_waited_for(void)
{
    race_join(detacher);
    return atomic_load(&detached) == 0 && !is_heard() && mh_spy_wait() == 0;
}

static bool is_pending(void)
{
    return mh_spy_wait() == MH_PENDING && mh_spy_detach(&spy) == MH_PENDING;
}

static bool is_settled(void)
{
    return !is_heard() && mh_spy_wait() == 0 && mh_spy_attach(&spy, MH_SPY_ALL) == 0 &&
           goes_on();
}

/* As a thread leaves it that is in the middle of attaching. */
static void fork_in_the_middle(void)
{
    race_require(mh_spy_attach(&sampling, MH_SPY_ALL) == 0, "mh_spy_attach failed");
    store_rlx(&mole_set_sample_a, 0);
    race_case(child_does(is_heard), "a child forgot how often a sample is taken");
    race_case(mh_spy_detach(&sampling) == 0, "mh_spy_detach failed");
}

static void fork_outside(void)
{
    race_case(child_does(goes_on), "forked with a spy attached");
    pthread_t held = hold_one();
    race_case(child_does(goes_on), "forked while a thread is in a callback");
    atomic_store(&detached, 100);
    pthread_t waiting = race_thread(detach_in_thread, NULL);
    while (!mole_set_is_empty())
        race_sleep_ms(1);
    race_sleep_ms(5);
    race_require(mh_spy_attach(&spy, MH_SPY_ALL) == 0, "mh_spy_attach failed");
    race_case(child_does(goes_on), "forked while a thread is in mh_spy_detach");
    race_case(atomic_load(&detached) == 100, "mh_spy_detach does not wait");
    let_go(held);
    race_join(waiting);
    race_case(atomic_load(&detached) == 0, "mh_spy_detach returned %d",
              atomic_load(&detached));
    race_case(is_heard(), "the parent's spy is deaf");
}

static void run_one(enum when denied, int command, size_t count)
{
    if (denied == AT_START && !deny_barrier(command)) {
        race_skip("seccomp filters cannot be set here");
        return;
    }
    race_require(mh_spy_attach(&spy, MH_SPY_ALL) == 0, "mh_spy_attach failed");
    race_case(is_heard(), "the spy is deaf");
    for (size_t i = 0; i < count; i++) {
        fork_outside();
        fork_in_callback(is_pending, is_settled, "detaching there, settling after it");
        fork_in_callback(begin_detach, was_waited_for, "another thread detaches");
        fork_in_callback(fork_again, goes_on, "forking once more");
    }
    race_case(mh_spy_detach(&spy) == 0, "mh_spy_detach failed");
    fork_in_the_middle();
}

int main(void)
{
    race_begin("spy_fork");
    sem_init(&is_held, 0, 0);
    sem_init(&may_go, 0, 0);
    if (RACE_TSAN || RACE_ASAN) {
        race_skip("forks: sanitizers hold locks of their own over them");
        return race_end();
    }
    run_denied(AT_START, ALL, race_size(20, 5, 2), run_one);
    run_one(NEVER, ALL, race_size(20, 5, 2));
    return race_end();
}
