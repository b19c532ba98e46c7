/* SPDX-License-Identifier: MIT */
/*
 * C++ operators new and delete, by their mangled names (Itanium ABI, size_t = unsigned
 * long), so that no C++ compiler and no libstdc++ is needed. What they need of libstdc++
 * when an allocation fails is referred to weakly: it is there whenever a C++ program is.
 * Where it came later, by dlopen, it is looked for then.
 *
 * Each form but two goes through the one that the C++ standard says it goes through, by
 * its name: a program that replaces operator new and operator delete replaces all. Hence
 * they are weak, for the compiler takes no short cuts then, and static programs link.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/check.h"
#include "malloc/names.h"

#if defined(MOLE_MALLOC_PREFIX)
#define OPERATOR(name) mh##name
#else
#define OPERATOR(name) name
#endif
#define AS_TEXT(...) #__VA_ARGS__
#define TEXT_OF(name) AS_TEXT(name)

typedef void function(void);
typedef function *get_handler(void);
typedef void *new_plain(size_t bytes);
typedef void *new_aligned(size_t bytes, size_t align);
typedef void *new_nothrow(size_t bytes, const void *tag);
typedef void *new_aligned_nothrow(size_t bytes, size_t align, const void *tag);

/* std::get_new_handler() and std::__throw_bad_alloc(). */
extern get_handler get_new_handler __asm__("_ZSt15get_new_handlerv")
    __attribute__((weak));
extern function throw_bad_alloc __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak));

/* Weak so that static programs do without. */
extern __typeof__(dlopen) dlopen __attribute__((weak));
extern __typeof__(dlsym) dlsym __attribute__((weak));

/* A function of libstdc++, whatever other libraries define by that name; or NULL. */
static mole_slow function *find(const char *name)
{
    if (!MOLE_IS_SYSTEM_MALLOC || !dlopen || !dlsym)
        return NULL;
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return library ? (function *)(uintptr_t)dlsym(library, name) : NULL;
}

/* `align` 0: none is asked for. */
static void *allocate(size_t bytes, size_t align)
{
    if (align <= 16)
        return MALLOC_NAME(malloc)(bytes);
    /* Others are no alignments in C++, unlike in aligned_alloc. */
    return align & (align - 1) ? NULL : MALLOC_NAME(aligned_alloc)(align, bytes);
}

/* Call the new_handler until there is memory, or none is left to call: NULL. */
static mole_slow void *retry(size_t bytes, size_t align)
{
    get_handler *get =
        get_new_handler ? get_new_handler : (get_handler *)find("_ZSt15get_new_handlerv");
    if (!get || (align & (align - 1)))
        return NULL;
    void *block = NULL;
    for (function *handler = get(); handler && !block; handler = get()) {
        handler();
        block = allocate(bytes, align);
    }
    return block;
}

static mole_slow void *retry_or_throw(size_t bytes, size_t align)
{
    void *block = retry(bytes, align);
    if (block)
        return block;
    function *throw =
        throw_bad_alloc ? throw_bad_alloc : find("_ZSt17__throw_bad_allocv");
    if (throw)
        throw();
    mole_die("operator new(%lu) failed, and nobody can throw bad_alloc", bytes);
}

static void *new (size_t bytes, size_t align)
{
    void *block = allocate(bytes, align);
    return likely(block != NULL) ? block : retry_or_throw(bytes, align);
}

#define ignored __attribute__((unused))
#define NEW(name, ...)                                                   \
    MOLE_EXPORT __attribute__((weak)) void *OPERATOR(name)(__VA_ARGS__); \
    void *OPERATOR(name)(__VA_ARGS__)
#define DELETE(name, ...)                                               \
    MOLE_EXPORT __attribute__((weak)) void OPERATOR(name)(__VA_ARGS__); \
    void OPERATOR(name)(__VA_ARGS__)

NEW(_Znwm, size_t bytes)
{
    return new (bytes, 0);
}

NEW(_Znam, size_t bytes)
{
    return OPERATOR(_Znwm)(bytes);
}

NEW(_ZnwmSt11align_val_t, size_t bytes, size_t align)
{
    return new (bytes, align);
}

NEW(_ZnamSt11align_val_t, size_t bytes, size_t align)
{
    return OPERATOR(_ZnwmSt11align_val_t)(bytes, align);
}

/*
 * The nothrow forms are operator new inside a try, for which C has no word. libstdc++'s
 * own are asked where a handler may throw or somebody replaced operator new; without it
 * the handlers are called here.
 */
