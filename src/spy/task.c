/* SPDX-License-Identifier: MIT */
#define COBJMACROS
#include "spy/task.h"

#include "spy/com.h"
#include "spy/ledger.h"

/* fSpyed: exactly 0 or 1. */
static BOOL is_spyed(const void *client)
{
    return client && mole_ledger_has(client) ? TRUE : FALSE;
}

/* The record is in hand before there is a block that it could be missing for. */
static void *alloc_spied(const struct mole_task_base *base, IMallocSpy *spy, size_t bytes)
{
    size_t wanted = IMallocSpy_PreAlloc(spy, bytes);
    if (!wanted && bytes)
        return NULL;
    struct mole_record *record = mole_ledger_reserve();
    void *block = base->alloc(record ? wanted : SIZE_MAX);
    void *client = IMallocSpy_PostAlloc(spy, block);
    if (block && client)
        mole_ledger_record(record, client, block);
    else
        mole_ledger_drop(record);
    return client;
}

void *mole_task_alloc(const struct mole_task_base *base, size_t bytes)
{
    struct mole_com_use use;
    if (!mole_com_begin(&use))
        return base->alloc(bytes);
    void *client = alloc_spied(base, use.spy, bytes);
    mole_com_end(&use);
    return client;
}

/*
 * The block itself, with the record of a spyed one in hand. After a failure all is as it
 * was, before the spy hears of it.
 */
static void *resize_block(const struct mole_task_base *base, void *block, size_t bytes,
                          struct mole_record **record, bool was_spyed)
{
    bool is_free = block && !bytes;
    if (!*record && !is_free)
        *record = mole_ledger_reserve();
    void *moved = base->resize(block, *record || is_free ? bytes : SIZE_MAX);
    if (!moved && !is_free) {
        if (was_spyed)
            mole_ledger_record_again(*record);
        else
            mole_ledger_drop(*record);
        *record = NULL;
    }
    return moved;
}

static void *resize_spied(const struct mole_task_base *base, IMallocSpy *spy,
                          void *client, size_t bytes)
{
    BOOL spyed = is_spyed(client);
    void *block = client;
    size_t wanted = IMallocSpy_PreRealloc(spy, client, bytes, &block, spyed);
    if (!wanted && bytes)
        return NULL;
    struct mole_record *record = spyed ? mole_ledger_take(client) : NULL;
    void *moved = resize_block(base, block, wanted, &record, record != NULL);
    void *answer = IMallocSpy_PostRealloc(spy, moved, spyed);
    if (moved && answer)
        mole_ledger_record(record, answer, moved);
    else
        mole_ledger_drop(record);
    return answer;
}

void *mole_task_resize(const struct mole_task_base *base, void *client, size_t bytes)
{
    struct mole_com_use use;
    if (!mole_com_begin(&use))
        return base->resize(client, bytes);
    void *answer = resize_spied(base, use.spy, client, bytes);
    mole_com_end(&use);
    return answer;
}

void mole_task_free(const struct mole_task_base *base, void *client)
{
    struct mole_com_use use;
    if (!client || !mole_com_begin(&use)) {
        base->free(client);
        return;
    }
    BOOL spyed = is_spyed(client);
    void *block = IMallocSpy_PreFree(use.spy, client, spyed);
    struct mole_record *record = spyed ? mole_ledger_take(client) : NULL;
    base->free(block);
    IMallocSpy_PostFree(use.spy, spyed);
    mole_ledger_drop(record);
    mole_com_end(&use);
}

size_t mole_task_size(const struct mole_task_base *base, void *client)
{
    struct mole_com_use use;
    if (!client || !mole_com_begin(&use))
        return base->size(client);
    BOOL spyed = is_spyed(client);
    void *block = IMallocSpy_PreGetSize(use.spy, client, spyed);
    size_t bytes = IMallocSpy_PostGetSize(use.spy, base->size(block), spyed);
    mole_com_end(&use);
    return bytes;
}

int mole_task_knows(const struct mole_task_base *base, void *client)
{
    struct mole_com_use use;
    if (!client || !mole_com_begin(&use))
        return base->knows(client);
    BOOL spyed = is_spyed(client);
    void *block = IMallocSpy_PreDidAlloc(use.spy, client, spyed);
    int known = IMallocSpy_PostDidAlloc(use.spy, client, spyed, base->knows(block));
    mole_com_end(&use);
    return known;
}

void mole_task_minimize(const struct mole_task_base *base)
{
    struct mole_com_use use;
    if (!mole_com_begin(&use)) {
        base->minimize();
        return;
    }
    IMallocSpy_PreHeapMinimize(use.spy);
    base->minimize();
    IMallocSpy_PostHeapMinimize(use.spy);
    mole_com_end(&use);
}
