/* SPDX-License-Identifier: MIT */
/*
 * record: writes what a program allocates and frees to a file, to be replayed on this
 * and other allocators: docs/traces.md.
 *
 *   molehill attach PROCESS record.so file:PATH [on:all]
 *   molehill detach PROCESS record
 *
 * Callbacks take no lock, allocate nothing and wait for nobody; one in thousands of a
 * thread's writes to the file.
 */
#include "observers/record.h"

#include <molehill/spy_module.h>
#include <stdio.h>
#include <string.h>

#include "observers/lanes.h"
#include "observers/trace_file.h"

static void on_allocated(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    lanes_note(&(struct event){TRACE_ALLOC, (uintptr_t)heap, 0, (uintptr_t)block, bytes});
}

static void on_freed(void *context, void *heap, void *block, size_t bytes)
{
    (void)context;
    (void)bytes;
    lanes_note(&(struct event){TRACE_FREE, (uintptr_t)heap, 0, (uintptr_t)block, 0});
}

static void on_reallocated(void *context, void *heap, void *old_block, size_t old_bytes,
                           void *block, size_t bytes)
{
    (void)context;
    (void)old_bytes;
    lanes_note(&(struct event){TRACE_REALLOC, (uintptr_t)heap, (uintptr_t)old_block,
                               (uintptr_t)block, bytes});
}

static void on_heap_created(void *context, void *heap)
{
    (void)context;
    lanes_note(&(struct event){TRACE_HEAP_CREATED, (uintptr_t)heap, 0, 0, 0});
}

static void on_heap_destroyed(void *context, void *heap)
{
    (void)context;
    lanes_note(&(struct event){TRACE_HEAP_DESTROYED, (uintptr_t)heap, 0, 0, 0});
}

/* Of malloc's blocks the other callbacks hear the room, not what was asked for. */
static int on_asked(void *context, void *heap, size_t bytes)
{
    (void)context;
    lanes_ask((uintptr_t)heap, bytes);
    return 1;
}

static const struct mh_spy spy = {
    .size = sizeof spy,
    .name = "record",
    .allocated = on_allocated,
    .freed = on_freed,
    .reallocated = on_reallocated,
    .heap_created = on_heap_created,
    .heap_destroyed = on_heap_destroyed,
    .may_allocate = on_asked,
};

const unsigned mh_spy_module_version = MH_SPY_MODULE_VERSION;

/* Begun, and not ended: whoever attaches and detaches. */
static bool is_begun;

/* One word. False: it is none that is known. */
static bool take_word(const char *word, void **heap, const char **path)
{
    bool is_of_all = strcmp(word, "on:all") == 0;
    if (is_of_all)
        *heap = MH_SPY_ALL;
    if (strncmp(word, "file:", 5) == 0)
        *path = word + 5;
    return is_of_all || strcmp(word, "on:malloc") == 0 || *path == word + 5;
}

const struct mh_spy *record_begin(const char *words, void **heap, char *error,
                                  size_t error_bytes)
{
    char text[4200];
    char *rest = NULL;
    const char *path = NULL;
    if (is_begun) {
        snprintf(error, error_bytes, "a recording is under way: %.200s",
                 trace_file_path());
        return NULL;
    }
    if (strlen(words) >= sizeof text) {
        snprintf(error, error_bytes, "too many arguments");
        return NULL;
    }
    memcpy(text, words, strlen(words) + 1);
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        if (!take_word(word, heap, &path)) {
            snprintf(error, error_bytes, "%.40s: it takes file:PATH on:malloc|all", word);
            return NULL;
        }
    if (!path) {
        snprintf(error, error_bytes, "where to? it takes file:PATH on:malloc|all");
        return NULL;
    }
    lanes_clear();
    if (!trace_file_open(path, error, error_bytes))
        return NULL;
    is_begun = true;
    return &spy;
}

bool record_is_under_way(void)
{
    return is_begun && trace_file_is_ours();
}

void record_end(char *text, size_t text_bytes)
{
    struct trace_header header = {.lanes = 0};
    text[0] = '\0';
    if (!record_is_under_way())
        return;
    is_begun = false;
    lanes_finish(&header);
    const char *why = trace_file_finish(&header);
    if (why)
        snprintf(text, text_bytes, "record: %.3900s is not whole: %s\n",
                 trace_file_path(), why);
    else
        snprintf(text, text_bytes,
                 "record: %llu events of %u threads, %llu lost, %llu bytes: %.3900s\n",
                 (unsigned long long)header.events, header.lanes,
                 (unsigned long long)header.lost, (unsigned long long)header.bytes,
                 trace_file_path());
}

const struct mh_spy *mh_spy_module_start(const char *args, void **heap, char *error,
                                         size_t error_bytes)
{
    return record_begin(args, heap, error, error_bytes);
}

void mh_spy_module_stop(void (*write)(void *to, const char *text, size_t bytes), void *to)
{
    char text[4200];
    record_end(text, sizeof text);
    write(to, text, strlen(text));
}
