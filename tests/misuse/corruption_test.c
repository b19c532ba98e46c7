/* SPDX-License-Identifier: MIT */
/*
 * HeapEnableTerminationOnCorruption: the process ends at the first sign, with a line that
 * names heap, block and what was found. And exceptions that nobody catches.
 */
#include <molehill/exception.h>
#include <molehill/molehill.h>
#include <molehill/spy.h>

#include "dying.h"

/* A misuse, and what its line says of it. */
struct sin {
    HANDLE heap;
    void *block;
    bool is_quiet; /* termination is not enabled */
};

static void arm(const struct sin *sin)
{
    if (!sin->is_quiet)
        (void)!HeapSetInformation(NULL, HeapEnableTerminationOnCorruption, NULL, 0);
}

static void free_block(void *argument)
{
    struct sin *sin = argument;

    arm(sin);
    (void)!HeapFree(sin->heap, 0, sin->block);
}

static void resize_block(void *argument)
{
    struct sin *sin = argument;

    arm(sin);
    (void)!HeapReAlloc(sin->heap, 0, sin->block, 10);
}

/* The exception is not raised: the process is gone before. */
static void resize_block_raising(void *argument)
{
    struct sin *sin = argument;

    arm(sin);
    MH_TRY
    {
        (void)!HeapReAlloc(sin->heap, HEAP_GENERATE_EXCEPTIONS, sin->block, 10);
    }
    MH_EXCEPT
    {
        _exit(0);
    }
    MH_END_TRY
}

/* One line, in which heap, block and reason are; and without termination none. */
static void expect_end(void (*commit)(void *), HANDLE heap, void *block, const char *why)
{
    struct sin sin = {.heap = heap, .block = block};
    struct death death = death_by(commit, &sin);
    char line[256];
    bool is_free = commit == free_block;

    snprintf(line, sizeof line, "molehill: corruption of heap %p, block %p, in %s: %s\n",
             heap, block, is_free ? "HeapFree" : "HeapReAlloc", why);
    require(death.signal == SIGABRT, "%s: signal %d", why, death.signal);
    require(strcmp(death.line, line) == 0, "not %s but %s", line, death.line);
    sin.is_quiet = true;
    death = death_by(commit, &sin);
    require(death.signal == 0 && death.line[0] == '\0',
            "without termination: signal %d, %s", death.signal, death.line);
}

static void expect_ends(HANDLE heap, void *block, const char *why)
{
    bool is_twice = strcmp(why, "double free") == 0;

    expect_end(free_block, heap, block, why);
    expect_end(resize_block, heap, block, is_twice ? "it is free" : why);
    expect_end(resize_block_raising, heap, block, is_twice ? "it is free" : why);
}

HEAP_CASE(corruption, case_071_a_double_free_ends_the_process)
{
    void *neighbour = take(heap, 0, 100);

    expect_ends(heap, freed_block(heap, 100), "double free");
    expect_ends(heap, block_freed_by_another_thread(heap, 100), "double free");
    expect_ends(heap, freed_block(heap, 2 * MIB), "no block is there, or not any more");
    give_back(heap, neighbour);
}

HEAP_CASE(corruption, a_foreign_pointer_ends_the_process)
{
    HANDLE other = create_heap(0);
    void *block = take(heap, 0, 100), *large = take(heap, 0, 2 * MIB);
    void *of_malloc = get(100);

    expect_ends(heap, (char *)block + 16, "it is inside a block");
    expect_ends(heap, (char *)block + 1, "it is inside a block");
    expect_ends(heap, (char *)large + 64, "it is inside a block");
    expect_ends(heap, take(other, 0, 100), "it belongs to another heap");
    expect_ends(heap, of_malloc, "it is malloc's");
    expect_ends(heap, &other, "no block is there, or not any more");
    expect_ends(heap, (void *)1, "no block is there, or not any more");
    mh_free(of_malloc);
    give_back(heap, block);
    give_back(heap, large);
    destroy_heap(other);
}

/* What is no corruption, and what only asks. */
static void stay_alive(void *argument)
{
    struct sin *sin = argument;
    ULONG value = 1;

    arm(sin);
    bool is_good = !HeapFree(NULL, 0, sin->block) && HeapFree(sin->heap, 0, NULL) &&
                   !HeapReAlloc(sin->heap, 0, NULL, 10) &&
                   !HeapReAlloc(NULL, 0, sin->block, 10) &&
                   HeapSize(sin->heap, 0, sin->block) == FAILED_SIZE &&
                   !HeapValidate(sin->heap, 0, sin->block) && !HeapDestroy(NULL) &&
                   !HeapAlloc(sin->heap, 0, SIZE_MAX) && !HeapUnlock(sin->heap) &&
                   mh_usable_size(sin->heap, sin->block) == FAILED_SIZE &&
                   !HeapSetInformation(sin->heap, (HEAP_INFORMATION_CLASS)99, &value, 4);
    void *block = HeapAlloc(sin->heap, 0, 100);
    block = HeapReAlloc(sin->heap, 0, block, 200000);
    is_good = is_good && block && !HeapReAlloc(sin->heap, 0, block, SIZE_MAX) &&
              HeapFree(sin->heap, 0, block);
    if (!is_good)
        _exit(1);
}

