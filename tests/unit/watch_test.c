/* SPDX-License-Identifier: MIT */
/*
 * Observers of malloc, under the names that it has in test builds; and what it takes of
 * the inside to see: vetoes where memory is not short, marks.
 */
#include "unit.h"

#include "../api/spies.h"
#include "arena/mode.h"

void *mh_Znwm(size_t bytes);
void *mh_Znam(size_t bytes);
void mh_ZdlPv(void *block);
void mh_ZdaPv(void *block);
void *mh_ZnwmSt11align_val_t(size_t bytes, size_t align);
void mh_ZdlPvSt11align_val_t(void *block, size_t align);

static struct notes notes;

static void expect_one(enum what what, const void *block, size_t bytes, const char *call)
{
    require(block || what == ASKED, "%s failed", call);
    require(atomic_load(&notes.count) == 1, "%s: %zu events", call,
            atomic_load(&notes.count));
    expect_told(&notes, 0,
                (struct told){what, MH_SPY_MALLOC, (void *)block, bytes, NULL, 0});
    forget_notes(&notes);
}

/* Allocated by the call in front, freed by free. */
static void expect_block(void *block, const char *call)
{
    size_t room = mh_malloc_usable_size(block);
    expect_one(ALLOCATED, block, room, call);
    mh_free(block);
    expect_one(FREED, block, room, "free");
}

static void use_all_calls(size_t bytes)
{
    void *block = NULL;
    expect_block(mh_malloc(bytes), "malloc");
    expect_block(mh_calloc(bytes, 3), "calloc");
    expect_block(mh_realloc(NULL, bytes), "realloc");
    expect_block(mh_reallocarray(NULL, bytes, 2), "reallocarray");
    expect_block(mh_aligned_alloc(16, bytes), "aligned_alloc");
    expect_block(mh_aligned_alloc(1 << 17, bytes), "aligned_alloc");
    expect_block(mh_memalign(256, bytes), "memalign");
    expect_block(mh_valloc(bytes), "valloc");
    expect_block(mh_pvalloc(bytes), "pvalloc");
    require(mh_posix_memalign(&block, 64, bytes) == 0, "posix_memalign failed");
    expect_block(block, "posix_memalign");
    expect_block(mh_Znwm(bytes), "operator new");
    expect_block(mh_Znam(bytes), "operator new[]");
    expect_block(mh_ZnwmSt11align_val_t(bytes, 64), "operator new, aligned");
}

Test(watch, each_block_of_malloc_is_told_of_once_by_each_call)
{
    notes_init(&notes);
    for (size_t place = 0; place < 2; place++) {
        attach(&notes.spy, place ? MH_SPY_ALL : MH_SPY_MALLOC);
        for (size_t turn = 0; turn < 3; turn++)
            for (size_t i = 0; i < LENGTH(spied_sizes); i++)
                use_all_calls(spied_sizes[i]);
        detach(&notes.spy);
    }
    mh_free(mh_malloc(100));
    expect_count(&notes, 0, "detached");
}

/* The several ways to free. */
Test(watch, each_free_is_told_of_once)
{
    begin_notes(&notes, MH_SPY_MALLOC);
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < LENGTH(spied_sizes); j++) {
            size_t bytes = spied_sizes[j] + 1;
            void *block = i == 4 ? mh_ZnwmSt11align_val_t(bytes, 64) : mh_malloc(bytes);
            size_t room = mh_malloc_usable_size(block);
            forget_notes(&notes);
            if (i == 0)
                mh_free_sized(block, bytes);
            else if (i == 1)
                mh_free_aligned_sized(block, 16, bytes);
            else if (i == 2)
                mh_ZdlPv(block);
            else if (i == 3)
                mh_ZdaPv(block);
            else if (i == 4)
                mh_ZdlPvSt11align_val_t(block, 64);
            else
                require(!mh_realloc(block, 0), "realloc to 0 gave a block");
            expect_one(FREED, block, room, "a free");
        }
    mh_free(NULL);
    expect_count(&notes, 0, "free of NULL");
    end_notes(&notes);
}

Test(watch, each_resize_of_malloc_is_one_event)
{
    begin_notes(&notes, MH_SPY_MALLOC);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t j = 1; j < LENGTH(spied_sizes); j++) {
            size_t from = spied_sizes[i], to = spied_sizes[j];
            void *old = mh_malloc(from);
            size_t room = mh_malloc_usable_size(old);
            mark(old, from, i);
            forget_notes(&notes);
            void *block = mh_realloc(old, to);
            require(block && is_marked(block, from < to ? from : to, i), "realloc");
            expect_count(&notes, 1, "realloc");
            expect_told(&notes, 0,
                        (struct told){REALLOCATED, MH_SPY_MALLOC, block,
                                      mh_malloc_usable_size(block), old, room});
            mh_free(block);
        }
    end_notes(&notes);
}

/* Blocks of other threads, and of a thread that is no more. */
static void *theirs[200];

