/* SPDX-License-Identifier: MIT */
/*
 * The malloc family at its edges: what each call answers and what errno is then. Run with
 * the library preloaded and without, by run_malloc_rules.py; glibc's answers are the
 * right ones.
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* Sizes that the compiler does not know. */
static volatile size_t most = PTRDIFF_MAX, too_much = (size_t)PTRDIFF_MAX + 1;
static volatile size_t all = SIZE_MAX, top = (size_t)1 << 63;
static volatile size_t half = (size_t)1 << 32, none = 0;
static volatile int out_of_range = 99;

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *block, size_t bytes);
void __libc_free(void *block);
void *__libc_memalign(size_t align, size_t bytes);
void *__libc_valloc(size_t bytes);
void *__libc_pvalloc(size_t bytes);
int __libc_mallopt(int parameter, int value);

static const char *errno_name(int code)
{
    switch (code) {
    case EXDEV:
        return "kept";
    case ENOMEM:
        return "ENOMEM";
    case EINVAL:
        return "EINVAL";
    case 0:
        return "0";
    default:
        return strerrorname_np(code);
    }
}

/* All of it is written; errno is kept by free. */
static void say_block(const char *call, unsigned char *block, size_t bytes, size_t align)
{
    const char *after = errno_name(errno);
    bool is_aligned = (uintptr_t)block % align == 0;
    if (block)
        memset(block, 0x5a, bytes);
    errno = EXDEV;
    free(block);
    printf("%s: %s%s, errno %s, after free %s\n", call, block ? "a block" : "NULL",
           is_aligned ? "" : " that is not aligned", after, errno_name(errno));
}

static void say_number(const char *call, size_t number)
{
    printf("%s: %zu, errno %s\n", call, number, errno_name(errno));
}

/* A block of `bytes` that is aligned to `align`, or NULL. */
#define BLOCK(bytes, align, call) (errno = EXDEV, say_block(#call, call, bytes, align))
#define NUMBER(call) (errno = EXDEV, say_number(#call, (size_t)(call)))

static void sizes(void)
{
    BLOCK(0, 16, malloc(none));
    BLOCK(100, 16, malloc(100));
    BLOCK(5000, 16, malloc(5000));
    BLOCK(100000, 16, malloc(100000));
    BLOCK(0, 16, malloc(most - 4096));
    BLOCK(0, 16, malloc(most));
    BLOCK(0, 16, malloc(too_much));
    BLOCK(0, 16, malloc(all));
    BLOCK(0, 16, calloc(none, all));
    BLOCK(0, 16, calloc(all, none));
    BLOCK(300, 16, calloc(3, 100));
    BLOCK(300000, 16, calloc(3000, 100));
    BLOCK(0, 16, calloc(all, 2));
    BLOCK(0, 16, calloc(half, half));
    BLOCK(0, 16, calloc(most, 1));
    BLOCK(0, 16, calloc(1, too_much));
    BLOCK(100, 16, __libc_malloc(100));
    BLOCK(0, 16, __libc_malloc(too_much));
    BLOCK(300, 16, __libc_calloc(3, 100));
    BLOCK(0, 16, __libc_calloc(all, 2));
}

static void alignments(void)
{
    BLOCK(100, 32, aligned_alloc(none + 24, 100));
    BLOCK(100, 128, aligned_alloc(none + 100, 100));
    BLOCK(100, 8192, aligned_alloc(none + 4097, 100));
    BLOCK(100, 16, aligned_alloc(none, 100));
    BLOCK(100, 16, aligned_alloc(1, 100));
    BLOCK(100, 16, aligned_alloc(none + 3, 100));
    BLOCK(100, 4096, aligned_alloc(4096, 100));
    BLOCK(100, 1 << 20, aligned_alloc(1 << 20, 100));
    BLOCK(0, 64, aligned_alloc(64, none));
    BLOCK(0, 16, aligned_alloc(1, all));
    BLOCK(0, 64, aligned_alloc(64, most));
    BLOCK(0, 64, aligned_alloc(64, too_much));
    BLOCK(0, 1, aligned_alloc(top / 2, 100));
    BLOCK(0, 1, aligned_alloc(top / 2 + 1, 100));
    BLOCK(0, 1, aligned_alloc(top, 100));
    BLOCK(0, 1, aligned_alloc(top, none));
    BLOCK(0, 1, aligned_alloc(top + 1, 100));
    BLOCK(0, 1, aligned_alloc(top + 1, too_much));
    BLOCK(0, 1, aligned_alloc(all, 100));
    BLOCK(100, 32, memalign(none + 24, 100));
    BLOCK(100, 16, memalign(none, 100));
    BLOCK(100, 512, memalign(none + 257, 100));
    BLOCK(0, 64, memalign(64, too_much));
    BLOCK(0, 1, memalign(top, 100));
    BLOCK(0, 1, memalign(top + 1, 100));
    BLOCK(0, 1, memalign(all, all));
    BLOCK(100, 32, __libc_memalign(none + 24, 100));
    BLOCK(0, 1, __libc_memalign(top, 100));
    BLOCK(0, 1, __libc_memalign(top + 1, 100));
}

