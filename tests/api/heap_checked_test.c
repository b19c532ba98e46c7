/* SPDX-License-Identifier: MIT */
/*
 * Tail and free checking (spec 2.15, C-5): what is written behind and into blocks.
 */
#include "checked.h"
#include "oracle.h"

CHECKED_CASE(heap_checked, case_087_the_tail_is_written_anew_in_place,
             HEAP_TAIL_CHECKING_ENABLED, "0x10")
{
    unsigned char *p = take(heap, HEAP_ZERO_MEMORY, 17);

    require(is_all(p + 14, 3, 0), "the last three bytes are not zero");
    require(is_all(p + 17, 3, 0xAB), "no tail behind 17 bytes");
    require(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, p, 14) == p, "it moved");
    require(is_all(p + 14, 3, 0xAB), "no tail behind 14 bytes");
    require(HeapValidate(heap, 0, p), "it is whole and not valid");
    unsigned char was = p[17];
    p[17] = 0xCC;
    require(!HeapValidate(heap, 0, p), "HeapValidate does not see the damage");
    p[17] = was;
    require(HeapValidate(heap, 0, p), "it is whole again and not valid");
    give_back(heap, p);
}

CHECKED_CASE(heap_checked, case_088_every_size_has_a_tail, HEAP_TAIL_CHECKING_ENABLED,
             "0x10")
{
    for (size_t bytes = 0; bytes < 64; bytes++) {
        void *p = take(heap, 0, bytes);
        require(has_tail(p, bytes), "no tail behind %zu bytes", bytes);
    }
    size_t large = 3000 * 1024 + 37;
    if (is_fixed)
        return;
    char *p = take(heap, 0, large);
    require(is_all(p + large, 16, 0), "what is behind a large block is not zero");
    give_back(heap, p);
}

/* Whatever was there before: new memory, as Windows maps it for each such block. */
CHECKED_CASE(heap_checked, a_large_block_is_zero_and_so_is_what_follows, BOTH, "0x30")
{
    for (size_t bytes = MIB; !is_fixed && bytes < 3 * MIB; bytes += 500003) {
        leave_dirt(heap, bytes + 5000);
        char *p = take(heap, 0, bytes);
        require(is_all(p, bytes + TAIL_BYTES, 0), "%zu bytes are not zero", bytes);
        give_back(heap, p);
    }
}

CHECKED_CASE(heap_checked, case_089_new_memory_is_filled, HEAP_FREE_CHECKING_ENABLED,
             "0x20")
{
    unsigned char *p = take(heap, 0, 7);

    require(dword_at(p, 0) == new_dword, "the first DWORD is 0x%x", dword_at(p, 0));
    require(memcmp(p + 4, &new_dword, 3) != 0, "part of a DWORD is filled");
    memset(p, 0xCC, 7);
    p = HeapReAlloc(heap, 0, p, 15);
    require(p != NULL, "HeapReAlloc failed");
    require(is_all(p, 7, 0xCC), "the contents changed");
    require(dword_at(p, 8) == new_dword, "what grew is 0x%x", dword_at(p, 8));
    require(memcmp(p + 12, &new_dword, 3) != 0, "part of a DWORD is filled");
    give_back(heap, p);
}

CHECKED_CASE(heap_checked, case_090_freed_memory_is_filled_and_watched,
             HEAP_FREE_CHECKING_ENABLED, "0x20")
{
    unsigned char *p = take(heap, 0, 37);

    memset(p, 0xCC, 37);
    give_back(heap, p);
    require(dword_at(p, 16) == freed_dword, "a freed DWORD is 0x%x", dword_at(p, 16));
    require(HeapValidate(heap, 0, NULL), "the heap is not valid");
    unsigned char was = p[16];
    p[16] = 0xCC;
    require(!HeapValidate(heap, 0, NULL), "a write after the free is not seen");
    p[16] = was;
    require(HeapValidate(heap, 0, NULL), "the heap is not valid again");
}

