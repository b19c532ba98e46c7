/* SPDX-License-Identifier: MIT */
#include "arena/run.h"

#include <stdio.h>

#include "os/pages.h"
#include "unit.h"

enum { CHUNK_PAGES = MOLE_CHUNK_PAGES };

static struct mole_run *run_of(size_t chunks)
{
    struct mole_run *run = mole_run_create(chunks);
    require(run != NULL, "no run of %zu chunks", chunks);
    return run;
}

/* Two runs side by side. */
static struct mole_run *pair(size_t chunks, struct mole_run **upper)
{
    stop_passes();
    struct mole_run *lower = run_of(chunks);
    *upper = run_of(chunks);
    require(mole_run_end(lower) == (*upper)->base, "two new runs are no neighbours");
    return lower;
}

static struct mole_run *split(struct mole_run *run, size_t chunks)
{
    struct mole_run *rest = mole_meta_take(MOLE_META_RUN, sizeof *rest);
    require(rest != NULL, "no record");
    memset(&rest->base, 0xDD, sizeof *rest - offsetof(struct mole_run, base));
    mole_run_split(run, chunks, rest);
    return rest;
}

Test(run, a_new_run_is_zero_and_has_no_seam)
{
    stop_passes();
    struct mole_run *run = run_of(3);
    require(run->chunks == 3 && run->is_zero && !run->seam, "it is not so");
    require(is_all(run->base, 3 * MOLE_CHUNK, 0), "it does not read as zero");
}

Test(run, joined_runs_have_the_chunks_of_both)
{
    struct mole_run *upper, *lower = pair(3, &upper);
    char *base = lower->base;
    mole_run_join(lower, upper);
    require(lower->base == base && lower->chunks == 6, "%u chunks", lower->chunks);
}

Test(run, the_record_of_a_joined_run_is_used_again)
{
    struct mole_run *upper, *lower = pair(3, &upper);
    mole_run_join(lower, upper);
    require(run_of(1) == upper, "another record came first");
}

Test(run, joined_runs_are_zero_only_if_both_are)
{
    for (unsigned bits = 0; bits < 4; bits++) {
        struct mole_run *upper, *lower = pair(1, &upper);
        lower->is_zero = bits & 1;
        upper->is_zero = bits >> 1;
        mole_run_join(lower, upper);
        require(lower->is_zero == (bits == 3), "lower %u, upper %u: joined %u", bits & 1,
                bits >> 1, lower->is_zero);
    }
}

Test(run, joined_runs_are_as_young_as_the_younger_warm_one)
{
    static const struct {
        uint32_t lower, upper;
        bool is_lower_zero, is_upper_zero;
        uint32_t joined;
    } cases[] = {
        {4, 5, false, false, 5},          {5, 4, false, false, 5},
        {9, 4, true, false, 4},           {4, 9, false, true, 4},
        {UINT32_MAX, 2, false, false, 2}, {2, UINT32_MAX, false, false, 2},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        struct mole_run *upper, *lower = pair(1, &upper);
        lower->given = cases[i].lower;
        upper->given = cases[i].upper;
        lower->is_zero = cases[i].is_lower_zero;
        upper->is_zero = cases[i].is_upper_zero;
        mole_run_join(lower, upper);
        require(lower->given == cases[i].joined, "case %zu: given in pass %u", i,
                lower->given);
    }
}

Test(run, a_split_run_keeps_its_beginning)
{
    stop_passes();
    struct mole_run *run = run_of(7);
    char *base = run->base;
    struct mole_run *rest = split(run, 3);
    require(run->base == base && run->chunks == 3, "it has %u chunks", run->chunks);
    require(rest->base == base + 3 * MOLE_CHUNK && rest->chunks == 4,
            "the rest has %u chunks at %p", rest->chunks, (void *)rest->base);
    require(!run->seam && !rest->seam, "a seam came from nowhere");
}

Test(run, both_parts_of_a_split_run_are_zero_if_it_was)
{
    stop_passes();
    for (uint8_t is_zero = 0; is_zero < 2; is_zero++) {
        struct mole_run *run = run_of(2);
        run->is_zero = is_zero;
        run->given = 77;
        struct mole_run *rest = split(run, 1);
        require(run->is_zero == is_zero && rest->is_zero == is_zero, "%u and %u",
                run->is_zero, rest->is_zero);
        require(run->given == 77 && rest->given == 77, "they were given another day");
    }
}