static const char *allocate_theirs(struct worker *worker)
{
    (void)worker;
    for (size_t i = 0; i < LENGTH(theirs); i++)
        answer_unless(theirs[i] = mh_malloc(i * i), "no block");
    return NULL;
}

static const char *free_theirs(struct worker *worker)
{
    (void)worker;
    for (size_t i = 0; i < LENGTH(theirs); i++)
        mh_free(theirs[i]);
    return NULL;
}

Test(watch, mallocs_blocks_of_other_threads_are_told_of_once)
{
    run_workers(1, allocate_theirs, NULL);
    begin_notes(&notes, MH_SPY_MALLOC);
    run_workers(1, free_theirs, NULL);
    expect_count(&notes, LENGTH(theirs), "another thread's blocks");
    for (size_t i = 0; i < LENGTH(theirs); i++)
        require(notes.told[i].what == FREED && notes.told[i].block == theirs[i] &&
                    notes.told[i].heap == MH_SPY_MALLOC,
                "block %zu was not told of in its turn", i);
    end_notes(&notes);
}

Test(watch, foreign_addresses_are_told_to_nobody)
{
    alignas(16) static char statics[64];
    begin_notes(&notes, MH_SPY_ALL);
    errno = ERRNO_SENTINEL;
    mh_free(statics);
    require(errno == ERRNO_SENTINEL, "free set errno to %d", errno);
    require(!mh_realloc(statics, 10) && !mh_malloc_usable_size(statics), "it was taken");
    require(!mh_malloc(PTRDIFF_MAX) && !mh_calloc(SIZE_MAX, 2), "there was so much");
    expect_count(&notes, 0, "foreign addresses and failures");
    end_notes(&notes);
}

/* A heap's spy, and one of heaps only, hear nothing of malloc. */
Test(watch, a_spy_of_a_heap_hears_nothing_of_malloc)
{
    HANDLE heap = create_heap(0);
    begin_notes(&notes, heap);
    for (size_t i = 0; i < 100; i++)
        mh_free(mh_realloc(mh_malloc(i * 10), i * 1000 + 1));
    expect_count(&notes, 0, "malloc");
    end_notes(&notes);
    begin_notes(&notes, GetProcessHeap());
    mh_free(mh_malloc(100));
    expect_count(&notes, 0, "malloc");
    end_notes(&notes);
    destroy_heap(heap);
}

/* Vetoes. */

static bool is_denied;

static int answer(void *context, void *heap, size_t bytes)
{
    note(context, (struct told){ASKED, heap, NULL, bytes, NULL, 0});
    errno = 1234;
    return !is_denied;
}

static void expect_denied(const void *block, size_t bytes, const char *call)
{
    require(!block, "%s gave a block", call);
    require(errno == ENOMEM, "%s: errno is %d", call, errno);
    expect_one(ASKED, NULL, bytes, call);
    errno = 0;
}

static void deny_all_calls(size_t bytes)
{
    void *block = &notes;
    errno = 0;
    expect_denied(mh_malloc(bytes), bytes, "malloc");
    expect_denied(mh_calloc(bytes, 3), bytes * 3, "calloc");
    expect_denied(mh_realloc(NULL, bytes), bytes, "realloc");
    expect_denied(mh_aligned_alloc(256, bytes), bytes, "aligned_alloc");
    expect_denied(mh_memalign(1 << 17, bytes), bytes, "memalign");
    require(mh_posix_memalign(&block, 64, bytes) == ENOMEM, "posix_memalign");
    require(block == &notes, "posix_memalign changed the result");
    forget_notes(&notes);
}

Test(watch, a_denied_malloc_fails_with_enomem)
{
    notes_init(&notes);
    notes.spy.may_allocate = answer;
    attach(&notes.spy, MH_SPY_MALLOC);
    is_denied = true;
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        deny_all_calls(spied_sizes[i]);
    is_denied = false;
    void *block = mh_malloc(100);
    require(block != NULL, "malloc failed");
    mh_free(block);
    end_notes(&notes);
}

Test(watch, a_denied_realloc_leaves_the_block_as_it_was)
{
    notes_init(&notes);
    notes.spy.may_allocate = answer;
    attach(&notes.spy, MH_SPY_MALLOC);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
        size_t bytes = spied_sizes[i];
        void *block = mh_malloc(bytes);
        size_t room = mh_malloc_usable_size(block);
        mark(block, bytes, i);
        is_denied = true;
        forget_notes(&notes);
        errno = 0;
        expect_denied(mh_realloc(block, bytes * 3 + 1), bytes * 3 + 1, "realloc");
        expect_denied(mh_reallocarray(block, bytes + 1, 1), bytes + 1, "reallocarray");
        require(mh_malloc_usable_size(block) == room && is_marked(block, bytes, i),
                "a denied realloc changed the block");
        mh_free(block); /* is not asked for */
        is_denied = false;
    }
    end_notes(&notes);
}

static void spoil_errno(void *context, void *heap, void *block, size_t bytes)
{
    note_allocated(context, heap, block, bytes);
    errno = 77;
}

