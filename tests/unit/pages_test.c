/* SPDX-License-Identifier: MIT */
#include "os/pages.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit.h"

enum { BYTES = 1 << 20 };

static char *reserve(size_t bytes, size_t align)
{
    char *start = mole_pages_reserve(bytes, align);
    require(start != NULL, "no address space");
    return start;
}

static char *committed(void)
{
    char *start = reserve(BYTES, MOLE_PAGE);
    require(mole_pages_commit(start, BYTES), "no pages");
    return start;
}

Test(pages, a_reservation_is_aligned)
{
    for (size_t align = MOLE_PAGE; align <= (size_t)1 << 30; align *= 4)
        require((uintptr_t)reserve(3 * MOLE_PAGE, align) % align == 0, "not to %zu",
                align);
}

/* Whether the kernel can read a byte there; no fault of ours. */
static bool is_readable(const char *at)
{
    int ends[2];
    require(pipe(ends) == 0, "no pipe");
    bool is_read = write(ends[1], at, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return is_read;
}

Test(pages, a_reservation_is_unreadable_until_it_is_committed)
{
    char *start = reserve(BYTES, MOLE_PAGE);
    require(!is_readable(start) && !is_readable(start + BYTES - 1), "it can be read");
    require(mole_pages_commit(start, MOLE_PAGE), "no pages");
    require(is_readable(start + MOLE_PAGE - 1), "committed, it cannot be read");
    require(!is_readable(start + MOLE_PAGE), "what follows can be read");
}

Test(pages, a_reservation_has_a_guard_at_both_ends)
{
    unsigned char resident;
    char *start = committed();
    char *guards[] = {start - MOLE_PAGE, start + BYTES};
    for (size_t i = 0; i < LENGTH(guards); i++)
        require(mincore(guards[i], MOLE_PAGE, &resident) == 0 && !is_readable(guards[i]),
                "guard %zu is not mapped, or can be read", i);
    mole_pages_release(start, BYTES);
    for (size_t i = 0; i < LENGTH(guards); i++)
        require(mincore(guards[i], MOLE_PAGE, &resident) != 0, "guard %zu is left", i);
}

Test(pages, an_absurd_reservation_is_refused)
{
    require(!mole_pages_reserve(SIZE_MAX - 100, MOLE_PAGE), "nearly all was there");
    require(!mole_pages_reserve((size_t)1 << 60, MOLE_PAGE), "2^60 bytes were there");
}

Test(pages, committed_pages_are_zero_and_writable)
{
    char *start = committed();
    require(is_all(start, BYTES, 0), "they are not zero");
    memset(start, 1, BYTES);
}

/* What the kernel would make of it: the whole page goes. */
Test(pages, a_part_of_a_page_is_not_purged)
{
    char *start = committed();
    stamp(start, BYTES, 1);
    require(!mole_pages_purge(start, MOLE_PAGE / 2), "half a page was purged");
    require(!mole_pages_purge(start + MOLE_PAGE / 2, BYTES / 2), "from half a page on");
    require(stamp_is_intact(start, BYTES, 1), "the contents changed");
}

Test(pages, purged_pages_are_zero_and_writable)
{
    char *start = committed();
    memset(start, 1, BYTES);
    require(mole_pages_purge(start + MOLE_PAGE, MOLE_PAGE), "not purged");
    require(is_all(start + MOLE_PAGE, MOLE_PAGE, 0), "they are not zero");
    require(is_all(start, MOLE_PAGE, 1) && start[2 * MOLE_PAGE] == 1,
            "others were purged");
    memset(start, 2, BYTES);
}

Test(pages, move_takes_the_contents_along_and_leaves_zeros)
{
    char *from = committed(), *to = committed();
    stamp(from, BYTES, 1);
    memset(to, 5, BYTES);
    enum mole_pages_moved moved = mole_pages_move(from, to, BYTES);
    if (!kernel_moves_pages())
        cr_skip_test("this kernel cannot move pages and keep the range");
    require(moved == MOLE_PAGES_MOVED, "the kernel can move pages, and did not: %d",
            moved);
    require(stamp_is_intact(to, BYTES, 1), "the contents changed on their way");
    require(is_all(from, BYTES, 0), "the old range is not zero");
    memset(from, 3, BYTES);
}

Test(pages, a_move_that_fails_leaves_both_ranges_usable)
{
    char *from = committed(), *to = committed();
    stamp(from, BYTES, 1);
    mole_pages_inject(1, false);
    require(mole_pages_move(from, to, BYTES) == MOLE_PAGES_STAY, "it did not stay");
    require(mole_pages_inject(0, false) == 2, "nobody filled the hole");
    require(stamp_is_intact(from, BYTES, 1), "the contents changed");
    memset(to, 5, BYTES);
}

Test(pages, a_move_whose_hole_cannot_be_filled_is_lost)
{
    char *from = committed(), *to = committed();
    stamp(from, BYTES, 1);
    mole_pages_inject(1, true);
    require(mole_pages_move(from, to, BYTES) == MOLE_PAGES_LOST && mole_pages_lost() == 1,
            "it is not lost");
    mole_pages_inject(0, false);
    require(stamp_is_intact(from, BYTES, 1), "the contents changed");
    require(!is_readable(to) && !is_readable(to + BYTES - 1),
            "the target is still there");
}

Test(pages, the_nth_call_fails_and_no_other)
{
    char *start = committed();
    mole_pages_inject(2, false);
    require(mole_pages_commit(start, BYTES), "the first call failed");
    require(!mole_pages_commit(start, BYTES), "the second call did not fail");
    require(mole_pages_commit(start, BYTES), "the third call failed");
}

Test(pages, from_the_nth_call_on_all_fail)
{
    char *start = committed();
    mole_pages_inject(2, true);
    require(mole_pages_purge(start, BYTES), "the first call failed");
    require(!mole_pages_purge(start, BYTES) && !mole_pages_commit(start, BYTES) &&
                !mole_pages_reserve(BYTES, MOLE_PAGE) &&
                mole_pages_move(start, start + BYTES / 2, MOLE_PAGE) == MOLE_PAGES_LOST,
            "a later call did not fail");
    mole_pages_inject(0, false);
    require(mole_pages_purge(start, BYTES / 2), "it fails for good");
}

Test(pages, inject_tells_how_many_calls_there_were)
{
    char *start = committed();
    mole_pages_inject(0, false);
    for (int i = 0; i < 5; i++)
        require(mole_pages_commit(start, BYTES), "a call failed");
    unsigned long calls = mole_pages_inject(0, false);
    require(calls == 5, "%lu calls, not 5", calls);
    require(mole_pages_inject(0, false) == 0, "the count did not begin anew");
}

Test(pages, failures_do_not_touch_errno)
{
    char *start = reserve(BYTES, MOLE_PAGE);
    errno = ERRNO_SENTINEL;
    (void)!mole_pages_reserve((size_t)1 << 60, MOLE_PAGE);
    (void)!mole_pages_commit(start + 1, BYTES);
    (void)!mole_pages_purge(start + 1, BYTES);
    (void)!mole_pages_move(start, start + 1, MOLE_PAGE);
    require(errno == ERRNO_SENTINEL, "errno is %d", errno);
}

Test(pages, a_failed_call_leaves_the_contents)
{
    char *start = committed();
    stamp(start, BYTES, 1);
    mole_pages_inject(1, true);
    require(!mole_pages_purge(start, BYTES), "it did not fail");
    require(stamp_is_intact(start, BYTES, 1), "it failed and purged");
}

Test(pages, the_address_limit_is_half_of_the_systems)
{
    struct rlimit limit;
    require(getrlimit(RLIMIT_AS, &limit) == 0, "getrlimit");
    if (limit.rlim_cur != RLIM_INFINITY)
        cr_skip_test("RLIMIT_AS is set already");
    require(mole_pages_address_limit() == SIZE_MAX, "a limit where there is none");
    limit.rlim_cur = (rlim_t)1 << 45;
    require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
    require(mole_pages_address_limit() == (size_t)1 << 44, "another limit: %zu",
            mole_pages_address_limit());
}
