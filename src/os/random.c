/* SPDX-License-Identifier: MIT */
#include "os/random.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "base/atom.h"
#include "os/thread.h"

static const uint64_t step = 0x9e3779b97f4a7c15u;

uint64_t mole_random_next(uint64_t *state)
{
    uint64_t bits = *state += step;
    bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ bits >> 27) * 0x94d049bb133111ebu;
    return bits ^ bits >> 31;
}

/* What the kernel gave the process at its start: for where it gives no more. */
static uint64_t of_start(void)
{
    uint64_t bits = mole_clock_ms();
    const void *given = (const void *)getauxval(AT_RANDOM); /* NOLINT: an address */
    if (given)
        memcpy(&bits, given, sizeof bits);
    return bits;
}

uint64_t mole_random(void)
{
    /*
     * count_a: numbers drawn.
     *   writers  this function
     *   readers  the same
     *   orders   relaxed: no two calls get the same, that is all
     *   keeps    nothing
     */
    static _Atomic(uint64_t) count_a;
    int saved = errno;
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits)
        bits = of_start();
    errno = saved;
    uint64_t state = bits + add_rlx(&count_a, 1) * step;
    return mole_random_next(&state);
}
