/* SPDX-License-Identifier: MIT */
/*
 * HEAP_CREATE_HARDENED (spec 2.1, C-20): a heap as any other, for any number of threads,
 * whose slots come in an order that cannot be told. What it finds wrong is in
 * tests/misuse/heap_hardened_test.c.
 */
#include <molehill/spy.h>

#include "checked.h"
#include "oracle.h"
#include "spies.h"
#include "workers.h"

static const DWORD kinds[] = {
    HEAP_CREATE_HARDENED,
    HEAP_CREATE_HARDENED | HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED,
    HEAP_CREATE_HARDENED | HEAP_CREATE_ENABLE_EXECUTE,
    HEAP_CREATE_HARDENED | HEAP_NO_SERIALIZE,
    HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED | HEAP_NO_SERIALIZE,
};

/* Each of them growable, then of a fixed size. */
#define KINDS (2 * LENGTH(kinds))

static DWORD flags_of(size_t i)
{
    return kinds[i % LENGTH(kinds)];
}

static HANDLE create_kind(size_t i)
{
    return i < LENGTH(kinds) ? create_heap(flags_of(i)) : create_fixed(flags_of(i));
}

Test(heap_hardened, any_use_keeps_the_heap_valid)
{
    for (size_t i = 0; i < KINDS; i++) {
        HANDLE heap = create_kind(i);
        struct oracle oracle;
        oracle_init(&oracle, heap, 0, 1);
        oracle.most = FIXED_MOST;
        for (size_t turn = 0; turn < 8; turn++) {
            const char *failure = oracle_run(&oracle, repeats(30000));
            require(failure == NULL, "flags 0x%x: %s", flags_of(i), failure);
            require(HeapValidate(heap, 0, NULL), "flags 0x%x: not valid", flags_of(i));
            HeapCompact(heap, 0);
            require(HeapValidate(heap, 0, NULL), "flags 0x%x: compacted, not valid",
                    flags_of(i));
        }
        const char *failure = oracle_finish(&oracle);
        require(failure == NULL, "flags 0x%x: %s", flags_of(i), failure);
        require(allocated_bytes(heap) == 0, "flags 0x%x: bytes are left", flags_of(i));
        destroy_heap(heap);
    }
}

enum { LOOKED_AT = 64 };

/* Where the first blocks lie, as steps from one to the next. */
static void get_steps(DWORD flags, ptrdiff_t *steps)
{
    HANDLE heap = create_heap(flags);
    char *last = take(heap, 0, 8);

    for (size_t i = 0; i < LOOKED_AT; i++) {
        char *next = take(heap, 0, 8);
        steps[i] = next - last;
        last = next;
    }
    destroy_heap(heap);
}

static size_t most_common(const ptrdiff_t *steps)
{
    size_t most = 0;

    for (size_t i = 0; i < LOOKED_AT; i++) {
        size_t count = 0;
        for (size_t j = 0; j < LOOKED_AT; j++)
            count += steps[i] == steps[j];
        most = count > most ? count : most;
    }
    return most;
}

/* 64 slots of 256 or more: that half of the steps are equal is as good as impossible. */
Test(heap_hardened, slots_come_in_an_order_of_their_own)
{
    ptrdiff_t plain[LOOKED_AT], one[LOOKED_AT], other[LOOKED_AT];

    get_steps(0, plain);
    require(most_common(plain) > LOOKED_AT / 2, "a plain heap's order is no order");
    get_steps(HEAP_CREATE_HARDENED, one);
    get_steps(HEAP_CREATE_HARDENED, other);
    require(most_common(one) < LOOKED_AT / 2, "the slots come in a row");
    require(memcmp(one, other, sizeof(one)) != 0, "two heaps have one order");
}

/* All of the slab's slots are handed out before another slab is made. */
Test(heap_hardened, no_slot_is_lost_or_handed_out_twice)
{
    enum { COUNT = 3000 };
    HANDLE heap = create_heap(HEAP_CREATE_HARDENED), plain = create_heap(0);
    void **blocks = calloc(COUNT, sizeof(*blocks));
    HEAP_SUMMARY hardened = {.cb = sizeof(hardened)}, like = hardened;

    require(blocks != NULL, "the test has no memory");
    for (size_t turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = take(heap, 0, 40);
            if (turn == 0)
                take(plain, 0, 48);
        }
        require(HeapSummary(heap, 0, &hardened), "HeapSummary failed");
        for (size_t i = COUNT; i-- > 0;)
            give_back(heap, blocks[i]);
        require(all_distinct(blocks, COUNT), "a slot was handed out twice");
    }
    require(HeapSummary(plain, 0, &like), "HeapSummary failed");
    require(hardened.cbCommitted <= like.cbCommitted, "%zu bytes for what takes %zu",
            hardened.cbCommitted, like.cbCommitted);
    free(blocks);
    destroy_heap(heap);
    destroy_heap(plain);
}

