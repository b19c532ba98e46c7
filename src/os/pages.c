/* SPDX-License-Identifier: MIT */
#include "os/pages.h"

#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/atom.h"

#if defined(MOLE_TESTING)
enum { INJECTING = 1 };
#else
enum { INJECTING = 0 };
#endif

/*
 * calls_a, fail_at_a, forever_a: fault injection of test builds.
 *   writers  mole_pages_inject, by one test thread; calls_a by every caller
 *   readers  every function here, and thread.c
 *   orders   relaxed: a test sets them before the calls it wants to fail
 *   keeps    fail_at_a is 0 when injection is off
 */
static _Atomic(unsigned long) calls_a;
static _Atomic(unsigned long) fail_at_a;
static _Atomic(bool) forever_a;

/*
 * lost_a: moves that lost their target.
 *   writers  mole_pages_move
 *   readers  mole_pages_lost
 *   orders   relaxed: a figure
 *   keeps    never falls
 */
static _Atomic(unsigned long) lost_a;

unsigned long mole_pages_lost(void)
{
    return load_rlx(&lost_a);
}

unsigned long mole_pages_inject(unsigned long nth, bool forever)
{
    unsigned long calls = load_rlx(&calls_a);
    store_rlx(&calls_a, 0);
    store_rlx(&forever_a, forever);
    store_rlx(&fail_at_a, nth);
    return calls;
}

bool mole_pages_is_to_fail(void)
{
    if (!INJECTING)
        return false;
    unsigned long call = add_rlx(&calls_a, 1) + 1;
    unsigned long fail_at = load_rlx(&fail_at_a);
    return fail_at && (call == fail_at || (call > fail_at && load_rlx(&forever_a)));
}

void mole_pages_set_huge(void *start, size_t bytes, bool on)
{
    int saved = errno;
    (void)!madvise(start, bytes, on ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    errno = saved;
}

/*
 * Before and behind each reservation, never usable; as large as a system's page may be.
 */
enum { GUARD = MOLE_CHUNK };

void *mole_pages_reserve(size_t bytes, size_t align)
{
    int saved = errno;
    size_t room = bytes + align + (size_t)2 * GUARD;
    if (room < bytes || mole_pages_is_to_fail())
        return NULL;
    char *start =
        mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        errno = saved;
        return NULL;
    }
    char *aligned = (char *)mole_round_up((uintptr_t)start + GUARD, align);
    char *first = aligned - GUARD;
    char *end = aligned + bytes + GUARD;
    if (first > start)
        munmap(start, (size_t)(first - start));
    munmap(end, (size_t)(start + room - end));
    mole_pages_set_huge(aligned, bytes, false);
    errno = saved;
    return aligned;
}

bool mole_pages_commit(void *start, size_t bytes)
{
    int saved = errno;
    bool done =
        !mole_pages_is_to_fail() && mprotect(start, bytes, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return done;
}

bool mole_pages_set_executable(void *start, size_t bytes, bool on)
{
    int saved = errno;
    int access = PROT_READ | PROT_WRITE | (on ? PROT_EXEC : 0);
    bool done = !mole_pages_is_to_fail() && mprotect(start, bytes, access) == 0;
    errno = saved;
    return done;
}

bool mole_pages_denies_execution(void)
{
    int saved = errno;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    void *page = mmap(NULL, MOLE_PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    bool denies = page != MAP_FAILED &&
                  mprotect(page, MOLE_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) != 0 &&
                  (errno == EACCES || errno == EPERM);
    if (page != MAP_FAILED)
        munmap(page, MOLE_PAGE);
    errno = saved;
    return denies;
}

bool mole_pages_purge(void *start, size_t bytes)
{
    int saved = errno;
    /* The kernel would round up the length, and take what lies behind it. */
    if (((uintptr_t)start | bytes) & (getauxval(AT_PAGESZ) - 1))
        return false;
    bool done = !mole_pages_is_to_fail() && madvise(start, bytes, MADV_DONTNEED) == 0;
    errno = saved;
    return done;
}

void mole_pages_populate(void *start, size_t bytes)
{
    enum { MOST = 16 << 20 }; /* more would be a pause, and maybe never used */
#if defined(MADV_POPULATE_WRITE)
    int saved = errno;
    (void)!madvise(start, bytes < MOST ? bytes : MOST, MADV_POPULATE_WRITE);
    errno = saved;
#else
    (void)start;
    (void)bytes;
    (void)MOST;
#endif
}

/* 0: the kernel moved the pages; else its error, and it may have unmapped the target. */
static int remap(void *from, void *to, size_t bytes)
{
    if (mole_pages_is_to_fail()) {
        munmap(to, bytes); /* as a kernel does that fails late */
        return ENOMEM;
    }
#if defined(MREMAP_DONTUNMAP)
    const int flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    return mremap(from, bytes, bytes, flags, to) == to ? 0 : errno;
#else
    return EINVAL;
#endif
}

enum mole_pages_moved mole_pages_move(void *from, void *to, size_t bytes)
{
    int saved = errno;
    enum mole_pages_moved moved = MOLE_PAGES_MOVED;
    int error = remap(from, to, bytes);
    if (error == EINVAL) {
        moved = MOLE_PAGES_STAY; /* it does not know the flags, and has not begun */
    } else if (error) {
        /* Fill the hole. Something there: left from before, or mapped by others since. */
        const int flags =
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
        void *hole = mole_pages_is_to_fail()
                         ? MAP_FAILED
                         : mmap(to, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        moved = hole == to ? MOLE_PAGES_STAY : MOLE_PAGES_LOST;
        if (moved == MOLE_PAGES_STAY)
            mole_pages_set_huge(to, bytes, false);
        add_rlx(&lost_a, moved == MOLE_PAGES_LOST);
    }
    errno = saved;
    return moved;
}

void mole_pages_release(void *start, size_t bytes)
{
    int saved = errno;
    munmap((char *)start - GUARD, bytes + (size_t)2 * GUARD);
    errno = saved;
}

size_t mole_pages_address_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return (size_t)limit.rlim_cur / 2;
}
