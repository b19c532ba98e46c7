/* SPDX-License-Identifier: MIT */
/* The histogram of perf/latency.c: what it tells is what the figures rest on. */
#include "histogram.h"

#include <criterion/criterion.h>

static struct perf_histogram histogram, other;

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

Test(histogram, a_value_is_read_back_within_a_64th)
{
    for (unsigned bits = 0; bits < 63; bits++)
        for (uint64_t part = 0; part < 97; part++) {
            uint64_t value = ((uint64_t)1 << bits) + (((uint64_t)1 << bits) / 97) * part;
            uint64_t read = perf_histogram_value(perf_histogram_place(value));
            cr_assert(distance(read, value) <= value / 64, "%lu is read as %lu", value,
                      read);
        }
}

Test(histogram, places_rise_with_values_and_stay_inside)
{
    unsigned last = perf_histogram_place(0);
    for (uint64_t value = 1; value < (uint64_t)1 << 62; value += 1 + value / 50) {
        unsigned place = perf_histogram_place(value);
        cr_assert(place >= last, "%lu has place %u after %u", value, place, last);
        last = place;
    }
    cr_assert(perf_histogram_place(UINT64_MAX) <
              sizeof histogram.counts / sizeof histogram.counts[0]);
}

Test(histogram, quantiles_are_those_of_the_values)
{
    for (uint64_t value = 1; value <= 10000; value++)
        perf_histogram_add(&histogram, value);
    static const double shares[] = {0.5, 0.99, 0.9999};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t wanted = (uint64_t)(shares[i] * 10000);
        uint64_t read = perf_histogram_quantile(&histogram, shares[i]);
        cr_assert(distance(read, wanted) <= wanted / 64 + 1, "%lu where %lu is right",
                  read, wanted);
    }
    cr_assert_eq(histogram.most, 10000);
}

Test(histogram, one_slow_call_in_ten_thousand_shows)
{
    for (unsigned i = 0; i < 9999; i++)
        perf_histogram_add(&histogram, 20);
    perf_histogram_add(&histogram, 123456789);
    cr_assert_eq(perf_histogram_quantile(&histogram, 0.99), 20);
    cr_assert(perf_histogram_quantile(&histogram, 0.9999) > 120000000,
              "the slowest of 10000 is beyond p99.99");
}

Test(histogram, joined_histograms_have_the_calls_of_both)
{
    for (unsigned i = 0; i < 100; i++) {
        perf_histogram_add(&histogram, 10);
        perf_histogram_add(&other, 1000);
    }
    perf_histogram_join(&histogram, &other);
    cr_assert_eq(histogram.total, 200);
    cr_assert_eq(histogram.most, 1000);
    cr_assert_eq(perf_histogram_quantile(&histogram, 0.25), 10);
    cr_assert(distance(perf_histogram_quantile(&histogram, 0.75), 1000) <= 16,
              "the upper half is lost");
}

Test(histogram, of_nothing_tells_nothing)
{
    cr_assert_eq(perf_histogram_quantile(&histogram, 0.5), 0);
}
