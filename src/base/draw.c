/* SPDX-License-Identifier: MIT */
#include "base/draw.h"

/* Uniform in (0, 1): 53 random bits. splitmix64, which any state will do for. */
static double uniform(struct mole_draw *draw)
{
    if (!draw->random) /* each countdown its own sequence */
        draw->random = (uintptr_t)draw;
    uint64_t bits = draw->random += 0x9e3779b97f4a7c15u;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    bits ^= bits >> 31;
    return ((double)(bits >> 11) + 0.5) * 0x1p-53;
}

/*
 * -ln(u) for 0 < u < 1. Exponent and mantissa apart; of the mantissa m the series of
 * ln m = 2 artanh((m - 1) / (m + 1)), right to six digits.
 */
static double minus_ln(double u)
{
    int exponent = 0;
    while (u < 1.0) {
        u *= 2.0;
        exponent++;
    }
    double s = (u - 1.0) / (u + 1.0);
    double q = s * s;
    double ln = 2.0 * s * (1.0 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q / 9))));
    return (double)exponent * 0.6931471805599453 - ln;
}

void mole_draw_begin(struct mole_draw *draw, size_t mean)
{
    double length = minus_ln(uniform(draw)) * (double)mean;
    draw->left = length < 0x1p62 ? (int64_t)length : (int64_t)1 << 62;
    draw->mean = mean;
}

bool mole_draw_is_lucky(struct mole_draw *draw, double share)
{
    return uniform(draw) < share;
}

double mole_draw_share(size_t bytes, size_t mean)
{
    double x = (double)bytes / (double)mean;
    int halvings = 0;
    if (x > 40.0)
        return 1.0;
    for (; x > 0.03125; halvings++)
        x /= 2.0;
    /* 1 - e^-x; then 1 - e^-2x is made of it, which loses nothing for small x. */
    double share = x * (1.0 - x / 2 * (1.0 - x / 3 * (1.0 - x / 4 * (1.0 - x / 5))));
    while (halvings-- > 0)
        share *= 2.0 - share;
    return share;
}
