/* SPDX-License-Identifier: MIT */
/* How a COM spy is registered, and how it goes. */
#include <pthread.h>

#include "malloc_spy.h"

SPY_CASE(malloc_spy_revoke, case_099_there_is_one_spy_at_most, 0)
{
    struct spy other;
    (void)malloc;
    spy_init(&other, 0);
    arm_errors();
    require(CoRegisterMallocSpy(NULL) == E_INVALIDARG, "NULL is a spy");
    require(CoRevokeMallocSpy() == CO_E_OBJNOTREG, "there is a spy");
    expect_errors_kept("registering nothing");
    spy_register(&spy);
    require(CoRegisterMallocSpy(NULL) == E_INVALIDARG, "NULL is a spy now");
    require(CoRegisterMallocSpy(&other.interface) == CO_E_OBJISREG, "a second spy");
    require(other.queries == 0 && other.references == 0, "it was called");
    require(CoRegisterMallocSpy(&spy.interface) == CO_E_OBJISREG, "the same once more");
    require(spy.references == 1, "it was called");
    spy_revoke(&spy);
    require(CoRevokeMallocSpy() == CO_E_OBJNOTREG, "there is a spy");
    spy_register(&other);
    spy_revoke(&other);
}

SPY_CASE(malloc_spy_revoke, case_100_the_answered_interface_is_the_spy, 0)
{
    struct spy asked;
    spy_init(&asked, 0);
    asked.answer = &spy.interface;
    require(CoRegisterMallocSpy(&asked.interface) == S_OK, "CoRegisterMallocSpy");
    require(asked.queries == 1 && asked.references == 0, "it was asked %d times",
            asked.queries);
    require(spy.queries == 0 && spy.references == 1, "it has %u references",
            spy.references);
    require(spy.agile_queries == 1, "the spy itself was not asked about its threads");
    spy_clear(&spy);
    IMalloc_Free(malloc, IMalloc_Alloc(malloc, 10));
    spy_expect(&asked, "");
    spy_expect(&spy, "PreAlloc(10) PostAlloc(A) PreFree(A,1) PostFree(1) ");
    spy_revoke(&spy);
    require(asked.releases == 0, "the other was released");
}

SPY_CASE(malloc_spy_revoke, case_101_what_is_no_spy_is_refused, 0)
{
    spy.answer = NULL;
    require(CoRegisterMallocSpy(&spy.interface) == E_INVALIDARG, "it is a spy");
    require(spy.queries == 1 && spy.references == 0, "it was asked %d times",
            spy.queries);
    require(CoRevokeMallocSpy() == CO_E_OBJNOTREG, "it was registered");
    IMalloc_Free(malloc, IMalloc_Alloc(malloc, 10));
    spy_expect(&spy, "");
}

SPY_CASE(malloc_spy_revoke, case_116_a_spy_stays_until_its_blocks_are_freed, HEADER)
{
    struct spy other;
    spy_init(&other, 0);
    spy_register(&spy);
    void *first = IMalloc_Alloc(malloc, 10);
    void *second = IMalloc_Alloc(malloc, 20);
    spy_clear(&spy);
    arm_errors();
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "it goes with blocks out");
    expect_errors_kept("CoRevokeMallocSpy");
    require(CoRegisterMallocSpy(&other.interface) == CO_E_OBJISREG, "a second spy");
    IMalloc_Free(malloc, first);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) ");
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "it goes with a block out");
    void *third = IMalloc_Alloc(malloc, 30); /* C-13 */
    spy_expect(&spy, "PreAlloc(30) PostAlloc(A) ");
    IMalloc_Free(malloc, second);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) ");
    IMalloc_Free(malloc, third);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) Release ");
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
    IMalloc_Free(malloc, IMalloc_Alloc(malloc, 10));
    spy_expect(&spy, "");
    spy_register(&other);
    spy_revoke(&other);
}

SPY_CASE(malloc_spy_revoke, case_117_a_realloc_to_nothing_ends_it, HEADER)
{
    spy_register(&spy);
    void *client = IMalloc_Alloc(malloc, 10);
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "it goes with a block out");
    spy_clear(&spy);
    require(IMalloc_Realloc(malloc, client, 0) == NULL, "there is a block");
    spy_expect(&spy, "PreRealloc(A,0,1) PostRealloc(0,1) Release ");
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
}

