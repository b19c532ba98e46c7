/* SPDX-License-Identifier: MIT */
/*
 * What malloc tells of itself follows what is allocated; for run_malloc_figures.py, which
 * preloads the library.
 *
 * usage: malloc_figures info       malloc_info before, with and after blocks, on stdout
 *        malloc_figures stats      malloc_stats likewise, on stderr
 *        malloc_figures check      mallinfo2, mallinfo
 *        malloc_figures trim       malloc_trim
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL = 1000, LARGE = 200000, COUNT = 200 };

static void *blocks[2 * COUNT];
static bool is_wrong;

static void check(bool is_right, const char *what)
{
    if (is_right)
        return;
    printf("FAILED: %s\n", what);
    is_wrong = true;
}

/* 40.2 MB, every page of them touched. */
static void take_blocks(void)
{
    for (size_t i = 0; i < 2 * COUNT; i++) {
        size_t bytes = i % 2 ? SMALL : LARGE;
        blocks[i] = malloc(bytes);
        if (!blocks[i])
            exit(1);
        memset(blocks[i], 1, bytes);
    }
}

static void give_blocks(void)
{
    for (size_t i = 0; i < 2 * COUNT; i++)
        free(blocks[i]);
}

static void print_info(void)
{
    check(malloc_info(0, stdout) == 0, "malloc_info");
    puts("--");
}

static void print_stats(void)
{
    malloc_stats();
}

static void print_thrice(void (*print)(void))
{
    print();
    take_blocks();
    print();
    give_blocks();
    print();
}

static void check_figures(void)
{
    struct mallinfo2 before = mallinfo2();
    take_blocks();
    struct mallinfo2 with = mallinfo2();
    struct mallinfo old = mallinfo();
    give_blocks();
    struct mallinfo2 after = mallinfo2();
    size_t bytes = (size_t)COUNT * (SMALL + LARGE);
    size_t grown = with.uordblks - before.uordblks;
    check(grown >= bytes && grown <= bytes + bytes / 8, "uordblks does not follow");
    check(after.uordblks == before.uordblks, "uordblks does not fall back");
    check(with.arena >= with.uordblks, "more is in use than there is");
    check(with.arena == with.uordblks + with.fordblks, "fordblks is not the rest");
    check(after.fordblks >= bytes, "what was freed is not in fordblks");
    check((size_t)old.uordblks == with.uordblks && (size_t)old.arena == with.arena &&
              (size_t)old.fordblks == with.fordblks,
          "mallinfo tells something else than mallinfo2");
}

/* Without malloc's help. */
static size_t resident(void)
{
    char line[200] = "";
    unsigned long pages = 0;
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    check(file >= 0 && read(file, line, sizeof line - 1) > 0, "/proc/self/statm");
    check(sscanf(line, "%*u %lu", &pages) == 1, "/proc/self/statm");
    close(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What was freed last is still there then: it takes two passes to give it back. */
static void check_trim(void)
{
    take_blocks();
    size_t with = resident();
    give_blocks();
    check(malloc_trim(0) == 1, "there was nothing to give back");
    size_t after = resident();
    check(after + (size_t)COUNT * LARGE / 2 < with, "the memory is still there");
    check(malloc_trim(0) == 0, "something was left to give back");
    take_blocks();
    give_blocks();
    check(malloc_trim(1 << 30) == 1, "there was nothing to give back again");
}

int main(int argc, char **argv)
{
    static char buffer[1 << 14];
    const char *what = argc > 1 ? argv[1] : "";
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (!strcmp(what, "info"))
        print_thrice(print_info);
    else if (!strcmp(what, "stats"))
        print_thrice(print_stats);
    else if (!strcmp(what, "check"))
        check_figures();
    else if (!strcmp(what, "trim"))
        check_trim();
    else
        return 2;
    return is_wrong ? 1 : 0;
}
