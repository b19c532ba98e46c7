/* SPDX-License-Identifier: MIT */
/*
 * Attaching and detaching observers.
 */
#include <molehill/spy.h>

#include <errno.h>

#include "spy/com.h"
#include "tcache/process.h"
#include "watch/modes.h"

/* The least a spy has: everything up to its first callback. */
static const size_t least_bytes = offsetof(struct mh_spy, allocated);

/*
 * A spy of a later version may be longer, as long as it does not use what this one does
 * not know.
 */
static bool is_understood(const struct mh_spy *spy)
{
    if (!spy || spy->size < least_bytes)
        return false;
    const char *bytes = (const char *)spy;
    for (size_t i = sizeof *spy; i < spy->size; i++)
        if (bytes[i])
            return false;
    return true;
}

/* What the place to attach to is in numbers; 0: no such place. */
static uint64_t scope_of(void *heap)
{
    if (heap == MH_SPY_ALL)
        return MOLE_SPY_EVERYWHERE;
    if (heap == MH_SPY_MALLOC)
        return MOLE_SPY_ON_MALLOC;
    struct mole_heap *found = mole_heap_find(heap);
    return found ? mole_heap_id(found) : 0;
}

int mh_spy_attach(const struct mh_spy *spy, void *heap)
{
    if (!MOLE_HAS_SPIES || !is_understood(spy))
        return MH_INVALID;
    int saved = errno;
    int result = MH_NO_MEMORY;
    if (mole_process_start()) {
        uint64_t scope = scope_of(heap);
        result = scope ? mole_modes_attach(spy, scope) : MH_INVALID;
    }
    errno = saved;
    return result;
}

/* Whether somebody's callback may wait for what the calling thread is in or has. */
static bool must_not_wait(void)
{
    return mole_spy_is_inside() || mole_gate_is_any_mine() || mole_com_lock_is_mine();
}

int mh_spy_wait(void)
{
    if (must_not_wait())
        return MH_PENDING;
    int saved = errno;
    mole_set_settle();
    errno = saved;
    return 0;
}

int mh_spy_detach(const struct mh_spy *spy)
{
    int result = mole_modes_detach(spy);
    return result ? result : mh_spy_wait();
}
