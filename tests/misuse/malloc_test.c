/* SPDX-License-Identifier: MIT */
/*
 * Misuse of free and realloc. Unlike HeapFree, free cannot refuse: a pointer inside
 * molehill's regions that is no live block ends the process with one line that names it;
 * a pointer from elsewhere is counted and left alone.
 */
#include "dying.h"

static uint64_t foreign_frees(void)
{
    struct mh_stats stats = {.size = sizeof(stats)};

    require(mh_stats_get(&stats) == 0, "mh_stats_get failed");
    return stats.foreign_frees;
}

static void resize_it(void *pointer)
{
    mh_realloc(pointer, 100);
}

Test(malloc_free, double_free_dies, .signal = SIGABRT)
{
    void *block = get(64);

    mh_free(block);
    mh_free(block);
}

Test(malloc_free, double_free_of_a_large_block_dies, .signal = SIGABRT)
{
    void *block = get(3 * MIB);

    mh_free(block);
    mh_free(block);
}

Test(malloc_free, interior_free_dies, .signal = SIGABRT)
{
    mh_free((char *)get(1000) + 16);
}

Test(malloc_free, unaligned_free_dies, .signal = SIGABRT)
{
    mh_free((char *)get(1000) + 1);
}

/* The first and only block of its size: its neighbour's slot was never handed out. */
static char *never_allocated_slot(void)
{
    char *block = get(64);
    size_t usable = mh_malloc_usable_size(block);

    return (uintptr_t)block % 4096 < 2048 ? block + usable : block - usable;
}

Test(malloc_free, free_of_a_never_allocated_slot_dies, .signal = SIGABRT)
{
    mh_free(never_allocated_slot());
}

Test(malloc_realloc, realloc_of_a_freed_block_dies, .signal = SIGABRT)
{
    void *block = get(64);

    mh_free(block);
    mh_realloc(block, 100);
}

Test(malloc_realloc, realloc_of_an_interior_pointer_dies, .signal = SIGABRT)
{
    mh_realloc((char *)get(1000) + 32, 100);
}

Test(malloc_realloc, realloc_to_0_of_a_freed_block_dies, .signal = SIGABRT)
{
    void *block = get(64);

    mh_free(block);
    mh_realloc(block, 0);
}

static const char *free_in_thread(struct worker *worker)
{
    mh_free(worker->shared);
    return NULL;
}

Test(malloc_free, double_free_after_another_threads_free_dies, .signal = SIGABRT)
{
    void *block = get(64);

    run_workers(1, free_in_thread, block);
    mh_free(block);
}

/* A batch has one block of the slab, then the misuse. */
static const char *free_into_a_batch(struct worker *worker)
{
    void **blocks = worker->shared;

    mh_free(mh_malloc(1000)); /* the thread has a cache from here on */
    mh_free(blocks[0]);
    mh_free(blocks[1]);
    mh_free(blocks[2]);
    return NULL;
}

Test(malloc_free, double_free_into_a_batch_dies, .signal = SIGABRT)
{
    void *block = get(64);
    void *blocks[] = {get(64), block, block};

    run_workers(1, free_into_a_batch, blocks);
}

Test(malloc_free, free_inside_a_block_into_a_batch_dies, .signal = SIGABRT)
{
    void *blocks[] = {get(64), get(64), (char *)get(64) + 16};

    run_workers(1, free_into_a_batch, blocks);
}

/* The process heap and malloc's are two. */
Test(malloc_free, free_of_a_heaps_block_dies)
{
    for (EACH_SIZE(bytes)) {
        void *block = take_stamped(GetProcessHeap(), bytes);
        require_death(free_it, block, "free of a block of HeapAlloc");
        require_unharmed(GetProcessHeap(), block, bytes);
    }
}

Test(malloc_free, no_heap_function_takes_a_block_of_malloc)
{
    for (EACH_SIZE(bytes)) {
        void *block = get(bytes);
        stamp(block, bytes, bytes);
        require_refused(GetProcessHeap(), block, "a block of malloc");
        require_refused(NULL, block, "a block of malloc");
        require(stamp_is_intact(block, bytes, bytes), "a block of malloc changed");
        mh_free(block);
    }
}

