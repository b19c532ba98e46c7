/* SPDX-License-Identifier: MIT */
#include "arena/size_class.h"

#include "unit.h"

Test(size_class, every_size_gets_the_smallest_class_that_holds_it)
{
    for (size_t bytes = 1; bytes <= MOLE_SLAB_MAX; bytes++) {
        unsigned class = mole_size_class_of(bytes);
        require(class < MOLE_CLASS_COUNT, "%zu bytes get class %u", bytes, class);
        require(mole_size_class_bytes(class) >= bytes, "%zu bytes get blocks of %u",
                bytes, mole_size_class_bytes(class));
        require(class == 0 || mole_size_class_bytes(class - 1) < bytes,
                "%zu bytes would fit the class below %u", bytes, class);
    }
}

Test(size_class, of_a_medium_request_it_is_the_same_at_any_size)
{
    for (size_t bytes = 1; bytes <= MOLE_SLAB_MAX; bytes++)
        require(mole_size_class_medium(bytes) == mole_size_class_of(bytes),
                "%zu bytes get class %u, not %u", bytes, mole_size_class_medium(bytes),
                mole_size_class_of(bytes));
}

Test(size_class, small_sizes_come_in_steps_of_16)
{
    for (unsigned class = 0; class < 8; class += 1)
        require(mole_size_class_bytes(class) == 16 * (class + 1),
                "class %u has blocks of %u bytes", class, mole_size_class_bytes(class));
}

Test(size_class, above_128_bytes_at_most_a_ninth_of_a_block_is_waste)
{
    for (size_t bytes = 129; bytes <= MOLE_SLAB_MAX; bytes++) {
        size_t block = mole_size_class_bytes(mole_size_class_of(bytes));
        require(9 * (block - bytes) <= block, "%zu bytes get a block of %zu", bytes,
                block);
    }
}

Test(size_class, sizes_rise_in_multiples_of_the_alignment)
{
    for (unsigned class = 0; class < MOLE_CLASS_COUNT; class += 1) {
        uint32_t bytes = mole_size_class_bytes(class);
        require(bytes % MOLE_ALIGN == 0, "blocks of class %u have %u bytes", class,
                bytes);
        require(class == 0 || mole_size_class_bytes(class - 1) < bytes,
                "class %u is not larger than the one below", class);
    }
}

Test(size_class, the_last_class_is_the_slabs_maximum)
{
    require(mole_size_class_bytes(MOLE_CLASS_COUNT - 1) == MOLE_SLAB_MAX,
            "the last class has blocks of %u bytes",
            mole_size_class_bytes(MOLE_CLASS_COUNT - 1));
}

/* By search, what mole_size_class_aligned must find. */
static unsigned smallest_aligned(size_t bytes, size_t align)
{
    unsigned class = 0;
    while (class < MOLE_CLASS_COUNT && (mole_size_class_bytes(class) < bytes ||
                                        mole_size_class_bytes(class) % align != 0))
        class += 1;
    return class;
}

Test(size_class, aligned_finds_the_smallest_class_of_that_alignment)
{
    for (size_t align = MOLE_ALIGN; align <= MOLE_PAGE; align *= 2)
        for (size_t bytes = 1; bytes <= MOLE_SLAB_MAX; bytes += bytes < 2100 ? 1 : 61) {
            unsigned class = mole_size_class_aligned(bytes, align);
            require(class == smallest_aligned(bytes, align),
                    "%zu bytes at %zu get class %u, not %u", bytes, align, class,
                    smallest_aligned(bytes, align));
        }
}

Test(size_class, aligned_serves_a_request_of_no_bytes)
{
    require(mole_size_class_aligned(0, MOLE_ALIGN) == 0, "0 bytes get class %u",
            mole_size_class_aligned(0, MOLE_ALIGN));
    unsigned class = mole_size_class_aligned(0, 256);
    require(class < MOLE_CLASS_COUNT && mole_size_class_bytes(class) == 256,
            "0 bytes at 256 get class %u", class);
}

Test(size_class, aligned_says_when_there_is_no_class)
{
    require(mole_size_class_aligned(MOLE_SLAB_MAX + 1, MOLE_ALIGN) == MOLE_CLASS_COUNT,
            "a request beyond the maximum got a class");
    require(mole_size_class_aligned(MOLE_SLAB_MAX + 1, MOLE_PAGE) == MOLE_CLASS_COUNT,
            "32769 bytes on a page got a class");
    require(mole_size_class_aligned(SIZE_MAX, MOLE_ALIGN) == MOLE_CLASS_COUNT,
            "SIZE_MAX bytes got a class");
}

Test(size_class, who_grows_by_little_asks_for_a_quarter_more_than_it_had)
{
    require(mole_size_class_roomy(1000, 1001) == 1250, "%zu bytes for 1001",
            mole_size_class_roomy(1000, 1001));
    require(mole_size_class_roomy(1000, 1250) == 1250, "more than a quarter");
    require(mole_size_class_roomy(1000, 2000) == 2000, "who doubles gets more");
    require(mole_size_class_roomy(1000, 900) == 900, "who shrinks gets more");
    require(mole_size_class_roomy(30000, 30001) == MOLE_SLAB_MAX, "it becomes large");
    require(mole_size_class_roomy(30000, 33000) == 33000, "a large one gets less");
}
