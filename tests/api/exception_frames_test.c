/* SPDX-License-Identifier: MIT */
/* MH_TRY, the handler of the process, and who comes before whom. */
#include <molehill/molehill.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exceptions.h"
#include "workers.h"

static const DWORD raising = HEAP_GENERATE_EXCEPTIONS;

/* Does not return, if somebody catches. */
static void raise_no_memory(void)
{
    (void)!HeapAlloc(GetProcessHeap(), raising, SIZE_MAX);
}

static void raise_access_violation(void)
{
    (void)!HeapAlloc(NULL, raising, 16);
}

Test(exception_frames, the_innermost_block_catches)
{
    volatile int inner = 0, outer = 0;

    MH_TRY{MH_TRY{raise_no_memory();
}
MH_EXCEPT
{
    inner++;
}
MH_END_TRY
}
MH_EXCEPT
{
    outer++;
}
MH_END_TRY
require(inner == 1 && outer == 0, "inner %d, outer %d", inner, outer);
}

Test(exception_frames, what_a_handler_block_raises_goes_further_out)
{
    volatile DWORD inner = 0, outer = 0;

    MH_TRY{MH_TRY{raise_no_memory();
}
MH_EXCEPT
{
    inner = GetExceptionCode();
    raise_access_violation();
    inner = 0;
}
MH_END_TRY
}
MH_EXCEPT
{
    outer = GetExceptionCode();
}
MH_END_TRY
require(inner == no_memory && outer == access_violation, "inner %#x, outer %#x", inner,
        outer);
}

/* As the last statement of each way out, an outer block shows that the inner is gone. */
enum way { BY_END, BY_RETURN, BY_BREAK, BY_CONTINUE, BY_GOTO, BY_LEAVE, WAYS };

static int leave_by(enum way way, volatile int *steps)
{
    for (int turn = 0; turn < 2; turn++) {
        MH_TRY
        {
            ++*steps;
            if (way == BY_RETURN)
                return 1;
            if (way == BY_BREAK)
                break;
            if (way == BY_CONTINUE)
                continue;
            if (way == BY_GOTO)
                goto out;
            for (int i = 0; way == BY_LEAVE && i < 3; i++)
                for (;;)
                    MH_LEAVE;
        }
        MH_EXCEPT
        {
            *steps += 100;
        }
        MH_END_TRY
        *steps += 10;
    }
out:
    return 0;
}

Test(exception_frames, a_block_may_be_left_in_every_way)
{
    static const int expected[WAYS] = {
        [BY_END] = 22,     [BY_RETURN] = 1, [BY_BREAK] = 1,
        [BY_CONTINUE] = 2, [BY_GOTO] = 1,   [BY_LEAVE] = 22};

    for (volatile int way = 0; way < WAYS; way++) {
        volatile int steps = 0;
        volatile bool is_caught = false;
        MH_TRY
        {
            leave_by((enum way)way, &steps);
            raise_no_memory();
        }
        MH_EXCEPT
        {
            is_caught = true;
        }
        MH_END_TRY
        require(is_caught, "way %d: its block caught what came later", way);
        require(steps == expected[way], "way %d: %d steps, not %d", way, steps,
                expected[way]);
    }
}

/* MH_LEAVE is a jump of the compiler's: plain variables keep what they got. */
static int plain_variable(bool leaves)
{
    int value = 1;
    MH_TRY
    {
        value = 2;
        if (leaves)
            MH_LEAVE;
        value = 3;
    }
    MH_EXCEPT
    {
        return -1;
    }
    MH_END_TRY
    return value;
}

Test(exception_frames, a_block_left_early_keeps_its_changes)
{
    require(plain_variable(true) == 2, "left early: %d", plain_variable(true));
    require(plain_variable(false) == 3, "not left: %d", plain_variable(false));
}

