/* SPDX-License-Identifier: MIT */
/*
 * Which calls tell of a damaged tail, and in which settings (spec 2.15, case 134).
 */
#include "checked.h"
#include "exceptions.h"

/* The source document lets HeapReAlloc fail for a damaged heap. */
static void require_realloc_refuses(HANDLE heap)
{
    unsigned char *p = take(heap, 0, 27);

    stamp(p, 27, 1);
    p[27]++;
    arm_errors();
    void *moved = HeapReAlloc(heap, 0, p, 100);
    expect_compat_error("HeapReAlloc", ERROR_INVALID_PARAMETER, EINVAL);
    require(moved == NULL, "HeapReAlloc took a block with a damaged tail");
    require(!HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, p, 20), "in place it does");
    p[27]--;
    require(stamp_is_intact(p, 27, 1), "the contents changed");
    require(HeapReAlloc(heap, 0, p, 100) != NULL, "it is whole and refused");
}

Test(heap_damage, case_134_a_damaged_tail_makes_realloc_return_null)
{
    require_realloc_refuses(create_heap(HEAP_TAIL_CHECKING_ENABLED));
    require_realloc_refuses(create_heap(BOTH));
    configure("global_flag:0x50");
    require_realloc_refuses(create_heap(0));
}

static void require_realloc_raises(HANDLE heap, DWORD flags)
{
    unsigned char *p = take(heap, 0, 27);

    stamp(p, 27, 1);
    p[27]++;
    expect_raise(resize_call(heap, flags, p, 100), access_violation, "a damaged tail");
    p[27]--;
    require(stamp_is_intact(p, 27, 1), "the contents changed");
    give_back(heap, p);
}

Test(heap_damage, case_134_a_damaged_tail_makes_realloc_raise)
{
    require_realloc_raises(
        create_heap(HEAP_TAIL_CHECKING_ENABLED | HEAP_GENERATE_EXCEPTIONS), 0);
    require_realloc_raises(create_heap(BOTH), HEAP_GENERATE_EXCEPTIONS);
    configure("global_flag:0x50");
    require_realloc_raises(create_heap(HEAP_GENERATE_EXCEPTIONS), 0);
    require_realloc_raises(create_heap(0), HEAP_GENERATE_EXCEPTIONS);
}

/* Windows' other front end and its checks exclude each other; hardening is ours. */
Test(heap_damage, heaps_with_checks_refuse_to_be_low_fragmentation_ones)
{
    HANDLE hardened = create_heap(HEAP_CREATE_HARDENED);
    ULONG low_fragmentation = 2;

    if (!has_global_flag(~0u))
        require(HeapSetInformation(hardened, HeapCompatibilityInformation,
                                   &low_fragmentation, sizeof(low_fragmentation)),
                "a hardened heap refuses");
    configure("global_flag:0x20");
    HANDLE heaps[] = {create_heap(HEAP_TAIL_CHECKING_ENABLED), create_heap(0),
                      GetProcessHeap()};
    for (size_t i = 0; i < LENGTH(heaps); i++) {
        arm_errors();
        require(!HeapSetInformation(heaps[i], HeapCompatibilityInformation,
                                    &low_fragmentation, sizeof(low_fragmentation)),
                "heap %zu is one now", i);
        expect_error("HeapSetInformation", ERROR_GEN_FAILURE, EINVAL);
    }
}

/* Windows looks at the tail only when told to validate parameters. */
Test(heap_damage, by_global_flag_alone_realloc_minds_a_tail_as_the_contract_says)
{
    configure("global_flag:0x10");
    HANDLE heap = create_heap(0);
    if (!compat_windows()) {
        require_realloc_refuses(heap);
        return;
    }
    unsigned char *p = take(heap, 0, 27);
    p[27]++;
    p = HeapReAlloc(heap, 0, p, 100);
    require(p != NULL, "HeapReAlloc refuses it though parameters are not validated");
    require(has_tail(p, 100), "no new tail");
}

/* Without parameter validation HeapSize and HeapFree do not look. */
CHECKED_CASE(heap_damage, damage_alone_does_not_stop_size_and_free,
             HEAP_TAIL_CHECKING_ENABLED, "0x10")
{
    if (has_global_flag(0x40))
        cr_skip_test("SKIPPED: parameters are validated here");
    for (size_t i = 0; i < sizes_count(); i++) {
        unsigned char *p = take(heap, 0, sizes[i]);
        p[sizes[i] + 3] ^= 1;
        require(HeapValidate(heap, 0, p) == is_apart(sizes[i]),
                "damage behind %zu bytes: HeapValidate is wrong", sizes[i]);
        require(HeapValidate(heap, 0, NULL) == is_apart(sizes[i]),
                "damage behind %zu bytes: HeapValidate of the heap is wrong", sizes[i]);
        arm_errors();
        require(HeapSize(heap, 0, p) == sizes[i], "HeapSize minds the damage");
        require(HeapFree(heap, 0, p), "HeapFree minds the damage");
        expect_errors_kept("HeapSize and HeapFree");
    }
    require(HeapValidate(heap, 0, NULL), "damage outlives its block");
}

static void require_calls_refuse(HANDLE heap)
{
    unsigned char *p = take(heap, 0, 27), *whole = take(heap, 0, 27);

    p[42]++; /* the tail's last byte */
    arm_errors();
    require(HeapSize(heap, 0, p) == FAILED_SIZE, "HeapSize");
    expect_compat_error("HeapSize", ERROR_INVALID_PARAMETER, EINVAL);
    arm_errors();
    require(!HeapReAlloc(heap, 0, p, 100), "HeapReAlloc");
    expect_compat_error("HeapReAlloc", ERROR_INVALID_PARAMETER, EINVAL);
    arm_errors();
    require(!HeapFree(heap, 0, p), "HeapFree");
    expect_error("HeapFree", ERROR_INVALID_PARAMETER, EINVAL);
    require(HeapSize(heap, 0, whole) == 27, "a whole block is refused, too");
    p[42]--;
    require(HeapSize(heap, 0, p) == 27, "a block that is whole again is refused");
    give_back(heap, p);
    give_back(heap, whole);
}

Test(heap_damage, with_parameter_validation_calls_refuse_a_damaged_tail)
{
    configure("global_flag:0x50");
    require_calls_refuse(create_heap(0));
    configure("global_flag:64");
    require_calls_refuse(create_heap(HEAP_TAIL_CHECKING_ENABLED));
}

Test(heap_damage, with_parameter_validation_the_process_heap_refuses_it_too)
{
    configure("global_flag:80");
    require_calls_refuse(GetProcessHeap());
}

/* 0x80: any damage in the heap stops each call on it. */
Test(heap_damage, with_validation_of_all_any_damage_stops_every_call)
{
    configure("global_flag:0xb0");
    HANDLE heap = create_heap(0), other = create_heap(0);
    unsigned char *p = take(heap, 0, 100), *whole = take(heap, 0, 100);

    p[100]++;
    require(!HeapAlloc(heap, 0, 10), "HeapAlloc goes on");
    require(HeapSize(heap, 0, whole) == FAILED_SIZE, "HeapSize goes on");
    require(!HeapReAlloc(heap, 0, whole, 200), "HeapReAlloc goes on");
    require(!HeapFree(heap, 0, whole), "HeapFree goes on");
    give_back(other, take(other, 0, 10));
    p[100]--;
    give_back(heap, whole);
    give_back(heap, take(heap, 0, 10));
    whole[0]++; /* freed */
    require(!HeapAlloc(heap, 0, 10), "HeapAlloc goes on after a write to a freed block");
    whole[0]--;
    give_back(heap, p);
}
