/* SPDX-License-Identifier: MIT */
/*
 * The exceptions of exception.h as C++ exceptions, for programs that ask for it:
 *
 *     molehill::throw_heap_exceptions();
 *     try {
 *         block = HeapAlloc(heap, HEAP_GENERATE_EXCEPTIONS, bytes);
 *     } catch (const std::bad_alloc &) {
 *     }
 *
 * An MH_TRY that the thread is in comes first still. In observers' callbacks and COM
 * spies' methods nothing is thrown.
 */
#pragma once

#include <exception>
#include <new>

#include "exception.h"

namespace molehill {

/* What every one of them is besides. */
class heap_exception {
  public:
    heap_exception(DWORD code, void *heap, size_t size) noexcept
        : code_(code), heap_(heap), size_(size)
    {
    }
    virtual ~heap_exception() = default;

    DWORD code() const noexcept
    {
        return code_;
    }
    void *heap() const noexcept
    {
        return heap_;
    }
    size_t size() const noexcept /* what was asked for, in bytes */
    {
        return size_;
    }

  private:
    DWORD code_;
    void *heap_;
    size_t size_;
};

/* STATUS_NO_MEMORY */
class heap_no_memory : public std::bad_alloc, public heap_exception {
  public:
    using heap_exception::heap_exception;
    const char *what() const noexcept override
    {
        return "STATUS_NO_MEMORY of a heap";
    }
};

/* STATUS_ACCESS_VIOLATION */
class heap_access_violation : public std::exception, public heap_exception {
  public:
    using heap_exception::heap_exception;
    const char *what() const noexcept override
    {
        return "STATUS_ACCESS_VIOLATION of a heap: a bad handle or pointer";
    }
};

/* The handler that throws them. */
inline int throw_heap_exception(DWORD code, void *heap, size_t size, void *)
{
    if (code == static_cast<DWORD>(STATUS_NO_MEMORY))
        throw heap_no_memory(code, heap, size);
    throw heap_access_violation(code, heap, size);
}

/* From now on they are thrown, process-wide. Returns the handler before. */
inline mh_exception_handler_t throw_heap_exceptions() noexcept
{
    return mh_set_exception_handler(throw_heap_exception);
}

} // namespace molehill
