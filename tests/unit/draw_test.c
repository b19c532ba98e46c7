/* SPDX-License-Identifier: MIT */
/*
 * Countdowns: their lengths' distribution, and the chances that are computed without
 * libm, against libm's. Bounds are six standard deviations wide.
 */
#include <math.h>

#include "unit.h"

#include "base/draw.h"

static size_t draws(void)
{
    return repeats(200000) < 20000 ? 20000 : repeats(200000);
}

Test(draw, a_share_is_libms_within_a_millionth)
{
    static const size_t means[] = {1, 2, 7, 100, 4096, 524288, (size_t)1 << 40};
    size_t count = 0;
    for (size_t i = 0; i < LENGTH(means); i++)
        for (double bytes = 1; bytes < 0x1p47; bytes = bytes * 1.01 + 1, count++) {
            double want = -expm1(-floor(bytes) / (double)means[i]);
            double share = mole_draw_share((size_t)bytes, means[i]);
            require(fabs(share - want) <= 1e-6 * want, "%.0f of %zu: %.9g, not %.9g",
                    bytes, means[i], share, want);
            require(share >= 0 && share <= 1, "%.0f of %zu: %.17g", bytes, means[i],
                    share);
        }
    require(count > 10000, "only %zu chances", count);
    require(mole_draw_share(0, 100) == 0, "no bytes have a chance");
    require(mole_draw_share(SIZE_MAX, 1) == 1, "all bytes are not certain");
}

/* Each length in (k, k+1] tenths of the mean as often as it should be, and the rest. */
Test(draw, lengths_are_exponential)
{
    static const size_t means[] = {100, 4096, 524288, (size_t)1 << 40};
    for (size_t i = 0; i < LENGTH(means); i++) {
        enum { TENTHS = 50 };
        size_t found[TENTHS + 1] = {0};
        struct mole_draw draw = {.random = 12345 + i};
        double sum = 0;
        for (size_t j = 0; j < draws(); j++) {
            mole_draw_begin(&draw, means[i]);
            require(draw.left >= 0 && draw.mean == means[i], "a length of %lld",
                    (long long)draw.left);
            size_t tenth = (size_t)draw.left / (means[i] / 10);
            found[tenth < TENTHS ? tenth : TENTHS]++;
            sum += (double)draw.left + 0.5; /* lengths are cut to whole bytes */
        }
        double mean = (double)means[i];
        double count = (double)draws();
        require(fabs(sum / count - mean) <= 6 * mean / sqrt(count) + 1, "mean %g of %g",
                sum / count, mean);
        for (size_t j = 0; j <= TENTHS; j++) {
            double step = (double)(means[i] / 10) / mean;
            double from = exp(-(double)j * step);
            double share = j < TENTHS ? from - exp(-(double)(j + 1) * step) : from;
            double want = share * count;
            require(fabs((double)found[j] - want) <= 6 * sqrt(want) + 6,
                    "%zu lengths in tenth %zu, not %.1f", found[j], j, want);
        }
    }
}

Test(draw, chances_are_what_they_should_be)
{
    static const double shares[] = {0.0001, 0.01, 0.3, 0.5, 0.9, 0.999};
    struct mole_draw draw = {.random = 99};
    for (size_t i = 0; i < LENGTH(shares); i++) {
        size_t lucky = 0;
        for (size_t j = 0; j < draws(); j++)
            lucky += mole_draw_is_lucky(&draw, shares[i]);
        double want = shares[i] * (double)draws();
        require(fabs((double)lucky - want) <= 6 * sqrt(want * (1 - shares[i])) + 1,
                "%zu times lucky, not %.1f", lucky, want);
    }
    for (size_t j = 0; j < draws(); j++)
        require(mole_draw_is_lucky(&draw, 1) && !mole_draw_is_lucky(&draw, 0),
                "certainty is a matter of luck");
}

/* Countdowns begun with nothing do not all run alike. */
Test(draw, each_countdown_has_its_own_sequence)
{
    static struct mole_draw draws_of[64];
    size_t same = 0;
    for (size_t i = 0; i < LENGTH(draws_of); i++)
        mole_draw_begin(&draws_of[i], (size_t)1 << 40);
    for (size_t i = 0; i < LENGTH(draws_of); i++)
        for (size_t j = 0; j < i; j++)
            same += draws_of[i].left == draws_of[j].left;
    require(same == 0, "%zu lengths came twice", same);
}

/*
 * One length after the other tells nothing: their product's mean is the means' product.
 */
Test(draw, lengths_do_not_depend_on_the_one_before)
{
    struct mole_draw draw = {.random = 4711};
    double sum = 0, last = 1;
    for (size_t i = 0; i < draws(); i++) {
        mole_draw_begin(&draw, 1 << 20);
        double length = ((double)draw.left + 0.5) / (1 << 20);
        sum += (length - 1) * (last - 1);
        last = length;
    }
    double covariance = sum / (double)draws();
    require(fabs(covariance) <= 6 / sqrt((double)draws()), "covariance %g", covariance);
}