Test(exception_frames, a_block_that_caught_catches_again_in_the_next_turn)
{
    volatile size_t caught = 0;

    for (volatile int i = 0; i < 1000; i++) {
        MH_TRY
        {
            i % 2 ? raise_no_memory() : raise_access_violation();
        }
        MH_EXCEPT
        {
            caught += GetExceptionCode() == (i % 2 ? no_memory : access_violation);
        }
        MH_END_TRY
    }
    require(caught == 1000, "%zu of 1000 were caught", caught);
}

static const char *catch_own(struct worker *worker)
{
    bool is_odd = worker->index % 2;

    if (GetExceptionCode() != 0)
        return "a new thread has a code";
    for (size_t i = 0; i < repeats(1000) + 10; i++) {
        struct call call = is_odd ? alloc_call(GetProcessHeap(), raising, SIZE_MAX)
                                  : alloc_call(NULL, raising, 16);
        DWORD wanted = is_odd ? no_memory : access_violation;
        if (code_of(&call) != wanted || GetExceptionCode() != wanted)
            return "it caught another thread's";
    }
    return NULL;
}

Test(exception_frames, each_thread_has_its_own)
{
    volatile bool is_caught = false;

    MH_TRY
    {
        run_workers(8, catch_own, NULL);
    }
    MH_EXCEPT
    {
        is_caught = true;
    }
    MH_END_TRY
    require(!is_caught, "a thread's exception reached another");
    require(GetExceptionCode() == 0, "this thread has code %#x", GetExceptionCode());
}

static struct {
    int calls;
    DWORD code;
    void *heap;
    size_t bytes;
    struct mh_exception_context context;
    DWORD last_error;
    jmp_buf place;
} heard;

static int hear(DWORD code, void *heap, size_t bytes, void *context)
{
    heard.calls++;
    heard.code = code;
    heard.heap = heap;
    heard.bytes = bytes;
    heard.context = *(struct mh_exception_context *)context;
    heard.last_error = GetLastError();
    return MH_CONTINUE;
}

static int jump_away(DWORD code, void *heap, size_t bytes, void *context)
{
    hear(code, heap, bytes, context);
    longjmp(heard.place, 1);
}

static void expect_heard(DWORD code, void *heap, size_t bytes, const char *function,
                         const void *block, DWORD flags)
{
    require(heard.calls == 1, "the handler was called %d times", heard.calls);
    require(heard.code == code, "with code %#x", heard.code);
    require(heard.heap == heap && heard.bytes == bytes, "of %zu bytes, heap %p",
            heard.bytes, heard.heap);
    require(strcmp(heard.context.function, function) == 0, "in %s",
            heard.context.function);
    require(heard.context.size == sizeof heard.context, "the context has %zu bytes",
            heard.context.size);
    require(heard.context.block == block && heard.context.flags == flags,
            "block %p, flags %#x", heard.context.block, heard.context.flags);
    require(heard.last_error == GetLastError(), "the last error was set after it");
    heard.calls = 0;
}

Test(exception_frames, the_handler_hears_what_was_raised_and_may_let_it_return)
{
    HANDLE heap = create_heap(raising);
    void *block = take(heap, 0, 10);

    require(mh_set_exception_handler(hear) == NULL, "there was a handler");
    require(!HeapAlloc(heap, HEAP_ZERO_MEMORY, SIZE_MAX), "it returned a block");
    expect_heard(no_memory, heap, SIZE_MAX, "HeapAlloc", NULL,
                 raising | HEAP_ZERO_MEMORY);
    require(GetExceptionCode() == no_memory, "the code is %#x", GetExceptionCode());
    require(!HeapReAlloc(heap, 0, block, SIZE_MAX - 7), "it returned a block");
    expect_heard(no_memory, heap, SIZE_MAX - 7, "HeapReAlloc", block, raising);
    require(!HeapReAlloc(NULL, raising, block, 7), "it returned a block");
    expect_heard(access_violation, NULL, 7, "HeapReAlloc", block, raising);
    require(GetExceptionCode() == access_violation, "the code is %#x",
            GetExceptionCode());
    require(mh_set_exception_handler(NULL) == hear, "another handler was there");
    destroy_heap(heap);
}

