/* SPDX-License-Identifier: MIT */
#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/single_threaded.h>
#include <time.h>

#include "base/atom.h"
#include "os/pages.h"

_Thread_local uint32_t mole_thread_last_error;
_Thread_local uint32_t mole_thread_callback_error;
_Thread_local struct mole_thread_bits mole_thread_bits;

/*
 * acquired_a: locks acquired since the start.
 *   writers  mole_lock_acquire
 *   readers  mole_lock_count
 *   orders   relaxed: a figure, nothing hangs on it
 *   keeps    never falls
 */
static _Atomic(uint64_t) acquired_a;

static pthread_key_t exit_key; /* const after mole_thread_setup */

/* More threads, and more gates of one thread, than a process can have. */
enum { SERIAL_BITS = 40, GATE_BITS = 24 };
#define MOST_SERIAL (((uint64_t)1 << SERIAL_BITS) - 1)

static _Thread_local struct {
    uint64_t serial : SERIAL_BITS;
    uint64_t gates : GATE_BITS;
} self;

void mole_thread_count_gate(int change)
{
    self.gates =
        (self.gates + (uint64_t)(int64_t)change) & (((uint64_t)1 << GATE_BITS) - 1);
}

bool mole_thread_has_gates(void)
{
    return self.gates != 0;
}

uint64_t mole_thread_serial(void)
{
    /*
     * last_a: the number given last.
     *   writers  each thread, once
     *   readers  the same
     *   orders   relaxed: only uniqueness matters
     *   keeps    never falls
     */
    static _Atomic(uint64_t) last_a;
    if (unlikely(!self.serial))
        self.serial = (add_rlx(&last_a, 1) + 1) & MOST_SERIAL;
    return self.serial;
}

ptrdiff_t mole_thread_errno_offset;

void mole_thread_find_errno(void)
{
    mole_thread_errno_offset = (char *)&errno - (char *)__builtin_thread_pointer();
}

void mole_lock_init(struct mole_lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}

void mole_lock_acquire(struct mole_lock *lock)
{
    add_rlx(&acquired_a, 1);
    pthread_mutex_lock(&lock->mutex);
}

bool mole_lock_try(struct mole_lock *lock)
{
    return pthread_mutex_trylock(&lock->mutex) == 0;
}

void mole_lock_release(struct mole_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

uint64_t mole_lock_count(void)
{
    return load_rlx(&acquired_a);
}

bool mole_thread_setup(void (*on_exit)(void *), void (*in_child)(void))
{
    static bool has_key; /* a second try must not take a second key */
    if (!has_key)
        has_key = pthread_key_create(&exit_key, on_exit) == 0;
    return has_key && pthread_atfork(NULL, NULL, in_child) == 0;
}

void mole_thread_arm(void *value)
{
    int saved = errno;
    pthread_setspecific(exit_key, value);
    errno = saved;
}

void mole_thread_yield(void)
{
    sched_yield();
}

bool mole_thread_on_fork(void (*in_child)(void))
{
    return pthread_atfork(NULL, NULL, in_child) == 0;
}

static void *run_forever(void *job)
{
    ((const struct mole_thread_job *)job)->run();
    return NULL;
}

bool mole_thread_start(const struct mole_thread_job *job)
{
    int saved = errno;
    sigset_t all;
    sigset_t old;
    pthread_attr_t attr;
    pthread_t thread;
    sigfillset(&all);
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, job->stack_bytes);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool is_started =
        !mole_pages_is_to_fail() &&
        pthread_create(&thread, &attr, run_forever, (void *)(uintptr_t)job) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    errno = saved;
    return is_started;
}

bool mole_thread_is_alone(void)
{
    return __libc_single_threaded;
}

void mole_thread_sleep_ms(unsigned ms)
{
    int saved = errno; /* a signal may end it */
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
    errno = saved;
}

uint64_t mole_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t mole_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
