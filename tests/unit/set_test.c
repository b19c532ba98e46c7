/* SPDX-License-Identifier: MIT */
/*
 * The set of spies when memory is short: who cannot attach changes nothing, and who is
 * attached can leave at any time. And what becomes of the memory of sets.
 */
#include <stdio.h>

#include "unit.h"

#include "../api/spies.h"
#include "os/pages.h"
#include "spy/set.h"

enum { SPIES = 8 };

static struct notes notes[SPIES + 1];
static HANDLE heap;

static void begin(size_t count)
{
    stop_passes();
    heap = create_heap(0);
    settle_in(heap);
    for (size_t i = 0; i <= SPIES; i++)
        notes_init(&notes[i]);
    for (size_t i = 0; i < count; i++)
        attach(&notes[i].spy, heap);
}

/* Who hears of a pair: those of the bits. */
static void expect_hearing(unsigned bits)
{
    for (size_t i = 0; i <= SPIES; i++)
        forget_notes(&notes[i]);
    give_back(heap, take(heap, 0, 100));
    for (size_t i = 0; i <= SPIES; i++)
        expect_count(&notes[i], bits >> i & 1 ? 2 : 0, "a spy");
}

Test(set, who_cannot_attach_for_want_of_memory_changes_nothing)
{
    for (size_t count = 0; count < SPIES; count++) {
        begin(count);
        size_t failures = 0;
        for (unsigned long nth = 1; nth < 20; nth++) {
            mole_pages_inject(nth, false);
            int result = mh_spy_attach(&notes[SPIES].spy, heap);
            mole_pages_inject(0, false);
            if (result == 0)
                break;
            failures++;
            require(result == MH_NO_MEMORY, "mh_spy_attach returned %d", result);
            expect_hearing((1u << count) - 1);
            require(mh_spy_detach(&notes[SPIES].spy) == MH_DETACHED, "it was attached");
        }
        require(failures > 0 && failures < 19, "%zu failures", failures);
        expect_hearing(((1u << count) - 1) | 1u << SPIES);
        detach(&notes[SPIES].spy);
        for (size_t i = 0; i < count; i++)
            detach(&notes[i].spy);
        destroy_heap(heap);
    }
}

Test(set, a_spy_leaves_whatever_memory_there_is)
{
    for (size_t step = 1; step < SPIES; step += 2) {
        begin(SPIES);
        unsigned bits = (1u << SPIES) - 1;
        for (size_t i = 0; i < SPIES; i++) {
            size_t leaving = i * step % SPIES;
            mole_pages_inject(1, true);
            int result = mh_spy_detach(&notes[leaving].spy);
            int again = mh_spy_attach(&notes[leaving].spy, heap);
            mole_pages_inject(0, false);
            require(result == 0, "mh_spy_detach of %zu returned %d", leaving, result);
            require(again == MH_NO_MEMORY, "mh_spy_attach returned %d", again);
            expect_hearing(bits &= ~(1u << leaving));
        }
        destroy_heap(heap);
    }
}

static int all_left[SPIES];

/* None of them can be waited for here: no set comes back meanwhile. */
static void detach_all(void *context, void *of, void *block, size_t bytes)
{
    note_allocated(context, of, block, bytes);
    mole_pages_inject(1, true);
    for (size_t i = 0; i < SPIES; i++)
        all_left[i] = mh_spy_detach(&notes[i].spy);
    mole_pages_inject(0, false);
}

Test(set, all_spies_leave_in_one_callback_whatever_memory_there_is)
{
    begin(0);
    notes[0].spy.allocated = detach_all;
    for (size_t i = 0; i < SPIES; i++) /* comings and goings before */
        attach(&notes[i].spy, heap);
    for (size_t i = 0; i < SPIES; i += 2)
        detach(&notes[i].spy);
    for (size_t i = 0; i < SPIES; i += 2)
        attach(&notes[i].spy, heap);
    void *block = take(heap, 0, 100);
    for (size_t i = 0; i < SPIES; i++)
        require(all_left[i] == MH_PENDING, "mh_spy_detach returned %d", all_left[i]);
    require(mh_spy_wait() == 0, "mh_spy_wait");
    give_back(heap, block);
    expect_hearing(0);
    require(mole_set_is_empty(), "somebody is attached");
}

static size_t mapped_pages(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    require(file && fscanf(file, "%zu", &pages) == 1, "no /proc/self/statm");
    fclose(file);
    return pages;
}

/* Of a thousand rounds nothing is left; each set would be 16 pages at least. */
Test(set, the_memory_of_sets_comes_back)
{
    enum { ROUNDS = 1000 };
    begin(2);
    size_t before = mapped_pages();
    for (size_t i = 0; i < ROUNDS; i++) {
        attach(&notes[2].spy, i % 2 ? heap : MH_SPY_ALL);
        if (i % 3)
            attach(&notes[3].spy, heap);
        detach(&notes[2].spy);
        if (i % 3)
            detach(&notes[3].spy);
    }
    size_t after = mapped_pages();
    require(after < before + ROUNDS, "%zu pages before, %zu after", before, after);
    detach(&notes[1].spy);
    detach(&notes[0].spy);
    require(mole_set_is_empty(), "somebody is attached");
}

/* More than fit into one step of a set's memory. */
Test(set, a_thousand_spies_attach_and_leave)
{
    enum { MANY = 1000 };
    static struct mh_spy many[MANY];
    begin(0);
    for (size_t i = 0; i < MANY; i++) {
        many[i] = (struct mh_spy){.size = sizeof many[i],
                                  .context = &notes[i % SPIES],
                                  .allocated = note_allocated};
        attach(&many[i], heap);
    }
    void *block = take(heap, 0, 100);
    for (size_t i = 0; i < SPIES; i++)
        expect_count(&notes[i], MANY / SPIES, "an eighth of the spies");
    mole_pages_inject(1, true);
    for (size_t i = 0; i < MANY; i++)
        require(mh_spy_detach(&many[i * 7 % MANY]) == 0, "mh_spy_detach of %zu", i);
    mole_pages_inject(0, false);
    give_back(heap, block);
    give_back(heap, take(heap, 0, 100));
    for (size_t i = 0; i < SPIES; i++)
        expect_count(&notes[i], MANY / SPIES, "after they left");
}
