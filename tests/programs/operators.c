/* SPDX-License-Identifier: MIT */
/*
 * C++ operators in a program of C, which has no libstdc++; for run_operators.py, which
 * preloads the library.
 *
 * usage: operators all             every form gives and takes blocks
 *        operators nothrow         those that give NULL when there is no memory
 *        operators absurd NAME     what NAME does with a size that nobody has
 *        operators exhaust         operator new until there is no memory
 *        operators late LIBRARY    a library of C++ catches bad_alloc
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t too_much = PTRDIFF_MAX - 4096;
static bool is_wrong;

typedef void *new_1(size_t bytes);
typedef void *new_2(size_t bytes, size_t more);
typedef void *new_3(size_t bytes, size_t align, const void *tag);
typedef void delete_1(void *block);
typedef void delete_2(void *block, size_t more);
typedef void delete_3(void *block, size_t more, size_t still_more);

static void check(bool is_right, const char *what)
{
    if (is_right)
        return;
    printf("FAILED: %s\n", what);
    is_wrong = true;
}

static uintptr_t find(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    if (!symbol) {
        printf("FAILED: %s is missing\n", name);
        exit(1);
    }
    return (uintptr_t)symbol;
}

/* Of an aligned one the alignment is 256. */
static void *call_new(const char *name, size_t bytes)
{
    static const char tag;
    bool is_aligned = strstr(name, "align_val_t"), is_tagged = strstr(name, "nothrow_t");
    uintptr_t symbol = find(name);
    if (is_aligned && is_tagged)
        return ((new_3 *)symbol)(bytes, 256, &tag);
    if (is_aligned || is_tagged)
        return ((new_2 *)symbol)(bytes, is_aligned ? 256 : (uintptr_t)&tag);
    return ((new_1 *)symbol)(bytes);
}

/* The block has 100 bytes; the order of size, alignment and tag is that of the name. */
static void call_delete(const char *name, void *block)
{
    bool is_aligned = strstr(name, "align_val_t"), is_tagged = strstr(name, "nothrow_t");
    bool is_sized = name[strlen("_ZdlPv")] == 'm';
    uintptr_t symbol = find(name);
    if (is_aligned && (is_sized || is_tagged))
        ((delete_3 *)symbol)(block, is_sized ? 100 : 256, is_sized ? 256 : 0);
    else if (is_aligned || is_sized || is_tagged)
        ((delete_2 *)symbol)(block, is_sized ? 100 : 256);
    else
        ((delete_1 *)symbol)(block);
}

static const char *const news[] = {
    "_Znwm",
    "_Znam",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
};
static const char *const deletes[] = {
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
};
enum {
    NEWS = sizeof news / sizeof news[0],
    DELETES = sizeof deletes / sizeof deletes[0]
};

static void all_forms(void)
{
    for (size_t i = 0; i < NEWS; i++)
        for (size_t j = 0; j < DELETES; j++) {
            void *block = call_new(news[i], 100);
            size_t align = strstr(news[i], "align_val_t") ? 256 : 16;
            check(block && (uintptr_t)block % align == 0, news[i]);
            memset(block, 1, 100);
            call_delete(deletes[j], block);
            call_delete(deletes[j], NULL);
        }
}

static void nothrow_forms(void)
{
    for (size_t i = 0; i < NEWS; i++)
        if (strstr(news[i], "nothrow_t")) {
            check(!call_new(news[i], too_much), news[i]);
            check(call_new(news[i], 100), news[i]);
        }
}

static void exhaust(void)
{
    size_t count = 0;
    for (;;) {
        char *block = call_new("_Znwm", 1 << 20);
        block[0] = 1;
        count++;
        if (count % 64 == 0) {
            printf("%zu\n", count);
            fflush(stdout);
        }
    }
}

static void late(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "try_operators") : NULL;
    if (!symbol) {
        printf("FAILED: %s\n", dlerror());
        exit(1);
    }
    int (*try_operators)(void) = (int (*)(void))(uintptr_t)symbol;
    check(try_operators() == 0, "the library of C++ did not get what it expects");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    check(!dlsym(RTLD_DEFAULT, "__cxa_throw"), "libstdc++ is here");
    if (!strcmp(what, "all"))
        all_forms();
    else if (!strcmp(what, "nothrow"))
        nothrow_forms();
    else if (!strcmp(what, "absurd") && argc > 2)
        printf("%p\n", call_new(argv[2], too_much));
    else if (!strcmp(what, "exhaust"))
        exhaust();
    else if (!strcmp(what, "late") && argc > 2)
        late(argv[2]);
    else
        return 2;
    puts(is_wrong ? "wrong" : "good");
    return is_wrong ? 1 : 0;
}