/* What the kernel knows: whether an address range lies in one mapping. */
static bool is_one_mapping(const char *start, size_t bytes)
{
    char line[512];
    unsigned long from, to, first = (unsigned long)start;
    bool is_inside = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    require(maps != NULL, "/proc/self/maps cannot be read");
    while (!is_inside && fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx", &from, &to) == 2)
            is_inside = from <= first && first + bytes <= to;
    fclose(maps);
    return is_inside;
}

static void move_into(struct mole_run *run, size_t chunks)
{
    struct mole_run *from = run_of(chunks);
    size_t bytes = chunks * MOLE_CHUNK;
    memset(from->base, 1, bytes);
    enum mole_pages_moved moved = mole_pages_move(from->base, run->base, bytes);
    require(moved != MOLE_PAGES_LOST, "the run is lost");
    mole_run_note_seam(run, bytes);
}

Test(run, a_seam_in_the_middle_is_an_edge_of_the_joined_run)
{
    struct mole_run *upper, *lower = pair(8, &upper);
    move_into(upper, 8);
    mole_run_join(lower, upper);
    require(!is_one_mapping(lower->base, 9 * MOLE_CHUNK), "the kernel joined the two");
    require(mole_run_is_one_mapping(lower, 8 * MOLE_CHUNK), "nothing of it may move");
    require(!mole_run_is_one_mapping(lower, 9 * MOLE_CHUNK), "its edge is not known");
}

Test(run, a_seam_at_the_base_stays_the_joined_runs)
{
    struct mole_run *upper, *lower = pair(8, &upper);
    move_into(lower, 5);
    move_into(upper, 8);
    mole_run_join(lower, upper);
    require(mole_run_is_one_mapping(lower, 5 * MOLE_CHUNK), "nothing of it may move");
    require(!mole_run_is_one_mapping(lower, 6 * MOLE_CHUNK), "its edge is not known");
}

Test(run, parts_of_a_run_with_a_seam_know_their_edges)
{
    for (size_t chunks = 1; chunks < 8; chunks++) {
        stop_passes();
        struct mole_run *run = run_of(8);
        move_into(run, 4);
        struct mole_run *rest = split(run, chunks);
        size_t known = chunks < 4 ? chunks : 4, behind = chunks < 4 ? 4 - chunks : 1;
        require(run->seam == known * CHUNK_PAGES, "after %zu: %u pages", chunks,
                run->seam);
        require(rest->seam == behind * CHUNK_PAGES, "after %zu: %u pages behind", chunks,
                rest->seam);
    }
}

/* Runs side by side, some of which get seams, are joined and split at random. */
Test(run, what_a_run_calls_one_mapping_is_one)
{
    enum { RUNS = 8, CHUNKS = 8, STEPS = 300 };
    struct mole_run *runs[RUNS * CHUNKS];
    size_t count = 0, seams = 0, edges = 0;
    uint64_t random = 1;
    stop_passes();
    for (; count < RUNS; count++)
        runs[count] = run_of(CHUNKS);
    for (size_t step = 0; step < STEPS; step++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t i = (random >> 33) % count, chunks = 1 + (random >> 40) % CHUNKS;
        if (step % 16 == 0 && runs[i]->chunks >= chunks) {
            move_into(runs[i], chunks);
            seams++;
        } else if (step % 2 && runs[i]->chunks > chunks) {
            memmove(&runs[i + 2], &runs[i + 1], (count - i - 1) * sizeof(void *));
            runs[i + 1] = split(runs[i], chunks);
            count++;
        } else if (i + 1 < count) {
            mole_run_join(runs[i], runs[i + 1]);
            memmove(&runs[i + 1], &runs[i + 2], (count - i - 2) * sizeof(void *));
            count--;
        }
        size_t bytes = runs[i < count ? i : 0]->chunks * (size_t)MOLE_CHUNK;
        struct mole_run *run = runs[i < count ? i : 0];
        while (bytes && !mole_run_is_one_mapping(run, bytes)) {
            bytes -= MOLE_CHUNK;
            edges++;
        }
        require(bytes > 0 && is_one_mapping(run->base, bytes),
                "step %zu: %zu of %u chunks are not one mapping", step,
                bytes / MOLE_CHUNK, run->chunks);
    }
    require(seams > 5 && edges > 50, "exercised too little: %zu seams, %zu edges", seams,
            edges);
}
