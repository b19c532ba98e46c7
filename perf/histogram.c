/* SPDX-License-Identifier: MIT */
#include "histogram.h"

enum { PLACES = sizeof((struct perf_histogram *)0)->counts / sizeof(uint64_t) };

void perf_histogram_join(struct perf_histogram *to, const struct perf_histogram *from)
{
    for (unsigned place = 0; place < PLACES; place++)
        to->counts[place] += from->counts[place];
    to->total += from->total;
    to->most = from->most > to->most ? from->most : to->most;
}

uint64_t perf_histogram_quantile(const struct perf_histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total);
    uint64_t below = 0;
    for (unsigned place = 0; place < PLACES; place++) {
        below += histogram->counts[place];
        if (below > wanted || (below == histogram->total && below > 0)) {
            uint64_t value = perf_histogram_value(place);
            return value < histogram->most ? value : histogram->most;
        }
    }
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double perf_ticks_per_ns(void)
{
    enum { CALIBRATION_NS = 20 * 1000 * 1000 };
    uint64_t begin_ns = now_ns();
    uint64_t begin = perf_ticks_begin();
    uint64_t end_ns;
    do
        end_ns = now_ns();
    while (end_ns - begin_ns < CALIBRATION_NS);
    uint64_t end = perf_ticks_end();
    return (double)(end - begin) / (double)(end_ns - begin_ns);
}
