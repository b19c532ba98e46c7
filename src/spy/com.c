/* SPDX-License-Identifier: MIT */
#define COBJMACROS
#include "spy/com.h"

#include "os/recursive.h"
#include "spy/ledger.h"

enum { IS_FREE = 1 };

/*
 * mole_com_spy_a: the spy; see com.h.
 *   writers  register, revoke, finish: under the lock
 *   readers  every operation of the task allocator
 *   orders   store release, load acquire: HB-COM-1
 *   keeps    not 0 while the spy has a block
 */
_Atomic(uintptr_t) mole_com_spy_a;

/* What a free-threaded spy's revoke has done of its grace period. */
enum { OVER, NEEDED, WAITED_FOR };

/* All else about it: under the lock, unless it says otherwise. */
static struct {
    struct mole_recursive lock;
    const struct mole_com_world *world; /* const after the first register */
    IMallocSpy *spy;
    struct mole_com_use *uses; /* operations under way that are counted */
    uint64_t registrar;        /* the thread that asks a spy for its interface; or 0 */
    uint64_t awaiter;          /* the thread that waits in revoke, to release it; or 0 */
    bool is_free;              /* the spy is free-threaded */
    bool is_pending;           /* it is revoked, as soon as it can be */
    bool is_closing;           /* only operations under way keep it: spy_a is 0 */

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
     *   orders   store release, load acquire: HB-COM-3
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
} com = {.lock = MOLE_RECURSIVE};

static void release(IMallocSpy *spy)
{
    if (spy)
        IMallocSpy_Release(spy);
}

/* No operation begins with the spy; or again. */
static void set_closing(bool is_closing)
{
    if (com.is_closing == is_closing)
        return;
    com.is_closing = is_closing;
    store_rel(&mole_com_spy_a, is_closing ? 0 : (uintptr_t)com.spy); /* HB-COM-1 */
}

/*
 * The spy, if nothing keeps it any more: the caller releases it without the lock. When
 * only operations under way keep it, no more are let in, else they might never be over;
 * an operation that leaves a block lets others in before anybody has the block.
 */
static IMallocSpy *finish(bool by_awaiter)
{
    if (!com.is_pending || load_rlx(&com.grace_a) != OVER)
        return NULL;
    bool is_owed = !mole_ledger_is_empty();
    set_closing(!is_owed);
    if (is_owed || com.uses || (com.awaiter && !by_awaiter))
        return NULL;
    IMallocSpy *spy = com.spy;
    com.spy = NULL;
    com.is_pending = com.is_closing = false;
    store_rlx(&com.is_wanted_a, false);
    com.world->watch();
    return spy;
}

/* The lock is anybody's again. False: not yet. */
static bool give_lock(void)
{
    bool is_given = mole_recursive_release(&com.lock);
    fence_seq_cst(); /* HB-COM-2 */
    return is_given;
}

/* What somebody left to whoever has the lock. */
static void recheck(void)
{
    while (unlikely(load_rlx(&com.recheck_a)) && mole_recursive_try(&com.lock)) {
        store_rlx(&com.recheck_a, false);
        IMallocSpy *gone = finish(false);
        (void)give_lock();
        release(gone);
    }
}

void mole_com_lock(void)
{
    mole_recursive_acquire(&com.lock);
}

bool mole_com_lock_is_mine(void)
{
    return mole_recursive_is_mine(&com.lock);
}

void mole_com_unlock(void)
{
    if (give_lock())
        recheck();
}

/* Whether the thread may wait for operations of others. It has the lock. */
static bool may_wait(void)
{
    uint64_t serial = mole_thread_serial();
    for (struct mole_com_use *use = com.uses; use; use = use->next)
        if (use->serial == serial)
            return false;
    return com.lock.depth == 1 && !mole_grace_is_inside() && com.world->may_wait();
}

/* The grace period, if it is still to come and this thread may wait. */
static void wait_for_sections(void)
{
    if (load_rlx(&com.grace_a) != NEEDED || !may_wait())
        return;
    store_rlx(&com.grace_a, WAITED_FOR);
    mole_com_unlock();
    mole_grace_wait();
    mole_com_lock();
    store_rlx(&com.grace_a, OVER);
}

