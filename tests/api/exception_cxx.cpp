/* SPDX-License-Identifier: MIT */
/*
 * Exceptions of the heap functions in C++: as C++ exceptions, which the program asks for,
 * and MH_TRY beside them.
 */
#include <molehill/exception.hpp>
#include <molehill/heapapi.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>

extern "C" const char *exception_cxx_run(void);

namespace {

const DWORD raising = HEAP_GENERATE_EXCEPTIONS;
int alive;

struct Guard {
    Guard()
    {
        alive++;
    }
    ~Guard()
    {
        alive--;
    }
};

void *allocate(HANDLE heap, SIZE_T bytes)
{
    Guard guard;
    return HeapAlloc(heap, raising, bytes);
}

const char *throw_no_memory(HANDLE heap)
{
    try {
        Guard guard;
        allocate(heap, SIZE_MAX);
        return "HeapAlloc of SIZE_MAX returned";
    } catch (const molehill::heap_no_memory &error) {
        const std::bad_alloc &base = error;
        if (error.code() != static_cast<DWORD>(STATUS_NO_MEMORY) ||
            error.heap() != heap || error.size() != SIZE_MAX)
            return "what it says of the call";
        if (!std::strstr(base.what(), "STATUS_NO_MEMORY"))
            return "what()";
    }
    if (GetLastError() != ERROR_NOT_ENOUGH_MEMORY ||
        GetExceptionCode() != static_cast<DWORD>(STATUS_NO_MEMORY))
        return "the last error, or GetExceptionCode";
    return alive ? "a destructor was not called" : nullptr;
}

const char *throw_access_violation(HANDLE heap)
{
    char block[32];
    try {
        Guard guard;
        static_cast<void>(HeapReAlloc(heap, raising, block, 16));
        return "HeapReAlloc of a foreign pointer returned";
    } catch (const std::bad_alloc &) {
        return "it is a bad_alloc";
    } catch (const molehill::heap_access_violation &error) {
        if (error.code() != static_cast<DWORD>(STATUS_ACCESS_VIOLATION) ||
            error.size() != 16)
            return "what it says of the call";
    }
    return alive ? "a destructor was not called" : nullptr;
}

const char *throw_often(HANDLE heap)
{
    int caught = 0;
    for (int i = 0; i < 1000; i++) {
        try {
            allocate(heap, i % 2 ? SIZE_MAX : 100);
        } catch (const molehill::heap_exception &) {
            caught++;
        }
    }
    return caught == 500 && !alive ? nullptr : "not every second call threw";
}

/* An MH_TRY comes before the handler that throws. */
const char *catch_in_block(HANDLE heap)
{
    volatile DWORD code = 0;
    MH_TRY
    {
        static_cast<void>(HeapAlloc(heap, raising, SIZE_MAX));
    }
    MH_EXCEPT
    {
        code = GetExceptionCode();
    }
    MH_END_TRY
    return code == static_cast<DWORD>(STATUS_NO_MEMORY) ? nullptr
                                                        : "MH_TRY did not catch";
}

void leave_by_throwing()
{
    MH_TRY
    {
        throw std::runtime_error("from inside");
    }
    MH_EXCEPT
    {
        throw std::logic_error("it is no exception of a heap's");
    }
    MH_END_TRY
}

/* A C++ exception that passes an MH_TRY takes its frame away. */
const char *throw_out_of_block(HANDLE heap)
{
    for (int i = 0; i < 100; i++) {
        try {
            leave_by_throwing();
            return "nothing was thrown";
        } catch (const std::runtime_error &) {
        }
        try {
            allocate(heap, SIZE_MAX);
            return "HeapAlloc of SIZE_MAX returned";
        } catch (const std::bad_alloc &) {
        }
    }
    return alive ? "a destructor was not called" : nullptr;
}

/* MH_LEAVE goes out of scopes as `goto` does: destructors run. */
const char *leave_early()
{
    MH_TRY
    {
        for (;;) {
            Guard guard;
            if (alive == 1)
                MH_LEAVE;
        }
    }
    MH_EXCEPT
    {
        return "it raised";
    }
    MH_END_TRY
    return alive ? "a destructor was not called" : nullptr;
}

} // namespace

/* NULL, or what is wrong. */
const char *exception_cxx_run(void)
{
    HANDLE heap = HeapCreate(0, 0, 0);
    if (!heap)
        return "HeapCreate";
    if (molehill::throw_heap_exceptions() != nullptr)
        return "there was a handler";
    static const char *(*const parts[])(HANDLE) = {throw_no_memory,
                                                   throw_access_violation, throw_often,
                                                   catch_in_block, throw_out_of_block};
    for (auto part : parts)
        if (const char *problem = part(heap))
            return problem;
    if (const char *problem = leave_early())
        return problem;
    if (mh_set_exception_handler(nullptr) != molehill::throw_heap_exception)
        return "another handler was there";
    return HeapDestroy(heap) ? nullptr : "HeapDestroy";
}