HEAP_CASE(corruption, what_is_none_does_not_end_the_process)
{
    struct sin sin = {.heap = heap, .block = freed_block(heap, 100)};
    int status = 0;
    pid_t child = fork();

    require(child >= 0, "the test cannot fork");
    if (child == 0) {
        stay_alive(&sin);
        _exit(0);
    }
    require(waitpid(child, &status, 0) == child && status == 0, "the child: %#x", status);
}

/* Once enabled it stays, and a fork's child has it. */
static void fork_and_free(void *argument)
{
    struct sin *sin = argument;
    int status = 0;

    arm(sin);
    pid_t child = fork();
    if (child == 0) {
        (void)!HeapFree(sin->heap, 0, sin->block);
        _exit(0);
    }
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status))
        raise(WTERMSIG(status));
}

Test(corruption, a_forks_child_ends_too)
{
    HANDLE heap = create_heap(0);
    struct sin sin = {.heap = heap, .block = freed_block(heap, 100)};
    struct death death = death_by(fork_and_free, &sin);

    require(death.signal == SIGABRT && strstr(death.line, "double free"), "signal %d: %s",
            death.signal, death.line);
    destroy_heap(heap);
}

static int let_it_go_on(DWORD code, void *heap, size_t bytes, void *context)
{
    (void)code, (void)heap, (void)bytes, (void)context;
    return MH_UNHANDLED;
}

static void raise_in_alloc(void *heap)
{
    (void)!HeapAlloc(heap, HEAP_GENERATE_EXCEPTIONS, SIZE_MAX);
}

static void raise_in_alloc_with_handler(void *heap)
{
    mh_set_exception_handler(let_it_go_on);
    raise_in_alloc(heap);
}

static void raise_after_a_block(void *heap)
{
    MH_TRY
    {
        give_back(heap, take(heap, 0, 10));
    }
    MH_EXCEPT
    {
        _exit(1);
    }
    MH_END_TRY
    raise_in_alloc(heap);
}

static void raise_after_returning(void *heap)
{
    (void)!mh_configure("unhandled:return");
    raise_in_alloc(heap);
    (void)!mh_configure("unhandled:abort");
    raise_in_alloc(heap);
}

static void raise_in_realloc(void *block)
{
    (void)!HeapReAlloc(GetProcessHeap(), HEAP_GENERATE_EXCEPTIONS, block, 50);
}

Test(exception, one_that_nobody_catches_ends_the_process_with_a_line)
{
    static void (*const raises[])(void *) = {raise_in_alloc, raise_in_alloc_with_handler,
                                             raise_after_a_block, raise_after_returning};
    HANDLE heap = create_heap(0);
    char line[256];

    snprintf(line, sizeof line,
             "molehill: unhandled STATUS_NO_MEMORY: HeapAlloc of %zu bytes, heap %p\n",
             SIZE_MAX, heap);
    for (size_t i = 0; i < LENGTH(raises); i++) {
        struct death death = death_by(raises[i], heap);
        require(death.signal == SIGABRT, "%zu: signal %d", i, death.signal);
        require(strcmp(death.line, line) == 0, "%zu: not %s but %s", i, line, death.line);
    }
    void *block = freed_block(GetProcessHeap(), 100);
    struct death death = death_by(raise_in_realloc, block);
    snprintf(line, sizeof line,
             "molehill: unhandled STATUS_ACCESS_VIOLATION: HeapReAlloc of 50 bytes, "
             "heap %p, block %p\n",
             GetProcessHeap(), block);
    require(death.signal == SIGABRT, "signal %d", death.signal);
    require(strcmp(death.line, line) == 0, "not %s but %s", line, death.line);
    destroy_heap(heap);
}

static void raise_as_observer(void *context, void *heap, void *block, size_t bytes)
{
    (void)heap, (void)block, (void)bytes;
    raise_in_alloc(context);
}

/* What is around the watched call must not catch what its observer raises. */
static void raise_in_callback(void *heap)
{
    struct mh_spy spy = {
        .size = sizeof spy, .context = heap, .allocated = raise_as_observer};

    mh_set_exception_handler(let_it_go_on);
    if (mh_spy_attach(&spy, GetProcessHeap()) != 0)
        _exit(2);
    MH_TRY
    {
        (void)!HeapAlloc(GetProcessHeap(), 0, 16);
    }
    MH_EXCEPT
    {
        _exit(3);
    }
    MH_END_TRY
}

Test(exception, one_that_a_callback_does_not_catch_ends_the_process)
{
    HANDLE heap = create_heap(0);
    struct death death = death_by(raise_in_callback, heap);

    require(death.signal == SIGABRT, "signal %d", death.signal);
    require(strstr(death.line, "molehill: unhandled STATUS_NO_MEMORY: HeapAlloc of "),
            "it says %s", death.line);
    destroy_heap(heap);
}
