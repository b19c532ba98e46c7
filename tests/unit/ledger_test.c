/* SPDX-License-Identifier: MIT */
#include "spy/ledger.h"

#define COBJMACROS
#include <molehill/objbase.h>

#include "os/pages.h"
#include "unit.h"

enum { MANY = 30000 };

static struct mole_record *reserve(void)
{
    struct mole_record *record = mole_ledger_reserve();
    require(record != NULL, "no memory for a record");
    return record;
}

static const void *address(size_t i)
{
    return (const void *)(i * 48 + 5);
}

Test(ledger, a_record_is_found_by_both_pointers, .init = mole_ledger_init)
{
    require(mole_ledger_is_empty(), "something is recorded");
    struct mole_record *record = reserve();
    require(!mole_ledger_is_empty(), "a record in hand is not owed");
    mole_ledger_record(record, address(1), address(2));
    require(mole_ledger_has(address(1)) && !mole_ledger_has(address(2)), "by client");
    require(mole_ledger_take_block(address(1)) == NULL, "by another block");
    require(mole_ledger_take_block(address(2)) == record, "by block");
    require(!mole_ledger_has(address(1)), "it was taken");
    mole_ledger_record_again(record);
    require(mole_ledger_take(address(1)) == record, "by client, again");
    require(mole_ledger_take_block(address(2)) == NULL, "it was taken");
    require(!mole_ledger_is_empty(), "a record in hand is not owed");
    mole_ledger_drop(record);
    require(mole_ledger_is_empty(), "a dropped record is owed");
}

Test(ledger, one_pointer_may_be_recorded_twice, .init = mole_ledger_init)
{
    mole_ledger_record(reserve(), address(1), address(2));
    mole_ledger_record(reserve(), address(1), address(3));
    struct mole_record *record = mole_ledger_take_block(address(2));
    require(record && mole_ledger_block(record) == address(2), "another record");
    require(mole_ledger_has(address(1)), "both went");
    mole_ledger_drop(record);
    mole_ledger_drop(mole_ledger_take(address(1)));
    require(mole_ledger_is_empty(), "one is left");
}

Test(ledger, many_records_are_found_and_go, .init = mole_ledger_init)
{
    for (size_t i = 0; i < MANY; i++)
        mole_ledger_record(reserve(), address(i), address(i + MANY));
    for (size_t i = 0; i < MANY; i += 3)
        mole_ledger_drop(mole_ledger_take_block(address(i + MANY)));
    for (size_t i = 0; i < MANY; i++)
        require(mole_ledger_has(address(i)) == (i % 3 != 0), "record %zu", i);
    for (size_t i = 0; i < MANY; i++)
        mole_ledger_drop(mole_ledger_take(address(i)));
    require(mole_ledger_is_empty(), "something is left");
}

Test(ledger, a_child_has_the_same_records, .init = mole_ledger_init)
{
    struct mole_record *in_hand = reserve();
    for (size_t i = 0; i < MANY; i++)
        mole_ledger_record(reserve(), address(i), address(i + MANY));
    mole_ledger_repair(); /* what a fork's child does */
    for (size_t i = 0; i < MANY; i++)
        mole_ledger_drop(mole_ledger_take(address(i)));
    require(!mole_ledger_is_empty(), "the record in hand is gone");
    mole_ledger_drop(in_hand);
    require(mole_ledger_is_empty(), "something is left");
}

Test(ledger, without_memory_tables_do_not_grow_and_records_end, .init = mole_ledger_init)
{
    struct mole_record *first = reserve(); /* a first chunk is there */
    size_t count = 0;
    mole_pages_inject(1, true);
    for (struct mole_record *record; (record = mole_ledger_reserve()) != NULL; count++)
        mole_ledger_record(record, address(count), address(count + MANY));
    mole_pages_inject(0, false);
    require(count > 50, "only %zu records", count);
    for (size_t i = 0; i < count; i++)
        mole_ledger_drop(mole_ledger_take(address(i)));
    mole_ledger_drop(first);
    require(mole_ledger_is_empty(), "something is left");
    mole_ledger_drop(reserve());
}

/* A spy that passes everything through and counts. */
static int allocs, failures;

static HRESULT STDMETHODCALLTYPE query(IMallocSpy *self, REFIID id, void **object)
{
    *object = IsEqualIID(id, &IID_IMallocSpy) ? self : NULL;
    return *object ? S_OK : E_NOINTERFACE;
}

static ULONG STDMETHODCALLTYPE release(IMallocSpy *self)
{
    (void)self;
    return 0;
}

static SIZE_T STDMETHODCALLTYPE pre_alloc(IMallocSpy *self, SIZE_T bytes)
{
    (void)self;
    return bytes;
}

static void *STDMETHODCALLTYPE post_alloc(IMallocSpy *self, void *block)
{
    (void)self;
    allocs += block != NULL;
    failures += block == NULL;
    return block;
}

static SIZE_T STDMETHODCALLTYPE pre_realloc(IMallocSpy *self, void *client, SIZE_T bytes,
                                            void **block, BOOL spyed)
{
    (void)self;
    (void)spyed;
    *block = client;
    return bytes;
}

static void *STDMETHODCALLTYPE post_realloc(IMallocSpy *self, void *block, BOOL spyed)
{
    (void)spyed;
    return post_alloc(self, block);
}

static void *STDMETHODCALLTYPE pre_free(IMallocSpy *self, void *client, BOOL spyed)
{
    (void)self;
    (void)spyed;
    return client;
}

static void STDMETHODCALLTYPE post_free(IMallocSpy *self, BOOL spyed)
{
    (void)self;
    (void)spyed;
}

static IMallocSpyVtbl methods = {
    .QueryInterface = query,
    .Release = release,
    .PreAlloc = pre_alloc,
    .PostAlloc = post_alloc,
    .PreRealloc = pre_realloc,
    .PostRealloc = post_realloc,
    .PreFree = pre_free,
    .PostFree = post_free,
};

/* Small blocks that are there anyway: the record is what cannot be had. */
Test(ledger, a_block_without_a_record_is_not_to_be_had)
{
    static void *blocks[MANY];
    IMallocSpy spy = {.lpVtbl = &methods};
    void *older = CoTaskMemAlloc(10);
    size_t count = 0;

    stop_passes();
    for (size_t i = 0; i < MANY; i++)
        blocks[i] = CoTaskMemAlloc(16);
    for (size_t i = 1; i < MANY; i += 2) /* no slab becomes empty */
        CoTaskMemFree(blocks[i]);
    require(CoRegisterMallocSpy(&spy) == S_OK, "CoRegisterMallocSpy");
    CoTaskMemFree(CoTaskMemAlloc(16));
    allocs = 0;
    mole_pages_inject(1, true);
    while ((blocks[count] = CoTaskMemAlloc(16)) != NULL && count < MANY - 1)
        count++;
    require(count > 0 && failures == 1 && (size_t)allocs == count, "%d failures",
            failures);
    give_back(GetProcessHeap(), take(GetProcessHeap(), 0, 16));
    require(CoTaskMemRealloc(older, 11) == NULL && failures == 2, "it was resized");
    require(HeapSize(GetProcessHeap(), 0, older) == 10, "the block changed");
    mole_pages_inject(0, false);
    CoTaskMemFree(older);
    for (size_t i = 0; i < count; i++)
        CoTaskMemFree(blocks[i]);
    require(CoRevokeMallocSpy() == S_OK, "a block is owed");
}