CHECKED_CASE(heap_checked, case_091_zeroed_memory_is_zero, HEAP_FREE_CHECKING_ENABLED,
             "0x20")
{
    for (size_t i = 0; i < sizes_count(); i++) {
        char *p = take(heap, HEAP_ZERO_MEMORY, sizes[i]);
        require(is_all(p, sizes[i], 0), "%zu bytes are not zero", sizes[i]);
        memset(p, 0xCC, sizes[i]);
        give_back(heap, p);
    }
}

/* Wherever a block goes: behind its end is a tail, in what is new the fill. */
static void require_written(const char *p, size_t from, size_t bytes, size_t i)
{
    if (is_apart(bytes)) {
        require(is_all(p + from, bytes - from + TAIL_BYTES, 0),
                "resize %zu: %zu bytes on a large scale are not zero", i, bytes);
        return;
    }
    require(has_tail(p, bytes), "resize %zu: no tail behind %zu bytes", i, bytes);
    require(has_dwords(p, from, bytes, new_dword), "resize %zu: %zu bytes are not filled",
            i, bytes);
}

CHECKED_CASE(heap_checked, resizes_write_tails_and_fill_what_grows, BOTH, "0x30")
{
    uint64_t random = 7;
    size_t bytes = 100;
    char *p = take(heap, 0, bytes);

    require_written(p, 0, bytes, 0);
    for (size_t i = 1; i <= repeats(3000); i++) {
        random = stamp_word(random, i);
        size_t to = sizes[random % sizes_count()] + random / 64 % 40;
        size_t kept = to < bytes ? to : bytes;
        stamp(p, bytes, i);
        p = HeapReAlloc(heap, 0, p, to);
        require(p != NULL, "resize %zu to %zu bytes failed", i, to);
        require(stamp_is_intact(p, kept, i), "resize %zu lost contents", i);
        require_written(p, kept, to, i);
        require(HeapValidate(heap, 0, p), "resize %zu: it is not valid", i);
        bytes = to;
    }
    require(HeapValidate(heap, 0, NULL), "the heap is not valid");
    give_back(heap, p);
}

CHECKED_CASE(heap_checked, zeroed_growth_is_exact, BOTH, "0x30")
{
    for (size_t from = 0; from < 70; from++)
        for (size_t to = from; to < 200; to += 1 + to / 8) {
            char *p = take(heap, 0, from);
            memset(p, 0x7A, from);
            p = HeapReAlloc(heap, HEAP_ZERO_MEMORY, p, to);
            require(p != NULL && is_all(p, from, 0x7A) && is_all(p + from, to - from, 0),
                    "growth from %zu to %zu", from, to);
            require(has_tail(p, to), "no tail after growth from %zu to %zu", from, to);
            give_back(heap, p);
        }
}

CHECKED_CASE(heap_checked, freed_blocks_are_filled_whoever_frees, BOTH, "0x30")
{
    for (size_t i = 0; i < sizes_count() && sizes[i] <= 8000; i++) {
        char *keeper = take(heap, 0, sizes[i]), *p = take(heap, 0, sizes[i]);
        memset(p, 0xCC, sizes[i]);
        give_back(heap, p);
        require(has_dwords(p, 0, sizes[i], freed_dword), "%zu freed bytes", sizes[i]);
        char *moved = take(heap, 0, sizes[i]), *behind = take(heap, 0, sizes[i]);
        void *far = HeapReAlloc(heap, 0, moved, 40000);
        require(far != NULL && has_dwords(moved, 0, sizes[i], freed_dword),
                "%zu bytes that a block left", sizes[i]);
        give_back(heap, far);
        give_back(heap, behind);
        give_back(heap, keeper);
    }
}

