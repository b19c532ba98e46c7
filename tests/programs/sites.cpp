/* SPDX-License-Identifier: MIT */
/*
 * A program for run_top_sites.py: functions that allocate, and what they allocated, to
 * be compared with what the spy top-sites estimates.
 *
 * stdin: "work" does it, and prints a line a function: its name, bytes allocated and
 * still live as asked for, the same as the blocks may use, blocks. "fork" lets a child
 * allocate and exit. "end" ends.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#define NOINLINE __attribute__((noinline))

namespace {
enum { THREADS = 2, BLOCKS = 20000, SMALL = 2000 };

/* A call must stay one: nothing comes after a tail call. */
void *keep(void *block)
{
    __asm__ volatile("" : "+r"(block)::"memory");
    return block;
}

NOINLINE void *in_the_file_only(size_t bytes)
{
    return keep(calloc(1, bytes));
}
} // namespace

namespace grabber {
NOINLINE void *grab(size_t bytes)
{
    return keep(malloc(bytes));
}
} // namespace grabber

extern "C" NOINLINE void *grow(void *block, size_t bytes)
{
    return keep(realloc(block, bytes));
}

/* Not of one text with grow: the compiler would make them one. */
extern "C" NOINLINE void *shrink_to(void *block, size_t bytes)
{
    return block ? keep(realloc(block, bytes)) : nullptr;
}

namespace {
/* In bytes as asked for, and as the blocks may use. */
struct figures {
    size_t bytes[2] = {0, 0};
    size_t live[2] = {0, 0};
    size_t blocks = 0;

    void add(void *block, size_t asked)
    {
        size_t counts[2] = {asked, malloc_usable_size(block)};
        for (size_t i = 0; i < 2; i++) {
            bytes[i] += counts[i];
            live[i] += counts[i];
        }
        blocks++;
    }

    /* It gets less: that is no allocation. */
    void *shrink(void *block, size_t asked, size_t less)
    {
        drop(block, asked);
        block = shrink_to(block, less);
        live[0] += less;
        live[1] += malloc_usable_size(block);
        return block;
    }

    void drop(void *block, size_t asked)
    {
        live[0] -= asked;
        live[1] -= malloc_usable_size(block);
    }
};

/* What one thread did, and the blocks it left to others. */
struct part {
    enum { IN_FILE, GRABBED, GROWN, KINDS };
    figures sums[KINDS];
    std::vector<void *> blocks[KINDS];

    part()
    {
        for (auto &kind : blocks)
            kind.reserve(BLOCKS);
    }

    static size_t size(size_t kind, size_t i)
    {
        return kind == IN_FILE ? i % 500 + 1
               : kind == GROWN ? i % 9000 + 3000
                               : i % 7000 + 1000;
    }

    /* Of the grown ones, half get less again; of these, half are freed. */
    static bool is_shrunk(size_t kind, size_t i)
    {
        return kind == GROWN && i % 4 < 2;
    }

    void keep(size_t kind, size_t i, void *block)
    {
        blocks[kind].push_back(block);
        sums[kind].add(block, size(kind, i));
    }

    void fill()
    {
        for (size_t i = 0; i < BLOCKS; i++) {
            keep(IN_FILE, i, in_the_file_only(size(IN_FILE, i)));
            keep(GRABBED, i, grabber::grab(size(GRABBED, i)));
            void *small = in_the_file_only(SMALL);
            sums[IN_FILE].add(small, SMALL);
            sums[IN_FILE].drop(small, SMALL);
            keep(GROWN, i, grow(small, size(GROWN, i)));
            if (is_shrunk(GROWN, i))
                blocks[GROWN][i] =
                    sums[GROWN].shrink(blocks[GROWN][i], size(GROWN, i), SMALL);
        }
    }

    /* Every second block; by another thread than the one that allocated it. */
    void free_half()
    {
        for (size_t kind = 0; kind < KINDS; kind++)
            for (size_t i = 0; i < BLOCKS; i += 2) {
                sums[kind].drop(blocks[kind][i],
                                is_shrunk(kind, i) ? size_t(SMALL) : size(kind, i));
                free(blocks[kind][i]);
            }
    }
};

void print(const char *name, size_t kind, const part *parts)
{
    figures sum;
    for (size_t i = 0; i < THREADS; i++) {
        for (size_t k = 0; k < 2; k++) {
            sum.bytes[k] += parts[i].sums[kind].bytes[k];
            sum.live[k] += parts[i].sums[kind].live[k];
        }
        sum.blocks += parts[i].sums[kind].blocks;
    }
    printf("%s %zu %zu %zu %zu %zu\n", name, sum.bytes[0], sum.live[0], sum.bytes[1],
           sum.live[1], sum.blocks);
}

void work()
{
    static part parts[THREADS];
    std::thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        threads[i] = std::thread([i] { parts[i].fill(); });
    for (auto &thread : threads)
        thread.join();
    for (auto &one : parts)
        one.free_half();
    print("in_the_file_only", part::IN_FILE, parts);
    print("grab", part::GRABBED, parts);
    print("grow", part::GROWN, parts);
    puts("done");
}

void fork_once()
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        for (size_t i = 0; i < 1000; i++)
            free(grabber::grab(i));
        exit(7);
    }
    waitpid(child, &status, 0);
    printf("%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}
} // namespace

int main()
{
    char line[64];
    puts("up");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n") != 0) {
        if (strcmp(line, "work\n") == 0)
            work();
        else if (strcmp(line, "fork\n") == 0)
            fork_once();
        fflush(stdout);
    }
    return 0;
}