struct shared {
    HANDLE heap;
    size_t operations;
};

static const char *use_heap(struct worker *worker)
{
    const struct shared *shared = worker->shared;
    struct oracle oracle;

    oracle_init(&oracle, shared->heap, 0, worker->index + 1);
    oracle.most = FIXED_MOST;
    const char *failure = oracle_run(&oracle, shared->operations);
    if (failure == NULL && !HeapValidate(shared->heap, 0, NULL))
        failure = "the heap is not valid in the middle of things";
    return failure != NULL ? failure : oracle_finish(&oracle);
}

/* C-20: Windows drops the lock there; here any number of threads may come. */
Test(heap_hardened, case_026_threads_use_it_together)
{
    for (size_t i = 0; i < 6; i++) {
        struct shared shared = {create_kind(i % 2 * LENGTH(kinds) + i / 2),
                                repeats(40000)};
        run_workers(4, use_heap, &shared);
        require(allocated_bytes(shared.heap) == 0, "bytes are left");
        destroy_heap(shared.heap);
    }
}

/* Spies hear of the sizes asked for, and of addresses that are the clients'. */
Test(heap_hardened, spies_hear_what_was_asked_for)
{
    static struct notes notes;

    for (size_t i = 0; i < KINDS; i++) {
        HANDLE heap = create_kind(i);
        notes_init(&notes);
        require(mh_spy_attach(&notes.spy, heap) == 0, "attaching failed");
        char *block = take(heap, 0, 27);
        char *grown = HeapReAlloc(heap, 0, block, 50000);
        require(grown != NULL, "HeapReAlloc failed");
        give_back(heap, grown);
        require(mh_spy_detach(&notes.spy) == 0, "detaching failed");
        require(atomic_load(&notes.count) == 3, "flags 0x%x: told of %zu calls",
                flags_of(i), atomic_load(&notes.count));
        require(notes.told[0].block == block && notes.told[0].bytes == 27 &&
                    notes.told[1].old == block && notes.told[1].old_bytes == 27 &&
                    notes.told[1].block == grown && notes.told[1].bytes == 50000 &&
                    notes.told[2].block == grown && notes.told[2].bytes == 50000,
                "flags 0x%x: told something else", flags_of(i));
        require(HeapValidate(heap, 0, NULL), "flags 0x%x: not valid", flags_of(i));
        destroy_heap(heap);
    }
}

static void count_picked(void *context, void *heap, void *block, size_t bytes)
{
    (void)heap, (void)block, (void)bytes;
    atomic_fetch_add((atomic_size_t *)context, 1);
}

/* A picked block has pages of its own, and guards like any other. */
Test(heap_hardened, sampled_heaps_stay_valid)
{
    atomic_size_t picked = 0;
    struct mh_spy spy = {.size = sizeof(spy),
                         .context = &picked,
                         .allocated = count_picked,
                         .sample_bytes = 1000};

    for (size_t i = 0; i < KINDS; i++) {
        HANDLE heap = create_kind(i);
        struct oracle oracle;
        oracle_init(&oracle, heap, 0, 1);
        oracle.most = FIXED_MOST;
        require(mh_spy_attach(&spy, heap) == 0, "attaching failed");
        const char *failure = oracle_run(&oracle, 5000);
        require(mh_spy_detach(&spy) == 0, "detaching failed");
        require(failure == NULL, "flags 0x%x: %s", flags_of(i), failure);
        require(HeapValidate(heap, 0, NULL), "flags 0x%x: not valid", flags_of(i));
        failure = oracle_finish(&oracle);
        require(failure == NULL, "flags 0x%x: %s", flags_of(i), failure);
        destroy_heap(heap);
    }
    require(atomic_load(&picked) > 100, "only %zu were picked", atomic_load(&picked));
}
