/* SPDX-License-Identifier: MIT */
#define COBJMACROS
#include "spy/com.h"

#include "os/thread.h"
#include "spy/ledger.h"

enum { IS_FREE = 1 };

/*
 * mole_com_spy_a: the spy; see com.h.
 *   writers  register, revoke, finish: under the lock
 *   readers  every operation of the task allocator
 *   orders   store release, load acquire: HB-COM-1
 *   keeps    not 0 while a record is owed to the spy
 */
_Atomic(uintptr_t) mole_com_spy_a;

/* What a free-threaded spy's revoke has done of its grace period. */
enum { OVER, NEEDED, WAITED_FOR };

/* All else about it: under the lock, unless it says otherwise. */
static struct {
    struct mole_lock lock;

    /*
     * owner_a: mole_thread_serial of who has the lock.
     *   writers  who has it; a fork's child
     *   readers  any: only the owner can find its own number
     *   orders   relaxed: the lock orders
     *   keeps    0 unless the lock is held
     */
    _Atomic(uint64_t) owner_a;
    size_t depth;

    const struct mole_com_world *world; /* const after the first register */
    struct mole_com_use *uses;          /* operations under way that are counted */
    uint64_t registrar; /* the thread that asks a spy for its interface; 0: none */
    bool is_free;       /* the spy is free-threaded */
    bool is_pending;    /* it is revoked, as soon as it can be */

    /*
     * grace_a: OVER, NEEDED or WAITED_FOR.
     *   writers  under the lock
     *   readers  the same; mole_com_settle
     *   orders   relaxed: the lock orders; settle only looks whether to take it
     *   keeps    OVER unless the spy is free-threaded and pending
     */
    _Atomic(int) grace_a;

    /*
     * is_wanted_a: the process heap is to be watched.
     *   writers  under the lock
     *   readers  HeapFree and HeapReAlloc in their slow paths
     *   orders   relaxed: who has a recorded block has it from who saw this set
     *   keeps    true while a spy is there
     */
    _Atomic(bool) is_wanted_a;

    /*
     * recheck_a: a record went while somebody had the lock.
     *   writers  mole_com_freed; who takes the lock for its sake clears it
     *   readers  who gives the lock back
     *   orders   relaxed, between fences: HB-COM-2
     *   keeps    nothing else
     */
    _Atomic(bool) recheck_a;
} com = {.lock = MOLE_LOCK};

static bool owns_lock(void)
{
    return load_rlx(&com.owner_a) == mole_thread_serial();
}

static void own_lock(void)
{
    store_rlx(&com.owner_a, mole_thread_serial());
    com.depth = 1;
}

static void give_lock(void)
{
    store_rlx(&com.owner_a, 0);
    mole_lock_release(&com.lock);
    fence_seq_cst(); /* HB-COM-2 */
}

static void release(IMallocSpy *spy)
{
    if (spy)
        IMallocSpy_Release(spy);
}

/* The spy, if nothing keeps it any more: the caller releases it without the lock. */
static IMallocSpy *finish(void)
{
    if (!com.is_pending || com.uses || load_rlx(&com.grace_a) != OVER ||
        !mole_ledger_is_empty())
        return NULL;
    IMallocSpy *spy = (IMallocSpy *)load_rlx(&mole_com_spy_a);
    com.is_pending = false;
    store_rel(&mole_com_spy_a, 0);
    store_rlx(&com.is_wanted_a, false);
    com.world->watch();
    return spy;
}

/* What somebody left to whoever has the lock. */
static void recheck(void)
{
    while (unlikely(load_rlx(&com.recheck_a)) && mole_lock_try(&com.lock)) {
        own_lock();
        store_rlx(&com.recheck_a, false);
        IMallocSpy *gone = finish();
        give_lock();
        release(gone);
    }
}

void mole_com_lock(void)
{
    if (owns_lock()) {
        com.depth++;
        return;
    }
    mole_lock_acquire(&com.lock);
    own_lock();
}

void mole_com_unlock(void)
{
    if (--com.depth)
        return;
    give_lock();
    recheck();
}

/* finish, after the grace period if it is still to come and this thread may wait. */
static IMallocSpy *wait_and_finish(void)
{
    if (load_rlx(&com.grace_a) == NEEDED && com.depth == 1 && !mole_grace_is_inside() &&
        com.world->may_wait()) {
        store_rlx(&com.grace_a, WAITED_FOR);
        mole_com_unlock();
        mole_grace_wait();
        mole_com_lock();
        store_rlx(&com.grace_a, OVER);
    }
    return finish();
}

static mole_slow void settle(void)
{
    mole_com_lock();
    IMallocSpy *gone = wait_and_finish();
    mole_com_unlock();
    release(gone);
}

void mole_com_settle(void)
{
    if (unlikely(load_rlx(&com.grace_a) == NEEDED))
        settle();
}

bool mole_com_wants(void)
{
    return load_rlx(&com.is_wanted_a);
}

static void *query(IMallocSpy *spy, const IID *id)
{
    void *object = NULL;
    return SUCCEEDED(IMallocSpy_QueryInterface(spy, id, &object)) ? object : NULL;
}

static bool is_free_threaded(IMallocSpy *spy)
{
    IMallocSpy *agile = query(spy, &IID_IAgileObject);
    release(agile);
    return agile != NULL;
}

static void publish(IMallocSpy *spy, bool is_free)
{
    com.is_free = is_free;
    com.is_pending = false;
    store_rlx(&com.grace_a, OVER);
    store_rlx(&com.is_wanted_a, true);
    com.world->watch();
    store_rel(&mole_com_spy_a, (uintptr_t)spy | (is_free ? IS_FREE : 0)); /* HB-COM-1 */
}

