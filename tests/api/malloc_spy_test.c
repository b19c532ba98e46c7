/* SPDX-License-Identifier: MIT */
/* Which methods a COM spy's are called, with what, and what the client gets. */
#include "malloc_spy.h"

SPY_CASE(malloc_spy, case_102_nothing_is_not_shown_to_the_spy, 0)
{
    spy_register(&spy);
    IMalloc_Free(malloc, NULL);
    CoTaskMemFree(NULL);
    require(IMalloc_GetSize(malloc, NULL) == FAILED_SIZE, "NULL has a size");
    require(IMalloc_DidAlloc(malloc, NULL) == -1, "NULL is a block");
    spy_expect(&spy, "");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_103_a_header_is_the_spys_own, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 100);
    require(client == (char *)spy.blocks[0] + HEADER, "the client has another pointer");
    require(HeapSize(GetProcessHeap(), 0, client - HEADER) == 116, "not what was asked");
    spy_expect(&spy, "PreAlloc(100) PostAlloc(A) ");
    require(IMalloc_GetSize(malloc, client) == 100, "the size");
    spy_expect(&spy, "PreGetSize(A,1) PostGetSize(116,1) ");
    IMalloc_Free(malloc, client);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_104_a_spy_may_refuse, 0)
{
    spy_register(&spy);
    spy.refuses = true;
    require(IMalloc_Alloc(malloc, 100) == NULL, "there is a block");
    spy_expect(&spy, "PreAlloc(100) ");
    void *block = IMalloc_Alloc(malloc, 0);
    require(block != NULL, "0 bytes are no block");
    spy_expect(&spy, "PreAlloc(0) PostAlloc(A) ");
    IMalloc_Free(malloc, block);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_105_a_spy_hears_of_failure, 0)
{
    spy_register(&spy);
    arm_errors();
    require(IMalloc_Alloc(malloc, SIZE_MAX) == NULL, "there is a block");
    spy_expect(&spy, "PreAlloc(18446744073709551615) PostAlloc(0) ");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_106_a_free_is_translated, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 100);
    spy_clear(&spy);
    IMalloc_Free(malloc, client);
    require(spy.blocks[0] == client - HEADER, "another block");
    spy_expect(&spy, "PreFree(A,1) PostFree(1) ");
    require(!HeapValidate(GetProcessHeap(), 0, client - HEADER), "it was not freed");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_107_older_blocks_are_not_spyed, HEADER)
{
    void *block = IMalloc_Alloc(malloc, 50);
    spy_register(&spy);
    require(IMalloc_GetSize(malloc, block) == 50, "its size");
    require(IMalloc_DidAlloc(malloc, block) == 7, "it is no block");
    IMalloc_Free(malloc, block);
    spy_expect(&spy, "PreGetSize(A,0) PostGetSize(50,0) "
                     "PreDidAlloc(A,0) PostDidAlloc(A,0,1) PreFree(A,0) PostFree(0) ");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_108_a_realloc_makes_a_block_spyed, HEADER)
{
    char *block = IMalloc_Alloc(malloc, 50);
    stamp(block, 50, 108);
    spy_register(&spy);
    char *client = IMalloc_Realloc(malloc, block, 200);
    spy_clear(&spy);
    char *again = IMalloc_Realloc(malloc, client, 50);
    require(again && stamp_is_intact(again, 50, 108), "case 147: the contents");
    IMalloc_Free(malloc, again);
    require(strstr(spy.log, ",1) PostFree(1) ") != NULL, "calls were: %s", spy.log);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_108_post_realloc_hears_what_pre_realloc_did, 0)
{
    void *block = IMalloc_Alloc(malloc, 50);
    spy_register(&spy);
    block = IMalloc_Realloc(malloc, block, 60);
    spy_expect(&spy, "PreRealloc(A,60,0) PostRealloc(A,0) ");
    IMalloc_Free(malloc, block);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) ");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_109_a_refused_realloc_changes_nothing, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 50);
    stamp(client, 50, 109);
    spy_clear(&spy);
    spy.refuses = true;
    require(IMalloc_Realloc(malloc, client, 100) == NULL, "there is a block");
    spy_expect(&spy, "PreRealloc(A,100,1) ");
    require(stamp_is_intact(client, 50, 109), "the block changed");
    require(CoRevokeMallocSpy() == E_ACCESSDENIED, "the block is not owed any more");
    IMalloc_Free(malloc, client);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) Release ");
    require(CoRevokeMallocSpy() == CO_E_OBJNOTREG, "it is still there");
}

