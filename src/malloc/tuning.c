/* SPDX-License-Identifier: MIT */
/*
 * The rest of glibc's malloc interface: trimming and figures.
 */
#include <errno.h>
#include <malloc.h>
#include <molehill/molehill.h>

#include "arena/pool.h"
#include "malloc/names.h"
#include "tcache/process.h"
#include "tcache/thread.h"

MOLE_EXPORT int MALLOC_NAME(malloc_trim)(size_t pad);
MOLE_EXPORT int MALLOC_NAME(mallopt)(int parameter, int value);
MOLE_EXPORT int MALLOC_NAME(malloc_info)(int options, FILE *file);
MOLE_EXPORT struct mallinfo2 MALLOC_NAME(mallinfo2)(void);
MOLE_EXPORT void MALLOC_NAME(malloc_stats)(void);

/* Give back all warm free memory; 1: there was some. */
int MALLOC_NAME(malloc_trim)(size_t pad)
{
    (void)pad;
    if (!mole_process_start())
        return 0;
    struct mole_pool_slots *slots = mole_thread_slots();
    if (slots)
        mole_pool_drain(slots);
    return mole_pool_purge() > 0;
}

/* glibc's parameters are accepted and have no effect: 1. Others: 0. */
int MALLOC_NAME(mallopt)(int parameter, int value)
{
    (void)value;
    switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

static struct mh_stats figures(void)
{
    struct mh_stats stats = {.size = sizeof stats};
    (void)mh_stats_get(&stats);
    return stats;
}

int MALLOC_NAME(malloc_info)(int options, FILE *file)
{
    if (options != 0 || !file) {
        errno = EINVAL;
        return -1;
    }
    struct mh_stats stats = figures();
    int written = fprintf(file,
                          "<malloc version=\"molehill-1\">\n"
                          "<system type=\"current\" size=\"%llu\"/>\n"
                          "<total type=\"frees\" count=\"%llu\"/>\n"
                          "</malloc>\n",
                          (unsigned long long)stats.committed_bytes,
                          (unsigned long long)stats.malloc_frees);
    return written < 0 ? -1 : 0;
}

/* Only what has a meaning here: memory made usable, and what of it is in malloc's blocks. */
struct mallinfo2 MALLOC_NAME(mallinfo2)(void)
{
    struct mallinfo2 info = {0};
    size_t live = mole_process_malloc_bytes();
    info.arena = (size_t)figures().committed_bytes;
    info.uordblks = live;
    info.fordblks = info.arena > live ? info.arena - live : 0;
    return info;
}

void MALLOC_NAME(malloc_stats)(void)
{
    struct mh_stats stats = figures();
    fprintf(stderr, "molehill: committed %llu bytes, %llu frees\n",
            (unsigned long long)stats.committed_bytes,
            (unsigned long long)stats.malloc_frees);
}