Test(exception_frames, a_block_comes_before_the_handler)
{
    struct call call = alloc_call(GetProcessHeap(), raising, SIZE_MAX);

    mh_set_exception_handler(hear);
    require(code_of(&call) == no_memory, "the block did not catch");
    require(heard.calls == 0, "the handler was asked");
    (void)!make(&call);
    require(heard.calls == 1, "behind the block it was asked %d times", heard.calls);
}

Test(exception_frames, a_handler_may_jump_away)
{
    volatile int jumps = 0;

    mh_set_exception_handler(jump_away);
    if (setjmp(heard.place) != 0)
        jumps++;
    if (jumps < 3)
        raise_no_memory();
    require(jumps == 3 && heard.calls == 3, "%d jumps, %d calls", jumps, heard.calls);
}

Test(exception_frames, unhandled_return_lets_the_call_return)
{
    require(mh_configure("unhandled:return") == 0, "it is not known");
    arm_errors();
    raise_no_memory();
    expect_error("HeapAlloc", ERROR_NOT_ENOUGH_MEMORY, ENOMEM);
    arm_errors();
    raise_access_violation();
    expect_error("HeapAlloc", ERROR_NOACCESS, EFAULT);
    struct call call = alloc_call(GetProcessHeap(), raising, SIZE_MAX);
    require(code_of(&call) == no_memory, "a block did not catch any more");
    mh_set_exception_handler(hear);
    raise_no_memory();
    require(heard.calls == 1, "the handler was called %d times", heard.calls);
}

Test(exception_frames, what_else_unhandled_may_be_is_refused)
{
    static const char *const wrong[] = {"unhandled:", "unhandled:no", "unhandled:returns",
                                        "unhandled:return,unhandled:x"};

    for (size_t i = 0; i < LENGTH(wrong); i++)
        require(mh_configure(wrong[i]) == -1 && errno == EINVAL, "%s", wrong[i]);
    require(mh_configure("unhandled:abort") == 0, "unhandled:abort is not known");
}

Test(exception_frames, a_forks_child_has_the_blocks_of_its_thread)
{
    volatile pid_t child = -1;
    int status = 0;

    MH_TRY
    {
        child = fork();
        if (child == 0) {
            struct call call = alloc_call(NULL, raising, 1);
            if (code_of(&call) != access_violation)
                _exit(2);
            raise_no_memory();
            _exit(3);
        }
    }
    MH_EXCEPT
    {
        _exit(GetExceptionCode() == no_memory ? 0 : 4);
    }
    MH_END_TRY
    require(waitpid(child, &status, 0) == child && status == 0, "the child: %#x", status);
}

/*
 * As MH_TRY does, with a frame that is still to be seen when the stack is gone. Nobody
 * may go back there.
 */
static struct mh_exception_frame left;
static pthread_key_t key;
static atomic_int late;

static void raise_late(void *value)
{
    struct call call = alloc_call(value, raising, SIZE_MAX);

    atomic_store(&late, code_of(&call) == no_memory ? 1 : 2);
    (void)!make(&call); /* no block is around any more: the handler */
    atomic_fetch_add(&late, 10);
}

static const char *end_inside(struct worker *worker)
{
    void *block = HeapAlloc(worker->shared, 0, 10);

    if (!block || pthread_setspecific(key, worker->shared) != 0)
        return "no block, or no key";
    HeapFree(worker->shared, 0, block);
    mh_exception_enter(&left);
    pthread_exit(NULL);
}

Test(exception_frames, a_thread_that_ends_in_a_block_leaves_none)
{
    HANDLE heap = create_heap(0);

    mh_set_exception_handler(hear);
    require(pthread_key_create(&key, raise_late) == 0, "pthread_key_create");
    run_workers(1, end_inside, heap);
    require(atomic_load(&late) == 11 && heard.calls == 1, "%d, %d calls",
            atomic_load(&late), heard.calls);
    destroy_heap(heap);
}