/* A slot that was never used is as good as one that was freed. */
CHECKED_CASE(heap_checked, writes_to_any_free_slot_are_seen, BOTH, "0x30")
{
    unsigned char *p[64];

    for (size_t i = 0; i < LENGTH(p); i++)
        p[i] = take(heap, 0, 50);
    for (size_t i = 0; i < LENGTH(p); i += 2)
        give_back(heap, p[i]);
    for (size_t i = 0; i < LENGTH(p); i++)
        for (size_t at = 0; at < 66; at += 13) {
            bool is_free = i % 2 == 0, is_behind = at >= 50;
            p[i][at] ^= 0x10;
            require(HeapValidate(heap, 0, NULL) == !(is_free || is_behind),
                    "a write to byte %zu of block %zu", at, i);
            p[i][at] ^= 0x10;
        }
    require(HeapValidate(heap, 0, NULL), "the heap is not valid");
}

CHECKED_CASE(heap_checked, sizes_are_exact_for_all_who_ask, BOTH, "0x30")
{
    size_t sum = allocated_bytes(heap), busy = 0;
    PROCESS_HEAP_ENTRY entry = {.lpData = NULL};
    void *blocks[LENGTH(sizes)];

    for (size_t i = 0; i < sizes_count(); i++) {
        blocks[i] = take(heap, 0, sizes[i]);
        sum += sizes[i];
        require(HeapSize(heap, 0, blocks[i]) == sizes[i], "HeapSize of %zu", sizes[i]);
        require((uintptr_t)blocks[i] % 16 == 0, "%zu bytes are not aligned", sizes[i]);
        require(mh_usable_size(heap, blocks[i]) >= sizes[i] + TAIL_BYTES,
                "%zu bytes have no room for a tail", sizes[i]);
    }
    require(allocated_bytes(heap) == sum, "HeapSummary says %zu, not %zu",
            allocated_bytes(heap), sum);
    while (HeapWalk(heap, &entry))
        if (entry.wFlags & PROCESS_HEAP_ENTRY_BUSY)
            busy += entry.cbData;
    require(busy == sum, "HeapWalk says %zu, not %zu", busy, sum);
    for (size_t i = 0; i < sizes_count(); i++)
        give_back(heap, blocks[i]);
}

CHECKED_CASE(heap_checked, random_use_keeps_the_heap_valid, BOTH, "0xf0")
{
    struct oracle oracle;

    oracle_init(&oracle, heap, 0, 1);
    oracle.most = is_fixed ? FIXED_MOST : 0;
    for (size_t i = 0; i < 10; i++) {
        const char *failure = oracle_run(&oracle, repeats(2000));
        require(failure == NULL, "%s", failure);
        require(HeapValidate(heap, 0, NULL), "the heap is not valid");
        HeapCompact(heap, 0);
        require(HeapValidate(heap, 0, NULL), "the heap is not valid once compacted");
    }
    const char *failure = oracle_finish(&oracle);
    require(failure == NULL, "%s", failure);
}

/*
 * What lies behind a block counts against the maximum of its heap, not against what a
 * block may have at most.
 */
Test(heap_checked, of_fixed_size_guards_count_against_the_maximum)
{
    static const struct {
        DWORD flags;
        size_t pad;
    } kinds[] = {{HEAP_FREE_CHECKING_ENABLED, 0},
                 {HEAP_TAIL_CHECKING_ENABLED, 16},
                 {HEAP_CREATE_HARDENED, 8},
                 {BOTH | HEAP_CREATE_HARDENED, 24}};
    configure("global_flag:0");
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        HANDLE heap = HeapCreate(kinds[i].flags, 0, CASE_SIZE);
        size_t most = CASE_SIZE - 0x800 - kinds[i].pad;
        require(heap != NULL, "no heap");
        for (size_t turn = 0; turn < 3; turn++) {
            require(!HeapAlloc(heap, 0, most + 1), "%zu bytes fit", most + 1);
            void *block = take(heap, 0, most);
            require(!HeapAlloc(heap, 0, 0), "something fits beside all");
            require(HeapValidate(heap, 0, NULL), "the heap is not valid");
            give_back(heap, block);
        }
        destroy_heap(heap);
        heap = create_fixed(kinds[i].flags);
        size_t ceiling = compat_windows() ? 0xFFFF0 : 0x7FFF8;
        require(!HeapAlloc(heap, 0, ceiling), "the ceiling is too high");
        char *block = take(heap, 0, ceiling - 1);
        require(HeapValidate(heap, 0, block), "the largest block is not valid");
        block[ceiling - 1] ^= 1;
        require(HeapValidate(heap, 0, block) == !kinds[i].pad, "no guard behind it");
        block[ceiling - 1] ^= 1;
        give_back(heap, block);
        destroy_heap(heap);
    }
}

