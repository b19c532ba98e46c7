/* SPDX-License-Identifier: MIT */
/*
 * HeapCreate's other flags, and bits that mean nothing (spec 1.2, 2.1): memory that may
 * be executed, flags that change nothing, unknown bits on every call.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <molehill/molehill.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oracle.h"
#include "workers.h"

#if defined(__x86_64__)
static const unsigned char stub[] = {0xC3};
#elif defined(__aarch64__)
static const unsigned char stub[] = {0xC0, 0x03, 0x5F, 0xD6};
#endif

/* A slab's, a slab's that fills a run, and large ones. */
static const size_t code_sizes[] = {16, 200, 3000, 30000, 100000, 2 * MIB};

static void call_stub_at(void *code)
{
    void (*function)(void);

    memcpy(code, stub, sizeof(stub));
    __builtin___clear_cache(code, (char *)code + sizeof(stub));
    memcpy(&function, &code, sizeof(function)); /* the cast that ISO C does not have */
    function();
}

/* The kernel's word on the page: "rwxp" and the like; "" where nothing is mapped. */
static const char *access_of(const void *address)
{
    static char access[8];
    unsigned long start, end;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");

    require(maps != NULL, "/proc/self/maps cannot be read");
    access[0] = '\0';
    while (fgets(line, sizeof(line), maps) != NULL) {
        char found[8];
        if (sscanf(line, "%lx-%lx %7s", &start, &end, found) == 3 &&
            (uintptr_t)address >= start && (uintptr_t)address < end)
            strcpy(access, found);
    }
    fclose(maps);
    return access;
}

/* Each of its pages. */
static void require_access(const void *block, size_t bytes, const char *access)
{
    for (size_t at = 0; at <= bytes; at += 64 << 10) {
        const char *page = (const char *)block + (at < bytes ? at : bytes - 1);
        require(strcmp(access_of(page), access) == 0, "a page of %zu bytes is %s, not %s",
                bytes, access_of(page), access);
    }
}

Test(heap_flags, case_086_code_in_an_executable_heap_runs)
{
    HANDLE heap = create_heap(HEAP_CREATE_ENABLE_EXECUTE);

    for (size_t i = 0; i < LENGTH(code_sizes); i++) {
        char *block = take(heap, 0, code_sizes[i]);
        call_stub_at(block);
        call_stub_at(block + code_sizes[i] - sizeof(stub));
        require_access(block, code_sizes[i], "rwxp");
    }
    destroy_heap(heap);
}

/* The child's end, when it calls code in the block. */
static int end_of_call(void *block)
{
    int status = 0;
    pid_t child = fork();

    require(child >= 0, "the test cannot fork");
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's own handler would end it otherwise */
        call_stub_at(block);
        _exit(0);
    }
    require(waitpid(child, &status, 0) == child, "the child is lost");
    return status;
}

/* The same of a heap of a fixed size, all of it, and only as long as it is there. */
Test(heap_flags, case_086_code_in_an_executable_heap_of_fixed_size_runs)
{
    const DWORD checks = HEAP_TAIL_CHECKING_ENABLED | HEAP_FREE_CHECKING_ENABLED;
    const DWORD kinds[] = {0, checks, checks | HEAP_CREATE_HARDENED};

    for (size_t i = 0; i < LENGTH(kinds); i++) {
        HANDLE heap = HeapCreate(HEAP_CREATE_ENABLE_EXECUTE | kinds[i], 0, 8 * MIB);
        require(heap != NULL, "HeapCreate failed");
        char *block = take(heap, 0, sizeof(stub));
        for (size_t bytes = sizeof(stub); bytes < 0x7FFF8; bytes = bytes * 2 + 5) {
            block = HeapReAlloc(heap, 0, block, bytes);
            require(block != NULL, "no growth to %zu bytes", bytes);
            call_stub_at(block);
            call_stub_at(block + bytes - sizeof(stub));
            require_access(block, bytes, "rwxp");
        }
        destroy_heap(heap);
        require(strcmp(access_of(block), "rwxp") != 0, "it outlives the heap");
        heap = HeapCreate(kinds[i], 0, 8 * MIB);
        block = take(heap, 0, 0x60000);
        require_access(block, 0x60000, "rw-p");
        destroy_heap(heap);
    }
}

HEAP_CASE(heap_flags, case_086_code_in_a_plain_heap_faults)
{
    const char *brief = getenv("MOLE_BRIEF");
    bool is_valgrind = brief != NULL && strcmp(brief, "2") == 0; /* ends it in its way */

    for (size_t i = 0; i < LENGTH(code_sizes); i++) {
        char *block = take(heap, 0, code_sizes[i]);
        int status = end_of_call(block);
        require(is_valgrind ? status != 0
                            : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
                "code in %zu bytes ended with 0x%x", code_sizes[i], (unsigned)status);
        require_access(block, code_sizes[i], "rw-p");
        give_back(heap, block);
    }
}