SPY_CASE(malloc_spy, case_110_a_realloc_to_nothing_frees, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 50);
    spy_clear(&spy);
    require(IMalloc_Realloc(malloc, client, 0) == NULL, "there is a block");
    spy_expect(&spy, "PreRealloc(A,0,1) PostRealloc(0,1) ");
    require(!HeapValidate(GetProcessHeap(), 0, client - HEADER), "it was not freed");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_111_a_realloc_of_nothing_is_a_realloc, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Realloc(malloc, NULL, 64);
    require(client == (char *)spy.blocks[0] + HEADER, "another pointer");
    spy_expect(&spy, "PreRealloc(0,64,0) PostRealloc(A,0) ");
    IMalloc_Free(malloc, client);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) ");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_112_the_spys_pointer_is_what_is_reallocated, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 50);
    stamp(client, 50, 112);
    client = IMalloc_Realloc(malloc, client, 40000);
    require(client && stamp_is_intact(client, 50, 112), "the contents");
    require(HeapSize(GetProcessHeap(), 0, client - HEADER) == 40000 + HEADER,
            "another block was reallocated");
    require(IMalloc_GetSize(malloc, client) == 40000, "it is not looked up by that");
    IMalloc_Free(malloc, client);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_113_the_client_gets_what_post_realloc_returned, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Realloc(malloc, IMalloc_Alloc(malloc, 50), 40000);
    require(client && HeapSize(GetProcessHeap(), 0, client - HEADER) == 40016,
            "the client has another pointer");
    spy_clear(&spy);
    (void)IMalloc_GetSize(malloc, client);
    IMalloc_Free(malloc, client);
    spy_expect(&spy, "PreGetSize(A,1) PostGetSize(40016,1) PreFree(A,1) PostFree(1) ");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_150_the_client_gets_what_post_get_size_returned, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 100);
    require(IMalloc_GetSize(malloc, client) == 100, "not what the spy returned");
    require(HeapSize(GetProcessHeap(), 0, client - HEADER) == 116, "not what it asked");
    IMalloc_Free(malloc, client);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_114_did_alloc_is_the_spys_answer, HEADER)
{
    spy_register(&spy);
    char *client = IMalloc_Alloc(malloc, 50);
    spy_clear(&spy);
    require(IMalloc_DidAlloc(malloc, client) == 7, "not what the spy returned");
    require(spy.blocks[1] == client, "PostDidAlloc got another pointer");
    spy_expect(&spy, "PreDidAlloc(A,1) PostDidAlloc(B,1,1) ");
    require(IMalloc_DidAlloc(malloc, client + 1) == 0, "there is a block");
    spy_expect(&spy, "PreDidAlloc(A,0) PostDidAlloc(A,0,0) ");
    IMalloc_Free(malloc, client);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_115_heap_minimize_is_bracketed, 0)
{
    spy_register(&spy);
    IMalloc_HeapMinimize(malloc);
    spy_expect(&spy, "PreHeapMinimize() PostHeapMinimize() ");
    spy_revoke(&spy);
}

/* WIL's way. Each block's size from inside its PreFree. */
static void ask_size(struct spy *asked, const char *method, void *block)
{
    if (strcmp(method, "PreFree") != 0)
        return;
    SIZE_T bytes = IMalloc_GetSize(spy_malloc(), block);
    spy_write(asked, "size=%zu ", bytes);
}

SPY_CASE(malloc_spy, case_119_a_spy_may_ask_for_a_size_in_pre_free, HEADER)
{
    spy_register(&spy);
    spy.inside = ask_size;
    char *client = IMalloc_Alloc(malloc, 50);
    spy_clear(&spy);
    IMalloc_Free(malloc, client);
    spy_expect(&spy, "PreFree(A,1) PreGetSize(A,1) PostGetSize(66,1) size=50 "
                     "PostFree(1) ");
    spy_revoke(&spy);
}

/* A block for each of the spy's own methods, from inside them, one level deep. */
static void allocate_inside(struct spy *asked, const char *method, void *block)
{
    (void)method;
    (void)block;
    asked->inside = NULL;
    CoTaskMemFree(CoTaskMemAlloc(10));
    asked->inside = allocate_inside;
}