static IMallocSpy *wait_and_finish(void)
{
    wait_for_sections();
    return finish(false);
}

/* The same, and after operations under way, if nothing else keeps the spy. */
static IMallocSpy *await_end(void)
{
    wait_for_sections();
    if (com.awaiter || !may_wait())
        return finish(false);
    com.awaiter = mole_thread_serial();
    IMallocSpy *gone;
    for (unsigned turns = 0; !(gone = finish(true)) && com.is_closing; turns++) {
        mole_com_unlock();
        turns < 100 ? mole_thread_yield() : mole_thread_sleep_ms(1);
        mole_com_lock();
    }
    com.awaiter = 0;
    return gone;
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
    return load_acq(&com.is_wanted_a); /* HB-COM-3 */
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
    com.spy = spy;
    com.is_free = is_free;
    com.is_pending = false;
    store_rlx(&com.grace_a, OVER);
    store_rel(&com.is_wanted_a, true); /* HB-COM-3 */
    com.world->watch();
    store_rel(&mole_com_spy_a, (uintptr_t)spy | (is_free ? IS_FREE : 0)); /* HB-COM-1 */
}

HRESULT mole_com_register(const struct mole_com_world *world, IMallocSpy *spy)
{
    if (!spy)
        return E_INVALIDARG;
    mole_com_lock();
    bool is_taken = com.spy || com.registrar;
    if (!is_taken) {
        com.registrar = mole_thread_serial();
        if (!com.world)
            mole_ledger_init();
        com.world = world;
    }
    mole_com_unlock();
    if (is_taken)
        return CO_E_OBJISREG;
    mole_thread_bits.com_calls++;
    IMallocSpy *own = query(spy, &IID_IMallocSpy);
    bool is_free = own && is_free_threaded(own);
    mole_thread_bits.com_calls--;
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
    if (!com.spy) {
        mole_com_unlock();
        return CO_E_OBJNOTREG;
    }
    com.is_pending = true;
    if (load_rlx(&mole_com_spy_a) & IS_FREE) {
        store_rlx(&com.grace_a, NEEDED);
        store_rel(&mole_com_spy_a, (uintptr_t)com.spy); /* HB-COM-1 */
    }
    IMallocSpy *gone = await_end();
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
    while ((word = load_acq(&mole_com_spy_a)) != 0) { /* HB-COM-1 */
        if (!(word & IS_FREE ? begin_free(use, word) : begin_locked(use)))
            continue;
        mole_thread_bits.com_calls++;
        return true;
    }
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
    mole_thread_bits.com_calls--;
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
void mole_com_resized(struct mole_record *record, const void *block, bool is_gone)
{
    if (is_gone) {
        drop(record);
    } else if (block) {
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

void mole_com_repair_lock(void)
{
    mole_recursive_repair(&com.lock);
}

/* A spy whose register or finish a vanished thread was at is gone, without Release. */
static void repair_spy(void)
{
    uintptr_t word = load_rlx(&mole_com_spy_a);
    if (com.is_closing && com.spy)
        word = (uintptr_t)com.spy; /* until the next look */
    com.spy = (IMallocSpy *)(word & ~(uintptr_t)IS_FREE);
    com.is_closing = false;
    com.is_pending = com.is_pending && word && !(word & IS_FREE);
    store_rel(&mole_com_spy_a, word); /* HB-COM-1 */
    store_rlx(&com.grace_a, com.is_pending && com.is_free ? NEEDED : OVER);
    store_rel(&com.is_wanted_a, word != 0); /* HB-COM-3 */
    store_rlx(&com.recheck_a, com.is_pending);
    com.world->watch();
}

void mole_com_repair(void)
{
    uint64_t serial = mole_thread_serial();
    forget_others(serial);
    if (com.registrar != serial)
        com.registrar = 0;
    if (com.awaiter != serial)
        com.awaiter = 0;
    if (com.world) {
        mole_ledger_repair();
        repair_spy();
    }
}