Test(heap_flags, a_block_that_grows_in_an_executable_heap_stays_executable)
{
    HANDLE heap = create_heap(HEAP_CREATE_ENABLE_EXECUTE);
    char *block = take(heap, 0, sizeof(stub));

    for (size_t bytes = 64; bytes <= 16 * MIB; bytes *= 2) {
        stamp(block, bytes / 64, bytes / 2);
        block = HeapReAlloc(heap, 0, block, bytes);
        require(block != NULL, "no growth to %zu bytes", bytes);
        require(stamp_is_intact(block, bytes / 64, bytes / 2), "growth lost contents");
        require_access(block, bytes, "rwxp");
    }
    call_stub_at(block + 16 * MIB - sizeof(stub));
    destroy_heap(heap);
}

/*
 * Memory goes back to what all heaps share, and comes to another one: right away by this
 * thread's own list, and from a heap that ended.
 */
static void require_plain_afterwards(size_t bytes, bool ends)
{
    enum { COUNT = 32 };
    HANDLE code = create_heap(HEAP_CREATE_ENABLE_EXECUTE), plain = create_heap(0);
    void *blocks[COUNT];
    size_t again = 0;

    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = take(code, 0, bytes);
    require_access(blocks[0], bytes, "rwxp");
    for (size_t i = 0; i < COUNT && !ends; i++)
        give_back(code, blocks[i]);
    if (ends)
        destroy_heap(code);
    for (size_t i = 0; i < COUNT; i++) {
        void *block = take(plain, 0, bytes);
        for (size_t j = 0; j < COUNT; j++)
            again += block == blocks[j];
        require_access(block, bytes, "rw-p");
    }
    require(again > 0, "no memory of %zu bytes came back: nothing was tested", bytes);
    require_access(blocks[0], bytes, "rw-p");
    if (!ends)
        destroy_heap(code);
    destroy_heap(plain);
}

Test(heap_flags, memory_freed_in_an_executable_heap_is_plain_for_others)
{
    require_plain_afterwards(50000, false);
    require_plain_afterwards(200000, false);
    require_plain_afterwards(2 * MIB, false);
}

Test(heap_flags, memory_of_an_executable_heap_that_ended_is_plain)
{
    require_plain_afterwards(3000, true);
    require_plain_afterwards(50000, true);
    require_plain_afterwards(2 * MIB, true);
}

enum { STOLEN = 400, STOLEN_BYTES = 8000 };

static const char *allocate_in_worker(struct worker *worker)
{
    void **blocks = worker->shared;

    for (size_t i = 1; i <= STOLEN; i++)
        if ((blocks[i] = HeapAlloc(blocks[0], 0, STOLEN_BYTES)) == NULL)
            return "HeapAlloc failed";
    return NULL;
}

/*
 * Slabs of a thread that does not call any more, emptied by others, are taken from it
 * when the heap needs memory; what it does not need serves other heaps.
 */
Test(heap_flags, memory_that_other_threads_freed_is_plain_for_others)
{
    HANDLE code = create_heap(HEAP_CREATE_ENABLE_EXECUTE), plain = create_heap(0);
    void *blocks[STOLEN + 1] = {code};
    size_t again = 0;

    run_workers(1, allocate_in_worker, blocks);
    for (size_t i = 1; i <= STOLEN; i++)
        give_back(code, blocks[i]);
    require_access(take(code, 0, STOLEN_BYTES + 1000), STOLEN_BYTES, "rwxp");
    for (size_t i = 1; i <= STOLEN; i++) {
        void *block = take(plain, 0, STOLEN_BYTES);
        for (size_t j = 1; j <= STOLEN; j++)
            again += block == blocks[j];
        if (i % 16 == 0)
            require_access(block, STOLEN_BYTES, "rw-p");
    }
    require(again > 0, "no memory came back: nothing was tested");
    destroy_heap(code);
    destroy_heap(plain);
}

Test(heap_flags, an_executable_heap_works_as_any_other)
{
    HANDLE heap = create_heap(HEAP_CREATE_ENABLE_EXECUTE);
    struct oracle oracle;

    oracle_init(&oracle, heap, 0, 1);
    const char *failure = oracle_run(&oracle, repeats(200000));
    require(failure == NULL, "%s", failure);
    require(HeapValidate(heap, 0, NULL), "the heap is not valid");
    destroy_heap(heap);
}

