/* SPDX-License-Identifier: MIT */
/*
 * The rest of glibc's malloc interface: trimming and figures.
 */
#include <errno.h>
#include <malloc.h>
#include <molehill/molehill.h>

#include "arena/pool.h"
#include "malloc/names.h"
#include "tcache/compact.h"
#include "tcache/process.h"
#include "tcache/thread.h"

MOLE_EXPORT int MALLOC_NAME(malloc_trim)(size_t pad);
MOLE_EXPORT int MALLOC_NAME(mallopt)(int parameter, int value);
MOLE_EXPORT int MALLOC_NAME(malloc_info)(int options, FILE *file);
MOLE_EXPORT struct mallinfo2 MALLOC_NAME(mallinfo2)(void);
MOLE_EXPORT struct mallinfo MALLOC_NAME(mallinfo)(void);
MOLE_EXPORT void MALLOC_NAME(malloc_stats)(void);

/*
 * Give back all warm free memory, and what the thread's own cache and those that ended
 * threads left have free; 1: there was some.
 */
int MALLOC_NAME(malloc_trim)(size_t pad)
{
    (void)pad;
    int saved = errno;
    size_t given = 0;
    if (mole_process_start()) {
        given = mole_compact_malloc();
        struct mole_pool_slots *slots = mole_thread_slots();
        if (slots)
            mole_pool_drain(slots);
        given += mole_pool_purge();
    }
    errno = saved;
    return given > 0;
}

/* Nothing has an effect. The answer is glibc's, which refuses one limit only. */
int MALLOC_NAME(mallopt)(int parameter, int value)
{
    enum { MOST_FAST = 80 * sizeof(size_t) / 4 };
    return parameter != M_MXFAST || (value >= 0 && value <= MOST_FAST);
}

static struct mh_stats figures(void)
{
    struct mh_stats stats = {.size = sizeof stats};
    (void)mh_stats_get(&stats);
    return stats;
}

/* Only what has a meaning: memory made usable, and what of it is in live blocks. */
struct mallinfo2 MALLOC_NAME(mallinfo2)(void)
{
    struct mallinfo2 info = {0};
    int saved = errno;
    size_t live = mole_process_malloc_bytes();
    info.arena = (size_t)figures().committed_bytes;
    info.uordblks = live;
    info.fordblks = info.arena > live ? info.arena - live : 0;
    errno = saved;
    return info;
}

/* The same in the older form, which has room for 2 GiB. */
struct mallinfo MALLOC_NAME(mallinfo)(void)
{
    struct mallinfo2 info = MALLOC_NAME(mallinfo2)();
    return (struct mallinfo){.arena = (int)info.arena,
                             .uordblks = (int)info.uordblks,
                             .fordblks = (int)info.fordblks};
}

/* EINVAL is an answer and not in errno, as glibc has it. */
int MALLOC_NAME(malloc_info)(int options, FILE *file)
{
    if (options != 0 || !file)
        return EINVAL;
    struct mallinfo2 info = MALLOC_NAME(mallinfo2)();
    struct mh_stats stats = figures();
    int written =
        fprintf(file,
                "<malloc version=\"molehill-1\">\n"
                "<total type=\"used\" size=\"%zu\"/>\n"
                "<total type=\"rest\" size=\"%zu\"/>\n"
                "<total type=\"frees\" count=\"%llu\"/>\n"
                "<system type=\"current\" size=\"%zu\"/>\n"
                "<aspace type=\"total\" size=\"%llu\"/>\n"
                "</malloc>\n",
                info.uordblks, info.fordblks, (unsigned long long)stats.malloc_frees,
                info.arena, (unsigned long long)stats.reserved_bytes);
    return written < 0 ? -1 : 0;
}

void MALLOC_NAME(malloc_stats)(void)
{
    struct mallinfo2 info = MALLOC_NAME(mallinfo2)();
    fprintf(stderr, "molehill: committed %zu bytes, %zu in live blocks, %llu frees\n",
            info.arena, info.uordblks, (unsigned long long)figures().malloc_frees);
}