Test(malloc_free, double_free_names_the_pointer_at_every_size)
{
    for (EACH_SIZE(bytes)) {
        void *block = get(bytes);
        mh_free(block);
        require_death(free_it, block, "double free");
    }
}

Test(malloc_free, interior_free_names_the_pointer_at_every_size)
{
    for (EACH_SIZE(bytes)) {
        if (bytes > 64)
            require_death(free_it, (char *)get(bytes) + 48, "interior free");
    }
}

Test(malloc_free, invalid_free_names_the_pointer)
{
    require_death(free_it, never_allocated_slot(), "invalid free");
}

Test(malloc_realloc, invalid_realloc_names_the_pointer_at_every_size)
{
    for (EACH_SIZE(bytes)) {
        char *block = get(bytes);
        require_death(resize_it, block + bytes / 2 + 1, "interior realloc");
        mh_free(block);
        require_death(resize_it, block, "realloc of a freed block");
    }
}

/* Dying must not wait for anything, and a live block must not die. */
Test(malloc_free, a_live_block_is_freed_in_a_child_too)
{
    for (EACH_SIZE(bytes)) {
        struct death death = death_by(free_it, get(bytes));
        require(death.signal == 0, "free of %zu: signal %d", bytes, death.signal);
        require(death.line[0] == '\0', "free of %zu wrote: %s", bytes, death.line);
    }
}

Test(malloc_free, a_stack_address_is_tolerated_and_counted)
{
    alignas(16) char on_stack[64] = "untouched";
    uint64_t before = foreign_frees();

    mh_free(on_stack);
    mh_free(on_stack + 16);
    require(foreign_frees() == before + 2, "foreign frees were not counted");
    require(strcmp(on_stack, "untouched") == 0, "the stack was written to");
    mh_free(get(48));
}

Test(malloc_free, a_static_address_is_tolerated)
{
    alignas(16) static char statics[64];

    mh_free(statics);
    mh_free(statics + 16);
    require(is_all(statics, sizeof(statics), 0), "the static memory was written to");
}

Test(malloc_free, another_allocators_block_is_tolerated)
{
    for (EACH_SIZE(bytes)) {
        uint64_t before = foreign_frees();
        mh_free(malloc(bytes));
        require(foreign_frees() == before + 1, "a foreign free was not counted");
    }
}

Test(malloc_free, an_unmapped_address_is_tolerated)
{
    mh_free((void *)0xdeadbe00);
    mh_free((void *)16);
    mh_free(get(48));
}

/* It may be copied or refused; it must not be followed into molehill's tables. */
Test(malloc_realloc, a_foreign_block_is_copied_or_refused)
{
    alignas(16) char on_stack[64];

    stamp(on_stack, sizeof(on_stack), 7);
    errno = 0;
    void *block = mh_realloc(on_stack, 16);
    require(block != NULL || errno == ENOMEM, "refused with errno %d", errno);
    require(block == NULL || stamp_is_intact(block, 16, 7), "the copy is not one");
    require(stamp_is_intact(on_stack, sizeof(on_stack), 7), "the original changed");
}

Test(malloc_usable_size, a_foreign_block_is_tolerated)
{
    alignas(16) static char statics[64];

    mh_malloc_usable_size(statics);
    mh_malloc_usable_size((void *)0xdeadbe00);
}

Test(malloc_free, errno_is_kept)
{
    alignas(16) static char statics[64];
    void *const pointers[] = {NULL, get(1), get(1000), get(40000), get(8 * MIB), statics};

    for (size_t i = 0; i < LENGTH(pointers); i++) {
        errno = ERRNO_SENTINEL;
        mh_free(pointers[i]);
        require(errno == ERRNO_SENTINEL, "free number %zu set errno %d", i, errno);
    }
}

Test(malloc_malloc, errno_is_kept_by_success)
{
    for (EACH_SIZE(bytes)) {
        errno = ERRNO_SENTINEL;
        void *block = mh_realloc(mh_calloc(1, bytes), bytes * 2);
        require(errno == ERRNO_SENTINEL, "%zu bytes: errno %d", bytes, errno);
        require(mh_malloc_usable_size(block) >= bytes * 2, "its usable size");
        require(mh_realloc(block, 0) == NULL, "realloc to 0 gave a block");
        require(errno == ERRNO_SENTINEL, "freeing %zu: errno %d", bytes, errno);
    }
}