static void pages(void)
{
    BLOCK(0, 4096, valloc(none));
    BLOCK(5000, 4096, valloc(5000));
    BLOCK(0, 4096, valloc(most - 4096));
    BLOCK(0, 4096, valloc(most));
    BLOCK(0, 4096, valloc(too_much));
    BLOCK(0, 4096, valloc(all));
    BLOCK(0, 4096, pvalloc(none));
    BLOCK(8192, 4096, pvalloc(5000));
    BLOCK(0, 4096, pvalloc(most - 4096));
    BLOCK(0, 4096, pvalloc(most));
    BLOCK(0, 4096, pvalloc(too_much));
    BLOCK(0, 4096, pvalloc(all - 4095));
    BLOCK(0, 4096, pvalloc(all - 4094));
    BLOCK(0, 4096, pvalloc(all));
    BLOCK(5000, 4096, __libc_valloc(5000));
    BLOCK(0, 4096, __libc_valloc(too_much));
    BLOCK(8192, 4096, __libc_pvalloc(5000));
    BLOCK(0, 4096, __libc_pvalloc(all));
}

/* Its answer, and what it stored: a failure stores nothing. */
static void say_posix_memalign(size_t align, size_t bytes)
{
    void *block = &block;
    errno = EXDEV;
    int answer = posix_memalign(&block, align, bytes);
    const char *after = errno_name(errno);
    bool is_kept = block == &block;
    printf("posix_memalign(%zu, %zu): %s, errno %s, stored %s\n", align, bytes,
           answer ? errno_name(answer) : "0", after,
           is_kept                         ? "nothing"
           : !block                        ? "NULL"
           : (uintptr_t)block % align == 0 ? "a block"
                                           : "a block that is not aligned");
    if (!is_kept)
        free(block);
}

static void posix_memaligns(void)
{
    const size_t aligns[] = {none, 1,    4,    8,       12,  16, 24,
                             64,   4096, 4097, top / 2, top, all};
    const size_t bytes[] = {none, 100, most, too_much, all};
    for (size_t i = 0; i < LENGTH(aligns); i++)
        for (size_t j = 0; j < LENGTH(bytes); j++)
            say_posix_memalign(aligns[i], bytes[j]);
}

/* A block of 100 bytes, resized: what failed left it as it was. */
static void say_resize(const char *call, unsigned char *old, unsigned char *now,
                       size_t bytes)
{
    const char *after = errno_name(errno);
    bool is_freed = !now && bytes == 0;
    unsigned char *live = now ? now : is_freed ? NULL : old;
    bool is_intact = true;
    for (size_t i = 0; live && i < 100; i++)
        is_intact = is_intact && live[i] == 0x5a;
    errno = EXDEV;
    free(live);
    printf("%s: %s, errno %s, contents %s\n", call, now ? "a block" : "NULL", after,
           is_intact ? "kept" : "lost");
}

static unsigned char *volatile old; /* also after it was freed */

static unsigned char *get_old(void)
{
    unsigned char *block = malloc(100);
    if (!block)
        exit(1);
    old = memset(block, 0x5a, 100);
    return block;
}

/* Here `bytes` is 0 where the call frees. */
#define RESIZE(bytes, call) \
    (get_old(), errno = EXDEV, say_resize(#call, old, call, bytes))

static void resizes(void)
{
    RESIZE(100, realloc(old, 100));
    RESIZE(5000, realloc(old, 5000));
    RESIZE(500000, realloc(old, 500000));
    RESIZE(0, realloc(old, none));
    RESIZE(all, realloc(old, most));
    RESIZE(all, realloc(old, too_much));
    RESIZE(all, realloc(old, all));
    RESIZE(600, reallocarray(old, 6, 100));
    RESIZE(0, reallocarray(old, none, all));
    RESIZE(0, reallocarray(old, all, none));
    RESIZE(all, reallocarray(old, all, 2));
    RESIZE(all, reallocarray(old, half, half));
    RESIZE(all, reallocarray(old, most, 1));
    RESIZE(5000, __libc_realloc(old, 5000));
    RESIZE(0, __libc_realloc(old, none));
    RESIZE(all, __libc_realloc(old, all));
    BLOCK(0, 16, realloc(NULL, none));
    BLOCK(100, 16, realloc(NULL, 100));
    BLOCK(0, 16, realloc(NULL, all));
    BLOCK(0, 16, reallocarray(NULL, none, all));
    BLOCK(0, 16, reallocarray(NULL, all, all));
}

static void others(void)
{
    static const int parameters[] = {M_MXFAST,
                                     M_NLBLKS,
                                     M_GRAIN,
                                     M_KEEP,
                                     M_TRIM_THRESHOLD,
                                     M_TOP_PAD,
                                     M_MMAP_THRESHOLD,
                                     M_MMAP_MAX,
                                     M_CHECK_ACTION,
                                     M_PERTURB,
                                     M_ARENA_TEST,
                                     M_ARENA_MAX,
                                     -9,
                                     0,
                                     99};
    static const int values[] = {-1,  0,    1,       64,      160,
                                 161, 1000, 1 << 20, 1 << 25, INT32_MAX};
    NUMBER(malloc_usable_size(NULL));
    NUMBER(malloc_info(1, stderr));
    NUMBER(malloc_info(-1, stderr));
    NUMBER(__libc_mallopt(out_of_range, 1));
    errno = EXDEV;
    free(NULL);
    __libc_free(NULL);
    printf("free of NULL: errno %s\n", errno_name(errno));
    for (size_t i = 0; i < LENGTH(parameters); i++)
        for (size_t j = 0; j < LENGTH(values); j++) {
            errno = EXDEV;
            int answer = mallopt(parameters[i], values[j]);
            printf("mallopt(%d, %d): %d, errno %s\n", parameters[i], values[j], answer,
                   errno_name(errno));
        }
}

int main(void)
{
    static char buffer[1 << 16];
    int at_start = errno;
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    printf("errno at the start: %s\n", errno_name(at_start));
    sizes();
    alignments();
    pages();
    posix_memaligns();
    resizes();
    others();
    return 0;
}
