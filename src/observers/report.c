/* SPDX-License-Identifier: MIT */
#include "observers/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "observers/sites.h"
#include "observers/symbols.h"

/* Where the text goes. */
struct sink {
    void (*write)(void *to, const char *text, size_t bytes);
    void *to;
};

/* One row: a site's place and its figures. */
struct row {
    uint32_t index;
    uint64_t total;
    uint64_t live;
    uint64_t key; /* the order */
};

static void put(const struct sink *sink, const char *text, int length, size_t room)
{
    if (length > 0)
        sink->write(sink->to, text, (size_t)length < room ? (size_t)length : room - 1);
}

/* "12.3 MiB" */
static const char *size_text(uint64_t bytes, char *text, size_t room)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit < 5) {
        value /= 1024;
        unit++;
    }
    snprintf(text, room, "%.*f %s", unit ? 1 : 0, value, units[unit]);
    return text;
}

static int compare(const void *a, const void *b)
{
    const struct row *left = a;
    const struct row *right = b;
    if (left->key != right->key)
        return left->key < right->key ? 1 : -1;
    return left->index < right->index ? -1 : 1;
}

/* All sites that were met, the greatest first. */
static size_t collect(struct row *rows, bool is_by_live)
{
    size_t count = 0;
    for (uint32_t i = 0; i < SITES_MOST; i++) {
        struct row row = {.index = i,
                          .total = load_rlx(&sites[i].total_a),
                          .live = load_rlx(&sites[i].live_a)};
        row.key = is_by_live ? row.live : row.total;
        if (load_rlx(&sites[i].samples_a))
            rows[count++] = row;
    }
    qsort(rows, count, sizeof *rows, compare);
    return count;
}

static void put_head(const struct sink *sink, const struct report_options *options,
                     const struct row *rows, size_t count)
{
    char text[512];
    char total[24];
    char live[24];
    uint64_t sums[3] = {0};
    for (size_t i = 0; i < count; i++) {
        sums[0] += rows[i].total;
        sums[1] += rows[i].live;
        sums[2] += load_rlx(&sites[rows[i].index].samples_a);
    }
    int length = snprintf(
        text, sizeof text,
        "top-sites: %.1f s, 1 of %zu bytes sampled, %llu blocks seen; "
        "about %s allocated, %s of it live\n",
        options->seconds, options->sample_bytes, (unsigned long long)sums[2],
        size_text(sums[0], total, sizeof total), size_text(sums[1], live, sizeof live));
    put(sink, text, length, sizeof text);
    if (!options->untracked)
        return;
    length =
        snprintf(text, sizeof text,
                 "(%llu of these blocks found no room: they are not in what is live)\n",
                 (unsigned long long)options->untracked);
    put(sink, text, length, sizeof text);
}

static void put_row(const struct sink *sink, const struct row *row, size_t number)
{
    const struct site *site = &sites[row->index];
    char text[640];
    char name[512];
    char total[24];
    char live[24];
    size_t depth = load_acq(&site->depth_a); /* HB-SITE-1 */
    int length =
        snprintf(text, sizeof text, "\n%3zu  %10s allocated  %10s live  %llu blocks\n",
                 number, size_text(row->total, total, sizeof total),
                 size_text(row->live, live, sizeof live),
                 (unsigned long long)((load_rlx(&site->blocks_a) + SITES_BLOCK / 2) /
                                      SITES_BLOCK));
    put(sink, text, length, sizeof text);
    if (!depth)
        put(sink, text, snprintf(text, sizeof text, "     (other places)\n"),
            sizeof text);
    for (size_t i = 0; i < depth; i++) {
        /* The call, not what it returns to. */
        symbols_name((const char *)site->frame[i] - 1, name, sizeof name);
        put(sink, text, snprintf(text, sizeof text, "     %s\n", name), sizeof text);
    }
}

void report(const struct report_options *options,
            void (*write)(void *to, const char *text, size_t bytes), void *to)
{
    const struct sink sink = {.write = write, .to = to};
    struct row *rows = calloc(SITES_MOST, sizeof *rows);
    if (!rows) {
        write(to, "top-sites: out of memory\n", 25);
        return;
    }
    size_t count = collect(rows, options->is_by_live);
    put_head(&sink, options, rows, count);
    for (size_t i = 0; i < count && i < options->top; i++)
        put_row(&sink, &rows[i], i + 1);
    symbols_finish();
    free(rows);
}