/* Parts of blocks that end there, without a block's end. */
Test(heap_checked, of_fixed_size_what_a_block_gives_up_in_place_is_watched)
{
    HANDLE heap = create_fixed(BOTH);
    for (size_t bytes = 100; bytes < 70000; bytes *= 2) {
        char *p = take(heap, 0, bytes), *behind = take(heap, 0, 10);
        stamp(p, bytes, 1);
        require(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, p, 20) == p,
                "no shrinking");
        require(stamp_is_intact(p, 20, 1) && has_tail(p, 20), "the rest is not whole");
        require(has_dwords(p, 48, bytes, freed_dword), "%zu bytes are not filled", bytes);
        for (size_t at = 48; at < bytes; at += 1 + bytes / 7) {
            p[at] ^= 1;
            require(!HeapValidate(heap, 0, NULL), "a write to byte %zu is not seen", at);
            p[at] ^= 1;
        }
        require(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, p, bytes) == p,
                "no growth to %zu", bytes);
        require(has_dwords(p, 20, bytes, new_dword) && has_tail(p, bytes),
                "%zu bytes are not as new ones", bytes);
        require(HeapValidate(heap, 0, NULL), "the heap is not valid");
        give_back(heap, p);
        give_back(heap, behind);
    }
    destroy_heap(heap);
}

/* What was made before stays as it was, and works on. */
Test(heap_checked, heaps_in_use_keep_what_they_were_made_with)
{
    if (has_global_flag(~0u))
        cr_skip_test("SKIPPED: all heaps are checked here from the start");
    HANDLE heap = create_heap(0), process = GetProcessHeap();
    char *before = take(process, 0, 100), *own = take(heap, 0, 100);
    configure("global_flag:0x70");
    char *after = take(process, 0, 100);
    require(!has_tail(after, 100), "a process heap that was in use got tails");
    require(HeapFree(process, 0, before) && HeapFree(process, 0, after) &&
                HeapFree(heap, 0, own),
            "a live block is refused");
    require(HeapValidate(process, 0, NULL), "the process heap is not valid");
    HANDLE late = create_heap(0);
    require(has_tail(take(late, 0, 100), 100), "a new heap has no tails");
    configure("global_flag:0");
    HANDLE last = create_heap(0);
    require(!has_tail(take(last, 0, 100), 100), "the setting cannot be taken back");
}

Test(heap_checked, a_global_flag_that_is_no_number_is_refused)
{
    static const char *const wrong[] = {
        "global_flag:",           "global_flag",
        "global_flag:0x",         "global_flag:7h",
        "global_flag:0x7g",       "global_flag: 16",
        "global_flag:-1",         "global_flag:0x1 ",
        "global_flag:16a",        "global_flag:0X1",
        "Global_flag:0x10",       "global_flag:,",
        "global_flag:4294967296", "global_flag:0x100000000"};

    for (size_t i = 0; i < LENGTH(wrong); i++) {
        errno = 0;
        require(mh_configure(wrong[i]) == -1 && errno == EINVAL, "taken: %s", wrong[i]);
    }
    configure("global_flag:0xFFFFFF0f"); /* Windows has many more bits */
    HANDLE heap = create_heap(0);
    require(!has_tail(take(heap, 0, 100), 100), "other bits have set this one");
}