static void *free_it(void *client)
{
    CoTaskMemFree(client);
    return NULL;
}

static void in_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    require(pthread_create(&thread, NULL, body, argument) == 0 &&
                pthread_join(thread, NULL) == 0,
            "no thread");
}

SPY_CASE(malloc_spy_revoke, case_117_a_free_in_another_thread_ends_it, HEADER)
{
    spy_register(&spy);
    void *client = IMalloc_Alloc(malloc, 10);
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "it goes with a block out");
    spy_clear(&spy);
    in_thread(free_it, client);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) Release ");
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
}

SPY_CASE(malloc_spy_revoke, case_152_heap_free_takes_the_record_too, HEADER)
{
    for (int i = 0; i < 100; i++) /* the thread has fast paths */
        give_back(GetProcessHeap(), take(GetProcessHeap(), 0, 10 + HEADER));
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 10);
    char *large = IMalloc_Alloc(malloc, 100000);
    spy_clear(&spy);
    give_back(GetProcessHeap(), client - HEADER);
    give_back(GetProcessHeap(), large - HEADER);
    spy_expect(&spy, "");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy_revoke, case_152_heap_free_ends_a_pending_revoke, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 10);
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "it goes with a block out");
    spy_clear(&spy);
    arm_errors();
    give_back(GetProcessHeap(), client - HEADER);
    spy_expect(&spy, "Release ");
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
}

SPY_CASE(malloc_spy_revoke, case_152_a_record_follows_heap_realloc, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 10);
    char *block = HeapReAlloc(GetProcessHeap(), 0, client - HEADER, 70000);
    require(block != NULL && block != client - HEADER, "it did not move");
    require(HeapReAlloc(GetProcessHeap(), 0, block, SIZE_MAX) == NULL, "it grew");
    spy_clear(&spy);
    require(IMalloc_GetSize(malloc, block + HEADER) == 70000 - HEADER, "not spyed");
    IMalloc_Free(malloc, block + HEADER);
    spy_expect(&spy, "PreGetSize(A,1) PostGetSize(70000,1) PreFree(A,1) PostFree(1) ");
    spy_revoke(&spy);
}

/* C-24 and C-25 are cases 112 and 104; this is what a spy may do to the records. */
static HRESULT inner;

static void revoke_inside(struct spy *revoked, const char *method, void *block)
{
    (void)block;
    if (strcmp(method, "PreFree") == 0 || strcmp(method, "PostAlloc") == 0)
        inner = CoRevokeMallocSpy();
    spy_write(revoked, "<%s> ", method);
}

SPY_CASE(malloc_spy_revoke, a_spy_may_revoke_itself_in_pre_free, HEADER)
{
    spy_register(&spy);
    void *client = IMalloc_Alloc(malloc, 10);
    spy_clear(&spy);
    spy.inside = revoke_inside;
    IMalloc_Free(malloc, client);
    require(inner == E_ACCESSDENIED, "0x%x while a call is under way", inner);
    spy_expect(&spy, "PreFree(A,1) <PreFree> PostFree(1) <PostFree> Release <Release> ");
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
}

SPY_CASE(malloc_spy_revoke, a_spy_that_owes_nothing_stays_until_its_call_ends, 0)
{
    void *older = IMalloc_Alloc(malloc, 10);
    spy_register(&spy);
    spy.inside = revoke_inside;
    IMalloc_Free(malloc, older);
    require(inner == E_ACCESSDENIED, "0x%x while a call is under way", inner);
    spy_expect(&spy, "PreFree(A,0) <PreFree> PostFree(0) <PostFree> Release <Release> ");
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
}

static void revoke_in_pre_alloc(struct spy *revoked, const char *method, void *block)
{
    (void)revoked;
    (void)block;
    if (strcmp(method, "PreAlloc") == 0)
        inner = CoRevokeMallocSpy();
}