static void spoil_errno_again(void *context, void *heap, void *old, size_t old_bytes,
                              void *block, size_t bytes)
{
    note_reallocated(context, heap, old, old_bytes, block, bytes);
    errno = 78;
}

Test(watch, callbacks_do_not_change_mallocs_errno)
{
    notes_init(&notes);
    notes.spy.allocated = notes.spy.freed = spoil_errno;
    notes.spy.reallocated = spoil_errno_again;
    for (size_t turn = 0; turn < 2; turn++) {
        notes.spy.may_allocate = turn ? answer : NULL;
        attach(&notes.spy, MH_SPY_ALL);
        for (size_t i = 0; i < LENGTH(spied_sizes); i++) {
            errno = ERRNO_SENTINEL;
            void *block = mh_realloc(mh_malloc(spied_sizes[i]), spied_sizes[i] + 900);
            mh_free(block);
            mh_free(mh_calloc(7, spied_sizes[i]));
            mh_free(mh_memalign(4096, spied_sizes[i]));
            require(block && errno == ERRNO_SENTINEL, "errno is %d", errno);
        }
        detach(&notes.spy);
    }
    require(atomic_load(&notes.count) > 100, "the spy was not told");
}

/* Samples: that they are blocks like any other; how many is spy_sample_test's. */

enum { CERTAIN = 64 }; /* bytes that are picked but for a chance of e^-64 */

static uint64_t mark_of(const void *block)
{
    struct mole_span *span = span_of(block);
    return span->kind == MOLE_SPAN_LARGE ? span->mark : 0;
}

static void begin_sampling(size_t sample_bytes)
{
    notes_init(&notes);
    notes.spy.sample_bytes = sample_bytes;
    attach(&notes.spy, MH_SPY_MALLOC);
}

/* Of a sampled block the size is told that was asked for. */
static void use_sampled(size_t align, size_t bytes, size_t next)
{
    void *block = align ? mh_memalign(align, bytes) : mh_malloc(bytes);
    require(block && (uintptr_t)block % (align ? align : 16) == 0, "not aligned");
    require(mh_malloc_usable_size(block) >= bytes, "usable size");
    require(mark_of(block) != 0, "%zu bytes have no mark", bytes);
    expect_one(ALLOCATED, block, bytes, "malloc");
    memset(block, 0x33, mh_malloc_usable_size(block));
    mark(block, bytes, 5);
    void *now = mh_realloc(block, next);
    require(now && is_marked(now, bytes < next ? bytes : next, 5), "contents");
    require(mh_malloc_usable_size(now) >= next, "usable size");
    require(mark_of(now) != 0, "%zu to %zu bytes lost its mark", bytes, next);
    expect_told(&notes, 0,
                (struct told){REALLOCATED, MH_SPY_MALLOC, now, next, block, bytes});
    forget_notes(&notes);
    memset(now, 0x44, mh_malloc_usable_size(now));
    mh_free(now);
    expect_one(FREED, now, next, "free");
}

Test(watch, sampled_blocks_of_malloc_keep_their_mark_and_work)
{
    static const size_t aligns[] = {0, 32, 4096, 1 << 16, 1 << 18};
    begin_sampling(1);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t j = 0; j < LENGTH(spied_sizes); j++)
            for (size_t k = 0; k < LENGTH(aligns); k++)
                use_sampled(aligns[k], spied_sizes[i] + CERTAIN,
                            spied_sizes[j] ? spied_sizes[j] : 1);
    end_notes(&notes);
}

Test(watch, a_sampled_calloc_is_zero)
{
    begin_sampling(1);
    for (size_t i = 0; i < LENGTH(spied_sizes); i++)
        for (size_t turn = 0; turn < 4; turn++) {
            size_t bytes = spied_sizes[i] + CERTAIN;
            void *block = mh_calloc(1, bytes);
            require(block && mark_of(block) && is_all_zero(block, 0, bytes), "not zero");
            memset(block, 0x55, mh_malloc_usable_size(block));
            mh_free(block);
        }
    end_notes(&notes);
}

Test(watch, sampled_blocks_outlive_their_sampler)
{
    enum { BLOCKS = 100 };
    static void *blocks[BLOCKS];
    stop_passes();
    size_t before = mole_process_malloc_bytes();
    begin_sampling(1);
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = mh_malloc(CERTAIN + i * 50);
    end_notes(&notes);
    for (size_t i = 0; i < BLOCKS; i += 2)
        require(blocks[i] = mh_realloc(blocks[i], 20000 + i * 500), "realloc failed");
    begin_notes(&notes, MH_SPY_MALLOC); /* hears of them as of any others */
    for (size_t i = 0; i < BLOCKS; i++)
        mh_free(blocks[i]);
    expect_count(&notes, BLOCKS, "blocks of an earlier sample");
    end_notes(&notes);
    require(mole_process_malloc_bytes() == before, "%zu bytes are left",
            mole_process_malloc_bytes() - before);
}
