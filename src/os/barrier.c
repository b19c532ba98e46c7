/* SPDX-License-Identifier: MIT */
#include "os/barrier.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atom.h"

/* ThreadSanitizer does not know the barrier: there it counts as denied. */
#if defined(__SANITIZE_THREAD__)
enum { IS_KNOWN = 0 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { IS_KNOWN = 0 };
#else
enum { IS_KNOWN = 1 };
#endif
#else
enum { IS_KNOWN = 1 };
#endif

/*
 * denied_a: the system refused a barrier.
 *   writers  mole_barrier_all
 *   readers  the same
 *   orders   relaxed: a second thread that finds out for itself does no harm
 *   keeps    never false again
 */
static _Atomic(bool) denied_a;

static bool ask(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) >= 0;
}

/* A process registers once; that a fork's child is registered too is not relied upon. */
static bool make_one(void)
{
    return ask(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
           (ask(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) &&
            ask(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
}

bool mole_barrier_all(void)
{
    if (!IS_KNOWN || load_rlx(&denied_a))
        return false;
    int saved = errno;
    bool is_made = make_one();
    errno = saved;
    if (!is_made)
        store_rlx(&denied_a, true);
    return is_made;
}

/*
 * Taking rights away from a page that was just written makes the processors that run this
 * process flush what they know of it, which none does with stores pending; and none keeps
 * a store back for milliseconds. Either is enough where the other is not given.
 */
void mole_barrier_drain(void)
{
    int saved = errno;
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) {
        *(volatile char *)page = 1;
        mprotect(page, bytes, PROT_READ);
        munmap(page, bytes);
    }
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR) {
    }
    errno = saved;
}
