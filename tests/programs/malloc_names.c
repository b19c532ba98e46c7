/* SPDX-License-Identifier: MIT */
/*
 * Blocks that one entry of the malloc family gives are taken back by any other; for
 * run_malloc_rules.py.
 *
 * usage: malloc_names          the names that glibc has
 *        malloc_names ours     and those that it has not
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static volatile size_t none = 0;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void __libc_free(void *block);
void *__libc_memalign(size_t align, size_t bytes);
void *__libc_valloc(size_t bytes);
void *__libc_pvalloc(size_t bytes);
struct mallinfo __libc_mallinfo(void);

typedef void *take(void);

static void *take_posix_memalign(void)
{
    void *block = NULL;
    return posix_memalign(&block, 64, 200) ? NULL : block;
}

static void *take_malloc(void)
{
    return malloc(200);
}
static void *take_calloc(void)
{
    return calloc(2, 100);
}
static void *take_realloc(void)
{
    return realloc(malloc(10), 200);
}
static void *take_reallocarray(void)
{
    return reallocarray(NULL, 2, 100);
}
static void *take_aligned_alloc(void)
{
    return aligned_alloc(64, 200);
}
static void *take_memalign(void)
{
    return memalign(2048, 200);
}
static void *take_valloc(void)
{
    return valloc(200);
}
static void *take_pvalloc(void)
{
    return pvalloc(200);
}
static void *take_libc_malloc(void)
{
    return __libc_malloc(200);
}
static void *take_libc_calloc(void)
{
    return __libc_calloc(2, 100);
}
static void *take_libc_realloc(void)
{
    return __libc_realloc(NULL, 200);
}
static void *take_libc_memalign(void)
{
    return __libc_memalign(64, 200);
}
static void *take_libc_valloc(void)
{
    return __libc_valloc(200);
}
static void *take_libc_pvalloc(void)
{
    return __libc_pvalloc(200);
}

static take *const takes[] = {
    take_malloc,        take_calloc,       take_realloc,        take_reallocarray,
    take_aligned_alloc, take_memalign,     take_valloc,         take_pvalloc,
    take_libc_malloc,   take_libc_calloc,  take_libc_realloc,   take_libc_memalign,
    take_libc_valloc,   take_libc_pvalloc, take_posix_memalign,
};

static void give_realloc(void *block)
{
    free(realloc(block, 5000));
}
static void give_libc_realloc(void *block)
{
    __libc_free(__libc_realloc(block, 5000));
}
static void give_to_0(void *block)
{
    free(realloc(block, none));
}

/* Whoever gave the block, whoever takes it back. */
static void mix(void)
{
    void (*const gives[])(void *) = {free, __libc_free, give_realloc, give_libc_realloc,
                                     give_to_0};
    size_t count = 0;
    for (size_t i = 0; i < LENGTH(takes); i++)
        for (size_t j = 0; j < LENGTH(gives); j++) {
            void *block = takes[i]();
            if (!block || malloc_usable_size(block) < 200)
                printf("entry %zu: no block of 200 bytes\n", i);
            gives[j](block);
            count += block != NULL;
        }
    printf("%zu blocks given by one entry were freed by another\n", count);
}

static void *find(const char *name)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);
    if (!symbol) {
        printf("%s is missing\n", name);
        exit(1);
    }
    return symbol;
}

/* The names that glibc 2.36 has not, or only for old programs. */
static int free_by_names(void)
{
    void (*cfree_it)(void *) = (void (*)(void *))(uintptr_t)find("cfree");
    void (*sized)(void *, size_t) =
        (void (*)(void *, size_t))(uintptr_t)find("free_sized");
    void (*aligned_sized)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))(uintptr_t)find("free_aligned_sized");
    int (*get_aligned)(void **, size_t, size_t) =
        (int (*)(void **, size_t, size_t))(uintptr_t)find("__posix_memalign");
    size_t before = mallinfo2().uordblks;
    bool is_right = (size_t)(unsigned)__libc_mallinfo().uordblks == before;
    for (size_t i = 0; i < LENGTH(takes); i++) {
        cfree_it(takes[i]());
        sized(takes[i](), 200);
    }
    aligned_sized(take_aligned_alloc(), 64, 200);
    void *block = NULL;
    is_right = is_right && get_aligned(&block, 24, 100) == EINVAL && !block;
    is_right = is_right && get_aligned(&block, 256, 100) == 0 &&
               (uintptr_t)block % 256 == 0 && mallinfo2().uordblks > before;
    errno = EXDEV;
    sized(block, 100);
    cfree_it(NULL);
    sized(NULL, 0);
    aligned_sized(NULL, 0, 0);
    is_right = is_right && errno == EXDEV;
    size_t left = mallinfo2().uordblks - before;
    printf("%s, %zu bytes are left\n", is_right ? "good" : "wrong", left);
    return is_right && left == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static char buffer[1 << 12];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (argc > 1)
        return strcmp(argv[1], "ours") == 0 ? free_by_names() : 2;
    mix();
    return 0;
}