/* The block comes when nothing else keeps the spy any more. */
SPY_CASE(malloc_spy_revoke, a_spy_that_revokes_itself_in_pre_alloc_has_the_block, HEADER)
{
    spy_register(&spy);
    spy.inside = revoke_in_pre_alloc;
    void *client = IMalloc_Alloc(malloc, 10);
    require(inner == E_ACCESSDENIED && spy.releases == 0, "0x%x in a call", inner);
    spy_clear(&spy);
    require(CoRegisterMallocSpy(&spy.interface) == CO_E_OBJISREG, "it is gone");
    require(IMalloc_GetSize(malloc, client) == 10, "the spy is not asked");
    IMalloc_Free(malloc, client);
    spy_expect(&spy, "PreGetSize(A,1) PostGetSize(26,1) PreFree(A,1) PostFree(1) "
                     "Release ");
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
}

SPY_CASE(malloc_spy_revoke, a_spy_may_revoke_itself_in_post_alloc, HEADER)
{
    spy_register(&spy);
    spy.inside = revoke_inside;
    void *client = IMalloc_Alloc(malloc, 10);
    require(inner == E_ACCESSDENIED, "0x%x while a call is under way", inner);
    require(spy.releases == 0, "it went with a block out");
    spy_clear(&spy);
    IMalloc_Free(malloc, client);
    require(inner == E_ACCESSDENIED && spy.releases == 1, "not gone");
    require(CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
}

static struct spy successor;

static void *register_successor(void *unused)
{
    (void)unused;
    inner = CoRegisterMallocSpy(&successor.interface);
    return NULL;
}

/* In another thread: the lock must be free by then, too. */
static void register_next(struct spy *gone, const char *method, void *block)
{
    (void)gone;
    (void)block;
    if (strcmp(method, "Release") != 0)
        return;
    CoTaskMemFree(CoTaskMemAlloc(10));
    in_thread(register_successor, NULL);
}

SPY_CASE(malloc_spy_revoke, release_may_allocate_and_register_another, 0)
{
    spy_init(&successor, 0);
    spy_register(&spy);
    spy.inside = register_next;
    void *client = IMalloc_Alloc(malloc, 10);
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "it goes with a block out");
    spy_clear(&spy);
    IMalloc_Free(malloc, client);
    require(inner == S_OK && spy.releases == 1, "0x%x in Release", inner);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) Release ");
    spy_revoke(&successor);
}

static void *lock_and_revoke(void *unused)
{
    (void)unused;
    if (HeapLock(GetProcessHeap())) {
        inner = CoRevokeMallocSpy();
        (void)HeapUnlock(GetProcessHeap());
    }
    return NULL;
}

/* Who owns a heap's lock does not wait for threads that may wait for it. */
SPY_CASE(malloc_spy_revoke, a_revoke_under_heap_lock_is_done_by_its_end, 0)
{
    bool is_agile = spy.is_agile;
    spy_register(&spy);
    inner = S_FALSE;
    in_thread(lock_and_revoke, NULL);
    require(inner == (is_agile ? E_ACCESSDENIED : S_OK), "0x%x", inner);
    require(spy.releases == 1 && CoRevokeMallocSpy() == CO_E_OBJNOTREG, "not gone");
    IMalloc_Free(malloc, IMalloc_Alloc(malloc, 1));
    spy_expect(&spy, "Release ");
}

/* Two spies in turn: records of the first are nothing to the second. */
SPY_CASE(malloc_spy_revoke, spies_come_and_go, HEADER)
{
    for (int i = 0; i < 300; i++) {
        spy.releases = 0;
        spy.is_silent = true;
        spy_register(&spy);
        void *clients[10];
        for (size_t j = 0; j < LENGTH(clients); j++)
            clients[j] = IMalloc_Alloc(malloc, j * 100);
        require(i % 2 || CoRevokeMallocSpy() == E_ACCESSDENIED, "blocks are out");
        for (size_t j = 0; j < LENGTH(clients); j++)
            IMalloc_Free(malloc, clients[j]);
        if (i % 2)
            spy_revoke(&spy);
        require(spy.releases == 1, "round %d: released %d times", i, spy.releases);
        require(CoRevokeMallocSpy() == CO_E_OBJNOTREG, "round %d: not gone", i);
    }
}
