/* SPDX-License-Identifier: MIT */
/*
 * Open libmolehill late, when other libraries have taken much of the static TLS that the
 * dynamic linker keeps for such; use it in threads that were there before and in new
 * ones; close it.
 *
 * usage: late_dlopen LIBRARY... libmolehill.so.0 libmolehill-malloc.so.0
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void *heap_create(uint32_t flags, size_t initial, size_t most);
typedef void *heap_alloc(void *heap, uint32_t flags, size_t bytes);
typedef int32_t heap_free(void *heap, uint32_t flags, void *block);

static heap_create *create;
static heap_alloc *allocate;
static heap_free *release;
static void *(*malloc_of_ours)(size_t);
static void (*free_of_ours)(void *);
static atomic_bool is_open;
static atomic_uint failed;

static void check(int is_right, const char *what)
{
    if (is_right)
        return;
    printf("FAILED: %s\n", what);
    atomic_fetch_add(&failed, 1);
}

static void use(void)
{
    void *heap = create(0, 0, 0);
    check(heap != NULL, "HeapCreate");
    for (size_t i = 0; heap && i < 5000; i++) {
        char *block = allocate(heap, 8, i % 3000);
        check(block && (i % 3000 == 0 || block[0] == 0), "HeapAlloc");
        check(release(heap, 0, block), "HeapFree");
        char *other = malloc_of_ours(i % 3000 + 1);
        check(other != NULL, "malloc");
        if (other)
            memset(other, 1, i % 3000 + 1);
        free_of_ours(other);
    }
}

/* A thread that was there before the library. */
static void *wait_and_use(void *argument)
{
    while (!atomic_load(&is_open))
        usleep(1000);
    use();
    return argument;
}

static void *use_at_once(void *argument)
{
    use();
    return argument;
}

static void *open_library(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        printf("FAILED: %s\n", dlerror());
    check(library != NULL, path);
    return library;
}

static void *find(void *library, const char *name)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    check(symbol != NULL, name);
    return symbol;
}

int main(int argc, char **argv)
{
    pthread_t old, new;
    if (argc < 3)
        return 2;
    pthread_create(&old, NULL, wait_and_use, NULL);
    for (int i = 1; i < argc - 2; i++)
        (void)open_library(argv[i]);
    void *core = open_library(argv[argc - 2]);
    void *malloc_library = open_library(argv[argc - 1]);
    create = (heap_create *)(uintptr_t)find(core, "mh_HeapCreate");
    allocate = (heap_alloc *)(uintptr_t)find(core, "mh_HeapAlloc");
    release = (heap_free *)(uintptr_t)find(core, "mh_HeapFree");
    malloc_of_ours = (void *(*)(size_t))(uintptr_t)find(malloc_library, "malloc");
    free_of_ours = (void (*)(void *))(uintptr_t)find(malloc_library, "free");
    check((void *)(uintptr_t)malloc_of_ours != (void *)(uintptr_t)malloc,
          "dlsym found another malloc");
    if (atomic_load(&failed))
        return 1;
    atomic_store(&is_open, true);
    pthread_create(&new, NULL, use_at_once, NULL);
    use();
    pthread_join(new, NULL);
    /* It stays, for the threads that used it have yet to end. */
    dlclose(malloc_library);
    dlclose(core);
    pthread_join(old, NULL);
    pthread_create(&new, NULL, use_at_once, NULL);
    pthread_join(new, NULL);
    puts(atomic_load(&failed) ? "bad" : "good");
    return atomic_load(&failed) ? 1 : 0;
}