static void *new_without_throw(new_plain *throwing, bool is_ours, const char *name,
                               size_t bytes, const void *tag)
{
    void *block = is_ours ? allocate(bytes, 0) : NULL;
    if (likely(block != NULL))
        return block;
    new_nothrow *theirs = (new_nothrow *)find(name);
    if (theirs)
        return theirs(bytes, tag);
    return is_ours ? retry(bytes, 0) : throwing(bytes);
}

static void *new_aligned_without_throw(new_aligned *throwing, bool is_ours,
                                       const char *name, size_t bytes, size_t align,
                                       const void *tag)
{
    void *block = is_ours ? allocate(bytes, align) : NULL;
    if (likely(block != NULL))
        return block;
    new_aligned_nothrow *theirs = (new_aligned_nothrow *)find(name);
    if (theirs)
        return theirs(bytes, align, tag);
    return is_ours ? retry(bytes, align) : throwing(bytes, align);
}

/* What the names above mean unless they are replaced. */
#define OUR(type, alias_name, name) \
    static type alias_name __attribute__((alias(TEXT_OF(OPERATOR(name)))))
OUR(new_plain, our_new, _Znwm);
OUR(new_plain, our_new_array, _Znam);
OUR(new_aligned, our_new_aligned, _ZnwmSt11align_val_t);
OUR(new_aligned, our_new_array_aligned, _ZnamSt11align_val_t);

NEW(_ZnwmRKSt9nothrow_t, size_t bytes, const void *tag)
{
    bool is_ours = OPERATOR(_Znwm) == our_new;
    return new_without_throw(OPERATOR(_Znwm), is_ours, "_ZnwmRKSt9nothrow_t", bytes, tag);
}

NEW(_ZnamRKSt9nothrow_t, size_t bytes, const void *tag)
{
    bool is_ours = OPERATOR(_Znwm) == our_new && OPERATOR(_Znam) == our_new_array;
    return new_without_throw(OPERATOR(_Znam), is_ours, "_ZnamRKSt9nothrow_t", bytes, tag);
}

NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, size_t bytes, size_t align, const void *tag)
{
    bool is_ours = OPERATOR(_ZnwmSt11align_val_t) == our_new_aligned;
    return new_aligned_without_throw(OPERATOR(_ZnwmSt11align_val_t), is_ours,
                                     "_ZnwmSt11align_val_tRKSt9nothrow_t", bytes, align,
                                     tag);
}

NEW(_ZnamSt11align_val_tRKSt9nothrow_t, size_t bytes, size_t align, const void *tag)
{
    bool is_ours = OPERATOR(_ZnwmSt11align_val_t) == our_new_aligned &&
                   OPERATOR(_ZnamSt11align_val_t) == our_new_array_aligned;
    return new_aligned_without_throw(OPERATOR(_ZnamSt11align_val_t), is_ours,
                                     "_ZnamSt11align_val_tRKSt9nothrow_t", bytes, align,
                                     tag);
}

DELETE(_ZdlPv, void *block)
{
    MALLOC_NAME(free)(block);
}

DELETE(_ZdaPv, void *block)
{
    OPERATOR(_ZdlPv)(block);
}

DELETE(_ZdlPvSt11align_val_t, void *block, ignored size_t align)
{
    MALLOC_NAME(free)(block);
}

DELETE(_ZdaPvSt11align_val_t, void *block, size_t align)
{
    OPERATOR(_ZdlPvSt11align_val_t)(block, align);
}

DELETE(_ZdlPvm, void *block, ignored size_t bytes)
{
    OPERATOR(_ZdlPv)(block);
}

DELETE(_ZdaPvm, void *block, ignored size_t bytes)
{
    OPERATOR(_ZdaPv)(block);
}

DELETE(_ZdlPvRKSt9nothrow_t, void *block, ignored const void *tag)
{
    OPERATOR(_ZdlPv)(block);
}

DELETE(_ZdaPvRKSt9nothrow_t, void *block, ignored const void *tag)
{
    OPERATOR(_ZdaPv)(block);
}

DELETE(_ZdlPvmSt11align_val_t, void *block, ignored size_t bytes, size_t align)
{
    OPERATOR(_ZdlPvSt11align_val_t)(block, align);
}

DELETE(_ZdaPvmSt11align_val_t, void *block, ignored size_t bytes, size_t align)
{
    OPERATOR(_ZdaPvSt11align_val_t)(block, align);
}

DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, void *block, size_t align,
       ignored const void *tag)
{
    OPERATOR(_ZdlPvSt11align_val_t)(block, align);
}

DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, void *block, size_t align,
       ignored const void *tag)
{
    OPERATOR(_ZdaPvSt11align_val_t)(block, align);
}