SPY_CASE(malloc_spy, a_spy_is_called_for_what_it_does_itself, 0)
{
    spy_register(&spy);
    spy.inside = allocate_inside;
    void *block = IMalloc_Alloc(malloc, 50);
    spy_clear(&spy);
    IMalloc_Free(malloc, block);
    spy.inside = NULL;
    const char *begin = "PreFree(A,1) PreAlloc(10) PostAlloc(B) PreFree(B,1) PostFree(1) "
                        "PostFree(1) PreAlloc(10) PostAlloc(";
    require(strncmp(spy.log, begin, strlen(begin)) == 0, "calls were: %s", spy.log);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_121_heap_functions_are_not_spied, 0)
{
    spy_register(&spy);
    void *block = take(GetProcessHeap(), 0, 100);
    block = HeapReAlloc(GetProcessHeap(), 0, block, 5000);
    give_back(GetProcessHeap(), block);
    free(malloc ? calloc(1, 100) : NULL);
    spy_expect(&spy, "");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_144_after_a_realloc_all_methods_hear_true, 0)
{
    void *block = IMalloc_Alloc(malloc, 50);
    spy_register(&spy);
    block = IMalloc_Realloc(malloc, block, 60);
    spy_clear(&spy);
    (void)IMalloc_GetSize(malloc, block);
    (void)IMalloc_DidAlloc(malloc, block);
    block = IMalloc_Realloc(malloc, block, 61);
    IMalloc_Free(malloc, block);
    spy_expect(&spy, "PreGetSize(A,1) PostGetSize(60,1) "
                     "PreDidAlloc(A,1) PostDidAlloc(A,1,1) "
                     "PreRealloc(A,61,1) PostRealloc(A,1) PreFree(A,1) PostFree(1) ");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_145_a_failed_realloc_leaves_a_block_as_it_was, 0)
{
    void *block = IMalloc_Alloc(malloc, 50);
    spy_register(&spy);
    void *spyed = IMalloc_Alloc(malloc, 50);
    spy_clear(&spy);
    require(IMalloc_Realloc(malloc, block, SIZE_MAX) == NULL, "there is a block");
    require(IMalloc_Realloc(malloc, spyed, SIZE_MAX) == NULL, "there is a block");
    spy_expect(&spy, "PreRealloc(A,18446744073709551615,0) PostRealloc(0,0) "
                     "PreRealloc(B,18446744073709551615,1) PostRealloc(0,1) ");
    IMalloc_Free(malloc, block);
    IMalloc_Free(malloc, spyed);
    spy_expect(&spy, "PreFree(A,0) PostFree(0) PreFree(B,1) PostFree(1) ");
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_146_a_spy_may_append, 0)
{
    spy.trailer = 24;
    spy_register(&spy);
    char *block = IMalloc_Alloc(malloc, 50);
    require(block == spy.blocks[0], "the client has another pointer");
    stamp(block, 50, 146);
    block = IMalloc_Realloc(malloc, block, 5000);
    require(block && stamp_is_intact(block, 50, 146), "the contents");
    require(HeapSize(GetProcessHeap(), 0, block) == 5024, "no room for the trailer");
    require(IMalloc_GetSize(malloc, block) == 5000, "the size");
    IMalloc_Free(malloc, block);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_147_an_offset_may_come_with_a_realloc, HEADER)
{
    char *block = IMalloc_Alloc(malloc, 50);
    stamp(block, 50, 147);
    spy_register(&spy);
    char *client = IMalloc_Realloc(malloc, block, 60);
    require(client && stamp_is_intact(client, 50, 147), "the contents");
    require(HeapSize(GetProcessHeap(), 0, client - HEADER) == 76, "another pointer");
    require(IMalloc_GetSize(malloc, client) == 60, "it does not count as spyed");
    IMalloc_Free(malloc, client);
    spy_revoke(&spy);
}

SPY_CASE(malloc_spy, case_148_functions_are_spied_like_methods, HEADER)
{
    (void)malloc;
    spy_register(&spy);
    void *client = CoTaskMemAlloc(100);
    spy_expect(&spy, "PreAlloc(100) PostAlloc(A) ");
    client = CoTaskMemRealloc(client, 90);
    spy_expect(&spy, "PreRealloc(A,90,1) PostRealloc(A,1) ");
    CoTaskMemFree(client);
    spy_expect(&spy, "PreFree(A,1) PostFree(1) ");
    spy_revoke(&spy);
}

/* Whatever the spy does to them, as spy_write does. */
SPY_CASE(malloc_spy, errors_are_kept, 0)
{
    spy_register(&spy);
    arm_errors();
    void *block = IMalloc_Alloc(malloc, 50);
    block = IMalloc_Realloc(malloc, block, 500);
    (void)IMalloc_GetSize(malloc, block);
    (void)IMalloc_DidAlloc(malloc, (void *)1);
    IMalloc_HeapMinimize(malloc);
    IMalloc_Free(malloc, block);
    (void)IMalloc_Realloc(malloc, IMalloc_Alloc(malloc, 1), 0);
    expect_errors_kept("a spied operation");
    arm_errors();
    spy_revoke(&spy);
    expect_errors_kept("CoRevokeMallocSpy");
}

/* Any pointer may be the client's. */
static void *STDMETHODCALLTYPE invent(IMallocSpy *self, void *block)
{
    (void)self;
    return (void *)((uintptr_t)block ^ 0x7000000000000001);
}

static void *STDMETHODCALLTYPE unmask(IMallocSpy *self, void *client, BOOL spyed)
{
    spy_write(spy_of(self), "PreFree(%d) ", spyed);
    return invent(self, client);
}

SPY_CASE(malloc_spy, a_clients_pointer_may_be_any_value, 0)
{
    IMallocSpyVtbl methods = spy_methods;
    methods.PostAlloc = invent;
    methods.PreFree = unmask;
    spy.interface.lpVtbl = &methods;
    spy_register(&spy);
    void *clients[500];
    for (size_t i = 0; i < LENGTH(clients); i++)
        clients[i] = IMalloc_Alloc(malloc, i);
    for (size_t i = 0; i < LENGTH(clients); i++) {
        spy_clear(&spy);
        IMalloc_Free(malloc, clients[i]);
        spy_expect(&spy, "PreFree(1) PostFree(1) ");
        require(!HeapValidate(GetProcessHeap(), 0, invent(NULL, clients[i])),
                "not freed");
    }
    spy_revoke(&spy);
}
