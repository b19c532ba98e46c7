/* SPDX-License-Identifier: MIT */
/*
 * errno, when the system refuses what free asks of it: locked pages cannot be given
 * back.
 */
#include <molehill/molehill.h>
#include <sys/mman.h>
#include <time.h>

#include "dying.h"

/* Free what makes a pass over the free memory, again and again while that grows old. */
static void free_some_and_check(void)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 130 * 1000 * 1000};

    for (size_t i = 0; i < 6; i++) {
        void *block = get(MIB);
        errno = EXDEV;
        mh_free(block);
        require(errno == EXDEV, "free set errno to %d", errno);
        nanosleep(&pause, NULL);
    }
}

Test(malloc_free, errno_is_kept_when_pages_are_locked)
{
    (void)mh_configure("purger:calls"); /* this thread makes the passes */
    void *locked = get(4 * MIB);

    if (mlock(locked, 4 * MIB) != 0)
        cr_skip_test("memory cannot be locked here");
    errno = EXDEV;
    mh_free(locked);
    require(errno == EXDEV, "free of locked pages set errno to %d", errno);
    free_some_and_check();
    munlock(locked, 4 * MIB);
}
