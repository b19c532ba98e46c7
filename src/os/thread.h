/* SPDX-License-Identifier: MIT */
/*
 * What molehill wants of threads: a lock that can be counted and made anew after fork, a
 * call at thread exit, a call in the child of a fork, and a coarse clock.
 */
#pragma once

#include <pthread.h>

#include "base/attr.h"

/*
 * A mutex for slow paths. No function that holds one calls foreign code, and none is
 * taken around fork: the child makes every lock anew (mole_lock_init) and repairs what it
 * guarded.
 */
struct mole_lock {
    pthread_mutex_t mutex;
};

/* A lock that is static. */
#define MOLE_LOCK                          \
    {                                      \
        .mutex = PTHREAD_MUTEX_INITIALIZER \
    }

void mole_lock_init(struct mole_lock *lock);
void mole_lock_acquire(struct mole_lock *lock);
void mole_lock_release(struct mole_lock *lock);

/* Acquire the lock if nobody has it: no waiting, so it does not count. */
bool mole_lock_try(struct mole_lock *lock) mole_must_check;

/* Locks acquired since the start of the process. */
uint64_t mole_lock_count(void);

/*
 * Have `on_exit(value)` called when a thread that armed itself ends, and `in_child` in
 * the child of each fork. Called once, before any thread arms. False when the system has
 * no key left.
 */
bool mole_thread_setup(void (*on_exit)(void *), void (*in_child)(void)) mole_must_check;

/*
 * Arm the calling thread's exit call with `value`, which must not be NULL. May allocate.
 */
void mole_thread_arm(void *value);

/*
 * What GetLastError returns. It belongs to the Win32 functions; it is here, with what
 * else a thread has, for those who keep callbacks from changing it.
 */
extern mole_own _Thread_local uint32_t mole_thread_last_error
    __attribute__((tls_model("initial-exec")));

/* The same inside callbacks: what they fail at does not show outside. */
extern mole_own _Thread_local uint32_t mole_thread_callback_error
    __attribute__((tls_model("initial-exec")));

/* What else a thread has to note, in the four bytes that are left for it. */
struct mole_thread_bits {
    bool is_dying : 1;  /* molehill's destructor ran */
    bool has_group : 1; /* it has a group of records in hand (arena/group.c) */
    uint8_t exception;  /* the last one it raised (api/exception.c) */
    uint16_t com_calls; /* operations that a COM spy is called for, under way */
};
extern mole_own _Thread_local struct mole_thread_bits mole_thread_bits
    __attribute__((tls_model("initial-exec")));

/*
 * Something that only the calling thread has: its thread pointer. Kept by a fork's child,
 * unlike the thread id. Never 0 or 1.
 */
mole_hot uintptr_t mole_thread_self(void)
{
    return (uintptr_t)__builtin_thread_pointer();
}

/*
 * A number that no other thread of the process has or had, never 0; kept by a fork's
 * child. Unlike the thread pointer it tells a thread from a later one.
 */
uint64_t mole_thread_serial(void);

/* How many gates (arena/gate.h) the thread has shut: one more, or one less; any? */
void mole_thread_count_gate(int change);
bool mole_thread_has_gates(void);

/*
 * Where the C library has errno, from the thread pointer on: the same in all threads, for
 * its thread-local storage is initial-exec. Set by mole_thread_find_errno.
 */
extern mole_own ptrdiff_t mole_thread_errno_offset;
void mole_thread_find_errno(void);

/*
 * The thread's errno, given that offset, without the indirect call that the name stands
 * for.
 */
mole_hot int *mole_thread_errno_at(ptrdiff_t offset)
{
    return (int *)(void *)((char *)__builtin_thread_pointer() + offset);
}

/* A moment of waiting for another processor. */
mole_hot void mole_thread_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/*
 * Let another thread run: for the few places that wait for a bounded step of another
 * thread.
 */
void mole_thread_yield(void);

/* A thread to be started; stays where it is. */
struct mole_thread_job {
    void (*run)(void); /* never returns */
    size_t stack_bytes;
};

/*
 * Start a thread that takes no signals. False: no thread to be had. Allocates.
 */
mole_shared bool mole_thread_start(const struct mole_thread_job *job) mole_must_check;

/* Have `in_child` called in the child of each fork, too. False: no memory for that. */
mole_shared bool mole_thread_on_fork(void (*in_child)(void)) mole_must_check;

/* Whether the process has had one thread only so far. */
bool mole_thread_is_alone(void);

mole_shared void mole_thread_sleep_ms(unsigned ms);

/* Time since some start; milliseconds are a few of them coarse. */
uint64_t mole_clock_ns(void);
mole_shared uint64_t mole_clock_ms(void);