HRESULT mole_com_register(const struct mole_com_world *world, IMallocSpy *spy)
{
    if (!spy)
        return E_INVALIDARG;
    mole_com_lock();
    bool is_taken = load_rlx(&mole_com_spy_a) || com.registrar;
    if (!is_taken) {
        com.registrar = mole_thread_serial();
        if (!com.world)
            mole_ledger_init();
        com.world = world;
    }
    mole_com_unlock();
    if (is_taken)
        return CO_E_OBJISREG;
    IMallocSpy *own = query(spy, &IID_IMallocSpy);
    bool is_free = own && is_free_threaded(own);
    if (is_free)
        mole_grace_prepare();
    mole_com_lock();
    if (own)
        publish(own, is_free);
    com.registrar = 0;
    mole_com_unlock();
    return own ? S_OK : E_INVALIDARG;
}

HRESULT mole_com_revoke(void)
{
    mole_com_lock();
    uintptr_t word = load_rlx(&mole_com_spy_a);
    if (!word) {
        mole_com_unlock();
        return CO_E_OBJNOTREG;
    }
    com.is_pending = true;
    if (word & IS_FREE) {
        store_rlx(&com.grace_a, NEEDED);
        store_rel(&mole_com_spy_a, word & ~(uintptr_t)IS_FREE); /* HB-COM-1 */
    }
    IMallocSpy *gone = wait_and_finish();
    mole_com_unlock();
    release(gone);
    return gone ? S_OK : E_ACCESSDENIED;
}

/*
 * False: the spy changed meanwhile. What is loaded inside the section stays until its
 * end.
 */
static bool begin_free(struct mole_com_use *use, uintptr_t word)
{
    use->section = mole_grace_enter();
    if (unlikely(load_acq(&mole_com_spy_a) != word)) { /* HB-COM-1 */
        mole_grace_leave(use->section);
        return false;
    }
    use->spy = (IMallocSpy *)(word - IS_FREE);
    use->word = word;
    return true;
}

/* False likewise. The lock stays unless the spy is free-threaded. */
static bool begin_locked(struct mole_com_use *use)
{
    mole_com_lock();
    uintptr_t word = load_rlx(&mole_com_spy_a);
    if (unlikely(!word || word & IS_FREE)) {
        mole_com_unlock();
        return false;
    }
    use->spy = (IMallocSpy *)word;
    use->word = word;
    use->serial = mole_thread_serial();
    use->next = com.uses;
    com.uses = use;
    if (com.is_free)
        mole_com_unlock();
    return true;
}

bool mole_com_begin(struct mole_com_use *use)
{
    uintptr_t word;
    while ((word = load_acq(&mole_com_spy_a)) != 0) /* HB-COM-1 */
        if (word & IS_FREE ? begin_free(use, word) : begin_locked(use))
            return true;
    return false;
}

static void end_counted(struct mole_com_use *use)
{
    if (com.is_free)
        mole_com_lock();
    struct mole_com_use **at = &com.uses;
    while (*at != use)
        at = &(*at)->next;
    *at = use->next;
    IMallocSpy *gone = wait_and_finish();
    mole_com_unlock();
    release(gone);
}

void mole_com_end(struct mole_com_use *use)
{
    if (unlikely(!(use->word & IS_FREE))) {
        end_counted(use);
        return;
    }
    mole_grace_leave(use->section);
    if (unlikely(load_rlx(&mole_com_spy_a) != use->word))
        settle();
}

static void drop(struct mole_record *record)
{
    mole_ledger_drop(record);
    store_rlx(&com.recheck_a, true);
    fence_seq_cst(); /* HB-COM-2 */
    if (!owns_lock())
        recheck();
}

void mole_com_freed(const void *block)
{
    struct mole_record *record = mole_ledger_take_block(block);
    if (unlikely(record))
        drop(record);
}

struct mole_record *mole_com_resizing(const void *block)
{
    return mole_ledger_take_block(block);
}

/* The client has the block at the same distance from its start as before. */
void mole_com_resized(struct mole_record *record, const void *block)
{
    if (block) {
        intptr_t distance = (const char *)mole_ledger_client(record) -
                            (const char *)mole_ledger_block(record);
        mole_ledger_record(record, (const char *)block + distance, block);
    } else {
        mole_ledger_record_again(record);
    }
}

/* Operations of the thread that forks go on. */
static void forget_others(uint64_t serial)
{
    struct mole_com_use **at = &com.uses;
    while (*at)
        if ((*at)->serial == serial)
            at = &(*at)->next;
        else
            *at = (*at)->next;
}

/* A spy whose register or finish a vanished thread was at is gone, without Release. */
static void repair_spy(void)
{
    uintptr_t word = load_rlx(&mole_com_spy_a);
    mole_ledger_repair();
    com.is_pending = com.is_pending && word && !(word & IS_FREE);
    store_rlx(&com.grace_a, com.is_pending && com.is_free ? NEEDED : OVER);
    store_rlx(&com.is_wanted_a, word != 0);
    store_rlx(&com.recheck_a, com.is_pending);
    com.world->watch();
}

void mole_com_repair(void)
{
    uint64_t serial = mole_thread_serial();
    if (!owns_lock()) {
        mole_lock_init(&com.lock);
        store_rlx(&com.owner_a, 0);
    }
    forget_others(serial);
    if (com.registrar != serial)
        com.registrar = 0;
    if (com.world)
        repair_spy();
}
