/* SPDX-License-Identifier: MIT */
/*
 * C++ operators new and delete, by their mangled names (Itanium ABI, size_t = unsigned long), so
 * that no C++ compiler and no libstdc++ is needed. What they need of libstdc++ when an allocation
 * fails is referred to weakly: it is there whenever a C++ program is.
 */
#include <stdlib.h>

#include "base/attr.h"
#include "base/check.h"
#include "malloc/names.h"

#if defined(MOLE_MALLOC_PREFIX)
#define OPERATOR(name) mh##name
#else
#define OPERATOR(name) name
#endif

typedef void new_handler(void);

/* std::get_new_handler() and std::__throw_bad_alloc(). */
extern new_handler *get_new_handler(void) __asm__("_ZSt15get_new_handlerv")
    __attribute__((weak));
extern void throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv")
    __attribute__((weak));

static void *allocate(size_t bytes, size_t align)
{
    return align <= 16 ? MALLOC_NAME(malloc)(bytes)
                       : MALLOC_NAME(aligned_alloc)(align, bytes);
}

/* Call the new_handler until there is memory or no handler; NULL: none is left to call. */
static mole_slow void *retry(size_t bytes, size_t align)
{
    while (get_new_handler) {
        new_handler *handler = get_new_handler();
        if (!handler)
            return NULL;
        handler();
        void *block = allocate(bytes, align);
        if (block)
            return block;
    }
    return NULL;
}

static mole_slow void *retry_or_throw(size_t bytes, size_t align)
{
    void *block = retry(bytes, align);
    if (block)
        return block;
    if (throw_bad_alloc)
        throw_bad_alloc();
    mole_die("operator new(%lu) failed, and nobody can throw bad_alloc",
             (unsigned long)bytes);
}

static void *new (size_t bytes, size_t align)
{
    void *block = allocate(bytes, align);
    return likely(block != NULL) ? block : retry_or_throw(bytes, align);
}

/*
 * Nothrow forms call the new_handler too. A handler that throws bad_alloc ends the program at
 * their noexcept, for C has no way to catch it.
 */
static void *new_nothrow(size_t bytes, size_t align)
{
    void *block = allocate(bytes, align);
    return likely(block != NULL) ? block : retry(bytes, align);
}

#define NEW(name, ...)                             \
    MOLE_EXPORT void *OPERATOR(name)(__VA_ARGS__); \
    void *OPERATOR(name)(__VA_ARGS__)
#define DELETE(name, ...)                         \
    MOLE_EXPORT void OPERATOR(name)(__VA_ARGS__); \
    void OPERATOR(name)(__VA_ARGS__)

NEW(_Znwm, size_t bytes)
{
    return new (bytes, 1);
}
NEW(_Znam, size_t bytes)
{
    return new (bytes, 1);
}
NEW(_ZnwmSt11align_val_t, size_t bytes, size_t align)
{
    return new (bytes, align);
}
NEW(_ZnamSt11align_val_t, size_t bytes, size_t align)
{
    return new (bytes, align);
}

NEW(_ZnwmRKSt9nothrow_t, size_t bytes, const void *tag)
{
    (void)tag;
    return new_nothrow(bytes, 1);
}

NEW(_ZnamRKSt9nothrow_t, size_t bytes, const void *tag)
{
    (void)tag;
    return new_nothrow(bytes, 1);
}

NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, size_t bytes, size_t align, const void *tag)
{
    (void)tag;
    return new_nothrow(bytes, align);
}

NEW(_ZnamSt11align_val_tRKSt9nothrow_t, size_t bytes, size_t align, const void *tag)
{
    (void)tag;
    return new_nothrow(bytes, align);
}

DELETE(_ZdlPv, void *block)
{
    MALLOC_NAME(free)(block);
}
DELETE(_ZdaPv, void *block)
{
    MALLOC_NAME(free)(block);
}

#define DELETE_ALSO(name, ...) DELETE(name, void *block, __VA_ARGS__)

DELETE_ALSO(_ZdlPvm, size_t bytes)
{
    MALLOC_NAME(free_sized)(block, bytes);
}
DELETE_ALSO(_ZdaPvm, size_t bytes)
{
    MALLOC_NAME(free_sized)(block, bytes);
}

DELETE_ALSO(_ZdlPvSt11align_val_t, size_t align)
{
    (void)align;
    MALLOC_NAME(free)(block);
}

DELETE_ALSO(_ZdaPvSt11align_val_t, size_t align)
{
    (void)align;
    MALLOC_NAME(free)(block);
}

DELETE_ALSO(_ZdlPvmSt11align_val_t, size_t bytes, size_t align)
{
    MALLOC_NAME(free_aligned_sized)(block, align, bytes);
}

DELETE_ALSO(_ZdaPvmSt11align_val_t, size_t bytes, size_t align)
{
    MALLOC_NAME(free_aligned_sized)(block, align, bytes);
}

DELETE_ALSO(_ZdlPvRKSt9nothrow_t, const void *tag)
{
    (void)tag;
    MALLOC_NAME(free)(block);
}

DELETE_ALSO(_ZdaPvRKSt9nothrow_t, const void *tag)
{
    (void)tag;
    MALLOC_NAME(free)(block);
}

DELETE_ALSO(_ZdlPvSt11align_val_tRKSt9nothrow_t, size_t align, const void *tag)
{
    (void)align;
    (void)tag;
    MALLOC_NAME(free)(block);
}

DELETE_ALSO(_ZdaPvSt11align_val_tRKSt9nothrow_t, size_t align, const void *tag)
{
    (void)align;
    (void)tag;
    MALLOC_NAME(free)(block);
}