/* No page of this process becomes executable from now on. False: it cannot be had. */
static bool deny_execution(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {LENGTH(filter), filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

Test(heap_flags, an_executable_heap_is_denied_where_the_system_denies_its_memory)
{
    if (!deny_execution())
        cr_skip_test("SKIPPED: no system call can be denied here");
    for (int i = 0; i < 3; i++) {
        arm_errors();
        HANDLE heap = HeapCreate(HEAP_CREATE_ENABLE_EXECUTE, 0, 0);
        expect_error("HeapCreate", ERROR_ACCESS_DENIED, EACCES);
        require(heap == NULL, "HeapCreate gave an executable heap");
    }
    HANDLE heap = create_heap(0);
    void *block = take(heap, 0, 100000);
    require_access(block, 100000, "rw-p");
    destroy_heap(heap);
}

/* Flags that are taken, and change nothing that can be seen. */
Test(heap_flags, create_flags_without_effect_change_nothing)
{
    static const DWORD flags[] = {HEAP_GROWABLE,
                                  HEAP_ZERO_MEMORY,
                                  HEAP_REALLOC_IN_PLACE_ONLY,
                                  HEAP_CREATE_ALIGN_16,
                                  HEAP_CREATE_SEGMENT_HEAP,
                                  HEAP_DISABLE_COALESCE_ON_FREE,
                                  HEAP_CREATE_ENABLE_TRACING};

    for (size_t i = 0; i < LENGTH(flags); i++) {
        HANDLE heap = create_heap(flags[i]), plain = create_heap(0);
        char *block = take(heap, 0, 27);
        void *like = take(plain, 0, 27);
        require(HeapSize(heap, 0, block) == 27, "flag 0x%x: a size is wrong", flags[i]);
        require(mh_usable_size(heap, block) == mh_usable_size(plain, like),
                "flag 0x%x changes what a block occupies", flags[i]);
        char *grown = HeapReAlloc(heap, 0, block, 100000);
        require(grown != NULL && grown != block, "flag 0x%x keeps a block in place",
                flags[i]);
        require_access(grown, 100000, "rw-p");
        destroy_heap(heap);
        destroy_heap(plain);
    }
}

enum { MEANT_BITS = 0x1 | 0x4 | 0x8 | 0x10 }; /* those that calls know */

static DWORD unknown_bits(uint64_t *random)
{
    *random = stamp_word(*random, 1);
    return (DWORD)(*random >> 32) & ~(DWORD)MEANT_BITS;
}

/* One block's life, with any bits. */
static void live_with_bits(HANDLE heap, uint64_t *random, size_t bytes)
{
    DWORD bits = unknown_bits(random);

    arm_errors();
    char *block = HeapAlloc(heap, bits, bytes);
    require(block != NULL, "HeapAlloc refuses the bits 0x%x", bits);
    stamp(block, bytes, bytes);
    require(HeapSize(heap, bits, block) == bytes, "HeapSize minds the bits 0x%x", bits);
    require(HeapValidate(heap, bits, block), "HeapValidate minds the bits 0x%x", bits);
    char *moved = HeapReAlloc(heap, unknown_bits(random), block, 3 * bytes + 100);
    require(moved != NULL && stamp_is_intact(moved, bytes, bytes),
            "HeapReAlloc minds unknown bits");
    require(HeapFree(heap, unknown_bits(random), moved), "HeapFree minds unknown bits");
    expect_errors_kept("calls with unknown bits");
}

Test(heap_flags, unknown_bits_are_ignored_by_every_call)
{
    enum { MEANT = 0x1 | 0x4 | 0x20 | 0x40 | 0x200 | 0x40000 }; /* to HeapCreate */
    HEAP_SUMMARY summary = {.cb = sizeof(summary)};
    uint64_t random = 1;

    for (size_t i = 0; i < 200; i++) {
        DWORD create = unknown_bits(&random) & ~(DWORD)MEANT;
        HANDLE heap = HeapCreate(create, 0, 0);
        require(heap != NULL, "HeapCreate refuses the bits 0x%x", create);
        for (size_t bytes = 1; bytes < 100000; bytes *= 10)
            live_with_bits(heap, &random, bytes);
        require(HeapValidate(heap, unknown_bits(&random), NULL), "not valid");
        require(HeapSummary(heap, unknown_bits(&random), &summary), "HeapSummary failed");
        require(HeapCompact(heap, unknown_bits(&random)) > 0, "HeapCompact failed");
        destroy_heap(heap);
    }
}

/* .NET enums have 18, the tag shift, next to the flags: in place, and growable. */
HEAP_CASE(heap_flags, the_tag_shift_is_no_error)
{
    void *block = HeapAlloc(heap, HEAP_TAG_SHIFT, 100);

    require(block != NULL, "HeapAlloc refuses HEAP_TAG_SHIFT");
    require(HeapReAlloc(heap, HEAP_TAG_SHIFT, block, 50) == block, "no shrinking");
    require(HeapFree(heap, HEAP_TAG_SHIFT, block), "HeapFree refuses it");
}
